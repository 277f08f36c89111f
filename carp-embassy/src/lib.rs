//! Placeholder crate root, replaced in the next commits.
#![no_std]
#![forbid(unsafe_code)]
