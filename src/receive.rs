//! The way of every chunk but the first: from the request to the slot that records it.
//!
//! Data first, then the record of it. The phase and `data` are looked at only after the slot is locked: a writer that
//! waited may find the upload complete, taken or removed.

use std::fs::File;
use std::io;

use crate::complete;
use crate::digest::Digests;
use crate::directory::{DATA, FILE};
use crate::error::{Error, Result};
use crate::format::{Phase, PhaseRecord, Records, SLOT_SIZE, Slot};
use crate::lock::Lock;
use crate::placement::{Place, Shape};
use crate::trust;
use crate::upload::Upload;
use crate::{Chunk, Durability, Receipt, digest, pieces, space, sys};

/// How often a chunk may find the upload between two phases before it gives up: each time needs a crash.
const ATTEMPTS: u32 = 8;

/// Receives a chunk of an upload that exists.
pub(crate) fn receive(upload: &Upload<'_>, chunk: &Chunk<'_>) -> Result<Receipt> {
    check_totals(upload, chunk)?;
    let crc32c = digest::checked_crc32c(chunk)?;
    for settled in 0..ATTEMPTS {
        if let Some(received_all) = attempt(upload, chunk, crc32c, settled > 0)? {
            upload.dir.touch();
            return Ok(Receipt { upload_uid: upload.uid, received_all });
        }
        // A crash left the upload between two phases, or its finished file is not to be believed.
        complete::settle(upload)?;
    }
    Err(Error::Internal(format!("upload {} does not settle", upload.uid.shown())))
}

/// What a chunk says of the whole file must be what the first one said.
fn check_totals(upload: &Upload<'_>, chunk: &Chunk<'_>) -> Result<()> {
    let shape = upload.header.shape;
    if (chunk.total_size, chunk.chunk_count) == (shape.total_size, shape.chunk_count) {
        let digests = Digests::parse("file_digest", chunk.file_digest)?;
        if digests == Digests::default() || digests == upload.header.expected {
            return Ok(());
        }
        let (number, uid) = (chunk.chunk_number, upload.uid.shown());
        let text = format!("chunk {number} of upload {uid} declares another checksum of the file than the first");
        return Err(Error::Conflict(text));
    }
    Err(Error::Conflict(format!(
        "chunk {} of upload {} declares {} bytes in {} chunks, the first declared {} in {}",
        chunk.chunk_number,
        upload.uid.shown(),
        chunk.total_size,
        chunk.chunk_count,
        shape.total_size,
        shape.chunk_count
    )))
}

/// `None` if the upload has to be settled first; otherwise whether all chunks are there.
fn attempt(upload: &Upload<'_>, chunk: &Chunk<'_>, crc32c: u32, settled: bool) -> Result<Option<bool>> {
    let _slot = upload.lock_slot(&upload.opened, chunk.chunk_number)?;
    upload.reach("receive:locked")?;
    let records = upload.records_and_slots()?;
    let record = upload.phase_of(&records)?;
    match record.phase {
        Phase::Receiving => match upload.dir.open_file(DATA)? {
            Some(data) => Receiving::new(upload, chunk, crc32c, records, record, data)?.receive().map(Some),
            None => Ok(None),
        },
        Phase::Ordered => Ok(None),
        // After power loss the slots may tell where the chunks lay before a rewrite.
        Phase::Complete if record.grid_is_void && !settled && !upload.trust.believes(record.tag) => Ok(None),
        Phase::Complete => match upload.dir.open_file(FILE)? {
            // At the higher levels the finished file is synced before a chunk of it is acknowledged.
            Some(file) if is_repeat(upload, &records, &file, chunk)? => {
                Ok((settled || complete::secured(upload, &records, record.tag)).then_some(true))
            }
            // What differs may be the file, after power loss: it is checked before the chunk is refused.
            Some(_) if !settled && !upload.trust.believes(record.tag) => Ok(None),
            Some(_) => Err(Error::Conflict(format!(
                "chunk {} of upload {} has other bytes than the finished file",
                chunk.chunk_number,
                upload.uid.shown()
            ))),
            None => Ok(None),
        },
        Phase::Gone => Err(upload.vanished()),
        Phase::Creating | Phase::Removed => Err(upload.not_found()),
    }
}

