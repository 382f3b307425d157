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

/// Returns the finished file. Completes the upload if necessary.
pub(crate) fn get(upload: &Upload<'_>) -> Result<Finished> {
    let record = finished_before(upload).and_then(|before| match before {
        Some(record) => Ok(record),
        None => complete(&upload.lock_all()?),
    });
    // A `get` updates the time of an upload that has no file yet, or still has it. It does not for one whose file was
    // taken.
    if !matches!(record, Err(Error::Gone { .. } | Error::NotFound { .. })) {
        upload.dir.touch();
    }
    finished(upload, upload.dir.path_of(FILE), record?.crc32c)
}

pub(crate) fn finished(upload: &Upload<'_>, path: PathBuf, crc32c: u32) -> Result<Finished> {
    let (total_size, file_name) = (upload.header.shape.total_size, upload.file_name()?);
    Ok(Finished { uid: upload.uid, path, file_name, total_size, crc32c })
}

/// The answer without locks, where one is possible: the upload is complete, or some chunk never came. `None` if locks
/// are needed.
fn finished_before(upload: &Upload<'_>) -> Result<Option<StageRecord>> {
    match upload.opened.stage() {
        Some(record) if record.stage == Stage::Complete => {
            let size = upload.dir.file_size(FILE)?;
            let trusted = upload.content(&upload.opened).trusts(record.tag);
            let whole = size == Some(upload.header.shape.total_size) && trusted;
            Ok((whole && secured(upload, &upload.opened, record.tag)).then_some(record))
        }
        Some(record) if record.stage == Stage::Receiving => {
            // A chunk that is being replaced at this moment keeps its place on record. Only under the locks is it known
            // whether it is there.
            let came = |slot: &Slot| *slot != Slot::default();
            let mut never_came = false;
            // In the part of the table that was full, every chunk came once.
            upload.for_each_slot_in(&upload.opened, upload.known_full(&upload.opened), |_, slot| {
                never_came = !came(&slot);
                Ok(!never_came)
            })?;
            if !never_came || !upload.dir.has(DATA)? {
                return Ok(None);
            }
            upload.reach("get:gap")?;
            // The chunk may have come meanwhile. Then locks are needed.
            let table = Table::read(upload, &upload.records_and_slots()?)?;
            if table.missing_count > 0 { Err(table.incomplete(upload)) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}
