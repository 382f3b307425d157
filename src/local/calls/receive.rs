//! Receives every chunk except the first.
//!
//! The bytes are written before the slot that records them. Stage and `data` are examined only after the slot is
//! locked: a writer that waited may find the upload complete, taken or removed.

use std::fs::File;
use std::io;

use crate::api::chunk::{Chunk, Receipt};
use crate::api::error::{Error, Result, errno};
use crate::api::options::Durability;
use crate::local::calls::tail::Tail;
use crate::local::calls::{complete, secure};
use crate::local::files::on_disk::OnDisk;
use crate::local::files::{read, sys, write};
use crate::local::upload::opened::Upload;
use crate::rules::digests;
use crate::rules::digests::Digests;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DATA, FILE, SLOT_SIZE};
use crate::rules::format::records::{Stage, StageRecord};
use crate::rules::placement::{Place, Shape, Slot};
use crate::rules::tag::{Tag, Trust};

/// How often a chunk is tried again if the upload is between two stages, or the chunk is not on disk after a sync that
/// succeeded. Each time needs a crash, or a disk that fails.
const ATTEMPTS: u32 = 8;

pub(crate) fn receive(upload: &Upload<'_>, chunk: &Chunk<'_>) -> Result<Receipt> {
    check_totals(upload, chunk)?;
    let crc32c = digests::checked_crc32c(chunk)?;
    let mut upload_is = UploadIs::AsFound;
    for _ in 0..ATTEMPTS {
        if let Attempt::Stored { received_all } = attempt(upload, chunk, crc32c, upload_is)? {
            upload.dir.touch();
            return Ok(Receipt { upload_uid: upload.uid, received_all });
        }
        complete::settle(upload)?;
        upload_is = UploadIs::Settled;
    }
    Err(upload.dir.error("cannot read back what was synced to", DATA, errno(libc::EIO)))
}

/// Refuses a chunk whose declarations about the whole file differ from the first chunk's.
fn check_totals(upload: &Upload<'_>, chunk: &Chunk<'_>) -> Result<()> {
    let shape = upload.header.shape;
    if (chunk.total_size, chunk.chunk_count) == (shape.total_size, shape.chunk_count) {
        let digests = Digests::parse("file_digest", chunk.file_digest)?;
        if digests == Digests::default() || digests == upload.header.expected {
            return Ok(());
        }
        let (number, uid) = (chunk.chunk_number, upload.uid.shown());
        let text = format!("chunk {number} of upload {uid} declares another file_digest than the first chunk");
        return Err(Error::Conflict(text));
    }
    Err(Error::Conflict(format!(
        "chunk {} of upload {} declares {} bytes in {} chunks, the first chunk declared {} in {}",
        chunk.chunk_number,
        upload.uid.shown(),
        chunk.total_size,
        chunk.chunk_count,
        shape.total_size,
        shape.chunk_count
    )))
}

/// Whether this call has already settled the upload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UploadIs {
    /// A crash may have left it between two stages, a sync may have failed, or its finished file may not be trusted.
    AsFound,
    /// This call has settled it.
    Settled,
}

enum Attempt {
    /// The chunk is there.
    Stored { received_all: bool },
    /// The upload must be settled first.
    Unsettled,
}

fn attempt(upload: &Upload<'_>, chunk: &Chunk<'_>, crc32c: u32, upload_is: UploadIs) -> Result<Attempt> {
    let settled = upload_is == UploadIs::Settled;
    let _slot = upload.lock_slot(&upload.opened, chunk.chunk_number)?;
    upload.reach("receive:locked")?;
    let records = upload.records_and_slots()?;
    let record = upload.stage_of(&records)?;
    match record.stage {
        Stage::Receiving => match upload.dir.open_file(DATA)? {
            Some(data) => Receiving::new(upload, chunk, crc32c, records, record, data)?.receive(upload_is),
            None => Ok(Attempt::Unsettled),
        },
        Stage::Ordered => Ok(Attempt::Unsettled),
        // After power loss the slots may still have the places from before a rewrite.
        Stage::Complete if record.grid_is_void && !settled && !upload.content(&records).trusts(record.tag) => {
            Ok(Attempt::Unsettled)
        }
        Stage::Complete => match upload.dir.open_file(FILE)? {
            // At the levels `complete` and `chunk` the finished file is synced before a chunk of it is acknowledged.
            Some(file) if is_repeat(upload, &records, &file, chunk)? => {
                let safe = settled || secure::secured(upload, &records, record.tag);
                Ok(if safe { Attempt::Stored { received_all: true } } else { Attempt::Unsettled })
            }
            // After power loss the file may be damaged, so it is checked before the chunk is refused.
            Some(_) if !settled && !upload.content(&records).trusts(record.tag) => Ok(Attempt::Unsettled),
            Some(_) => Err(Error::Conflict(format!(
                "chunk {} of upload {} has other bytes than the finished file",
                chunk.chunk_number,
                upload.uid.shown()
            ))),
            None => Ok(Attempt::Unsettled),
        },
        Stage::Gone => Err(upload.vanished()),
        Stage::Creating | Stage::Removed => Err(upload.not_found()),
    }
}

