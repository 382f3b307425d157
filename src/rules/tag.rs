//! Which records may be trusted without reading the bytes that they describe.
//!
//! Unsynced bytes in the kernel's page cache survive the death of every process. They do not survive power loss, or a
//! volume that vanishes and comes back. So each record carries a tag, made of the boot and the volume under which its
//! bytes were written. While boot and volume are the same, the bytes are as they were written. Under another tag they
//! are compared with their checksum before they are trusted.

use crate::rules::crc::crc32c;

/// The tag of a record, as it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tag(u32);

impl Tag {
    /// The chunk is missing.
    pub(crate) const MISSING: Tag = Tag(0);
    /// Written where the kernel does not tell the boot. Never trusted.
    pub(crate) const UNKNOWN: Tag = Tag(1);
    /// The bytes were synced before this tag was written. Always trusted.
    pub(crate) const SYNCED: Tag = Tag(2);

    pub(crate) const fn from_number(number: u32) -> Tag {
        Tag(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// A tag made of a hash. Differs from the three tags above.
    pub(crate) fn of_hash(hash: u32) -> Tag {
        Tag(if hash <= Tag::SYNCED.0 { hash + Tag::SYNCED.0 + 1 } else { hash })
    }
}

/// Which tags are trusted: those of the present boot and of one upload's volume.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trust {
    /// The tag of boot and volume.
    tag: Option<Tag>,
    /// The tag of the boot alone, where the kernel does not tell the volume.
    boot: Option<Tag>,
}

/// Stands for a volume that the kernel does not tell. No volume has this number.
const UNTOLD: u64 = 3 << 62;

impl Trust {
    /// Trusts what was written in this boot, on this volume (see `volume`).
    pub(crate) fn now(boot: Option<&[u8]>, volume: Option<u64>) -> Trust {
        let tag = boot.map(|boot| Tag::of_hash(crc32c(&[boot, &volume.unwrap_or(UNTOLD).to_le_bytes()[..]].concat())));
        if volume.is_some() { Trust { tag, boot: None } } else { Trust { tag: None, boot: tag } }
    }

    /// Trusts this tag, and synced bytes.
    pub(crate) fn of(tag: Option<Tag>) -> Trust {
        Trust { tag, boot: None }
    }

    /// Trusts only synced bytes.
    pub(crate) fn none() -> Trust {
        Trust::of(None)
    }

    /// Where the kernel does not tell the volume, the boot's tag is trusted if the inode has been in memory all the
    /// time. Then its pages have been, too, and no volume has vanished and come back.
    pub(crate) fn of_resident(self, resident: impl FnOnce() -> Option<bool>) -> Trust {
        let untold = self.tag.is_none() && self.boot.is_some();
        if untold && resident() == Some(true) { Trust { tag: self.boot, boot: None } } else { self }
    }

    /// The tag for bytes that are written, but not synced.
    pub(crate) fn tag(self) -> Tag {
        self.tag.or(self.boot).unwrap_or(Tag::UNKNOWN)
    }

    /// Whether bytes recorded under `tag` are as they were written.
    pub(crate) fn trusts(self, tag: Tag) -> bool {
        tag == Tag::SYNCED || self.tag == Some(tag)
    }

    /// Whether `tag` is of this boot. Where the kernel does not tell the volume, the volume may still have vanished and
    /// come back. So no promise may rest on this.
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
