//! The helpers that all benches share. Figures that are compared are measured in turn, in one run, and reported as the
//! spread of each round's ratios. A machine that others use, too, changes by the minute, but hardly within a round.

// Each bench uses only a part.
#![allow(dead_code, unused_imports)]

#[path = "../../tests/common/child.rs"]
pub mod child;
mod figures;
pub mod least;
mod memory;
mod report;
mod settings;
mod transfer;
mod worker;

pub use figures::{Spread, in_turn, ratios};
pub use memory::{peak, start_peak, warm};
pub use report::{Figure, Report};
pub use settings::{KIB, MIB, Place, gib, places, rounds, smoke, total};
pub use transfer::{Order, Plan, Took, content, cpu_seconds, engine, plain, sha_256};
pub use worker::{Worker, c_program, python_script};
