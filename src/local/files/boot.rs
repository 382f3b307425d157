//! The present boot of the machine.

use crate::api::error::{Error, Result};

/// The id of the boot. Read once, when a store is opened: it cannot change during a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Boot(Option<Vec<u8>>);

impl Boot {
    /// `None` where the kernel does not tell.
    pub(crate) fn id(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    pub(crate) fn current() -> Result<Boot> {
        const ID: &str = "/proc/sys/kernel/random/boot_id";
        match std::fs::read(ID) {
            Ok(id) => Ok(Boot(Some(id).filter(|id| !id.is_empty()))),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM) => Ok(Boot(None)),
                // For example too many open files. An error that passes must not make a store that never trusts
                // anything.
                _ => Err(Error::os("cannot read", ID, error)),
            },
        }
    }
}
