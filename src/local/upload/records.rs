//! Reads and writes the records of `state`.

use std::os::unix::fs::FileExt;

use crate::api::error::Result;
use crate::local::upload::opened::Upload;
use crate::local::upload::read_head::{READ_AT_ONCE, damaged, read_records};
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{COUNTED_AT, FULL_AT, HASHING_AT, RECORDS_SIZE, REWRITE_AT, TAIL_AT};
use crate::rules::format::records::{HASHING_SIZE, Hashing, Mark, Progress, StageRecord};
use crate::rules::tag::Tag;

impl Upload<'_> {
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.state.write_all_at(bytes, at).map_err(|error| self.state_error("cannot write", error))
    }

    pub(crate) fn records(&self) -> Result<StateHead> {
        read_records(&self.dir, &self.state, RECORDS_SIZE)
    }

    /// Reads the records, and all slots if the table is short.
    pub(crate) fn records_and_slots(&self) -> Result<StateHead> {
        let short = self.header.state_size().is_some_and(|size| size <= READ_AT_ONCE as u64);
        read_records(&self.dir, &self.state, if short { READ_AT_ONCE } else { RECORDS_SIZE })
    }

    /// The stage of records that were read under a lock.
    pub(crate) fn stage_of(&self, records: &StateHead) -> Result<StageRecord> {
        records.stage().ok_or_else(|| damaged(&self.dir, "its stage fails its checksum"))
    }

    pub(crate) fn write_tail(&self, end: u64, tag: Tag) -> Result<()> {
        self.write(TAIL_AT, &Mark { value: end, tag }.encode())
    }

    /// The number of chunks, from the first on, that the table held at one moment.
    pub(crate) fn known_full(&self, records: &StateHead) -> u64 {
        // An equal tag is enough, even one that is never trusted: this is a hint.
        let same_tag = records.full().filter(|full| full.tag == self.trust.tag());
        same_tag.map_or(0, |full| full.value.min(self.chunk_count()))
    }

    pub(crate) fn write_full(&self, count: u64) -> Result<()> {
        self.write(FULL_AT, &Mark { value: count, tag: self.trust.tag() }.encode())
    }

    pub(crate) fn write_progress(&self, number: u64, offset: u64) -> Result<()> {
        self.write(REWRITE_AT, &Progress { number, offset, tag: self.trust.tag() }.encode())
    }

    /// Forgets how far a rewrite came: the next one copies from the first chunk on.
    pub(crate) fn forget_progress(&self) -> Result<()> {
        self.write(REWRITE_AT, &[0; 32])
    }

    /// How far the whole file's hash has been computed.
    pub(crate) fn hashing(&self) -> Result<Option<Hashing>> {
        let mut bytes = [0; HASHING_SIZE];
        self.state.read_exact_at(&mut bytes, HASHING_AT).map_err(|error| self.state_error("cannot read", error))?;
        Ok(Hashing::decode(&bytes))
    }

    pub(crate) fn write_hashing(&self, record: &Hashing) -> Result<()> {
        self.write(HASHING_AT, &record.encode())
    }

    /// Forgets copies and hashes that include this chunk.
    pub(crate) fn forget_progress_with(&self, records: &StateHead, number: u64) -> Result<()> {
        if records.rewrite().is_some_and(|done| done.number > number) {
            self.forget_progress()?;
        }
        if self.header.expected.sha256.is_some() && self.hashing()?.is_some_and(|done| done.number > number) {
            self.write(HASHING_AT, &[0; HASHING_SIZE])?;
        }
        Ok(())
    }

    /// Whether the upload is in the store's sum now.
    pub(crate) fn counted(&self) -> Result<bool> {
        self.records().map(|records| records.counted())
    }

    pub(crate) fn write_counted(&self, counted: bool) -> Result<()> {
        self.write(COUNTED_AT, &[counted.into()])
    }
}
