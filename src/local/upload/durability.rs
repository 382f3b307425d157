//! The durability level of an upload, and its doubt.

use crate::api::error::Result;
use crate::api::options::Durability;
use crate::local::files::root::sync_parents;
use crate::local::files::sys;
use crate::local::upload::opened::Upload;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DOUBT_AT, LEVEL_AT, STATE};
use crate::rules::tag::Trust;

impl Upload<'_> {
    /// The level of this upload: the highest that any call has used.
    pub(crate) fn level(&self, records: &StateHead) -> Durability {
        records.level().max(self.home.options().durability)
    }

    /// Raises the upload's level to the store's, and syncs what was left unsynced at the lower level. That is done here
    /// for names and `state`. The call itself syncs the contents that it writes or finds.
    pub(crate) fn raise_level(&self, records: &StateHead) -> Result<()> {
        let level = self.home.options().durability;
        if level <= records.level() {
            return Ok(());
        }
        if level == Durability::Chunk {
            // This sync may fail on bytes that calls of the lower level wrote, and the call may die then.
            self.doubt()?;
            self.sync_state_and_names()?;
        }
        self.write(LEVEL_AT, &[level as u8])
    }

    pub(crate) fn sync_state(&self) -> Result<()> {
        self.dir.sync_file(STATE, &self.state).inspect_err(|_| drop(self.doubt()))
    }

    /// Sets the doubt: unsynced bytes may never reach the disk. Called before a sync, in case the call dies before it
    /// records a failure: the kernel reports a failure only once. See `confirm`.
    pub(crate) fn doubt(&self) -> Result<()> {
        // The byte may be lost with its page. The missing mark then shows the doubt.
        sys::mark_resident(&self.state, false);
        self.write(DOUBT_AT, &[1])
    }

    /// The tags that are trusted for content, by records that were read under a lock. In doubt, only bytes known to be
    /// on disk are trusted.
    pub(crate) fn content(&self, records: &StateHead) -> Trust {
        if records.doubt() { Trust::none() } else { self.trust }
    }

    /// Syncs `state`, the names in the directory, and the directory's own name.
    pub(crate) fn sync_state_and_names(&self) -> Result<()> {
        self.sync_state()?;
        self.dir.sync_names()?;
        sync_parents(self.home.root())
    }
}
