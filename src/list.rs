//! What is in a store.

use std::fs::ReadDir;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::create::ASIDE;
use crate::directory::{Directory, Root};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::upload::Upload;
use crate::{Listed, Uid, inspect};

/// The directories in a store that have the name of an upload. Other entries are skipped, and so are those of other
/// users.
pub(crate) struct Entries {
    /// `None` if the store does not exist.
    names: Option<(Root, ReadDir)>,
    root: PathBuf,
    prefix: String,
}

/// One such directory.
pub(crate) struct Entry {
    pub uid: Uid,
    pub path: PathBuf,
    /// Whether it is one in which an upload is, or was, being built aside.
    pub aside: bool,
    root: Root,
}

impl Entry {
    pub(crate) fn open(&self) -> Result<Option<Directory>> {
        self.root.open(self.path.clone())
    }
}

impl Entries {
    pub(crate) fn of(store: &Store) -> Result<Entries> {
        let names = match store.examine_root()? {
            None => None,
            Some(root) => match std::fs::read_dir(store.root()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                result => Some((root, result.map_err(|error| Error::os("cannot list", store.root(), error))?)),
            },
        };
        Ok(Entries { names, root: store.root().to_owned(), prefix: store.options().prefix.clone() })
    }

    fn entry(&self, root: Root, name: &[u8]) -> Option<Entry> {
        let (uid, aside) = parse_name(&self.prefix, name)?;
        let path = self.root.join(std::ffi::OsStr::from_bytes(name));
        // Where other users cannot make files, nothing is checked.
        let admitted = root.admits_all()
            || path.symlink_metadata().is_ok_and(|metadata| root.admits(metadata.uid(), metadata.mode()));
        admitted.then_some(Entry { uid, path, aside, root })
    }
}

/// The uid in the name of an upload's directory, and whether it is, or was, being built aside.
fn parse_name(prefix: &str, name: &[u8]) -> Option<(Uid, bool)> {
    let rest = name.strip_prefix(prefix.as_bytes())?;
    let digits = rest.strip_suffix(ASIDE.as_bytes());
    let uid = Uid::parse(std::str::from_utf8(digits.unwrap_or(rest)).ok()?).ok()?;
    Some((uid, digits.is_some()))
}

/// Whether a directory of this name is an upload's.
pub(crate) fn names_upload(store: &Store, name: &[u8]) -> bool {
    parse_name(&store.options().prefix, name).is_some()
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        loop {
            let (root, names) = self.names.as_mut()?;
            let root = *root;
            match names.next()? {
                Ok(name) => {
                    if let Some(entry) = self.entry(root, name.file_name().as_bytes()) {
                        return Some(Ok(entry));
                    }
                }
                Err(error) => {
                    // What follows an error is not defined.
                    self.names = None;
                    return Some(Err(Error::os("cannot list", &self.root, error)));
                }
            }
        }
    }
}

/// The uploads of a store, one after the other. See [`Store::list`].
pub struct List {
    store: Store,
    entries: Entries,
}

impl List {
    pub(crate) fn of(store: &Store) -> Result<List> {
        Ok(List { entries: Entries::of(store)?, store: store.clone() })
    }
}

impl Iterator for List {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Result<Listed>> {
        loop {
            let listed = match self.entries.next()? {
                Ok(entry) if entry.aside => continue,
                Ok(entry) => {
                    Upload::open_at(&self.store, entry.root, entry.uid).and_then(|upload| inspect::listed(&upload))
                }
                Err(error) => Err(error),
            };
            // Removed in between, half-made, or another owner's.
            if !matches!(listed, Err(Error::NotFound { .. })) {
                return Some(listed);
            }
        }
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List").field("store", &self.store).finish_non_exhaustive()
    }
}
