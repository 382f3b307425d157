//! Reads the stored bytes again, to find damage.

use std::fs::File;

use crate::api::answers::{Phase, Verification};
use crate::api::error::Result;
use crate::local::calls::complete;
use crate::local::calls::inspect::Ranges;
use crate::local::files::read;
use crate::local::upload::opened::Upload;
use crate::rules::format::layout::{DATA, FILE};
use crate::rules::format::records::Stage;

pub(crate) fn verify(upload: &Upload<'_>) -> Result<Verification> {
    loop {
        let record = upload.stage_of(&upload.records()?)?;
        let verified = match record.stage {
            Stage::Receiving => verify_receiving(upload)?,
            Stage::Complete => match upload.dir.open_file(FILE)? {
                Some(file) => Some(verify_finished(upload, &file)?),
                None => None,
            },
            Stage::Gone => return Err(upload.vanished()),
            Stage::Creating | Stage::Removed => return Err(upload.not_found()),
            Stage::Ordered => None,
        };
        match verified {
            Some(verified) => {
                upload.dir.touch();
                return Ok(verified);
            }
            // The upload is between two stages, or its stage changed meanwhile.
            None => complete::settle(upload)?,
        }
    }
}

struct Found {
    checked: u64,
    damaged_count: u64,
    damaged: Ranges,
}

impl Found {
    fn new() -> Found {
        Found { checked: 0, damaged_count: 0, damaged: Ranges::default() }
    }

    fn add(&mut self, number: u64, damaged: bool) {
        self.checked += 1;
        if damaged {
            self.damaged_count += 1;
            self.damaged.add(number);
        }
    }

    fn answer(self, phase: Phase) -> Verification {
        let Found { checked, damaged_count, damaged } = self;
        Verification { phase, checked_count: checked, damaged_count, damaged: damaged.first }
    }
}

/// Verifies chunk by chunk, each under the lock of its slot, so that other chunks can come meanwhile. `None` if the
/// upload is no longer receiving.
fn verify_receiving(upload: &Upload<'_>) -> Result<Option<Verification>> {
    let (mut found, mut receiving) = (Found::new(), true);
    let mut buffer = Vec::new();
    upload.for_each_slot(0, |number, seen| {
        if !seen.received() {
            return Ok(true);
        }
        // The present records show a waiting completer, which goes first.
        let _slot = upload.lock_slot(&upload.records()?, number)?;
        let records = upload.records()?;
        let stage = upload.stage_of(&records)?.stage;
        let data = if stage == Stage::Receiving { upload.dir.open_file(DATA)? } else { None };
        let Some(data) = data else {
            receiving = false;
            return Ok(false);
        };
        let slot = upload.slot(number)?;
        if slot.received() {
            let failed = |error| upload.dir.error(&format!("cannot read chunk {number} in"), DATA, error);
            let crc32c = read::checksum(&data, slot.offset, slot.length, &mut buffer, |_| Ok(())).map_err(failed)?;
            let damaged = crc32c != Some(slot.crc32c);
            found.add(number, damaged);
            if damaged {
                upload.clear_slot(&records, number, &slot, &slot)?;
                upload.reach("verify:cleared")?;
            }
        }
        Ok(true)
    })?;
    Ok(receiving.then(|| found.answer(Phase::Receiving)))
}

/// Changes nothing: the file's owner decides what happens to a damaged file.
fn verify_finished(upload: &Upload<'_>, file: &File) -> Result<Verification> {
    let failed = |number, error| upload.dir.error(&format!("cannot read chunk {number} in"), FILE, error);
    let mut found = Found::new();
    let (mut buffer, mut end) = (Vec::new(), 0_u64);
    let size = file.metadata().map_err(|error| upload.dir.error("cannot examine", FILE, error))?.len();
    upload.for_each_slot(0, |number, slot| {
        // The chunks lie in order, whatever the slots say. After power loss the slots may have the places from before a
        // rewrite.
        let crc32c = read::checksum(file, end, slot.length, &mut buffer, |_| Ok(())).map_err(|e| failed(number, e))?;
        // A chunk that a check found damaged keeps its place.
        end = end.saturating_add(if slot.received() { slot.length } else { slot.capacity });
        // Appended bytes belong to no chunk, so the last chunk is reported as damaged.
        let too_long = number + 1 == upload.chunk_count() && size > end;
        found.add(number, !slot.received() || crc32c != Some(slot.crc32c) || too_long);
        Ok(true)
    })?;
    Ok(found.answer(Phase::Complete))
}
