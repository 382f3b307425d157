//! What released versions wrote opens.

#[path = "../common/mod.rs"]
mod common;

mod released;
