//! The kernel's locks on `state`: who waits for whom.
//!
//! A writer locks its chunk's slot and, for the moment it takes to move a number, the tail, so chunks of different
//! numbers never wait for each other. A completer needs all slots at once. The kernel's locks are not fair: eight
//! writers that come and go would keep a completer waiting for ever. So a completer first locks the gate and leaves the
//! `closing` mark; a writer that finds the mark waits at the gate before it locks its slot. The writers on their way
//! finish, no new ones come, and the completer gets its turn. Order: gate, slots, tail.
//!
//! A lock ends with its holder, however that dies; a mark left by a dead completer costs the next writer one look at
//! the gate.

use std::fs::File;
use std::io;

use crate::local::files::sys;

/// Locked bytes need not exist: slots are locked by number, the others far beyond them.
const GATE: u64 = 1 << 62;
const TAIL: u64 = GATE + 1;

/// A lock, released when dropped.
///
/// Released explicitly, before the file is closed: a child that another thread forked meanwhile shares the open file,
/// and closing it here would leave the lock with the child until that execs or exits.
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

    /// Takes the gate if it is free.
    pub(crate) fn try_gate(state: &'a File) -> io::Result<Option<Lock<'a>>> {
        Lock::without_waiting(state, GATE, 1)
    }

    /// Takes the gate and the slots of all chunks, if all are free.
    pub(crate) fn try_all(state: &'a File) -> io::Result<Option<Lock<'a>>> {
        Lock::without_waiting(state, 0, GATE + 1)
    }

    /// The gate and all slots, which are released together.
    pub(crate) fn joined(gate: Lock<'a>, slots: Lock<'a>) -> Lock<'a> {
        let state = gate.state;
        std::mem::forget((gate, slots));
        Lock { state, start: 0, length: GATE + 1 }
    }

    /// Waits for the gate.
    pub(crate) fn gate(state: &'a File) -> io::Result<Lock<'a>> {
        Lock::wait(state, GATE, 1)
    }

    /// Waits for one chunk's slot.
    pub(crate) fn slot(state: &'a File, number: u64) -> io::Result<Lock<'a>> {
        Lock::wait(state, number, 1)
    }

    /// Takes one chunk's slot if it is free.
    pub(crate) fn try_slot(state: &'a File, number: u64) -> io::Result<Option<Lock<'a>>> {
        Lock::without_waiting(state, number, 1)
    }

    /// Waits for the slots of all chunks.
    pub(crate) fn all_slots(state: &'a File, chunk_count: u64) -> io::Result<Lock<'a>> {
        Lock::wait(state, 0, chunk_count)
    }

    /// Waits for the right to move the tail.
    pub(crate) fn tail(state: &'a File) -> io::Result<Lock<'a>> {
        Lock::wait(state, TAIL, 1)
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Cannot fail for a range that was locked; and closing the file releases it in any case.
        let _ = sys::lock_range(self.state, self.start, self.length, true);
    }
}
