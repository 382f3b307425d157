//! One upload, opened for the length of one call: its directory, its `state`, and what may be believed of it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::directory::{Directory, STATE, sync_parents};
use crate::error::{Error, Result, errno};
use crate::format::{
    self, FULL_AT, Header, LEVEL_AT, Mark, NAME_AT, PHASE_AT, PhaseRecord, Progress, RECORDS_SIZE, REWRITE_AT, Records,
    SLOT_SIZE, Slot, TAIL_AT,
};
use crate::lock::Lock;
use crate::store::Store;
use crate::trust::Trust;
use crate::{Durability, Uid, seam, sys};

/// Slots are read in blocks of at most this many, so that memory does not grow with the table.
const LARGEST_BLOCK: u64 = 2048;
/// The first block is small: most visits that start in the middle end at once.
const FIRST_BLOCK: u64 = 64;

pub(crate) struct Upload<'a> {
    pub store: &'a Store,
    pub uid: Uid,
    pub dir: Directory,
    pub state: File,
    pub header: Header,
    pub trust: Trust,
    /// The records as they were when the upload was opened.
    pub opened: Records,
}

impl<'a> Upload<'a> {
    /// Looks an upload up. An unknown one leaves no trace.
    pub(crate) fn open(store: &'a Store, uid: Uid) -> Result<Upload<'a>> {
        let not_found = || Error::NotFound { uid: uid.shown() };
        let dir = Directory::open(store.directory(uid))?.ok_or_else(not_found)?;
        let state = dir.open_file(STATE)?.ok_or_else(not_found)?;
        let status = sys::status(&state).map_err(|error| dir.error("cannot examine", STATE, error))?;
        if status.size == 0 {
            return Err(not_found()); // power loss took what the first chunk had written
        }
        let records = read_records(&dir, &state)?;
        if records.0.iter().all(|&byte| byte == 0) {
            return Err(not_found()); // the same
        }
        let header = Header::decode(&records.0).map_err(|what| damaged(&dir, what))?;
        if header.state_size() != Some(status.size) {
            return Err(damaged(&dir, "its size does not fit its header"));
        }
        let trust = Trust::now(&store.boot, status.mount);
        Ok(Upload { store, uid, dir, state, header, trust, opened: records })
    }

    pub(crate) fn chunk_count(&self) -> u64 {
        self.header.shape.chunk_count
    }

    /// Neither `data` nor `file` is there: the owner took the file, or somebody removed the directory.
    pub(crate) fn vanished(&self) -> Error {
        match sys::status(&self.state) {
            Ok(status) if status.links > 0 => Error::Gone { uid: self.uid.shown() },
            _ => Error::NotFound { uid: self.uid.shown() },
        }
    }

    /// An error that concerns `state`.
    pub(crate) fn state_error(&self, action: &str, error: std::io::Error) -> Error {
        self.dir.error(action, STATE, error)
    }

    // --- locks ---

    /// Locks one chunk's slot.
    pub(crate) fn lock_slot(&self, number: u64) -> Result<Lock<'_>> {
        let fail = |error| self.state_error("cannot lock", error);
        if self.opened.closing() {
            let gate = Lock::gate(&self.state).map_err(fail)?;
            // Whoever has the gate knows that no completer is between its mark and its end.
            self.mark_closing(false)?;
            drop(gate);
        }
        Lock::slot(&self.state, number).map_err(fail)
    }

    /// Locks all slots, as a completer.
    pub(crate) fn lock_all(&self) -> Result<(Lock<'_>, Lock<'_>)> {
        let fail = |error| self.state_error("cannot lock", error);
        let gate = Lock::gate(&self.state).map_err(fail)?;
        self.mark_closing(true)?;
        self.reach("close:marked")?;
        let slots = Lock::all_slots(&self.state, self.chunk_count()).map_err(fail)?;
        self.mark_closing(false)?;
        // Fields drop in order: the slots are released before the gate.
        Ok((slots, gate))
    }

    fn mark_closing(&self, closing: bool) -> Result<()> {
        self.write(format::CLOSING_AT, &[closing.into()])
    }

