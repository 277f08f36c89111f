//! Pictures that are readable in light and in dark, without fonts of this system.

#![expect(clippy::unreadable_literal, reason = "that is how colours are written")]

use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::tools::Failure;

/// Colours, in light and in dark: whoever shows the picture chooses (`prefers-color-scheme`).
pub(crate) const PAPER: Ink = Ink(0xffffff, 0x0d1117);
pub(crate) const TEXT: Ink = Ink(0x1f2328, 0xe6edf3);
pub(crate) const FAINT: Ink = Ink(0xd0d7de, 0x3d444d);
pub(crate) const GOOD: Ink = Ink(0x1a7f37, 0x3fb950);
pub(crate) const BAD: Ink = Ink(0xcf222e, 0xf85149);
/// Of curves and bars, one after the other.
pub(crate) const SERIES: [Ink; 8] = [
    Ink(0x0969da, 0x58a6ff),
    Ink(0xbc4c00, 0xf0883e),
    Ink(0x8250df, 0xbc8cff),
    Ink(0x1b7c83, 0x39c5cf),
    Ink(0x9a6700, 0xd29922),
    Ink(0xbf3989, 0xf778ba),
    Ink(0x57606a, 0x8b949e),
    Ink(0x4d2d00, 0xe3b341),
];
const WIDTH: u32 = 900;
/// Of ordinary text, in pixels.
const SIZE: u32 = 14;

#[derive(Clone, Copy)]
pub(crate) struct Ink(u32, u32);

/// Where a picture is drawn.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Ink {
    pub(crate) fn color(self) -> RGBColor {
        let [_, red, green, blue] = self.0.to_be_bytes();
        RGBColor(red, green, blue)
    }
}

/// Rows of bars.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) axis: &'a str,
    /// A line that says how good it could be.
    pub(crate) floor: Option<f64>,
    /// Of each row the name, and its bars: whose they are and how long.
    pub(crate) rows: &'a [(&'a str, Vec<(&'a str, f64)>)],
}

/// A line with its name.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over a logarithmic axis.
pub(crate) struct Curves<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) lines: &'a [Curve],
    /// What is written below the axis.
    pub(crate) ticks: &'a [f64],
}

/// Text of the ordinary size.
pub(crate) fn text(ink: Ink) -> TextStyle<'static> {
    ("sans-serif", SIZE).into_font().color(&ink.color())
}

/// Draws on paper, and returns the file.
pub(crate) fn picture(
    height: u32,
    title: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&PAPER.color())?;
        let heading = ("sans-serif", SIZE + 3, FontStyle::Bold)
            .into_font()
            .color(&TEXT.color());
        area.draw(&Text::new(title.to_owned(), (16, 12), heading))?;
        draw(&area.margin(40, 8, 12, 12))?;
        area.present()?;
    }
    Ok(in_both(&svg))
}

/// Adds what the colours are in the dark.
fn in_both(svg: &str) -> String {
    let mut style =
        String::from("<style>text{font-family:system-ui,sans-serif}@media(prefers-color-scheme:dark){");
    for Ink(light, dark) in [PAPER, TEXT, FAINT, GOOD, BAD].into_iter().chain(SERIES) {
        let _ = write!(style, "[fill=\"#{light:06X}\"]{{fill:#{dark:06x}}}");
        let _ = write!(style, "[stroke=\"#{light:06X}\"]{{stroke:#{dark:06x}}}");
    }
    style.push_str("}</style>");
    let head = svg
        .find("<svg")
        .and_then(|at| Some(at + svg[at..].find('>')? + 1));
    let (head, rest) = svg.split_at(head.unwrap_or(0));
    format!("{head}\n{style}{rest}")
}

