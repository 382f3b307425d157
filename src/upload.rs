//! One upload, opened for the length of one call: its directory, its `state`, and what may be believed of it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::directory::{CLAIM, DATA, Directory, FILE, ORDERED, Root, STATE, is_foreign, sync_parents};
use crate::error::{Error, Result, errno};
use crate::format::{
    self, COUNTED_AT, DOUBT_AT, FULL_AT, HASHING_AT, HASHING_SIZE, HEAD_SIZE, Hashing, Header, LEVEL_AT, Mark,
    OTHER_VERSION, PHASE_AT, Phase, PhaseRecord, Progress, RECORDS_SIZE, REWRITE_AT, Records, SLOT_SIZE, Slot, TAIL_AT,
};
use crate::lock::Lock;
use crate::store::Store;
use crate::trust::Trust;
use crate::{Durability, Uid, owner, seam, sys};

/// Slots are read in blocks of at most this many, so that memory does not grow with the table.
const LARGEST_BLOCK: u64 = 2048;
/// The first block is small: most visits that start in the middle end at once.
const FIRST_BLOCK: u64 = 64;
/// How much of `state` is read at once when an upload is opened, and later if the whole file is no larger. This costs hardly
/// more than to read less, and takes in most names and the tables of up to a hundred chunks.
const READ_AT_ONCE: usize = 4096;

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
    /// Looks an upload up, if this store's owner may see it. An upload that is unknown, or belongs to another owner,
    /// leaves no trace.
    pub(crate) fn open(store: &'a Store, uid: Uid) -> Result<Upload<'a>> {
        match store.examine_root()? {
            Some(root) => Upload::open_at(store, root, uid),
            None => Err(Error::NotFound { uid: uid.shown() }),
        }
    }

    /// The same, with the store's directory as this call has found it.
    pub(crate) fn open_at(store: &'a Store, root: Root, uid: Uid) -> Result<Upload<'a>> {
        let not_found = || Error::NotFound { uid: uid.shown() };
        let path = store.directory(uid);
        let opened =
            root.open(path.clone()).and_then(|dir| dir.map_or(Ok(None), |dir| Upload::open_in(store, uid, dir)));
        let upload = match opened {
            // An upload of another user of this machine. If an upload of the caller cannot be opened, that is a fault
            // of this machine.
            Err(error) if error.os_errno() == Some(libc::EACCES) && is_foreign(&path, STATE) => return Err(not_found()),
            result => result?.ok_or_else(not_found)?,
        };
        let there = upload.opened.phase().is_none_or(|record| record.phase.is_upload());
        if there && owner::admits(store, uid, upload.header.owner.as_ref()) { Ok(upload) } else { Err(not_found()) }
    }

    /// The upload in this directory, in any phase and of any owner; `None` if there is none.
    pub(crate) fn open_in(store: &'a Store, uid: Uid, dir: Directory) -> Result<Option<Upload<'a>>> {
        let Some(state) = dir.open_file(STATE)? else { return Ok(None) };
        let status = sys::status(&state).map_err(|error| dir.error("cannot examine", STATE, error))?;
        if status.size == 0 {
            return Ok(None); // nothing was written yet, or power loss took it
        }
        let opened = read_records(&dir, &state, READ_AT_ONCE)?;
        let head = opened.head();
        if head.iter().all(|&byte| byte == 0) {
            return Ok(None); // the same
        }
        let header = Header::decode(&head).map_err(|what| damaged(&dir, what))?;
        let volume = store.volumes.of(&state, &status).map_err(|error| dir.error("cannot examine", STATE, error))?;
        let trust = Trust::now(&store.boot, volume).of_resident(|| sys::resident(&state));
        if header.state_size() != Some(status.size) {
            let receiving = opened.phase().filter(|record| record.phase == Phase::Receiving);
            if header.state_size() > Some(status.size)
                && receiving.is_some_and(|record| !trust.is_of_this_boot(record.tag))
            {
                return Ok(None); // power loss took the end of it
            }
            return Err(damaged(&dir, "its size does not fit its header"));
        }
        let upload = Upload { store, uid, dir, state, header, trust, opened };
        Ok(if upload.has_lost_its_name()? { None } else { Some(upload) })
    }

    /// The file name is in another sector than the header, so power loss can take the one and leave the other. Then
    /// this is no upload, and the client begins again; unless it is finished and its file was taken.
    fn has_lost_its_name(&self) -> Result<bool> {
        let record = self.opened.phase();
        if record.is_some_and(|record| self.trust.is_of_this_boot(record.tag) || record.phase == Phase::Gone)
            || self.read_file_name()?.is_some()
        {
            return Ok(false);
        }
        let complete = record.is_some_and(|record| record.phase == Phase::Complete);
        Ok(!complete || self.dir.has(FILE)? || self.dir.has(ORDERED)? || self.dir.has(DATA)?)
    }

    pub(crate) fn chunk_count(&self) -> u64 {
        self.header.shape.chunk_count
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::NotFound { uid: self.uid.shown() }
    }

    /// Neither `data` nor `file` is there: the owner took the file, or the directory was removed.
    pub(crate) fn vanished(&self) -> Error {
        match sys::status(&self.state) {
            Ok(status) if status.links > 0 => Error::Gone { uid: self.uid.shown() },
            _ => self.not_found(),
        }
    }

    /// Of one that is receiving, and has no file: it was finished once (then the grid is void), or is on its way to its
    /// place, or its record is of this boot. Otherwise power loss took the file before it was handed out.
    pub(crate) fn somebody_may_have_the_file(&self, record: PhaseRecord) -> Result<bool> {
        Ok(self.trust.is_of_this_boot(record.tag) || record.grid_is_void || self.dir.has(CLAIM)?)
    }

    /// An error that concerns `state`.
    pub(crate) fn state_error(&self, action: &str, error: std::io::Error) -> Error {
        self.dir.error(action, STATE, error)
    }

    // --- locks ---

    /// Locks one chunk's slot, after the completer that `records` show waiting, if any.
    pub(crate) fn lock_slot(&self, records: &Records, number: u64) -> Result<Lock<'_>> {
        let fail = |error| self.state_error("cannot lock", error);
        if records.closing() {
            let gate = Lock::gate(&self.state).map_err(fail)?;
            // The holder of the gate knows that no completer is between its mark and its end.
            self.mark_closing(false)?;
            drop(gate);
        }
        Lock::slot(&self.state, number).map_err(fail)
    }

    /// Locks all slots, as a completer.
    pub(crate) fn lock_all(&self) -> Result<Lock<'_>> {
        // If no call is in the way, the mark is not needed.
        let all = match self.try_lock_all()? {
            Some(all) => all,
            None => self.lock_all_behind_mark()?,
        };
        self.reach("close:locked")?;
        Ok(all)
    }

    /// Waits for the calls that are on their way, and keeps new ones from overtaking.
    fn lock_all_behind_mark(&self) -> Result<Lock<'_>> {
        let fail = |error| self.state_error("cannot lock", error);
        let gate = Lock::gate(&self.state).map_err(fail)?;
        self.mark_closing(true)?;
        self.reach("close:marked")?;
        let slots = Lock::all_slots(&self.state, self.chunk_count()).map_err(fail)?;
        self.mark_closing(false)?;
        Ok(Lock::joined(gate, slots))
    }

    /// Locks all slots if no call is working on any.
    pub(crate) fn try_lock_all(&self) -> Result<Option<Lock<'_>>> {
        Lock::try_all(&self.state).map_err(|error| self.state_error("cannot lock", error))
    }

    fn mark_closing(&self, closing: bool) -> Result<()> {
        self.write(format::CLOSING_AT, &[closing.into()])
    }

    // --- records ---

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.state.write_all_at(bytes, at).map_err(|error| self.state_error("cannot write", error))
    }

    pub(crate) fn records(&self) -> Result<Records> {
        read_records(&self.dir, &self.state, RECORDS_SIZE)
    }

    /// The same, and with them all slots of a table that is short.
    pub(crate) fn records_and_slots(&self) -> Result<Records> {
        let short = self.header.state_size().is_some_and(|size| size <= READ_AT_ONCE as u64);
        read_records(&self.dir, &self.state, if short { READ_AT_ONCE } else { RECORDS_SIZE })
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

    /// How many chunks, from the first on, the table is known to have held at once.
    pub(crate) fn known_full(&self, records: &Records) -> u64 {
        // The same tag is enough, even one that is never believed: this is a hint.
        let same_tag = records.full().filter(|full| full.tag == self.trust.tag());
        same_tag.map_or(0, |full| full.value.min(self.chunk_count()))
    }

    /// Records up to which chunk the table is full.
    pub(crate) fn write_full(&self, count: u64) -> Result<()> {
        self.write(FULL_AT, &Mark { value: count, tag: self.trust.tag() }.encode())
    }

    pub(crate) fn write_progress(&self, number: u64, offset: u64) -> Result<()> {
        self.write(REWRITE_AT, &Progress { number, offset, tag: self.trust.tag() }.encode())
    }

    /// The next rewrite, if there is one, copies from the first chunk on.
    pub(crate) fn forget_progress(&self) -> Result<()> {
        self.write(REWRITE_AT, &[0; 32])
    }

    /// How far the whole file's hash has been computed.
    pub(crate) fn hashing(&self) -> Result<Option<Hashing>> {
        let mut bytes = [0; HASHING_SIZE];
        self.state.read_exact_at(&mut bytes, HASHING_AT).map_err(|error| self.state_error("cannot read", error))?;
        Ok(Hashing::decode(&bytes))
    }

    pub(crate) fn write_hashing(&self, record: &Hashing) -> Result<()> {
        self.write(HASHING_AT, &record.encode())
    }

    /// What was copied or hashed of this chunk is void.
    pub(crate) fn forget_progress_with(&self, records: &Records, number: u64) -> Result<()> {
        if records.rewrite().is_some_and(|done| done.number > number) {
            self.forget_progress()?;
        }
        if self.header.expected.sha256.is_some() && self.hashing()?.is_some_and(|done| done.number > number) {
            self.write(HASHING_AT, &[0; HASHING_SIZE])?;
        }
        Ok(())
    }

    /// Whether the declared size is in the store's sum, now.
    pub(crate) fn counted(&self) -> Result<bool> {
        self.records().map(|records| records.counted())
    }

    pub(crate) fn write_counted(&self, counted: bool) -> Result<()> {
        self.write(COUNTED_AT, &[counted.into()])
    }

    pub(crate) fn file_name(&self) -> Result<String> {
        let name = self.read_file_name()?;
        // The file was taken, and power loss took its name: see `has_lost_its_name`.
        let lost =
            || self.opened.phase().is_some_and(|record| !self.trust.is_of_this_boot(record.tag)).then(String::new);
        name.or_else(lost).ok_or_else(|| damaged(&self.dir, "its file name fails its checksum"))
    }

    /// `None` if it fails its checksum.
    fn read_file_name(&self) -> Result<Option<String>> {
        let bytes = match self.opened.name(&self.header) {
            Some(bytes) => bytes.to_vec(),
            None => {
                let mut bytes = vec![0; self.header.name_length as usize];
                self.state
                    .read_exact_at(&mut bytes, self.header.name_at())
                    .map_err(|error| self.state_error("cannot read", error))?;
                bytes
            }
        };
        let whole = crate::crc::crc32c(&bytes) == self.header.name_crc;
        Ok(whole.then(|| String::from_utf8(bytes).ok()).flatten())
    }

    // --- slots ---

    /// A slot as it was read with `records`, or if it was not, as it is now.
    pub(crate) fn slot_in(&self, records: &Records, number: u64) -> Result<Slot> {
        match records.slots(&self.header, number..number + 1) {
            Some(mut slots) => Ok(slots.next().expect("one slot")),
            None => self.slot(number),
        }
    }

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

    /// From here on the chunk is missing until it is recorded again; `slot` keeps its place on record.
    pub(crate) fn clear_slot(&self, records: &Records, number: u64, held: &Slot, slot: &Slot) -> Result<()> {
        self.write_slot(number, &held.cleared_for(slot))?;
        self.settle_cleared(records, number, held)
    }

    /// What follows when a slot that was `held` is cleared.
    pub(crate) fn settle_cleared(&self, records: &Records, number: u64, held: &Slot) -> Result<()> {
        if records.lowers_full(number, held) {
            self.write_full(number)?;
        }
        // A record that is believed after power loss must be off the disk before its bytes are touched.
        if self.level(records) == Durability::Chunk || held.may_be_synced_on_disk() {
            self.sync_state()?;
        }
        Ok(())
    }

    /// As [`Upload::for_each_slot`], but with the slots as they were read with `records`, if they were.
    pub(crate) fn for_each_slot_in(
        &self,
        records: &Records,
        first: u64,
        mut visit: impl FnMut(u64, Slot) -> Result<bool>,
    ) -> Result<()> {
        let Some(slots) = records.slots(&self.header, first..self.chunk_count()) else {
            return self.for_each_slot(first, visit);
        };
        for (number, slot) in (first..).zip(slots) {
            if !visit(number, slot)? {
                break;
            }
        }
        Ok(())
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
            // The call may die of a failure to sync what calls of the lower level have written.
            self.doubt()?;
            self.sync_state_and_names()?;
        }
        self.write(LEVEL_AT, &[level as u8])
    }

    pub(crate) fn sync_state(&self) -> Result<()> {
        self.dir.sync_file(STATE, &self.state).inspect_err(|_| drop(self.doubt()))
    }

    /// Records that bytes which are not known to be on disk may never get there. Called before a sync, in case the call
    /// dies before it records the failure: the kernel reports a failure once. See `confirm`.
    pub(crate) fn doubt(&self) -> Result<()> {
        // The record may be lost with its page. The missing mark then shows the doubt.
        sys::mark_resident(&self.state, false);
        self.write(DOUBT_AT, &[1])
    }

    /// Under all slots, when everything on record is on disk, and `content`, too.
    pub(crate) fn end_doubt(&self, content: &File) -> Result<()> {
        self.write(DOUBT_AT, &[0])?;
        sys::mark_resident(content, true);
        sys::mark_resident(&self.state, true);
        Ok(())
    }

    /// Which content may be believed, by records that were read under a lock. In doubt, only what is known to be on
    /// disk.
    pub(crate) fn content(&self, records: &Records) -> Trust {
        if records.doubt() { Trust::none() } else { self.trust }
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

/// The first `length` bytes of `state`, or all of a shorter one.
fn read_records(dir: &Directory, state: &File, length: usize) -> Result<Records> {
    let (mut bytes, mut filled) = (vec![0; length], 0);
    while filled < length.min(HEAD_SIZE) {
        match state.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) if filled < RECORDS_SIZE => return Err(damaged(dir, "it is too short")),
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(dir.error("cannot read", STATE, error)),
        }
    }
    bytes.truncate(filled);
    Ok(Records(bytes))
}

/// A `state` that this library did not write, or that power loss or another program damaged.
fn damaged(dir: &Directory, what: &str) -> Error {
    // What another version wrote is not damaged, and is left alone.
    let number = if what == OTHER_VERSION { libc::EPROTONOSUPPORT } else { libc::EBADMSG };
    dir.error(&format!("cannot use ({what})"), STATE, errno(number))
}
