//! Lists the uploads of a store.

use crate::api::answers::Listed;
use crate::api::error::{Error, Result};
use crate::local::calls::entries::Entries;
use crate::local::calls::inspect;
use crate::local::home::Home;
use crate::local::upload::opened::Upload;

/// The uploads of a store, one after the other. See [`Store::list`](crate::Store::list).
pub struct List {
    home: Home,
    entries: Entries,
}

impl List {
    pub(crate) fn of(home: &Home) -> Result<List> {
        Ok(List { entries: Entries::of(home)?, home: home.clone() })
    }
}

impl Iterator for List {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Result<Listed>> {
        loop {
            let listed = match self.entries.next()? {
                Ok(entry) if entry.aside => continue,
                Ok(entry) => {
                    Upload::open_at(&self.home, entry.root, entry.uid).and_then(|upload| inspect::listed(&upload))
                }
                Err(error) => Err(error),
            };
            // The upload was removed meanwhile, is being made, or belongs to another owner.
            if !matches!(listed, Err(Error::NotFound { .. })) {
                return Some(listed);
            }
        }
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List").field("store", &self.home).finish_non_exhaustive()
    }
}
