//! The finished file of an upload.

use std::path::PathBuf;

use crate::api::chunk::Finished;
use crate::api::error::{Error, Result};
use crate::local::calls::complete::complete;
use crate::local::calls::secure::secured;
use crate::local::upload::opened::Upload;
use crate::local::upload::table::Table;
use crate::rules::format::layout::{DATA, FILE};
use crate::rules::format::records::{Stage, StageRecord};
use crate::rules::placement::Slot;

/// Answers with the finished file, completing the upload if need be.
pub(crate) fn get(upload: &Upload<'_>) -> Result<Finished> {
    let record = finished_before(upload).and_then(|before| match before {
        Some(record) => Ok(record),
        None => complete(&upload.lock_all()?),
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
fn finished_before(upload: &Upload<'_>) -> Result<Option<StageRecord>> {
    match upload.opened.stage() {
        Some(record) if record.stage == Stage::Complete => {
            let size = upload.dir.file_size(FILE)?;
            let trusted = upload.content(&upload.opened).trusts(record.tag);
            let whole = size == Some(upload.header.shape.total_size) && trusted;
            Ok((whole && secured(upload, &upload.opened, record.tag)).then_some(record))
        }
        Some(record) if record.stage == Stage::Receiving => {
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
