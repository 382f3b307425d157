//! What of an upload is on disk, or may not be.

use crate::api::error::Result;
use crate::api::options::Durability;
use crate::local::files::root::sync_parents;
use crate::local::files::sys;
use crate::local::upload::opened::Upload;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DOUBT_AT, LEVEL_AT, STATE};
use crate::rules::tag::Trust;

impl Upload<'_> {
    /// The level this upload has been promised, by any call.
    pub(crate) fn level(&self, records: &StateHead) -> Durability {
        records.level().max(self.home.options().durability)
    }

    /// Makes the store's level the upload's, if it is higher. What was left unsynced at a lower one is synced: names
    /// here, contents with what the call itself writes or finds in the same file.
    pub(crate) fn raise_level(&self, records: &StateHead) -> Result<()> {
        let level = self.home.options().durability;
        if level <= records.level() {
            return Ok(());
        }
        if level == Durability::Chunk {
            // The call may die of a failure to sync what calls of the lower level have written.
            self.doubt()?;
            self.sync_state_and_names()?;
        }
        self.write(LEVEL_AT, &[level as u8])
    }

    pub(crate) fn sync_state(&self) -> Result<()> {
        self.dir.sync_file(STATE, &self.state).inspect_err(|_| drop(self.doubt()))
    }

    /// Records that bytes which are not known to be on disk may never get there. Called before a sync, in case the call
    /// dies before it records the failure: the kernel reports a failure once. See `confirm`.
    pub(crate) fn doubt(&self) -> Result<()> {
        // The record may be lost with its page. The missing mark then shows the doubt.
        sys::mark_resident(&self.state, false);
        self.write(DOUBT_AT, &[1])
    }

    /// Which content may be trusted, by records that were read under a lock. In doubt, only what is known to be on
    /// disk.
    pub(crate) fn content(&self, records: &StateHead) -> Trust {
        if records.doubt() { Trust::none() } else { self.trust }
    }

    /// Syncs `state`, the names in the directory, and the directory's own.
    pub(crate) fn sync_state_and_names(&self) -> Result<()> {
        self.sync_state()?;
        self.dir.sync_names()?;
        sync_parents(self.home.root())
    }
}
