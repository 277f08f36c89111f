//! QEMU's mps2-an385 for embassy: executor, time, console, and a driver for its network card.

#![no_std]

pub mod board;
pub mod console;
pub mod frames;
pub mod lan9118;
pub mod time;
pub mod wire;