pub(crate) fn bars(bars: &Bars<'_>) -> Result<String, Failure> {
    const BAR: usize = 15;
    const GAP: usize = 14;
    let each = bars.rows.iter().map(|(_, bars)| bars.len()).max().unwrap_or(1);
    let height = bars.rows.len() * (each * BAR + GAP);
    let values = || {
        bars.rows
            .iter()
            .flat_map(|(_, bars)| bars)
            .map(|(_, value)| *value)
            .filter(|v| v.is_finite())
    };
    let longest = values().fold(bars.floor.unwrap_or(0.0), f64::max) * 1.12;
    let legend = each * 20 + 8;
    picture(pixels(height + legend + 110), bars.title, |area| {
        let (top, area) = area.split_vertically(pixels(legend));
        for (at, (name, _)) in bars
            .rows
            .first()
            .into_iter()
            .flat_map(|(_, bars)| bars)
            .enumerate()
        {
            let y = i32::try_from(at * 20)?;
            top.draw(&Rectangle::new(
                [(8, y), (20, y + 12)],
                SERIES[at].color().filled(),
            ))?;
            top.draw(&Text::new((*name).to_owned(), (28, y - 1), text(TEXT)))?;
        }
        let mut chart = ChartBuilder::on(&area)
            .margin_right(16)
            .x_label_area_size(48)
            .y_label_area_size(210)
            .build_cartesian_2d(0.0..longest.max(1e-9), 0.0..exact(height.max(1)))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_desc(bars.axis)
            .axis_desc_style(text(TEXT))
            .label_style(text(TEXT))
            .axis_style(FAINT.color())
            .bold_line_style(FAINT.color())
            .light_line_style(PAPER.color())
            .draw()?;
        for (row, (name, values)) in bars.rows.iter().enumerate() {
            let top = exact(height - row * (each * BAR + GAP) - GAP / 2);
            for (at, (_, value)) in values
                .iter()
                .enumerate()
                .filter(|(_, (_, value))| value.is_finite())
            {
                let y = top - exact(at * BAR);
                let bar = [(0.0, y), (*value, y - exact(BAR - 2))];
                chart.draw_series([Rectangle::new(bar, SERIES[at].color().filled())])?;
                let label = format!(" {}", crate::data::number(*value));
                chart.draw_series([Text::new(label, (*value, y), text(TEXT))])?;
            }
            let middle = top - exact(each * BAR) / 2.0;
            let (x, y) = chart.backend_coord(&(0.0, middle));
            let (left, above) = area.get_base_pixel();
            let at = (x - left - 205, y - above - 7);
            area.draw(&Text::new((*name).to_owned(), at, text(TEXT)))?;
        }
        if let Some(floor) = bars.floor {
            chart.draw_series([PathElement::new(
                vec![(floor, 0.0), (floor, exact(height))],
                TEXT.color(),
            )])?;
        }
        Ok(())
    })
}

pub(crate) fn curves(it: &Curves<'_>) -> Result<String, Failure> {
    let points = || it.lines.iter().flat_map(|curve| &curve.points);
    let most = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.1;
    let (first, last) = (
        it.ticks.first().copied().unwrap_or(1.0),
        it.ticks.last().copied().unwrap_or(10.0),
    );
    picture(460, it.title, |area| {
        // Logarithms by hand: then the ticks are where we say.
        let mut chart = ChartBuilder::on(area)
            .margin_right(24)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(first.ln()..last.ln(), 0.0..most.max(1e-9))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .x_desc(it.x)
            .y_desc(it.y)
            .y_label_formatter(&|y| crate::data::number(*y))
            .axis_desc_style(text(TEXT))
            .label_style(text(TEXT))
            .axis_style(FAINT.color())
            .bold_line_style(FAINT.color())
            .light_line_style(PAPER.color())
            .draw()?;
        for tick in it.ticks {
            let line = vec![(tick.ln(), 0.0), (tick.ln(), most)];
            chart.draw_series([PathElement::new(line, FAINT.color())])?;
            let (x, y) = chart.backend_coord(&(tick.ln(), 0.0));
            let (left, above) = area.get_base_pixel();
            let label = crate::data::number(*tick);
            let half = i32::try_from(label.len() * 4)?;
            area.draw(&Text::new(label, (x - left - half, y - above + 6), text(TEXT)))?;
        }
        for (curve, ink) in it.lines.iter().zip(SERIES) {
            let points: Vec<_> = curve
                .points
                .iter()
                .map(|(x, y)| (x.max(first).min(last).ln(), *y))
                .collect();
            chart
                .draw_series(LineSeries::new(points, ink.color().stroke_width(2)))?
                .label(curve.name.clone())
                .legend(move |(x, y)| {
                    PathElement::new(vec![(x, y), (x + 20, y)], ink.color().stroke_width(3))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(PAPER.color())
            .border_style(FAINT.color())
            .label_font(text(TEXT))
            .draw()?;
        Ok(())
    })
}

/// Pictures are small.
pub(crate) fn exact(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn pixels(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
