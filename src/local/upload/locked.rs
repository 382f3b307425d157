//! The locks on one upload: which call waits for which.

use std::fs::File;
use std::ops::Deref;

use crate::api::error::Result;
use crate::local::files::locks::Lock;
use crate::local::files::sys;
use crate::local::upload::opened::Upload;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{CLOSING_AT, DOUBT_AT, STAGE_AT};
use crate::rules::format::records::StageRecord;

/// An upload whose slots are all locked, so that no other call works on its chunks. Only locking gives a value of this
/// type.
pub(crate) struct LockedUpload<'a> {
    upload: &'a Upload<'a>,
    _all: Lock<'a>,
}

impl<'a> Deref for LockedUpload<'a> {
    type Target = Upload<'a>;

    fn deref(&self) -> &Upload<'a> {
        self.upload
    }
}

impl Upload<'_> {
    /// Locks one chunk's slot. If `records` show that a completer waits, the completer goes first.
    pub(crate) fn lock_slot(&self, records: &StateHead, number: u64) -> Result<Lock<'_>> {
        let fail = |error| self.state_error("cannot lock", error);
        if records.closing() {
            let gate = Lock::gate(&self.state).map_err(fail)?;
            // A live completer would hold the gate. So the mark, if it is still set, is a dead completer's.
            self.mark_closing(false)?;
            drop(gate);
        }
        Lock::slot(&self.state, number).map_err(fail)
    }

    /// Locks all slots, as a completer.
    pub(crate) fn lock_all(&self) -> Result<LockedUpload<'_>> {
        // If no other call holds a lock, the mark is not needed.
        let all = match self.try_lock_all()? {
            Some(all) => all,
            None => LockedUpload { upload: self, _all: self.wait_for_all()? },
        };
        self.reach("close:locked")?;
        Ok(all)
    }

    /// Waits for the calls that hold slots. The mark keeps new calls from overtaking.
    fn wait_for_all(&self) -> Result<Lock<'_>> {
        let fail = |error| self.state_error("cannot lock", error);
        let gate = Lock::gate(&self.state).map_err(fail)?;
        self.mark_closing(true)?;
        self.reach("close:marked")?;
        let slots = Lock::all_slots(&self.state, self.chunk_count()).map_err(fail)?;
        self.mark_closing(false)?;
        Ok(Lock::joined(gate, slots))
    }

    /// Locks all slots if no other call holds a lock on them or the gate.
    pub(crate) fn try_lock_all(&self) -> Result<Option<LockedUpload<'_>>> {
        let all = Lock::try_all(&self.state).map_err(|error| self.state_error("cannot lock", error))?;
        Ok(all.map(|all| LockedUpload { upload: self, _all: all }))
    }

    fn mark_closing(&self, closing: bool) -> Result<()> {
        self.write(CLOSING_AT, &[closing.into()])
    }
}

impl LockedUpload<'_> {
    pub(crate) fn write_stage(&self, record: StageRecord) -> Result<()> {
        self.write(STAGE_AT, &record.encode())
    }

    /// Ends the doubt. Called when all records and `content` are on disk.
    pub(crate) fn end_doubt(&self, content: &File) -> Result<()> {
        self.write(DOUBT_AT, &[0])?;
        sys::mark_resident(content, true);
        sys::mark_resident(&self.state, true);
        Ok(())
    }
}
