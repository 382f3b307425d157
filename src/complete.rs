//! From all chunks to the finished file, and everything a crash on that way can leave.
//!
//! Under all slots. In place: cut `data` to size, rename it to `file`, mark the upload complete. Out of place: `rewrite`
//! first. Each step leaves a state from which [`resolve`] goes on:
//!
//! | phase | files | what happened | what follows |
//! |---|---|---|---|
//! | receiving | `data` | | go on |
//! | receiving | `file` | crash after the rename | rename it back, complete again |
//! | receiving | none | not believed: power loss took them | no upload |
//! | receiving | `ordered` only | power loss took the mark `ordered` | as ordered, but nothing is believed |
//! | ordered | `ordered` or `file` | crash after the mark | [`rewrite::finish`] |
//! | ordered | `data` only | power loss took the copy | all chunks are missing |
//! | complete | `file` | | done; not believed: read it first |
//! | complete | `data` | power loss took the rename; after a rewrite, the copy | receiving; all chunks are missing |
//! | complete | `ordered` | power loss took the rename | as ordered |
//! | complete | none | the owner took it | gone, for ever |

use std::ffi::CStr;
use std::fs::File;
use std::path::PathBuf;

use crate::crc::Combined;
use crate::directory::{DATA, FILE, ORDERED};
use crate::error::{Error, Result, errno};
use crate::format::{Phase, PhaseRecord, Records, Slot};
use crate::trust;
use crate::upload::Upload;
use crate::{Durability, Finished, claim, confirm, digest, pieces, rewrite, sys};

/// Answers with the finished file, completing the upload if need be.
pub(crate) fn get(upload: &Upload<'_>) -> Result<Finished> {
    let record = finished_before(upload).and_then(|before| match before {
        Some(record) => Ok(record),
        None => {
            let _all = upload.lock_all()?;
            complete(upload)
        }
    });
    // Asking for what is still to come keeps an upload alive; asking for what was taken does not.
    if !matches!(record, Err(Error::Gone { .. } | Error::NotFound { .. })) {
        upload.dir.touch();
    }
    finished(upload, upload.dir.path_of(FILE), record?.crc32c)
}

/// What is told of a finished file.
pub(crate) fn finished(upload: &Upload<'_>, path: PathBuf, crc32c: u32) -> Result<Finished> {
    let (total_size, file_name) = (upload.header.shape.total_size, upload.file_name()?);
    Ok(Finished { uid: upload.uid, path, file_name, total_size, crc32c })
}

