//! Which boot of the machine this is.

use crate::api::error::{Error, Result};

/// What identifies a boot, read once when a store is opened: it cannot change under a living process.
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
                // Too many open files, say: what passes must not make a store that never trusts anything.
                _ => Err(Error::os("cannot read", ID, error)),
            },
        }
    }
}
