//! Prints interval and dead ratio of the fast profile against detection time and false fail-overs: the table of
//! `docs/protocol.md` §13. `fast_table [HOURS [LOSS_PER_MILLE]]`; 1000 hours and 10 by default.

use carp_tests::fast::Watch;

/// Crashes of which the detection time is taken.
const CRASHES: usize = 10_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| {
        argument
            .parse()
            .expect("usage: fast_table [HOURS [LOSS_PER_MILLE]]")
    });
    let hours: u16 = arguments.next().unwrap_or(1000);
    let loss = arguments.next().unwrap_or(10);
    println!("detection in ms, and false fail-overs per hour at {loss} per mille loss, over {hours} hours");
    println!();
    println!("| MASTER | BACKUP | interval | dead ratio | median | 99 % | longest | false per hour |");
    println!("|---|---|---|---|---|---|---|---|");
    for interval in [1, 2, 4, 8, 16, 32, 64] {
        for ratio in [3, 4, 5] {
            let mut watch = Watch::new(interval, ratio, loss);
            let times = watch.detection(CRASHES);
            let at = |percent: usize| millis(times[(times.len() - 1) * percent / 100]);
            let false_per_hour = watch.false_failovers(hours.into());
            println!(
                "| 0/{interval} | 0/{} | {} | {ratio} | {} | {} | {} | {:.3} |",
                interval + 1,
                millis(u64::from(interval) * 1_000_000 / 256),
                at(50),
                at(99),
                at(100),
                exact(false_per_hour) / f64::from(hours)
            );
        }
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros / 100 % 10)
}

fn exact(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