/// Whether the finished file has just these bytes for the chunk.
fn is_repeat(upload: &Upload<'_>, records: &Records, file: &File, chunk: &Chunk<'_>) -> Result<bool> {
    let slot = upload.slot_in(records, chunk.chunk_number)?;
    let same = holds(file, &slot, chunk.content).map_err(|error| upload.dir.error("cannot read", FILE, error))?;
    Ok(slot.received() && same)
}

/// Whether the chunk's place holds just these bytes. The bytes are compared, not the record of them.
fn holds(file: &File, slot: &Slot, content: &[u8]) -> io::Result<bool> {
    if slot.length != content.len() as u64 {
        return Ok(false);
    }
    let mut rest = content;
    pieces::read(file, slot.offset, slot.length, &mut Vec::new(), |stored| {
        let (piece, behind) = rest.split_at(stored.len());
        rest = behind;
        Ok(stored == piece)
    })
}

/// A chunk under the lock of its slot, while the upload is receiving.
struct Receiving<'a> {
    upload: &'a Upload<'a>,
    chunk: &'a Chunk<'a>,
    crc32c: u32,
    records: Records,
    /// The upload's, without the grid if that is void.
    shape: Shape,
    data: File,
    /// Whether the chunk is to survive power loss.
    durable: bool,
}

