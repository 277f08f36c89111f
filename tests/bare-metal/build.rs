//! Linker arguments of the images.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=instructions.x");
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-arg-bin=panic-free=--entry=entry");
    println!("cargo::rustc-link-arg-bin=flash-size=--entry=entry");
    println!("cargo::rustc-link-arg-bin=ram-size=--entry=entry");
    println!("cargo::rustc-link-arg-bin=embassy-size=--entry=entry");
    println!("cargo::rustc-link-arg-bin=instructions=--script={here}/instructions.x");
}
