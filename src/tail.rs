//! The tail of `data`: where chunks go that have no place on the grid.

use crate::error::{Error, Result};
use crate::format::Slot;
use crate::lock::Lock;
use crate::placement::Shape;
use crate::upload::Upload;

/// The tail, as seen by a chunk that looks for a place there under the lock of its slot.
pub(crate) struct Tail<'a> {
    pub upload: &'a Upload<'a>,
    /// The upload's, without the grid if that is void.
    pub shape: Shape,
    /// The chunk's.
    pub number: u64,
}

impl Tail<'_> {
    /// Takes `length` bytes at the tail of `data`. They are on record as the chunk's place before another looks for one.
    pub(crate) fn take(&self, length: u64) -> Result<Slot> {
        let (upload, number) = (self.upload, self.number);
        let _tail = Lock::tail(&upload.state).map_err(|error| upload.state_error("cannot lock", error))?;
        let (start, limit) = (self.shape.tail_start(), self.shape.data_limit());
        let mark = upload.records()?.tail();
        let end = match mark {
            Some(mark) if upload.trust.believes(mark.tag) => mark.value.max(start),
            // Where the kernel does not tell, it may be of this boot.
            Some(mark) if mark.tag == upload.trust.tag() => self.end_of_places(start)?.max(mark.value),
            // After power loss it may be older or newer than the slots: the tail is behind all of them.
            _ => self.end_of_places(start)?,
        };
        let asked = end.saturating_add(length);
        let offset = if asked <= limit { Some(end) } else { self.place_left(start, limit, length)? };
        let offset = offset.ok_or(Error::LimitExceeded { limit: "data_size", value: limit, asked })?;
        if asked > limit || mark.is_none_or(|mark| mark.tag != upload.trust.tag()) {
            // Somebody may have had this place before: that record must be off the disk before it is another's.
            upload.sync_state()?;
        }
        let slot = Slot { offset, length, capacity: length, ..Slot::default() };
        upload.write_tail(end.max(slot.end()), upload.trust.tag())?;
        upload.write_slot(number, &slot.cleared())?;
        Ok(slot)
    }

    /// Behind every place on record.
    fn end_of_places(&self, start: u64) -> Result<u64> {
        let mut end = start;
        self.upload.for_each_slot(0, |_, slot| {
            end = end.max(slot.end());
            Ok(true)
        })?;
        Ok(end)
    }

    /// Room of this length between `start` and `limit` that is no other chunk's place: what larger chunks left, or records
    /// that power loss took.
    fn place_left(&self, start: u64, limit: u64, length: u64) -> Result<Option<u64>> {
        /// How often the table is read. Each time goes behind a place, and with those in order, behind all that follow.
        const PASSES: u32 = 64;
        let mut offset = start;
        for _ in 0..PASSES {
            let before = offset;
            self.upload.for_each_slot(0, |number, slot| {
                let overlaps = slot.offset < offset.saturating_add(length) && offset < slot.end();
                if overlaps && number != self.number {
                    offset = slot.end();
                }
                Ok(true)
            })?;
            if offset.saturating_add(length) > limit {
                return Ok(None);
            }
            if offset == before {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }
}
