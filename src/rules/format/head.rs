//! The first bytes of `state`, as a call read them.

use std::ops::Range;

use crate::api::options::Durability;
use crate::rules::format::bytes::unseal;
use crate::rules::format::header::Header;
use crate::rules::format::layout::{
    CLOSING_AT, COUNTED_AT, DOUBT_AT, FULL_AT, HEAD_SIZE, LEVEL_AT, REWRITE_AT, SLOT_SIZE, STAGE_AT, TAIL_AT,
};
use crate::rules::format::records::{Mark, NEVER_BEGUN, Progress, Stage, StageRecord};
use crate::rules::placement::Slot;
use crate::rules::tag::Tag;

/// The first bytes of a `state` file when they were read: all records, `RECORDS_SIZE` bytes. The part of the name and
/// the table that was read with them follows.
pub(crate) struct StateHead(pub Vec<u8>);

impl StateHead {
    /// The bytes for [`Header::decode`]. In version 1 they include some of the name and the table. After the file's end
    /// they are zeros.
    pub(crate) fn head(&self) -> [u8; HEAD_SIZE] {
        let mut head = [0; HEAD_SIZE];
        let length = self.0.len().min(HEAD_SIZE);
        head[..length].copy_from_slice(&self.0[..length]);
        head
    }

    /// The file name's bytes; `None` if not all of them were read.
    pub(crate) fn name(&self, header: &Header) -> Option<&[u8]> {
        let at = header.name_at() as usize;
        self.0.get(at..at + header.name_length as usize)
    }

    /// The slots of these chunks; `None` if not all of them were read.
    pub(crate) fn slots(&self, header: &Header, numbers: Range<u64>) -> Option<impl Iterator<Item = Slot>> {
        let at = |number| usize::try_from(header.slot_at(number)).ok();
        let table = self.0.get(at(numbers.start)?..at(numbers.end)?)?;
        Some(table.chunks_exact(SLOT_SIZE as usize).map(Slot::decode))
    }

    fn record(&self, at: u64) -> Option<([u64; 2], [u32; 2])> {
        unseal(&self.0[at as usize..at as usize + 32])
    }

    /// `None` if the record is garbage, or was read while it was being written.
    pub(crate) fn stage(&self) -> Option<StageRecord> {
        let ([stage, grid_is_void], [crc32c, tag]) = self.record(STAGE_AT)?;
        let all = [Stage::Receiving, Stage::Ordered, Stage::Complete, Stage::Gone, Stage::Creating, Stage::Removed];
        let stage = all.into_iter().find(|&known| known as u64 == stage)?;
        Some(StageRecord { stage, crc32c, tag: Tag::from_number(tag), grid_is_void: grid_is_void != 0 })
    }

    fn mark(&self, at: u64) -> Option<Mark> {
        let ([value, _], [tag, _]) = self.record(at)?;
        Some(Mark { value, tag: Tag::from_number(tag) })
    }

    pub(crate) fn tail(&self) -> Option<Mark> {
        self.mark(TAIL_AT)
    }

    pub(crate) fn full(&self) -> Option<Mark> {
        self.mark(FULL_AT)
    }

    /// Whether clearing this slot makes a gap in the part of the table that is marked as full.
    pub(crate) fn lowers_full(&self, number: u64, held: &Slot) -> bool {
        held.received() && self.full().is_some_and(|full| full.value > number)
    }

    pub(crate) fn rewrite(&self) -> Option<Progress> {
        let ([number, offset], [tag, _]) = self.record(REWRITE_AT)?;
        (number != NEVER_BEGUN).then_some(Progress { number, offset, tag: Tag::from_number(tag) })
    }

    /// Whether the record says that no rewrite ever began.
    pub(crate) fn no_rewrite_yet(&self) -> bool {
        self.record(REWRITE_AT).is_some_and(|([number, _], _)| number == NEVER_BEGUN)
    }

    pub(crate) fn closing(&self) -> bool {
        self.0[CLOSING_AT as usize] != 0
    }

    pub(crate) fn counted(&self) -> bool {
        self.0[COUNTED_AT as usize] != 0
    }

    /// Whether a sync has failed, or may have failed, since all records were last confirmed on disk.
    pub(crate) fn doubt(&self) -> bool {
        self.0[DOUBT_AT as usize] != 0
    }

    /// The durability level of this upload; garbage is the lowest level.
    pub(crate) fn level(&self) -> Durability {
        let all = [Durability::Chunk, Durability::Complete];
        let number = self.0[LEVEL_AT as usize];
        all.into_iter().find(|&known| known as u8 == number).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::format::layout::RECORDS_SIZE;
    use crate::rules::format::records::{HASH_STATE_SIZE, HASHING_SIZE, Hashing};

    #[test]
    fn slots_and_records_come_back() {
        let slot = Slot { offset: 1, length: 2, capacity: 3, crc32c: 4, tag: Tag::from_number(5) };
        assert_eq!(Slot::decode(&slot.encode()), slot);
        assert_eq!(slot.cleared(), Slot { offset: 1, capacity: 3, ..Slot::default() });
        let mut bytes = [0; RECORDS_SIZE];
        let mut put = |at: u64, record: [u8; 32]| bytes[at as usize..at as usize + 32].copy_from_slice(&record);
        let stage = StageRecord { stage: Stage::Complete, crc32c: 6, tag: Tag::from_number(7), grid_is_void: true };
        let (tail, full) = (Mark { value: 8, tag: Tag::from_number(9) }, Mark { value: 10, tag: Tag::from_number(11) });
        let progress = Progress { number: 12, offset: 13, tag: Tag::from_number(14) };
        put(STAGE_AT, stage.encode());
        put(TAIL_AT, tail.encode());
        put(FULL_AT, full.encode());
        put(REWRITE_AT, progress.encode());
        let read = StateHead(bytes.to_vec());
        assert_eq!(read.stage(), Some(stage));
        assert_eq!((read.tail(), read.full(), read.rewrite()), (Some(tail), Some(full), Some(progress)));
        assert!(!read.closing() && !read.counted());
        let hashing = Hashing { number: 15, tag: Tag::from_number(16), state: [17; HASH_STATE_SIZE] };
        assert_eq!(Hashing::decode(&hashing.encode()), Some(hashing));
        assert_eq!(Hashing::decode(&[0; HASHING_SIZE]), None);
    }

    #[test]
    fn what_was_never_written_is_no_record() {
        let read = StateHead(vec![0; RECORDS_SIZE]);
        assert_eq!((read.stage(), read.tail(), read.full(), read.rewrite()), (None, None, None, None));
    }
}
