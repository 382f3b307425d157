//! Who may use a store, on which file system, and through which mount.

#[path = "../common/mod.rs"]
mod common;

mod file_systems;
#[cfg(feature = "test-hooks")]
mod mounts;
mod planted_files;
mod strangers;
#[cfg(feature = "test-hooks")]
mod volumes;
