#![doc = include_str!("../README.md")]

pub mod node;
pub mod wire;
