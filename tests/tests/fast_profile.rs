//! What the fast profile promises at 1 % loss, over simulated hours; `fast_table` prints the whole table.

use carp_tests::fast::Watch;

const PER_MILLE: u16 = 10;

#[test]
fn a_dead_master_is_noticed_within_50_ms_at_an_interval_of_10_ms() {
    // 3/256 s are 11.7 ms.
    let times = Watch::new(3, 3, PER_MILLE).detection(10_000);
    let (median, p99, most) = (
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    );
    assert!(p99 < 50_000, "{p99} us");
    // 3 intervals of 4/256 s after the last that was heard, half an interval before the crash.
    assert!((38_000..43_000).contains(&median), "{median} us");
    assert!(most <= 46_872 + 150, "{most} us");
}

/// Twice the interval of its master: five in a row must be lost.
#[test]
fn no_living_master_is_taken_for_dead_in_a_hundred_hours() {
    assert_eq!(Watch::new(1, 3, PER_MILLE).false_failovers(100), 0);
}

/// Hardly slower than its master: three in a row are lost once in a million.
#[test]
fn the_dead_ratio_decides_how_often_a_living_master_is_taken_for_dead() {
    let per_thousand_hours = |ratio| Watch::new(64, ratio, PER_MILLE).false_failovers(1000);
    let (three, four) = (per_thousand_hours(3), per_thousand_hours(4));
    // 4 advertisements a second, 14.4 million in all, of which 0.99 begin three that are lost: about 14.
    assert!((4..40).contains(&three), "{three}");
    assert!(four <= 2, "{four}");
}
