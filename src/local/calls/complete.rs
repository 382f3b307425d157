//! From all chunks to the finished file.
//!
//! All slots are locked. If the chunks lie in order, `data` is cut to size and renamed to `file`, and the upload is
//! marked as complete. Otherwise `rewrite` comes first. From the result of each step `resolve` can go on.

use crate::api::error::{Error, Result};
use crate::api::options::Durability;
use crate::local::calls::resolve::{Resolved, check, open_data, resolve};
use crate::local::calls::secure::secure;
use crate::local::calls::{confirm, rewrite, whole_digest};
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::local::upload::table::Table;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DATA, FILE, ORDERED};
use crate::rules::format::records::{Stage, StageRecord};

/// Brings an upload that a crash left between two stages into one of them. Syncs a finished file as its level requires.
pub(crate) fn settle(upload: &Upload<'_>) -> Result<()> {
    let upload = upload.lock_all()?;
    match resolve(&upload, None)? {
        (_, Resolved::Receiving { .. }) => Ok(()),
        (records, Resolved::Complete(record)) => secure(&upload, &records, record).map(|_| ()),
    }
}

/// Completes the upload, or returns the reason why not.
pub(crate) fn complete(upload: &LockedUpload<'_>) -> Result<StageRecord> {
    let records = upload.records_and_slots()?;
    let mut found = if confirm::notice_eviction(upload, &records)? { None } else { Some(records) };
    loop {
        match resolve(upload, found.take())? {
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
                // Chunks that turn out to be damaged are missing when the table is read again. If the chunks are in
                // place, and the file is too short, some chunk is damaged, whatever the records say. If they are out of
                // place, the rewrite reads each chunk anyway.
                let trust_records = !table.in_place || size >= declared_size;
                let whole =
                    (trust_records && table.trusted) || check(upload, DATA, &open_data(upload)?, trust_records)?;
                let whole = whole && whole_digest::check_whole(upload, || open_data(upload), table.crc32c)?;
                let finished = match (whole, table.in_place) {
                    (true, true) => Some(finish_in_place(upload, size, &records, &table)?),
                    (true, false) => rewrite::rewrite(upload, &open_data(upload)?)?,
                    (false, _) => None,
                };
                // `resolve` is not called again: where the kernel does not tell boot or volume, it would read the file
                // that was just made.
                if let Some(record) = finished {
                    return secure(upload, &records, record);
                }
            }
        }
    }
}

/// Finishes an upload whose chunks lie in order in `data`, which has this size. No byte is read or written.
fn finish_in_place(upload: &LockedUpload<'_>, size: u64, records: &StateHead, table: &Table) -> Result<StageRecord> {
    if rewrite::may_have_begun(upload, records) {
        // A chunk that was sent again can make a rewrite needless. What it left must not be taken for this file later.
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
    let (stage, crc32c, tag) = (Stage::Complete, table.crc32c, upload.trust.tag());
    let record = StageRecord { stage, crc32c, tag, grid_is_void: false };
    upload.write_stage(record)?;
    upload.reach("complete:marked")?;
    Ok(record)
}
