//! The users who may use a store, the file systems, and the mounts.

#[path = "../common/mod.rs"]
mod common;

mod file_systems;
#[cfg(feature = "test-hooks")]
mod mounts;
mod planted_files;
mod strangers;
#[cfg(feature = "test-hooks")]
mod volumes;
