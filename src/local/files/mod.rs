//! Files, directories, locks and system calls.

pub(crate) mod boot;
pub(crate) mod directory;
pub(crate) mod file_systems;
pub(crate) mod locks;
pub(crate) mod on_disk;
pub(crate) mod read;
pub(crate) mod root;
pub(crate) mod sys;
#[cfg(not(feature = "test-hooks"))]
pub(crate) mod test_hooks;
#[cfg(feature = "test-hooks")]
pub mod test_hooks;
pub(crate) mod volume;
pub(crate) mod write;