    // --- records ---

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.state.write_all_at(bytes, at).map_err(|error| self.state_error("cannot write", error))
    }

    pub(crate) fn records(&self) -> Result<Records> {
        read_records(&self.dir, &self.state)
    }

    /// The phase of records that were read under a lock.
    pub(crate) fn phase_of(&self, records: &Records) -> Result<PhaseRecord> {
        records.phase().ok_or_else(|| damaged(&self.dir, "its phase fails its checksum"))
    }

    pub(crate) fn write_phase(&self, record: PhaseRecord) -> Result<()> {
        self.write(PHASE_AT, &record.encode())
    }

    pub(crate) fn write_tail(&self, end: u64, tag: u32) -> Result<()> {
        self.write(TAIL_AT, &Mark { value: end, tag }.encode())
    }

    /// Records up to which chunk the table is full.
    pub(crate) fn write_full(&self, count: u64) -> Result<()> {
        self.write(FULL_AT, &Mark { value: count, tag: self.trust.tag() }.encode())
    }

    pub(crate) fn write_progress(&self, number: u64, offset: u64) -> Result<()> {
        self.write(REWRITE_AT, &Progress { number, offset, tag: self.trust.tag() }.encode())
    }

    pub(crate) fn forget_progress(&self) -> Result<()> {
        self.write(REWRITE_AT, &[0; 32])
    }

    pub(crate) fn file_name(&self) -> Result<String> {
        let mut bytes = vec![0; self.header.name_length as usize];
        self.state.read_exact_at(&mut bytes, NAME_AT).map_err(|error| self.state_error("cannot read", error))?;
        let whole = crate::crc::crc32c(&bytes) == self.header.name_crc;
        let name = whole.then(|| String::from_utf8(bytes).ok()).flatten();
        name.ok_or_else(|| damaged(&self.dir, "its file name fails its checksum"))
    }

    // --- slots ---

    pub(crate) fn slot(&self, number: u64) -> Result<Slot> {
        let mut bytes = [0; SLOT_SIZE as usize];
        self.state
            .read_exact_at(&mut bytes, self.header.slot_at(number))
            .map_err(|error| self.state_error("cannot read", error))?;
        Ok(Slot::decode(&bytes))
    }

    pub(crate) fn write_slot(&self, number: u64, slot: &Slot) -> Result<()> {
        self.write(self.header.slot_at(number), &slot.encode())
    }

    /// Visits the slots from `first` on, in order, until `visit` says false.
    pub(crate) fn for_each_slot(&self, first: u64, mut visit: impl FnMut(u64, Slot) -> Result<bool>) -> Result<()> {
        let (mut number, mut at_once) = (first, FIRST_BLOCK);
        let mut block = Vec::new();
        while number < self.chunk_count() {
            let count = at_once.min(self.chunk_count() - number);
            block.resize((count * SLOT_SIZE) as usize, 0);
            self.state
                .read_exact_at(&mut block, self.header.slot_at(number))
                .map_err(|error| self.state_error("cannot read", error))?;
            for slot in block.chunks_exact(SLOT_SIZE as usize) {
                if !visit(number, Slot::decode(slot))? {
                    return Ok(());
                }
                number += 1;
            }
            at_once = LARGEST_BLOCK;
        }
        Ok(())
    }

    // --- durability ---

    /// The level this upload has been promised, by any call.
    pub(crate) fn level(&self, records: &Records) -> Durability {
        records.level().max(self.store.options().durability)
    }

    /// Makes the store's level the upload's, if it is higher. What was left unsynced at a lower one is synced: names
    /// here, contents with what the call itself writes or finds in the same file.
    pub(crate) fn raise_level(&self, records: &Records) -> Result<()> {
        let level = self.store.options().durability;
        if level <= records.level() {
            return Ok(());
        }
        if level == Durability::Chunk {
            self.sync_state_and_names()?;
        }
        self.write(LEVEL_AT, &[level as u8])
    }

    pub(crate) fn sync_state(&self) -> Result<()> {
        self.dir.sync_file(STATE, &self.state)
    }

    /// Syncs `state`, the names in the directory, and the directory's own.
    pub(crate) fn sync_state_and_names(&self) -> Result<()> {
        self.sync_state()?;
        self.dir.sync_names()?;
        sync_parents(self.store.root())
    }

    /// A named step, for tests.
    pub(crate) fn reach(&self, step: &'static str) -> Result<()> {
        seam::reach(step).map_err(|error| self.state_error(step, error))
    }
}

fn read_records(dir: &Directory, state: &File) -> Result<Records> {
    let mut bytes = [0; RECORDS_SIZE];
    match state.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Records(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(damaged(dir, "it is too short")),
        Err(error) => Err(dir.error("cannot read", STATE, error)),
    }
}

/// A `state` that this library did not write, or that power loss or another program damaged.
fn damaged(dir: &Directory, what: &str) -> Error {
    dir.error(&format!("damaged ({what}), cannot use"), STATE, errno(libc::EBADMSG))
}
