//! The kernel's locks on `state`: which call waits for which.
//!
//! A writer locks its chunk's slot and, while it moves the end of the tail, the tail. So chunks with different numbers
//! do not wait for each other's bytes. A completer needs all slots at once. The kernel's locks are not fair: eight
//! writers that come and go would keep a completer waiting for ever. So a completer first locks the gate and sets the
//! `closing` mark. A writer that finds the mark waits at the gate before it locks its slot. The present writers finish,
//! no new ones come, and the completer gets the slots. The order of locks is gate, slots, tail.
//!
//! The kernel releases a lock when its holder dies. If a completer dies and leaves the mark, the next writer takes the
//! gate once and removes the mark.

use std::fs::File;
use std::io;

use crate::local::files::sys;

/// Locked bytes need not exist. Slots are locked by number, and gate and tail are far above all numbers.
const GATE: u64 = 1 << 62;
const TAIL: u64 = GATE + 1;

/// A lock. Dropping it releases it.
///
/// Closing the file would not be enough. A child that another thread forked during the call shares the open file, and
/// would keep the lock until it execs or exits.
#[must_use]
pub(crate) struct Lock<'a> {
    state: &'a File,
    start: u64,
    length: u64,
}

impl<'a> Lock<'a> {
    fn wait(state: &'a File, start: u64, length: u64) -> io::Result<Lock<'a>> {
        sys::lock_range(state, start, length, false)?;
        Ok(Lock { state, start, length })
    }

    fn without_waiting(state: &'a File, start: u64, length: u64) -> io::Result<Option<Lock<'a>>> {
        Ok(sys::try_lock_range(state, start, length)?.then_some(Lock { state, start, length }))
    }

    pub(crate) fn try_gate(state: &'a File) -> io::Result<Option<Lock<'a>>> {
        Lock::without_waiting(state, GATE, 1)
    }

    /// Takes the gate and the slots of all chunks, if all are free.
    pub(crate) fn try_all(state: &'a File) -> io::Result<Option<Lock<'a>>> {
        Lock::without_waiting(state, 0, GATE + 1)
    }

    /// Joins the locks of the gate and all slots into one.
    pub(crate) fn joined(gate: Lock<'a>, slots: Lock<'a>) -> Lock<'a> {
        let state = gate.state;
        std::mem::forget((gate, slots));
        Lock { state, start: 0, length: GATE + 1 }
    }

    pub(crate) fn gate(state: &'a File) -> io::Result<Lock<'a>> {
        Lock::wait(state, GATE, 1)
    }

    pub(crate) fn slot(state: &'a File, number: u64) -> io::Result<Lock<'a>> {
        Lock::wait(state, number, 1)
    }

    pub(crate) fn try_slot(state: &'a File, number: u64) -> io::Result<Option<Lock<'a>>> {
        Lock::without_waiting(state, number, 1)
    }

    pub(crate) fn all_slots(state: &'a File, chunk_count: u64) -> io::Result<Lock<'a>> {
        Lock::wait(state, 0, chunk_count)
    }

    pub(crate) fn tail(state: &'a File) -> io::Result<Lock<'a>> {
        Lock::wait(state, TAIL, 1)
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // This cannot fail for a locked range. Closing the file releases the lock, too.
        let _ = sys::lock_range(self.state, self.start, self.length, true);
    }
}