/// What can be told without locks: the upload is complete, or some chunk never came.
fn finished_before(upload: &Upload<'_>) -> Result<Option<PhaseRecord>> {
    match upload.opened.phase() {
        Some(record) if record.phase == Phase::Complete => {
            let size = upload.dir.file_size(FILE)?;
            let believed = upload.content(&upload.opened).believes(record.tag);
            let whole = size == Some(upload.header.shape.total_size) && believed;
            Ok((whole && secured(upload, &upload.opened, record.tag)).then_some(record))
        }
        Some(record) if record.phase == Phase::Receiving => {
            // A chunk that is just being replaced keeps its place on record; whether it is there, the locks tell.
            let came = |slot: &Slot| *slot != Slot::default();
            let mut never_came = false;
            // Up to where the table is known to have been full none can be missing.
            upload.for_each_slot_in(&upload.opened, upload.known_full(&upload.opened), |_, slot| {
                never_came = !came(&slot);
                Ok(!never_came)
            })?;
            if !never_came || !upload.dir.has(DATA)? {
                return Ok(None);
            }
            upload.reach("get:gap")?;
            // What was missing a moment ago may have come: then the locks tell.
            let table = Table::read(upload, &upload.records_and_slots()?)?;
            if table.missing_count > 0 { Err(table.incomplete(upload)) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}

/// Brings an upload that a crash left between two phases into one of them, and a finished file to the level it has been
/// promised.
pub(crate) fn settle(upload: &Upload<'_>) -> Result<()> {
    let _all = upload.lock_all()?;
    match resolve(upload)? {
        (_, Resolved::Receiving { .. }) => Ok(()),
        (records, Resolved::Complete(record)) => secure(upload, &records, record).map(|_| ()),
    }
}

/// Under all slots: the finished file is there, or the upload cannot be completed.
pub(crate) fn complete(upload: &Upload<'_>) -> Result<PhaseRecord> {
    confirm::notice_eviction(upload, &upload.records()?)?;
    loop {
        match resolve(upload)? {
            (records, Resolved::Complete(record)) => return secure(upload, &records, record),
            (records, Resolved::Receiving { size }) => {
                let table = Table::read(upload, &records)?;
                if table.missing_count > 0 {
                    return Err(table.incomplete(upload));
                }
                let declared_size = upload.header.shape.total_size;
                if table.received_size != declared_size {
                    let (uid, received_size) = (upload.uid.shown(), table.received_size);
                    return Err(Error::SizeMismatch { uid, received_size, declared_size });
                }
                if !table.synced && upload.level(&records) == Durability::Chunk {
                    // A call died before it synced its chunk, or after it received the report of another chunk's
                    // failure.
                    upload.doubt()?;
                    continue;
                }
                // Whatever turns out to be damaged is missing when the table is read again. In place, a file that is
                // too short is damaged somewhere, whatever the records say; out of place, each chunk is read anyway.
                let believe = !table.in_place || size >= declared_size;
                let whole = (believe && table.believed) || check(upload, DATA, &open_data(upload)?, believe)?;
                if whole {
                    digest::check_whole(upload, || open_data(upload), table.crc32c)?;
                }
                let finished = match (whole, table.in_place) {
                    (true, true) => Some(finish_in_place(upload, size, &records, &table)?),
                    (true, false) => rewrite::rewrite(upload, &open_data(upload)?)?,
                    (false, _) => None,
                };
                // Not by way of `resolve`: what was just made need not be believed, but is known.
                if let Some(record) = finished {
                    return secure(upload, &records, record);
                }
            }
        }
    }
}

/// Only for those who read or cut it: mostly `data` is just renamed.
fn open_data(upload: &Upload<'_>) -> Result<File> {
    upload.dir.open_file(DATA)?.ok_or_else(|| upload.vanished())
}

/// Where an upload stands, under all slots.
enum Resolved {
    /// Chunks may come; `data` is there, and of this size.
    Receiving { size: u64 },
    /// The finished file is there, and is what it should be.
    Complete(PhaseRecord),
}

/// Finishes what a crash interrupted. Checks a finished file that is not believed, and after a failed sync the chunks.
/// Returns the state of the upload then, and the records that say so.
fn resolve(upload: &Upload<'_>) -> Result<(Records, Resolved)> {
    let mut confirmed = false;
    loop {
        let records = upload.records_and_slots()?;
        let record = upload.phase_of(&records)?;
        match record.phase {
            Phase::Receiving => {
                if let Some(size) = upload.dir.file_size(DATA)? {
                    if !records.doubt() || confirmed {
                        return Ok((records, Resolved::Receiving { size }));
                    }
                    let in_place = Table::read(upload, &records)?.in_place;
                    confirm::confirm(upload, DATA, &open_data(upload)?, in_place)?;
                    confirmed = true;
                } else if upload.dir.open_file(DATA)?.is_some() {
                    return Err(upload.dir.error("cannot use (it is no regular file)", DATA, errno(libc::EBADMSG)));
                } else if upload.dir.has(FILE)? {
                    upload.dir.rename(FILE, DATA)?;
                } else if upload.dir.has(ORDERED)? {
                    upload.write_phase(PhaseRecord { phase: Phase::Ordered, tag: trust::UNKNOWN, ..record })?;
                } else if upload.somebody_may_have_the_file(record)? {
                    return Err(upload.vanished());
                } else {
                    upload.write_phase(PhaseRecord { phase: Phase::Removed, ..record })?;
                    return Err(upload.not_found());
                }
            }
            Phase::Ordered if !upload.dir.has(ORDERED)? && !upload.dir.has(FILE)? && upload.dir.has(DATA)? => {
                begin_anew(upload)?
            }
            Phase::Ordered => {
                let tag = if records.doubt() { trust::UNKNOWN } else { record.tag };
                rewrite::finish(upload, tag)?;
            }
            Phase::Complete => match upload.dir.open_file(FILE)? {
                Some(file) => {
                    if let Some(record) = check_finished(upload, &records, record, &file)? {
                        return Ok((records, Resolved::Complete(record)));
                    }
                }
                // A file its owner took never comes back: only after power loss can these be it.
                None if !upload.trust.believes(record.tag) && record.grid_is_void && upload.dir.has(ORDERED)? => {
                    upload.write_phase(PhaseRecord { phase: Phase::Ordered, ..record })?;
                }
                None if !upload.trust.believes(record.tag) && upload.dir.has(DATA)? => {
                    if record.grid_is_void {
                        begin_anew(upload)?
                    } else {
                        reopen(upload)?
                    }
                }
                None => {
                    upload.write_phase(PhaseRecord { phase: Phase::Gone, ..record })?;
                    return Err(upload.vanished());
                }
            },
            Phase::Gone => return Err(upload.vanished()),
            Phase::Creating | Phase::Removed => return Err(upload.not_found()),
        }
    }
}

/// `None` if the file turned out to be damaged: the upload is then receiving again, without the damaged chunks.
fn check_finished(
    upload: &Upload<'_>,
    records: &Records,
    record: PhaseRecord,
    file: &File,
) -> Result<Option<PhaseRecord>> {
    // Of the file that was opened: its owner may be taking it away by its name.
    let size = file.metadata().map_err(|error| upload.dir.error("cannot examine", FILE, error))?.len();
    let right_size = size == upload.header.shape.total_size;
    if right_size && upload.content(records).believes(record.tag) {
        return Ok(Some(record));
    }
    if record.grid_is_void {
        rewrite::move_slots(upload, record.tag)?;
    }
    let whole = if records.doubt() {
        confirm::confirm(upload, FILE, file, true)?
            && Table::read(upload, &upload.records_and_slots()?)?.missing_count == 0
    } else {
        check(upload, FILE, file, right_size)?
    };
    if whole && right_size {
        if !records.doubt() && upload.trust.is_of_this_boot(record.tag) {
            // The kernel does not tell the volume. What was read is in memory now, and the mark tells how long it stays
            // there.
            sys::mark_resident(&upload.state, true);
            return Ok(Some(record));
        }
        // After the sync it need not be read again, through any mount.
        return sync_finished(upload, record).map(Some);
    }
    reopen(upload)?;
    upload.dir.rename(FILE, DATA)?;
    upload.reach("reopen:renamed")?;
    Ok(None)
}

/// Power loss took the copy that was in order, and kept `data`. Each slot may tell where its chunk lies in the one or in the
/// other, so two chunks may have the same place: none is believed.
fn begin_anew(upload: &Upload<'_>) -> Result<()> {
    upload.for_each_slot(0, |number, _| upload.write_slot(number, &Slot::default()).map(|()| true))?;
    upload.write_tail(upload.header.shape.tail_start(), upload.trust.tag())?;
    upload.write_full(0)?;
    // Off the disk before chunks are given places again.
    upload.sync_state()?;
    upload.reach("anew:cleared")?;
    let (phase, tag) = (Phase::Receiving, upload.trust.tag());
    upload.write_phase(PhaseRecord { phase, crc32c: 0, tag, grid_is_void: false })
}

/// Marks a complete upload as receiving again. Its chunks lie in order now, no longer on a grid.
fn reopen(upload: &Upload<'_>) -> Result<()> {
    // A copy that was begun is one of the file as it was.
    claim::discard(&upload.dir)?;
    // While chunks come in, the slots on disk must be of this file, not of the one before a rewrite.
    confirm::secure_state(upload)?;
    // Places may reach beyond the file's end, so the next chunk at the tail has to look at all of them.
    upload.write_tail(upload.header.shape.total_size, trust::UNKNOWN)?;
    let (phase, tag) = (Phase::Receiving, upload.trust.tag());
    upload.write_phase(PhaseRecord { phase, crc32c: 0, tag, grid_is_void: true })?;
    upload.reach("reopen:marked")
}

/// Reads the chunks in `file` whose records are not believed (or all of them) against their checksums. Those that pass
/// get the present tag, one by one, so that a check that is cut off goes on where it stopped; those that fail are
/// cleared. Says whether all chunks are there.
fn check(upload: &Upload<'_>, name: &CStr, file: &File, believe: bool) -> Result<bool> {
    let mut whole = true;
    let mut buffer = Vec::new();
    upload.for_each_slot(0, |number, slot| {
        if !slot.received() {
            whole = false;
        } else if !(believe && upload.trust.believes(slot.tag)) {
            let crc32c = pieces::checksum(file, slot.offset, slot.length, &mut buffer, |_| Ok(()))
                .map_err(|error| upload.dir.error(&format!("cannot read chunk {number} in"), name, error))?;
            if crc32c == Some(slot.crc32c) {
                // Where the kernel tells no tag there is nothing new to write.
                if slot.tag != upload.trust.tag() {
                    upload.write_slot(number, &Slot { tag: upload.trust.tag(), ..slot })?;
                }
                upload.reach("check:passed")?;
            } else {
                whole = false;
                upload.write_slot(number, &slot.cleared())?;
                upload.reach("check:cleared")?;
            }
        }
        Ok(true)
    })?;
    Ok(whole)
}

/// All chunks lie in order, in `data` of this size: no byte is read or written.
fn finish_in_place(upload: &Upload<'_>, size: u64, records: &Records, table: &Table) -> Result<PhaseRecord> {
    if rewrite::may_have_begun(upload, records) {
        // What is left of one that a re-sent chunk made needless must not be taken for this file later.
        upload.dir.remove(ORDERED)?;
    }
    let total_size = upload.header.shape.total_size;
    if size != total_size {
        let cut = open_data(upload)?.set_len(total_size);
        cut.map_err(|error| upload.dir.error("cannot cut", DATA, error))?;
    }
    upload.reach("complete:cut")?;
    upload.dir.rename(DATA, FILE)?;
    upload.reach("complete:renamed")?;
    let (phase, crc32c, tag) = (Phase::Complete, table.crc32c, upload.trust.tag());
    let record = PhaseRecord { phase, crc32c, tag, grid_is_void: false };
    upload.write_phase(record)?;
    upload.reach("complete:marked")?;
    Ok(record)
}

/// Whether a finished file with this tag is as durable as it has been promised to be.
pub(crate) fn secured(upload: &Upload<'_>, records: &Records, tag: u32) -> bool {
    tag == trust::SYNCED || upload.level(records) < Durability::Complete
}

/// Makes a finished file as durable as it has been promised to be; the call that did the rename may have died before.
fn secure(upload: &Upload<'_>, records: &Records, record: PhaseRecord) -> Result<PhaseRecord> {
    if secured(upload, records, record.tag) {
        return Ok(record);
    }
    upload.raise_level(records)?;
    sync_finished(upload, record)
}

/// Syncs a finished file and everything that leads to it, and says so on record.
fn sync_finished(upload: &Upload<'_>, record: PhaseRecord) -> Result<PhaseRecord> {
    upload.doubt()?;
    if let Some(file) = upload.dir.open_file(FILE)? {
        sys::mark_resident(&file, false);
        upload.dir.sync_file(FILE, &file)?;
    }
    upload.sync_state_and_names()?;
    let synced = PhaseRecord { tag: trust::SYNCED, ..record };
    upload.write_phase(synced)?;
    if let Err(error) = upload.sync_state() {
        upload.write_phase(record)?;
        return Err(error);
    }
    Ok(synced)
}

/// What the slots together say.
struct Table {
    missing_count: u64,
    first_missing: u64,
    /// Saturates on garbage.
    received_size: u64,
    /// Whether the chunks lie in `data` one after the other.
    in_place: bool,
    /// Whether all that are there are believed.
    believed: bool,
    /// Whether all received chunks are known to be on disk.
    synced: bool,
    crc32c: u32,
}

impl Table {
    /// From the slots that were read with `records`, if they were; otherwise from `state` as it is now.
    fn read(upload: &Upload<'_>, records: &Records) -> Result<Table> {
        let (mut missing_count, mut first_missing, mut received_size) = (0, 0, 0_u64);
        let (mut in_place, mut believed, mut synced) = (true, true, true);
        let content = upload.content(records);
        let mut crc = Combined::new();
        upload.for_each_slot_in(records, 0, |number, slot| {
            if slot.received() {
                believed &= content.believes(slot.tag);
                synced &= slot.tag == trust::SYNCED;
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
        Ok(Table { missing_count, first_missing, received_size, in_place, believed, synced, crc32c: crc.finish() })
    }

    fn incomplete(&self, upload: &Upload<'_>) -> Error {
        Error::Incomplete {
            uid: upload.uid.shown(),
            missing_count: self.missing_count,
            first_missing: self.first_missing,
            chunk_count: upload.chunk_count(),
        }
    }
}
