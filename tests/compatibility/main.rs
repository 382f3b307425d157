//! Stores that released versions wrote still open.

#[path = "../common/mod.rs"]
mod common;

mod released;
