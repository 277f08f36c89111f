#![doc = include_str!("../README.md")]

pub mod figure;
pub mod limits;
pub mod node;
pub mod wire;