impl<'a> Receiving<'a> {
    fn new(
        upload: &'a Upload<'a>,
        chunk: &'a Chunk<'a>,
        crc32c: u32,
        records: Records,
        record: PhaseRecord,
        data: File,
    ) -> Result<Receiving<'a>> {
        upload.raise_level(&records)?;
        let durable = upload.level(&records) == Durability::Chunk;
        let grid = if record.grid_is_void { 0 } else { upload.header.shape.grid };
        let shape = Shape { grid, ..upload.header.shape };
        Ok(Receiving { upload, chunk, crc32c, records, shape, data, durable })
    }

    /// Says whether all chunks are there then.
    fn receive(&self) -> Result<bool> {
        let number = self.chunk.chunk_number;
        let held = self.upload.slot_in(&self.records, number)?;
        let same = self.is_same(&held)?;
        if same && self.upload.trust.believes(held.tag) {
            self.sync_repeat(&held)?;
        } else {
            let slot = self.write(&held, same)?;
            let tag = if self.durable { trust::SYNCED } else { self.upload.trust.tag() };
            self.record(&Slot { crc32c: self.crc32c, tag, ..slot })?;
        }
        self.received_all(&held)
    }

    /// Records the chunk, whose bytes are as safe by now as its level wants them, and makes the record so.
    fn record(&self, slot: &Slot) -> Result<()> {
        self.upload.write_slot(self.chunk.chunk_number, slot)?;
        self.upload.reach("receive:recorded")?;
        if !self.durable {
            return Ok(());
        }
        let at = self.upload.header.slot_at(self.chunk.chunk_number);
        self.upload.sync_state().inspect_err(|_| sys::drop_from_cache(&self.upload.state, at, SLOT_SIZE))
    }

    /// Puts the chunk at this place on disk. Where that fails, nothing is left of it in the page cache: ext4 would write the
    /// same bytes again to the same blocks, and forget that these read as zeros until they are marked as written.
    fn sync_data(&self, place: &Slot) -> Result<()> {
        let synced = self.upload.dir.sync_file(DATA, &self.data);
        synced.inspect_err(|_| sys::drop_from_cache(&self.data, place.offset, place.length))
    }

    fn data_error(&self, action: &str, error: io::Error) -> Error {
        self.upload.dir.error(&format!("{action} chunk {}:", self.chunk.chunk_number), DATA, error)
    }

    /// Whether just these bytes are there, as far as the page cache shows.
    fn is_same(&self, held: &Slot) -> Result<bool> {
        let recorded = held.received() && held.crc32c == self.crc32c;
        let found = || holds(&self.data, held, self.chunk.content).map_err(|e| self.data_error("cannot compare", e));
        Ok(recorded && found()?)
    }

    /// A repeated chunk is acknowledged at level `chunk`: whoever wrote it may have died before syncing it.
    fn sync_repeat(&self, held: &Slot) -> Result<()> {
        if !self.durable {
            return Ok(());
        }
        if held.tag != trust::SYNCED
            && let Err(error) = self.sync_data(held)
        {
            // The kernel reports a failed write-back once and then forgets it: the bytes must be sent again.
            self.upload.write_slot(self.chunk.chunk_number, &held.cleared())?;
            return Err(error);
        }
        // Even if it says so already: the sync behind it may have failed, and the kernel forgotten that it has to be written.
        self.record(&Slot { tag: trust::SYNCED, ..*held })
    }

    /// Writes the chunk's bytes; answers what its slot is to say, but for checksum and tag. `same` bytes, whose record
    /// is not believed, are written again: what the page cache shows may not be what is on the disk.
    fn write(&self, held: &Slot, same: bool) -> Result<Slot> {
        let (number, length) = (self.chunk.chunk_number, self.chunk.content.len() as u64);
        let place = self.shape.place(held, number, length);
        let slot = match place {
            Place::Own { offset, capacity } => Slot { offset, length, capacity, ..Slot::default() },
            Place::Tail => self.take_tail(length)?,
        };
        self.upload.forget_progress_with(&self.records, number)?;
        // The same bytes over themselves leave nothing to clear: whoever dies here, the chunk stays what it was.
        let in_place = same && slot.offset == held.offset;
        // A crash must not leave an old record over new bytes. The new place stays on record, so that a chunk that fails
        // there takes no more room when it comes again.
        if place == Place::Tail {
            self.upload.settle_cleared(&self.records, number, held)?;
            self.upload.reach("receive:cleared")?;
        } else if !in_place && *held != Slot::default() {
            self.upload.clear_slot(&self.records, number, held, &slot)?;
            self.upload.reach("receive:cleared")?;
        }
        space::write(&self.data, &self.shape, self.chunk.content, slot.offset, self.durable)
            .map_err(|error| self.data_error("cannot write", error))?;
        self.upload.reach("receive:written")?;
        if self.durable {
            self.sync_data(&slot)?;
        }
        Ok(slot)
    }

    /// Takes `length` bytes at the tail of `data`. They are on record as the chunk's place before another looks for one.
    fn take_tail(&self, length: u64) -> Result<Slot> {
        let (upload, number) = (self.upload, self.chunk.chunk_number);
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
                if overlaps && number != self.chunk.chunk_number {
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

    /// Whether all chunks are there, as far as can be told without locks.
    ///
    /// Up to where the table is full is kept on record, and looking goes on from there: each slot is looked at about
    /// once in the upload's life, and a call that finds a gap at once looks no further.
    fn received_all(&self, held: &Slot) -> Result<bool> {
        /// Writing the mark for less than this costs more than looking again.
        const WORTH_WRITING: u64 = 64;
        let upload = self.upload;
        let known = upload.known_full(&self.records);
        let mut full = known;
        upload.for_each_slot(known, |_, slot| {
            full += u64::from(slot.received());
            Ok(slot.received())
        })?;
        // This call may have lowered the mark for the moment its own slot was clear; another may have lowered it more.
        let lowered = self.records.lowers_full(self.chunk.chunk_number, held);
        let marked = if lowered { upload.records()?.full().map_or(0, |full| full.value) } else { known };
        if full >= marked + WORTH_WRITING && marked >= known.min(self.chunk.chunk_number) {
            upload.write_full(full)?;
        }
        Ok(full == upload.chunk_count())
    }
}
