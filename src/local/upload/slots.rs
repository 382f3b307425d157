//! Reads and writes the slots of `state`.

use std::os::unix::fs::FileExt;

use crate::api::error::Result;
use crate::api::options::Durability;
use crate::local::upload::opened::Upload;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::SLOT_SIZE;
use crate::rules::placement::Slot;

/// The most slots in a block. Slots are read in blocks, so that memory does not grow with the table.
const LARGEST_BLOCK: u64 = 2048;
/// The first block is small: most visits that do not start with the first slot end at once.
const FIRST_BLOCK: u64 = 64;

impl Upload<'_> {
    /// The slot that was read with `records`; otherwise the slot as it is now.
    pub(crate) fn slot_in(&self, records: &StateHead, number: u64) -> Result<Slot> {
        match records.slots(&self.header, number..number + 1) {
            Some(mut slots) => Ok(slots.next().expect("one slot")),
            None => self.slot(number),
        }
    }

    pub(crate) fn slot(&self, number: u64) -> Result<Slot> {
        let mut bytes = [0; SLOT_SIZE as usize];
        self.state
            .read_exact_at(&mut bytes, self.header.slot_at(number))
            .map_err(|error| self.state_error("cannot read", error))?;
        Ok(Slot::decode(&bytes))
    }

    pub(crate) fn write_slot(&self, number: u64, slot: &Slot) -> Result<()> {
        self.write(self.header.slot_at(number), &slot.encode())
    }

    /// Marks the chunk as missing until it is recorded again. The slot keeps the place of `slot`.
    pub(crate) fn clear_slot(&self, records: &StateHead, number: u64, held: &Slot, slot: &Slot) -> Result<()> {
        self.write_slot(number, &held.cleared_for(slot))?;
        self.settle_cleared(records, number, held)
    }

    /// The steps after the slot `held` is cleared.
    pub(crate) fn settle_cleared(&self, records: &StateHead, number: u64, held: &Slot) -> Result<()> {
        if records.lowers_full(number, held) {
            self.write_full(number)?;
        }
        // A record that is trusted after power loss must leave the disk before its bytes are touched.
        if self.level(records) == Durability::Chunk || held.may_be_synced_on_disk() {
            self.sync_state()?;
        }
        Ok(())
    }

    /// As [`Upload::for_each_slot`], but uses the slots that were read with `records`, if there are any.
    pub(crate) fn for_each_slot_in(
        &self,
        records: &StateHead,
        first: u64,
        mut visit: impl FnMut(u64, Slot) -> Result<bool>,
    ) -> Result<()> {
        let Some(slots) = records.slots(&self.header, first..self.chunk_count()) else {
            return self.for_each_slot(first, visit);
        };
        for (number, slot) in (first..).zip(slots) {
            if !visit(number, slot)? {
                break;
            }
        }
        Ok(())
    }

    /// Visits the slots from `first` on, in order, until `visit` returns false.
    pub(crate) fn for_each_slot(&self, first: u64, mut visit: impl FnMut(u64, Slot) -> Result<bool>) -> Result<()> {
        let (mut number, mut at_once) = (first, FIRST_BLOCK);
        let mut block = Vec::new();
        while number < self.chunk_count() {
            let count = at_once.min(self.chunk_count() - number);
            block.resize((count * SLOT_SIZE) as usize, 0);
            self.state
                .read_exact_at(&mut block, self.header.slot_at(number))
                .map_err(|error| self.state_error("cannot read", error))?;
            for slot in block.chunks_exact(SLOT_SIZE as usize) {
                if !visit(number, Slot::decode(slot))? {
                    return Ok(());
                }
                number += 1;
            }
            at_once = LARGEST_BLOCK;
        }
        Ok(())
    }
}
