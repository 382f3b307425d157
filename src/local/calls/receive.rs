//! The way of every chunk but the first: from the request to the slot that records it.
//!
//! Data first, then the record of it. The phase and `data` are looked at only after the slot is locked: a writer that
//! waited may find the upload complete, taken or removed.

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

/// How often a chunk tries again if the upload is between two stages, or is not on disk after a sync that succeeded.
/// Each time needs a crash, or a disk that fails.
const ATTEMPTS: u32 = 8;

/// Receives a chunk of an upload that exists.
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

/// What is known of the upload when a chunk is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UploadIs {
    /// A crash may have left it between two stages, a sync may have failed, or its finished file may not be trusted.
    AsFound,
    /// This call has settled it.
    Settled,
}

/// What came of trying.
enum Attempt {
    /// The chunk is there.
    Stored { received_all: bool },
    /// The upload has to be settled first.
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
        // After power loss the slots may tell where the chunks lay before a rewrite.
        Stage::Complete if record.grid_is_void && !settled && !upload.content(&records).trusts(record.tag) => {
            Ok(Attempt::Unsettled)
        }
        Stage::Complete => match upload.dir.open_file(FILE)? {
            // At the higher levels the finished file is synced before a chunk of it is acknowledged.
            Some(file) if is_repeat(upload, &records, &file, chunk)? => {
                let safe = settled || secure::secured(upload, &records, record.tag);
                Ok(if safe { Attempt::Stored { received_all: true } } else { Attempt::Unsettled })
            }
            // What differs may be the file, after power loss: it is checked before the chunk is refused.
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

/// Whether the finished file has just these bytes for the chunk.
fn is_repeat(upload: &Upload<'_>, records: &StateHead, file: &File, chunk: &Chunk<'_>) -> Result<bool> {
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
    read::read(file, slot.offset, slot.length, &mut Vec::new(), |stored| {
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
    records: StateHead,
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
        // At level `chunk`, if bytes are not known to be on disk, a call that died recorded them, or a call at another
        // level. At the tail the records on disk decide which chunk may have a place.
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

    /// At level `chunk`: puts the recorded chunk on disk, and then the record. Until the record says that it is synced,
    /// its sync may have failed: the kernel reports a failure once, perhaps to a call that is killed then. False if the
    /// disk has other bytes, although syncing succeeded.
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

    /// Whether bytes that were synced are on disk. ext4 does not mark blocks as written that it writes for the second
    /// time from the same pages, after the first time failed. In doubt the bytes are read.
    fn is_on_disk(&self, slot: &Slot) -> Result<bool> {
        let failed = |error| self.data_error("cannot read back", error);
        if !self.records.doubt() {
            return Ok(!sys::has_unwritten(&self.data, slot.offset, slot.length));
        }
        sys::drop_from_cache(&self.data, slot.offset, slot.length);
        let mut on_disk = OnDisk::open(&self.upload.dir, DATA, &self.data)?;
        on_disk.holds(slot.offset, self.chunk.content).map_err(failed)
    }

    /// At level `chunk`: puts the record of a chunk on disk, after its bytes. Also for a repeated chunk, because the
    /// call that recorded it may have died before syncing it. False if the disk has other bytes, although syncing
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

    /// Whether just these bytes are there, as far as the page cache shows.
    fn is_same(&self, held: &Slot) -> Result<bool> {
        let recorded = held.received() && held.crc32c == self.crc32c;
        let found = || holds(&self.data, held, self.chunk.content).map_err(|e| self.data_error("cannot compare", e));
        Ok(recorded && found()?)
    }

    /// Writes the chunk's bytes; answers what its slot is to say, but for checksum and tag. `same` bytes, whose record
    /// is not trusted, are written again: what the page cache shows may not be what is on the disk.
    fn write(&self, held: &Slot, same: bool) -> Result<Slot> {
        let (number, length) = (self.chunk.chunk_number, self.chunk.content.len() as u64);
        let place = self.shape.place(held, number, length);
        let slot = match place {
            Place::Own { offset } => Slot { offset, length, capacity: length, ..Slot::default() },
            Place::Tail => Tail { upload: self.upload, shape: self.shape, data: &self.data, number }.take(length)?,
        };
        self.upload.forget_progress_with(&self.records, number)?;
        // The same bytes over themselves leave nothing to clear: if the call dies here, the chunk stays what it was.
        let in_place = same && slot.offset == held.offset;
        // A crash must not leave an old record over new bytes. The new place stays on record, so that a chunk that
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
