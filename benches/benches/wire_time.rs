//! Time per operation on this machine, and its ratio to two raw SHA-1 compressions in the same run.

use std::hint::black_box;

use carp_benches::wire::{Fixture, OPERATIONS};
use criterion::{Criterion, criterion_group, criterion_main};

fn operations(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let mut group = criterion.benchmark_group("wire");
    for operation in &OPERATIONS {
        group.bench_function(operation.name, |bencher| {
            bencher.iter(|| (operation.run)(black_box(&fixture)));
        });
    }
    group.finish();
}

criterion_group!(benches, operations);
criterion_main!(benches);
