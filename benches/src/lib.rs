#![doc = include_str!("../README.md")]

pub mod figure;
pub mod group;
pub mod limits;
pub mod node;
pub mod wire;
