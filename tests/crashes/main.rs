//! A kill, a fork or power loss at any instant, and the calls after it.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "test-hooks")]
mod crash_points;
#[cfg(feature = "test-hooks")]
mod forks;
#[cfg(feature = "test-hooks")]
mod handover;
#[cfg(feature = "test-hooks")]
mod moving;
mod power_cuts;
#[cfg(feature = "test-hooks")]
mod power_loss;
mod shutdown;
#[cfg(feature = "test-hooks")]
mod steps;
#[cfg(feature = "test-hooks")]
mod trust;
