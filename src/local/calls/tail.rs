//! The tail of `data`: the places of chunks that have no place on the grid.
//!
//! Places are taken one after the other until twice the declared size is reached. Then gaps between the chunks are
//! used. If replaced chunks have left only scattered gaps, the other chunks are moved together. So the chunks of a
//! right file always find room, whatever was sent before.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::api::error::{Error, Result};
use crate::api::options::Durability;
use crate::local::files::locks::Lock;
use crate::local::files::{read, sys};
use crate::local::upload::opened::Upload;
use crate::rules::format::layout::DATA;
use crate::rules::placement::{Shape, Slot};
use crate::rules::tag::Tag;

/// The most places in memory. For more places the table is read several times.
const AT_ONCE: usize = 1 << 15;

/// The tail, for a chunk that looks for a place there under the lock of its slot.
pub(crate) struct Tail<'a> {
    pub upload: &'a Upload<'a>,
    /// The upload's shape, without the grid if that is void.
    pub shape: Shape,
    pub data: &'a File,
    /// The number of the chunk.
    pub number: u64,
}

/// A place in the tail that the table records.
#[derive(Clone, Copy)]
struct Held {
    number: u64,
    offset: u64,
    end: u64,
    /// The length of the bytes there; 0 if the chunk is missing.
    length: u64,
}

/// Some of the other chunks' places, ordered by offset.
struct Places {
    held: Vec<Held>,
    /// Whether there are more places after these.
    more: bool,
    /// The length of all other chunks in the tail together.
    taken: u64,
    /// The end of the last place on record.
    end: u64,
}

enum Room {
    Found {
        offset: u64,
        end: u64,
    },
    /// There is enough room, but not in one gap.
    Scattered,
    Full,
}

