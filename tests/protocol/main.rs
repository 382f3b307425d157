//! The behaviour that callers see: each call, each order of chunks, each refusal, and the costs.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "test-hooks")]
mod budget;
#[cfg(feature = "test-hooks")]
mod cleanup;
#[cfg(feature = "test-hooks")]
mod costs;
mod hostile;
#[cfg(feature = "test-hooks")]
mod integrity;
#[cfg(feature = "test-hooks")]
mod keys;
mod model;
mod owners;
#[cfg(feature = "test-hooks")]
mod placement;
#[cfg(feature = "test-hooks")]
mod races;
#[cfg(feature = "test-hooks")]
mod refused;
#[cfg(feature = "test-hooks")]
mod resume;
mod table;
mod vectors;
#[cfg(feature = "test-hooks")]
mod verdict;