/// Whether the finished file has exactly these bytes for the chunk.
fn is_repeat(upload: &Upload<'_>, records: &StateHead, file: &File, chunk: &Chunk<'_>) -> Result<bool> {
    let slot = upload.slot_in(records, chunk.chunk_number)?;
    let same = holds(file, &slot, chunk.content).map_err(|error| upload.dir.error("cannot read", FILE, error))?;
    Ok(slot.received() && same)
}

/// Whether the chunk's place has exactly these bytes. Compares bytes, not checksums.
fn holds(file: &File, slot: &Slot, content: &[u8]) -> io::Result<bool> {
    if slot.length != content.len() as u64 {
        return Ok(false);
    }
    let mut rest = content;
    read::read(file, slot.offset, slot.length, &mut Vec::new(), |stored| {
        let (piece, after) = rest.split_at(stored.len());
        rest = after;
        Ok(stored == piece)
    })
}

/// A chunk under the lock of its slot, while the upload is receiving.
struct Receiving<'a> {
    upload: &'a Upload<'a>,
    chunk: &'a Chunk<'a>,
    crc32c: u32,
    records: StateHead,
    /// The upload's shape, without the grid if that is void.
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
        records: StateHead,
        record: StageRecord,
        data: File,
    ) -> Result<Receiving<'a>> {
        upload.raise_level(&records)?;
        let durable = upload.level(&records) == Durability::Chunk;
        let grid = if record.grid_is_void { 0 } else { upload.header.shape.grid };
        let shape = Shape { grid, ..upload.header.shape };
        Ok(Receiving { upload, chunk, crc32c, records, shape, data, durable })
    }

    fn receive(&self, upload_is: UploadIs) -> Result<Attempt> {
        let number = self.chunk.chunk_number;
        let held = self.upload.slot_in(&self.records, number)?;
        let known_on_disk = held.tag == Tag::SYNCED;
        // At level `chunk`, a record that is not marked as synced is from a call that died, or from a lower level. So
        // the chunk is confirmed first. In doubt the same holds for a place at the tail, because the records on disk
        // decide which chunk may have it.
        let length = self.chunk.content.len() as u64;
        let wants_room = self.shape.place(&held, number, length) == Place::Tail;
        let doubt = self.records.doubt() && (self.durable || wants_room);
        if upload_is == UploadIs::AsFound && (doubt || self.durable && held.received() && !known_on_disk) {
            self.upload.doubt()?;
            return Ok(Attempt::Unsettled);
        }
        let same = self.is_same(&held)?;
        let trusted = if self.durable { known_on_disk } else { self.content().trusts(held.tag) };
        if !(same && trusted) {
            let slot = self.write(&held, same)?;
            let slot = Slot { crc32c: self.crc32c, tag: self.upload.trust.tag(), ..slot };
            self.upload.write_slot(number, &slot)?;
            self.upload.reach("receive:recorded")?;
            if self.durable && !self.secure(&slot)? {
                return Ok(Attempt::Unsettled);
            }
        } else if self.durable && !self.secure_record(&held)? {
            return Ok(Attempt::Unsettled);
        }
        Ok(Attempt::Stored { received_all: self.received_all(&held)? })
    }

    fn content(&self) -> Trust {
        self.upload.content(&self.records)
    }

    /// At level `chunk`: syncs the recorded chunk, and then the record. Until the record says that the chunk is synced,
    /// its sync may have failed: the kernel reports a failure once, perhaps to a call that is killed then. False if the
    /// disk has other bytes, although the sync succeeded.
    fn secure(&self, slot: &Slot) -> Result<bool> {
        if let Err(error) = self.upload.dir.sync_file(DATA, &self.data) {
            self.upload.doubt()?;
            self.upload.write_slot(self.chunk.chunk_number, &slot.cleared())?;
            return Err(error);
        }
        if !self.is_on_disk(slot)? {
            self.upload.doubt()?;
            return Ok(false);
        }
        self.secure_record(&Slot { tag: Tag::SYNCED, ..*slot })
    }

    /// Whether synced bytes are on disk. After a failed write, ext4 does not mark blocks as written that it writes
    /// again from the same pages. In doubt the bytes are read.
    fn is_on_disk(&self, slot: &Slot) -> Result<bool> {
        let failed = |error| self.data_error("cannot read back", error);
        if !self.records.doubt() {
            return Ok(!sys::has_unwritten(&self.data, slot.offset, slot.length));
        }
        sys::drop_from_cache(&self.data, slot.offset, slot.length);
        let mut on_disk = OnDisk::open(&self.upload.dir, DATA, &self.data)?;
        on_disk.holds(slot.offset, self.chunk.content).map_err(failed)
    }

    /// At level `chunk`: syncs the record of a chunk, after its bytes. A repeated chunk needs this, too, because the
    /// call that recorded it may have died before the sync. False if the disk has other bytes, although the sync
    /// succeeded.
    fn secure_record(&self, slot: &Slot) -> Result<bool> {
        let (upload, number) = (self.upload, self.chunk.chunk_number);
        upload.write_slot(number, slot)?;
        upload.reach("receive:secured")?;
        if let Err(error) = upload.sync_state() {
            upload.write_slot(number, &Slot { tag: upload.trust.tag(), ..*slot })?;
            return Err(error);
        }
        let lost = sys::has_unwritten(&upload.state, upload.header.slot_at(number), SLOT_SIZE);
        if lost {
            upload.doubt()?;
        }
        Ok(!lost)
    }

    fn data_error(&self, action: &str, error: io::Error) -> Error {
        self.upload.dir.error(&format!("{action} chunk {}:", self.chunk.chunk_number), DATA, error)
    }

    /// Whether exactly these bytes are there, as far as the page cache shows.
    fn is_same(&self, held: &Slot) -> Result<bool> {
        let recorded = held.received() && held.crc32c == self.crc32c;
        let found = || holds(&self.data, held, self.chunk.content).map_err(|e| self.data_error("cannot compare", e));
        Ok(recorded && found()?)
    }

    /// Writes the chunk's bytes. Returns its slot, without checksum and tag. Even the `same` bytes are written again if
    /// their record is not trusted: the disk may have other bytes than the page cache.
    fn write(&self, held: &Slot, same: bool) -> Result<Slot> {
        let (number, length) = (self.chunk.chunk_number, self.chunk.content.len() as u64);
        let place = self.shape.place(held, number, length);
        let slot = match place {
            Place::Own { offset } => Slot { offset, length, capacity: length, ..Slot::default() },
            Place::Tail => Tail { upload: self.upload, shape: self.shape, data: &self.data, number }.take(length)?,
        };
        self.upload.forget_progress_with(&self.records, number)?;
        // Writing the same bytes again needs no clearing: if the call dies here, the chunk is unchanged.
        let in_place = same && slot.offset == held.offset;
        // A crash must not leave an old record over new bytes. The new place is recorded first, so that a chunk that
        // fails there takes no more room when it comes again.
        if place == Place::Tail {
            self.upload.settle_cleared(&self.records, number, held)?;
            self.upload.reach("receive:cleared")?;
        } else if !in_place && *held != Slot::default() {
            self.upload.clear_slot(&self.records, number, held, &slot)?;
            self.upload.reach("receive:cleared")?;
        }
        write::write(&self.data, &self.shape, self.chunk.content, slot.offset, self.durable)
            .map_err(|error| self.data_error("cannot write", error))?;
        self.upload.reach("receive:written")?;
        Ok(slot)
    }

    /// Whether all chunks are there, as far as can be told without locks.
    ///
    /// The record says up to which chunk the table is full, and the search continues from there. So each slot is read
    /// about once in the upload's life, and a call that finds a gap at once reads no further.
    fn received_all(&self, held: &Slot) -> Result<bool> {
        /// Recording fewer chunks than this costs more than reading their slots again.
        const WORTH_WRITING: u64 = 64;
        let upload = self.upload;
        let known = upload.known_full(&self.records);
        let mut full = known;
        upload.for_each_slot(known, |_, slot| {
            full += u64::from(slot.received());
            Ok(slot.received())
        })?;
        // This call may have lowered the mark while its own slot was clear, and another call may have lowered it more.
        let lowered = self.records.lowers_full(self.chunk.chunk_number, held);
        let marked = if lowered { upload.records()?.full().map_or(0, |full| full.value) } else { known };
        if full >= marked + WORTH_WRITING && marked >= known.min(self.chunk.chunk_number) {
            upload.write_full(full)?;
        }
        Ok(full == upload.chunk_count())
    }
}