impl Tail<'_> {
    /// Takes `length` bytes at the tail of `data`. They are recorded as the chunk's place before another chunk looks
    /// for a place.
    pub(crate) fn take(&self, length: u64) -> Result<Slot> {
        let (upload, number) = (self.upload, self.number);
        let _tail = Lock::tail(&upload.state).map_err(|error| upload.state_error("cannot lock", error))?;
        let (start, limit) = (self.shape.tail_start(), self.shape.data_limit());
        let mark = upload.records()?.tail();
        let end = match mark {
            Some(mark) if upload.trust.trusts(mark.tag) => mark.value.max(start),
            // Where the kernel does not tell boot or volume, the mark may be of this boot. Then the disk may still
            // record places below it.
            Some(mark) if mark.tag == upload.trust.tag() => self.end_of_places(start)?.max(mark.value),
            // After power loss the mark may be older or newer than the slots. So the end is computed from all slots.
            _ => self.end_of_places(start)?,
        };
        let asked = end.saturating_add(length);
        let (offset, end) = if asked <= limit {
            (end, asked)
        } else {
            self.room(length)?.ok_or(Error::LimitExceeded { limit: "data_size", value: limit, asked })?
        };
        if asked > limit || mark.is_none_or(|mark| mark.tag != upload.trust.tag()) {
            // Another chunk may have had this place. That record must leave the disk before this chunk gets the place.
            self.sync_places()?;
        }
        let slot = Slot { offset, length, capacity: length, ..Slot::default() };
        upload.write_tail(end, upload.trust.tag())?;
        let held = upload.slot(number)?;
        upload.write_slot(number, &held.cleared_for(&slot))?;
        Ok(slot)
    }

    /// Syncs the table, including pages that a dead call could not sync. The kernel counts such pages as clean until
    /// one of their slots is written again.
    fn sync_places(&self) -> Result<()> {
        const PAGE: u64 = 4096;
        let (upload, mut written) = (self.upload, None);
        upload.for_each_slot(0, |number, seen| {
            let page = upload.header.slot_at(number) / PAGE;
            let other = seen != Slot::default() && number != self.number;
            if other
                && written != Some(page)
                && let Some(_lock) = self.try_lock(number)?
            {
                upload.write_slot(number, &upload.slot(number)?)?;
                written = Some(page);
            }
            Ok(true)
        })?;
        upload.sync_state()
    }

    /// The end of the last place on record.
    fn end_of_places(&self, start: u64) -> Result<u64> {
        let mut end = start;
        self.upload.for_each_slot(0, |_, slot| {
            end = end.max(slot.end());
            Ok(true)
        })?;
        Ok(end)
    }

    /// Room that is not another chunk's place, and the new end of the last place.
    ///
    /// One call moves the chunks only a few times. A client that scatters small chunks could otherwise make it move
    /// each chunk by a byte, as often as there are chunks. Moved chunks stay where they are, and the next call
    /// continues from there.
    fn room(&self, length: u64) -> Result<Option<(u64, u64)>> {
        const ROUNDS: u32 = 16;
        let mut given_up = false;
        for _ in 0..ROUNDS {
            match self.look(length)? {
                Room::Found { offset, end } => return Ok(Some((offset, end))),
                Room::Full => return Ok(None),
                Room::Scattered => {}
            }
            if !given_up {
                self.give_up_own_place()?;
                given_up = true;
            }
            // The places that chunks left must leave the disk before other chunks move there.
            self.sync_places()?;
            if !self.move_down()? {
                break; // other calls hold the slots that would have to move
            }
        }
        Ok(None)
    }

    /// Looks for the first gap that is large enough. If the chunks cannot all belong to the right file, the table is
    /// read only once.
    fn look(&self, length: u64) -> Result<Room> {
        let start = self.shape.tail_start();
        let mut places = self.places(start)?;
        let (total_size, last_end) = (self.shape.total_size, places.end);
        let may_be_right = places.taken.saturating_add(length) <= total_size;
        let limit = if may_be_right { self.shape.repair_limit() } else { self.shape.data_limit() };
        let mut offset = start;
        loop {
            for held in &places.held {
                if held.offset.saturating_sub(offset) >= length {
                    break;
                }
                offset = offset.max(held.end);
            }
            let end = offset.saturating_add(length);
            let is_free = places.held.last().is_none_or(|last| !places.more || end <= last.offset);
            if is_free && end <= limit {
                return Ok(Room::Found { offset, end: last_end.max(end) });
            }
            if !may_be_right {
                return Ok(Room::Full);
            }
            if end > limit {
                return Ok(Room::Scattered);
            }
            places = self.places(offset)?;
        }
    }

    /// The lowest places of other chunks that end after `from`.
    fn places(&self, from: u64) -> Result<Places> {
        let start = self.shape.tail_start();
        let mut places = Places { held: Vec::new(), more: false, taken: 0, end: start };
        let held = &mut places.held;
        self.upload.for_each_slot(0, |number, slot| {
            let (offset, end) = (slot.offset, slot.end());
            // The chunk's own place counts, too, because the disk records it until `state` is synced again.
            places.end = places.end.max(end);
            if number == self.number || end <= start || slot.capacity == 0 {
                return Ok(true);
            }
            places.taken = places.taken.saturating_add(slot.length);
            if end > from {
                held.push(Held { number, offset, end, length: slot.length });
            }
            if held.len() == 2 * AT_ONCE {
                held.select_nth_unstable_by_key(AT_ONCE, |held| held.offset);
                held.truncate(AT_ONCE);
                places.more = true;
            }
            Ok(true)
        })?;
        held.sort_unstable_by_key(|held| held.offset);
        places.more |= held.len() > AT_ONCE;
        held.truncate(AT_ONCE);
        Ok(places)
    }

    /// Gives up the chunk's own place, which other chunks may need. Its bytes are about to be replaced.
    fn give_up_own_place(&self) -> Result<()> {
        let held = self.upload.slot(self.number)?;
        self.upload.clear_slot(&self.upload.records()?, self.number, &held, &Slot::default())
    }

    /// Moves each chunk into a lower gap, if one is large enough. Takes from each chunk the room that it does not use.
    /// True if room was gained.
    ///
    /// If none was gained, each gap is smaller than every chunk after it. So the gaps together are smaller than the
    /// chunks together, and the last chunk ends before twice the length of all chunks. After it, twice the missing part
    /// of the declared size is free.
    fn move_down(&self) -> Result<bool> {
        // Gaps by size. A place that a chunk leaves in this pass is not a gap yet: the disk may still record it as the
        // chunk's.
        let mut gaps = BTreeSet::new();
        let (mut end, mut gained) = (self.shape.tail_start(), false);
        loop {
            let places = self.places(end)?;
            for held in &places.held {
                if held.offset > end {
                    gaps.insert((held.offset - end, end));
                }
                if gaps.len() > AT_ONCE {
                    gaps.pop_first();
                }
                end = end.max(held.end);
                gained |= self.trim(held)?;
                let Some(&(size, to)) = gaps.range((held.length.max(1), 0)..).next() else { continue };
                if self.relocate(held, to)? {
                    gained = true;
                    gaps.remove(&(size, to));
                    gaps.insert((size - held.length, to + held.length));
                }
            }
            if !places.more {
                return Ok(gained);
            }
        }
    }

    /// Takes from another chunk the room that it does not use, unless a call is working on the chunk.
    fn trim(&self, held: &Held) -> Result<bool> {
        if held.end - held.offset <= held.length {
            return Ok(false);
        }
        let Some((_lock, slot)) = self.lock_other(held)? else { return Ok(false) };
        let nowhere = Slot::default();
        let trimmed = if slot.received() { Slot { capacity: slot.length, ..slot } } else { slot.cleared_for(&nowhere) };
        self.upload.write_slot(held.number, &trimmed)?;
        Ok(true)
    }

    /// Moves another chunk to a free place, unless a call is working on it. The chunk is compared with its checksum, so
    /// its record may be of another boot or volume. A chunk that fails is missing from here on, and gives up its place
    /// as well.
    fn relocate(&self, held: &Held, to: u64) -> Result<bool> {
        let upload = self.upload;
        let Some((_lock, slot)) = self.lock_other(held)? else { return Ok(false) };
        let records = upload.records()?;
        // In doubt the chunk would have to be read past the page cache.
        if !slot.received() || slot.length != held.length || records.doubt() {
            return Ok(false);
        }
        let failed = |error| upload.dir.error(&format!("cannot move chunk {}:", held.number), DATA, error);
        let mut at = to;
        let copied = read::checksum(self.data, slot.offset, slot.length, &mut Vec::new(), |piece| {
            self.data.write_all_at(piece, at)?;
            at += piece.len() as u64;
            Ok(())
        });
        if copied.map_err(failed)? != Some(slot.crc32c) {
            upload.forget_progress_with(&records, held.number)?;
            upload.clear_slot(&records, held.number, &slot, &Slot::default())?;
            return upload.reach("tail:cleared").map(|()| true);
        }
        upload.reach("tail:copied")?;
        let mut tag = upload.trust.tag();
        if upload.level(&records) == Durability::Chunk && slot.tag == Tag::SYNCED {
            upload.dir.sync_file(DATA, self.data).inspect_err(|_| drop(upload.doubt()))?;
            if sys::has_unwritten(self.data, to, slot.length) {
                return upload.doubt().map(|()| false);
            }
            tag = Tag::SYNCED;
        }
        upload.write_slot(held.number, &Slot { offset: to, capacity: slot.length, tag, ..slot })?;
        upload.reach("tail:moved")?;
        Ok(true)
    }

    /// Locks another chunk's slot without waiting: the order of locks forbids waiting here.
    fn try_lock(&self, number: u64) -> Result<Option<Lock<'_>>> {
        Lock::try_slot(&self.upload.state, number).map_err(|error| self.upload.state_error("cannot lock", error))
    }

    /// Locks the slot of another chunk with this place. `None` if a call is working on the chunk, or has given it
    /// another place.
    fn lock_other(&self, held: &Held) -> Result<Option<(Lock<'_>, Slot)>> {
        let Some(lock) = self.try_lock(held.number)? else { return Ok(None) };
        let slot = self.upload.slot(held.number)?;
        Ok(((slot.offset, slot.end()) == (held.offset, held.end)).then_some((lock, slot)))
    }
}
