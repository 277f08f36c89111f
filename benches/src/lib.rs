//! What the benchmarks measure. The benchmarks themselves are in `benches/`.

pub mod wire;
