//! Which records may be believed without reading the bytes they describe.
//!
//! What a process wrote and nobody synced is safe in the kernel's page cache from the death of every process, but not
//! from power loss, nor from a volume that vanishes and comes back. So each record carries a tag made of the boot and
//! the volume under which its bytes were written. As long as both are the same, the bytes are what was written; under
//! another tag they are read against their checksum first.

use crate::crc::crc32c;
use crate::error::{Error, Result};

/// In a slot: no bytes.
pub(crate) const MISSING: u32 = 0;
/// Written where the kernel does not tell the boot: never believed.
pub(crate) const UNKNOWN: u32 = 1;
/// The bytes were synced before this tag was written: always believed.
pub(crate) const SYNCED: u32 = 2;

/// What identifies a boot, read once when a store is opened: it cannot change under a living process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Boot(Option<Vec<u8>>);

impl Boot {
    pub(crate) fn current() -> Result<Boot> {
        const ID: &str = "/proc/sys/kernel/random/boot_id";
        match std::fs::read(ID) {
            Ok(id) => Ok(Boot(Some(id).filter(|id| !id.is_empty()))),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM) => Ok(Boot(None)),
                // Too many open files, say: what passes must not make a store that never believes anything.
                _ => Err(Error::os("cannot read", ID, error)),
            },
        }
    }
}

/// The present boot and volume of one upload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trust {
    /// The tag of both.
    tag: Option<u32>,
    /// Where the kernel does not tell the volume: the tag of the boot alone.
    boot: Option<u32>,
}

/// Stands for a volume of which the kernel does not tell: no volume has this number.
const UNTOLD: u64 = 3 << 62;

impl Trust {
    /// The tag of what is written now, in this boot, on this volume (see `volume`).
    pub(crate) fn now(boot: &Boot, volume: Option<u64>) -> Trust {
        #[cfg(feature = "test-seams")]
        if let Some(tag) = crate::seam::trust_tag() {
            return Trust { tag, boot: None };
        }
        let tag = boot.0.as_ref().map(|boot| {
            let hash = crc32c(&[boot, &volume.unwrap_or(UNTOLD).to_le_bytes()[..]].concat());
            // The lowest values have the meanings above.
            if hash <= SYNCED { hash + SYNCED + 1 } else { hash }
        });
        if volume.is_some() { Trust { tag, boot: None } } else { Trust { tag: None, boot: tag } }
    }

    /// Believes only what was synced.
    pub(crate) fn none() -> Trust {
        Trust::default()
    }

    /// Where the kernel does not tell the volume: an inode that has been in memory all the time has had its pages there, too. No
    /// volume has vanished and come back.
    pub(crate) fn of_resident(self, resident: impl FnOnce() -> Option<bool>) -> Trust {
        let untold = self.tag.is_none() && self.boot.is_some();
        if untold && resident() == Some(true) { Trust { tag: self.boot, boot: None } } else { self }
    }

    /// The tag for bytes that are written, but not synced.
    pub(crate) fn tag(self) -> u32 {
        self.tag.or(self.boot).unwrap_or(UNKNOWN)
    }

    /// Whether bytes recorded under `tag` are what was written.
    pub(crate) fn believes(self, tag: u32) -> bool {
        tag == SYNCED || self.tag == Some(tag)
    }

    /// Whether no reboot has come between what is recorded under `tag` and now. Where the kernel does not tell the volume,
    /// that may have vanished and come back all the same: no promise may rest on this.
    pub(crate) fn is_of_this_boot(self, tag: u32) -> bool {
        self.believes(tag) || self.boot == Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_tag_and_synced_are_believed() {
        let trust = Trust { tag: Some(77), boot: None };
        assert!(trust.believes(77) && trust.believes(SYNCED));
        assert!(!trust.believes(78) && !trust.believes(MISSING) && !trust.believes(UNKNOWN));
    }

    #[test]
    fn where_the_kernel_does_not_tell_nothing_is_believed() {
        for trust in [Trust::default(), Trust { tag: None, boot: Some(77) }] {
            assert!(!trust.believes(trust.tag()) && !trust.believes(MISSING));
            assert!(trust.believes(SYNCED));
            assert_eq!(trust.is_of_this_boot(trust.tag()), trust.boot.is_some());
        }
    }

    #[test]
    fn one_volume_has_one_tag() {
        let boot = Boot::current().unwrap();
        let tag = |volume| Trust::now(&boot, volume).tag();
        assert_eq!(tag(Some(1)), tag(Some(1)));
        assert_ne!(tag(Some(1)), tag(Some(2)));
        assert_ne!(tag(Some(1)), tag(None));
        assert_eq!(Trust::now(&Boot(None), Some(1)).tag(), UNKNOWN);
        assert_eq!(Trust::now(&Boot(None), None).tag(), UNKNOWN);
    }
}
