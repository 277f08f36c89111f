//! Time per event of a node, for more and more hosts, and of a storm of advertisements.

#![expect(clippy::disallowed_methods, reason = "measuring time is what it is for")]

use std::time::{Duration, Instant};

use carp_benches::node::{EVENTS, Election, Fixture, HOSTS};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Events are prepared and measured so many at a time.
const BATCH: u64 = 256;
/// Advertisements of a storm.
const STORM: usize = 10_000;

fn events(criterion: &mut Criterion) {
    for event in &EVENTS {
        let mut group = criterion.benchmark_group(event.name);
        for hosts in HOSTS {
            let mut fixture = Fixture::new(hosts);
            group.bench_function(BenchmarkId::from_parameter(hosts), |bencher| {
                bencher.iter_custom(|iterations| {
                    let (mut spent, mut left) = (Duration::ZERO, iterations);
                    while left > 0 {
                        let count = left.min(BATCH);
                        (event.prepare)(&mut fixture, usize::try_from(count).unwrap_or_default());
                        let start = Instant::now();
                        for _ in 0..count {
                            (event.run)(&mut fixture);
                        }
                        spent += start.elapsed();
                        left -= count;
                    }
                    spent
                });
            });
        }
        group.finish();
    }
}

/// As many advertisements as somebody may send: bad ones, which cost a digest each, to a node with 64 hosts.
fn storm(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("storm");
    group.throughput(Throughput::Elements(u64::try_from(STORM).unwrap_or_default()));
    group.sample_size(20);
    let mut fixture = Fixture::new(64);
    let bad = &EVENTS[1];
    group.bench_function("10000 with a bad digest", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                (bad.prepare)(&mut fixture, STORM);
                let start = Instant::now();
                for _ in 0..STORM {
                    (bad.run)(&mut fixture);
                }
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}

fn machine(criterion: &mut Criterion) {
    let mut election = Election::new();
    criterion.bench_function("a step of the machine alone", |bencher| {
        bencher.iter(|| election.hear());
    });
}

criterion_group!(benches, machine, events, storm);
criterion_main!(benches);
