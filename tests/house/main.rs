//! The sources, the tests and the examples themselves.

#[path = "../common/mod.rs"]
mod common;

mod examples;
mod floor_plan;
mod skipped;
