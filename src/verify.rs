//! Reading the stored bytes again, to find what the disk did not keep.

use std::fs::File;

use crate::directory::{DATA, FILE};
use crate::error::Result;
use crate::format::Phase as Recorded;
use crate::inspect::Ranges;
use crate::upload::Upload;
use crate::{Phase, Verification, complete, pieces};

pub(crate) fn verify(upload: &Upload<'_>) -> Result<Verification> {
    loop {
        let record = upload.phase_of(&upload.records()?)?;
        let verified = match record.phase {
            Recorded::Receiving => verify_receiving(upload)?,
            Recorded::Complete => match upload.dir.open_file(FILE)? {
                Some(file) => Some(verify_finished(upload, &file)?),
                None => None,
            },
            Recorded::Gone => return Err(upload.vanished()),
            Recorded::Creating | Recorded::Removed => return Err(upload.not_found()),
            Recorded::Ordered => None,
        };
        match verified {
            Some(verified) => {
                upload.dir.touch();
                return Ok(verified);
            }
            // Between two phases, or it came into another one meanwhile.
            None => complete::settle(upload)?,
        }
    }
}

/// What was found so far.
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

/// Chunk by chunk, each under the lock of its slot: chunks go on coming in meanwhile. `None` if the upload is no longer
/// receiving.
fn verify_receiving(upload: &Upload<'_>) -> Result<Option<Verification>> {
    let (mut found, mut receiving) = (Found::new(), true);
    let mut buffer = Vec::new();
    upload.for_each_slot(0, |number, seen| {
        if !seen.received() {
            return Ok(true);
        }
        // A completer that waits goes first.
        let _slot = upload.lock_slot(&upload.records()?, number)?;
        let records = upload.records()?;
        let phase = upload.phase_of(&records)?.phase;
        let data = if phase == Recorded::Receiving { upload.dir.open_file(DATA)? } else { None };
        let Some(data) = data else {
            receiving = false;
            return Ok(false);
        };
        let slot = upload.slot(number)?;
        if slot.received() {
            let failed = |error| upload.dir.error(&format!("cannot read chunk {number} in"), DATA, error);
            let crc32c = pieces::checksum(&data, slot.offset, slot.length, &mut buffer, |_| Ok(())).map_err(failed)?;
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

/// Nothing is changed: what to do about a damaged file is its owner's to decide.
fn verify_finished(upload: &Upload<'_>, file: &File) -> Result<Verification> {
    let failed = |number, error| upload.dir.error(&format!("cannot read chunk {number} in"), FILE, error);
    let mut found = Found::new();
    let (mut buffer, mut end) = (Vec::new(), 0_u64);
    let size = file.metadata().map_err(|error| upload.dir.error("cannot examine", FILE, error))?.len();
    upload.for_each_slot(0, |number, slot| {
        // In order, whatever the slots say: after power loss they may tell where the chunks lay before a rewrite.
        let crc32c =
            pieces::checksum(file, end, slot.length, &mut buffer, |_| Ok(())).map_err(|e| failed(number, e))?;
        // One that a check has found damaged keeps its place.
        end = end.saturating_add(if slot.received() { slot.length } else { slot.capacity });
        // Appended bytes belong to no chunk: the last chunk is reported for them.
        let too_long = number + 1 == upload.chunk_count() && size > end;
        found.add(number, !slot.received() || crc32c != Some(slot.crc32c) || too_long);
        Ok(true)
    })?;
    Ok(found.answer(Phase::Complete))
}
