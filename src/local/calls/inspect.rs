//! Reads the facts about an upload, without a lock and without changing anything.

use std::ops::Range;

use crate::api::answers::{Inspection, Listed, MAX_RANGES, Phase};
use crate::api::error::{Error, Result};
use crate::local::upload::opened::Upload;
use crate::rules::verdict::Verdict;

/// The phase of the upload. With locks the answer would be as outdated a moment later.
fn phase(upload: &Upload<'_>) -> Result<Phase> {
    /// The record may be read while it is being written, and files may be renamed between two looks.
    const ATTEMPTS: u32 = 8;
    let (mut record, mut before) = (upload.opened.stage(), None);
    for _ in 0..ATTEMPTS {
        let verdict = record.map(|record| upload.verdict(record)).transpose()?;
        if let Some(phase @ (Phase::Receiving | Phase::Complete)) = verdict.and_then(Verdict::phase) {
            return Ok(phase);
        }
        // Missing files may have been taken since the record was read, or renamed between the looks. So a second round
        // must give the same.
        let seen = record.zip(verdict);
        record = upload.records()?.stage();
        if seen.is_some() && seen == before && record == seen.map(|(record, _)| record) {
            return match verdict.and_then(Verdict::phase).map(|_| upload.vanished()) {
                Some(Error::Gone { .. }) => Ok(Phase::Gone),
                Some(error) => Err(error),
                None => Err(upload.not_found()),
            };
        }
        before = seen;
    }
    upload.stage_of(&upload.records()?).and(Err(upload.not_found()))
}

pub(crate) fn inspect(upload: &Upload<'_>, from_chunk: u64) -> Result<Inspection> {
    let (mut received_count, mut received_size) = (0, 0_u64);
    let mut missing = Ranges::default();
    upload.for_each_slot(0, |number, slot| {
        if slot.received() {
            received_count += 1;
            received_size = received_size.saturating_add(slot.length);
        } else if number >= from_chunk {
            missing.add(number);
        }
        Ok(true)
    })?;
    let Listed { uid, file_name, total_size, chunk_count, phase, last_activity } = listed(upload)?;
    let (missing, next_chunk) = (missing.first, missing.next);
    Ok(Inspection {
        uid,
        file_name,
        total_size,
        chunk_count,
        received_size,
        received_count,
        phase,
        last_activity,
        missing,
        next_chunk,
    })
}

/// The facts that do not need the table.
pub(crate) fn listed(upload: &Upload<'_>) -> Result<Listed> {
    let shape = upload.header.shape;
    Ok(Listed {
        uid: upload.uid,
        file_name: upload.file_name()?,
        total_size: shape.total_size,
        chunk_count: shape.chunk_count,
        phase: phase(upload)?,
        last_activity: upload.dir.last_activity()?,
    })
}

/// Ascending numbers as ranges: the first [`MAX_RANGES`] ranges, and the first number after them.
#[derive(Default)]
pub(crate) struct Ranges {
    pub first: Vec<Range<u64>>,
    pub next: Option<u64>,
}

impl Ranges {
    pub(crate) fn add(&mut self, number: u64) {
        let full = self.first.len() == MAX_RANGES;
        match self.first.last_mut() {
            _ if self.next.is_some() => {}
            Some(last) if last.end == number => last.end += 1,
            _ if full => self.next = Some(number),
            _ => self.first.push(number..number + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_ranges_until_there_are_too_many() {
        let mut ranges = Ranges::default();
        [0, 1, 2, 5, 7, 8].into_iter().for_each(|number| ranges.add(number));
        assert_eq!((&ranges.first[..], ranges.next), (&[0..3, 5..6, 7..9][..], None));
        (10..).step_by(2).take(MAX_RANGES - 3).for_each(|number| ranges.add(number));
        let last = ranges.first.last().unwrap().start;
        assert_eq!((ranges.first.len(), ranges.next), (MAX_RANGES, None));
        ranges.add(last + 1);
        ranges.add(last + 5);
        ranges.add(last + 6);
        assert_eq!((ranges.first.last().unwrap().clone(), ranges.next), (last..last + 2, Some(last + 5)));
    }
}
