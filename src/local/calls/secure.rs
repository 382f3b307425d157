//! Makes a finished file as durable as its level requires.

use crate::api::error::Result;
use crate::api::options::Durability;
use crate::local::files::sys;
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::FILE;
use crate::rules::format::records::StageRecord;
use crate::rules::tag::Tag;

/// Whether a finished file with this tag is as durable as its level requires.
pub(crate) fn secured(upload: &Upload<'_>, records: &StateHead, tag: Tag) -> bool {
    tag == Tag::SYNCED || upload.level(records) < Durability::Complete
}

/// Makes a finished file as durable as its level requires. The call that renamed it may have died before its sync.
pub(crate) fn secure(upload: &LockedUpload<'_>, records: &StateHead, record: StageRecord) -> Result<StageRecord> {
    if secured(upload, records, record.tag) {
        return Ok(record);
    }
    upload.raise_level(records)?;
    sync_finished(upload, record)
}

/// Syncs a finished file and everything that leads to it, and records that.
pub(crate) fn sync_finished(upload: &LockedUpload<'_>, record: StageRecord) -> Result<StageRecord> {
    upload.doubt()?;
    if let Some(file) = upload.dir.open_file(FILE)? {
        sys::mark_resident(&file, false);
        upload.dir.sync_file(FILE, &file)?;
    }
    upload.sync_state_and_names()?;
    let synced = StageRecord { tag: Tag::SYNCED, ..record };
    upload.write_stage(synced)?;
    if let Err(error) = upload.sync_state() {
        upload.write_stage(record)?;
        return Err(error);
    }
    Ok(synced)
}
