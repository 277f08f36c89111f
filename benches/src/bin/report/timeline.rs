//! One crash of the master, as a client saw it.

use plotters::prelude::*;
use serde::Deserialize;

use crate::data::Results;
use crate::plot::{self, BAD, FAINT, GOOD, Ink, SERIES, TEXT, exact, text};
use crate::tools::Failure;

/// What `measure` stores under this prefix and the name of a daemon.
const RAW: &str = "timeline of ";
/// Seconds, from the crash.
const FROM: f64 = -2.0;
const TO: f64 = 6.0;
/// Of a ping, in seconds.
const PATIENCE: f64 = 0.1;
/// Of a daemon, in pixels.
const LANE: u32 = 96;

/// Seconds, from the crash of A.
#[derive(Deserialize)]
struct Timeline {
    /// When the backup should take over.
    formula: f64,
    /// Advertisements of A, and of B.
    advertisements: [Vec<f64>; 2],
    /// When a ping was not answered, from and to.
    outages: Vec<(f64, f64)>,
}

/// The picture, if there is anything to be seen.
pub(crate) fn picture(results: &Results) -> Result<Option<String>, Failure> {
    let mut lanes = Vec::new();
    for name in ["carpd", "ucarp", "keepalived"] {
        if let Some(raw) = results.raw.get(&format!("{RAW}{name}")) {
            let mut lane: Timeline = serde_json::from_value(raw.clone())?;
            lane.outages = joined(lane.outages);
            lanes.push((name, lane));
        }
    }
    if lanes.is_empty() {
        return Ok(None);
    }
    let height = u32::try_from(lanes.len())? * LANE + 170;
    let title = "The master crashes: what its backup and a client do in the next seconds";
    let draw = |area: &plot::Area<'_>| {
        let rows = exact(lanes.len());
        let mut chart = ChartBuilder::on(area)
            .margin_right(24)
            .x_label_area_size(48)
            .y_label_area_size(216)
            .margin_bottom(56)
            .build_cartesian_2d(FROM..TO, 0.0..rows)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(9)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .x_desc("seconds since the crash")
            .axis_desc_style(text(TEXT))
            .label_style(text(TEXT))
            .axis_style(FAINT.color())
            .bold_line_style(FAINT.color())
            .light_line_style(plot::PAPER.color())
            .draw()?;
        let (left, above) = area.get_base_pixel();
        for (at, (name, lane)) in lanes.iter().enumerate() {
            let top = rows - exact(at);
            let (client, a, b) = (top - 0.8, top - 0.2, top - 0.5);
            for (label, y) in [
                ("A, the master", a),
                ("B, the backup", b),
                ("client is answered", client),
            ] {
                let (_, y) = chart.backend_coord(&(FROM, y));
                area.draw(&Text::new(label, (90, y - above - 7), text(TEXT)))?;
            }
            let (_, y) = chart.backend_coord(&(FROM, b));
            let bold = ("sans-serif", 14, FontStyle::Bold)
                .into_font()
                .color(&TEXT.color());
            let name = if *name == "ucarp" { "UCarp" } else { name };
            area.draw(&Text::new(name.to_owned(), (0, y - above - 26), bold))?;
            let mut span = |from: f64, to: f64, ink: Ink| {
                let bar = [(from.max(FROM), client - 0.06), (to.min(TO), client + 0.06)];
                chart
                    .draw_series([Rectangle::new(bar, ink.color().filled())])
                    .map(|_| ())
            };
            span(FROM, TO, GOOD)?;
            for (from, to) in &lane.outages {
                span(*from, *to, BAD)?;
            }
            for ((times, y), ink) in lane.advertisements.iter().zip([a, b]).zip(SERIES) {
                let shown = times.iter().filter(|at| (FROM..=TO).contains(*at));
                chart.draw_series(shown.map(|at| Circle::new((*at, y), 4, ink.color().filled())))?;
            }
            let due = vec![(lane.formula, a + 0.1), (lane.formula, client - 0.1)];
            chart.draw_series([PathElement::new(due, TEXT.color())])?;
            let since_crash = |(from, to): &(f64, f64)| (to - from.max(0.0)).max(0.0);
            let outage: f64 = lane.outages.iter().map(since_crash).sum();
            let (x, y) = chart.backend_coord(&(0.08, client));
            let label = format!("not answered for {outage:.2} s");
            area.draw(&Text::new(label, (x - left, y - above - 24), text(BAD)))?;
        }
        let crash = vec![(0.0, 0.0), (0.0, rows)];
        chart.draw_series([PathElement::new(crash, BAD.color().stroke_width(2))])?;
        let keys = [
            "dots: advertisements; thick line: the crash; thin line: when the backup should take over",
            "green: the client is answered; red: it is not; the less red the better",
        ];
        let (_, height) = area.dim_in_pixel();
        for (key, above_end) in keys.into_iter().zip([38, 18]) {
            area.draw(&Text::new(
                key,
                (90, i32::try_from(height)? - above_end),
                text(TEXT),
            ))?;
        }
        Ok(())
    };
    plot::picture(height, title, draw).map(Some)
}

/// Without the gaps that are shorter than the time after which a ping is given up.
fn joined(mut outages: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    outages.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, to) in outages {
        match joined.last_mut() {
            Some((_, before)) if from <= *before + PATIENCE => *before = before.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_that_touch_are_one() {
        let parts = vec![(3.0, 3.1), (0.0, 1.0), (0.5, 0.7), (1.05, 2.0)];
        assert_eq!(joined(parts), [(0.0, 2.0), (3.0, 3.1)]);
    }
}
