//! Brings an upload that a crash left into one of two stages: receiving or complete.

use std::ffi::CStr;
use std::fs::File;

use crate::api::error::{Result, errno};
use crate::local::calls::secure::sync_finished;
use crate::local::calls::{claim_record, confirm, rewrite};
use crate::local::files::{read, sys};
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::table::Table;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DATA, FILE};
use crate::rules::format::records::{Stage, StageRecord};
use crate::rules::placement::Slot;
use crate::rules::tag::Tag;
use crate::rules::verdict::{Verdict, verdict};

pub(crate) enum Resolved {
    /// Chunks may come; `data` is there, and has this size.
    Receiving { size: u64 },
    /// The finished file is there, and was checked if its record is not trusted.
    Complete(StageRecord),
}

/// Finishes the steps that a crash interrupted. Checks a finished file that is not trusted and, after a failed sync,
/// the chunks. Returns the result, and the records from which it follows. `found` are the records with their slots, if
/// they were read under these locks.
pub(crate) fn resolve(upload: &LockedUpload<'_>, mut found: Option<StateHead>) -> Result<(StateHead, Resolved)> {
    let mut confirmed = false;
    loop {
        let records = found.take().map_or_else(|| upload.records_and_slots(), Ok)?;
        let record = upload.stage_of(&records)?;
        let mut size = 0;
        let judged = verdict(record, upload.trust, |name| {
            let found = upload.dir.file_size(name)?;
            if name == DATA && found.is_none() && upload.dir.open_file(DATA)?.is_some() {
                return Err(upload.dir.error("cannot use (it is not a regular file)", DATA, errno(libc::EBADMSG)));
            }
            size = found.unwrap_or(size);
            Ok(found.is_some())
        })?;
        match judged {
            Verdict::Receiving if !records.doubt() || confirmed => {
                return Ok((records, Resolved::Receiving { size }));
            }
            Verdict::Receiving => {
                let in_place = Table::read(upload, &records)?.in_place;
                confirm::confirm(upload, DATA, &open_data(upload)?, in_place)?;
                confirmed = true;
            }
            Verdict::Renamed => upload.dir.rename(FILE, DATA)?,
            Verdict::Unmarked => {
                // The tag of the stage *receiving* says nothing about the copy.
                let tag = if record.stage == Stage::Receiving { Tag::UNKNOWN } else { record.tag };
                upload.write_stage(StageRecord { stage: Stage::Ordered, tag, ..record })?;
            }
            Verdict::Ordered => {
                let tag = if records.doubt() { Tag::UNKNOWN } else { record.tag };
                rewrite::finish(upload, tag)?;
            }
            Verdict::CopyLost => lose_all_chunks(upload)?,
            Verdict::RenameLost => reopen(upload)?,
            Verdict::Finished => {
                let Some(file) = upload.dir.open_file(FILE)? else { continue };
                if let Some(record) = check_finished(upload, &records, record, &file)? {
                    return Ok((records, Resolved::Complete(record)));
                }
            }
            Verdict::Gone => {
                if matches!(record.stage, Stage::Ordered | Stage::Complete) {
                    upload.write_stage(StageRecord { stage: Stage::Gone, ..record })?;
                }
                return Err(upload.vanished());
            }
            Verdict::NoUpload => {
                if record.stage == Stage::Receiving {
                    upload.write_stage(StageRecord { stage: Stage::Removed, ..record })?;
                }
                return Err(upload.not_found());
            }
        }
    }
}

/// `None` if the file is damaged: then the upload is receiving again, without the damaged chunks.
fn check_finished(
    upload: &LockedUpload<'_>,
    records: &StateHead,
    record: StageRecord,
    file: &File,
) -> Result<Option<StageRecord>> {
    // The size of the open file: its owner may be taking the name away.
    let size = file.metadata().map_err(|error| upload.dir.error("cannot examine", FILE, error))?.len();
    let right_size = size == upload.header.shape.total_size;
    if right_size && upload.content(records).trusts(record.tag) {
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
            // The kernel does not tell the volume. The bytes that were read are in memory now, and the mark shows how
            // long they stay there.
            sys::mark_resident(&upload.state, true);
            return Ok(Some(record));
        }
        // After the sync the file need not be read again, through any mount.
        return sync_finished(upload, record).map(Some);
    }
    reopen(upload)?;
    upload.dir.rename(FILE, DATA)?;
    upload.reach("reopen:renamed")?;
    Ok(None)
}

/// Power loss lost the copy in order, and kept `data`. Each slot may have its chunk's place in either file, so two
/// chunks may have the same place: none is trusted.
fn lose_all_chunks(upload: &LockedUpload<'_>) -> Result<()> {
    upload.for_each_slot(0, |number, _| upload.write_slot(number, &Slot::default()).map(|()| true))?;
    upload.write_tail(upload.header.shape.tail_start(), upload.trust.tag())?;
    upload.write_full(0)?;
    // The old slots must leave the disk before chunks are given places again.
    upload.sync_state()?;
    upload.reach("lost:cleared")?;
    let (stage, tag) = (Stage::Receiving, upload.trust.tag());
    upload.write_stage(StageRecord { stage, crc32c: 0, tag, grid_is_void: false })
}

/// Marks a complete upload as receiving again. Its chunks lie in order now, not on a grid.
fn reopen(upload: &LockedUpload<'_>) -> Result<()> {
    // A copy to a destination that was begun has the old bytes.
    claim_record::discard(&upload.dir)?;
    // Before chunks come, the slots on disk must be those of this file, not of the one before a rewrite.
    confirm::secure_state(upload)?;
    // Places may reach beyond the file's end, so the next chunk at the tail must read all of them.
    upload.write_tail(upload.header.shape.total_size, Tag::UNKNOWN)?;
    let (stage, tag) = (Stage::Receiving, upload.trust.tag());
    upload.write_stage(StageRecord { stage, crc32c: 0, tag, grid_is_void: true })?;
    upload.reach("reopen:marked")
}

/// Opens `data` for a caller that reads or cuts it. Mostly `data` is only renamed.
pub(crate) fn open_data(upload: &LockedUpload<'_>) -> Result<File> {
    upload.dir.open_file(DATA)?.ok_or_else(|| upload.vanished())
}

/// Compares the chunks in `file` whose records are not trusted (or all chunks) with their checksums. Chunks that pass
/// get the present tag, one by one, so that an interrupted check continues where it stopped. Chunks that fail are
/// cleared. Returns whether all chunks are there.
pub(crate) fn check(upload: &LockedUpload<'_>, name: &CStr, file: &File, trust_records: bool) -> Result<bool> {
    let mut whole = true;
    let mut buffer = Vec::new();
    upload.for_each_slot(0, |number, slot| {
        if !slot.received() {
            whole = false;
        } else if !(trust_records && upload.trust.trusts(slot.tag)) {
            let crc32c = read::checksum(file, slot.offset, slot.length, &mut buffer, |_| Ok(()))
                .map_err(|error| upload.dir.error(&format!("cannot read chunk {number} in"), name, error))?;
            if crc32c == Some(slot.crc32c) {
                // Where the kernel does not tell boot or volume, the tag may be the same.
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
    if !whole {
        upload.write_full(0)?;
    }
    Ok(whole)
}
