//! Which records may be trusted without reading the bytes they describe.
//!
//! What a process wrote and nobody synced is safe in the kernel's page cache from the death of every process, but not
//! from power loss, nor from a volume that vanishes and comes back. So each record carries a tag made of the boot and
//! the volume under which its bytes were written. As long as both are the same, the bytes are what was written; under
//! another tag they are read against their checksum first.

use crate::rules::crc::crc32c;

/// The tag of a record, as it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tag(u32);

impl Tag {
    /// In a slot: no bytes.
    pub(crate) const MISSING: Tag = Tag(0);
    /// Written where the kernel does not tell the boot: never trusted.
    pub(crate) const UNKNOWN: Tag = Tag(1);
    /// The bytes were synced before this tag was written: always trusted.
    pub(crate) const SYNCED: Tag = Tag(2);

    pub(crate) const fn from_number(number: u32) -> Tag {
        Tag(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// A tag made of a hash: never one of those above.
    pub(crate) fn of_hash(hash: u32) -> Tag {
        Tag(if hash <= Tag::SYNCED.0 { hash + Tag::SYNCED.0 + 1 } else { hash })
    }
}

/// The present boot and volume of one upload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trust {
    /// The tag of both.
    tag: Option<Tag>,
    /// Where the kernel does not tell the volume: the tag of the boot alone.
    boot: Option<Tag>,
}

/// Stands for a volume of which the kernel does not tell: no volume has this number.
const UNTOLD: u64 = 3 << 62;

impl Trust {
    /// The tag of what is written now, in this boot, on this volume (see `volume`).
    pub(crate) fn now(boot: Option<&[u8]>, volume: Option<u64>) -> Trust {
        let tag = boot.map(|boot| Tag::of_hash(crc32c(&[boot, &volume.unwrap_or(UNTOLD).to_le_bytes()[..]].concat())));
        if volume.is_some() { Trust { tag, boot: None } } else { Trust { tag: None, boot: tag } }
    }

    /// Trusts this tag, and what was synced.
    pub(crate) fn of(tag: Option<Tag>) -> Trust {
        Trust { tag, boot: None }
    }

    /// Trusts only what was synced.
    pub(crate) fn none() -> Trust {
        Trust::of(None)
    }

    /// Where the kernel does not tell the volume: an inode that has been in memory all the time has had its pages
    /// there, too. No volume has vanished and come back.
    pub(crate) fn of_resident(self, resident: impl FnOnce() -> Option<bool>) -> Trust {
        let untold = self.tag.is_none() && self.boot.is_some();
        if untold && resident() == Some(true) { Trust { tag: self.boot, boot: None } } else { self }
    }

    /// The tag for bytes that are written, but not synced.
    pub(crate) fn tag(self) -> Tag {
        self.tag.or(self.boot).unwrap_or(Tag::UNKNOWN)
    }

    /// Whether bytes recorded under `tag` are what was written.
    pub(crate) fn trusts(self, tag: Tag) -> bool {
        tag == Tag::SYNCED || self.tag == Some(tag)
    }

    /// Whether no reboot has come between what is recorded under `tag` and now. Where the kernel does not tell the
    /// volume, that may have vanished and come back all the same: no promise may rest on this.
    pub(crate) fn is_of_this_boot(self, tag: Tag) -> bool {
        self.trusts(tag) || self.boot == Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_tag_and_synced_are_trusted() {
        let trust = Trust { tag: Some(Tag(77)), boot: None };
        assert!(trust.trusts(Tag(77)) && trust.trusts(Tag::SYNCED));
        assert!(!trust.trusts(Tag(78)) && !trust.trusts(Tag::MISSING) && !trust.trusts(Tag::UNKNOWN));
    }

    #[test]
    fn where_the_kernel_does_not_tell_nothing_is_trusted() {
        for trust in [Trust::default(), Trust { tag: None, boot: Some(Tag(77)) }] {
            assert!(!trust.trusts(trust.tag()) && !trust.trusts(Tag::MISSING));
            assert!(trust.trusts(Tag::SYNCED));
            assert_eq!(trust.is_of_this_boot(trust.tag()), trust.boot.is_some());
        }
    }

    #[test]
    fn one_volume_has_one_tag() {
        let tag = |volume| Trust::now(Some(b"boot"), volume).tag();
        assert_eq!(tag(Some(1)), tag(Some(1)));
        assert_ne!(tag(Some(1)), tag(Some(2)));
        assert_ne!(tag(Some(1)), tag(None));
        assert_eq!(Trust::now(None, Some(1)).tag(), Tag::UNKNOWN);
        assert_eq!(Trust::now(None, None).tag(), Tag::UNKNOWN);
    }
}
