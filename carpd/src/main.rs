//! carpd.
fn main() {}
