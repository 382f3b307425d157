//! A disk or a system call fails, and the calls after it.

#[path = "../common/mod.rs"]
mod common;

mod every_call;
mod planted;
#[cfg(feature = "test-hooks")]
mod read_only;
#[cfg(feature = "test-hooks")]
mod thin_disk;
#[cfg(feature = "test-hooks")]
mod thin_uploads;
#[cfg(feature = "test-hooks")]
mod write_back;
