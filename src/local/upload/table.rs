//! All slots of an upload together.

use crate::api::error::{Error, Result};
use crate::local::upload::opened::Upload;
use crate::rules::crc::Combined;
use crate::rules::format::head::StateHead;
use crate::rules::tag::Tag;

pub(crate) struct Table {
    pub missing_count: u64,
    pub first_missing: u64,
    /// Saturates on garbage.
    pub received_size: u64,
    /// Whether the chunks lie in order in `data`, without gaps.
    pub in_place: bool,
    /// Whether the records of all received chunks are trusted.
    pub trusted: bool,
    /// Whether all received chunks are known to be on disk.
    pub synced: bool,
    pub crc32c: u32,
}

impl Table {
    /// Uses the slots that were read with `records`, if there are any; otherwise `state` as it is now.
    pub(crate) fn read(upload: &Upload<'_>, records: &StateHead) -> Result<Table> {
        let (mut missing_count, mut first_missing, mut received_size) = (0, 0, 0_u64);
        let (mut in_place, mut trusted, mut synced) = (true, true, true);
        let content = upload.content(records);
        let mut crc = Combined::new();
        upload.for_each_slot_in(records, 0, |number, slot| {
            if slot.received() {
                trusted &= content.trusts(slot.tag);
                synced &= slot.tag == Tag::SYNCED;
                in_place &= slot.length == 0 || slot.offset == received_size;
                received_size = received_size.saturating_add(slot.length);
                crc.append(slot.crc32c, slot.length);
            } else {
                if missing_count == 0 {
                    first_missing = number;
                }
                missing_count += 1;
            }
            Ok(true)
        })?;
        Ok(Table { missing_count, first_missing, received_size, in_place, trusted, synced, crc32c: crc.finish() })
    }

    pub(crate) fn incomplete(&self, upload: &Upload<'_>) -> Error {
        Error::Incomplete {
            uid: upload.uid.shown(),
            missing_count: self.missing_count,
            first_missing: self.first_missing,
            chunk_count: upload.chunk_count(),
        }
    }
}
