//! The upload directories in a store.

use std::fs::ReadDir;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::api::error::{Error, Result};
use crate::api::uid::Uid;
use crate::local::files::directory::Directory;
use crate::local::files::root::Root;
use crate::local::home::Home;

/// The end of the directory's name while an upload is built outside its place.
pub(crate) const ASIDE: &str = ".new";

/// The directories in a store that have the name of an upload. Other entries are skipped, and so are directories of
/// other users in a store that is open to all users.
pub(crate) struct Entries {
    /// `None` if the store does not exist.
    names: Option<(Root, ReadDir)>,
    root: PathBuf,
    prefix: String,
}

/// A directory that has the name of an upload.
pub(crate) struct Entry {
    pub uid: Uid,
    pub path: PathBuf,
    /// Whether its name ends with [`ASIDE`]: an upload is, or was, built in it.
    pub aside: bool,
    pub root: Root,
}

impl Entry {
    pub(crate) fn open(&self) -> Result<Option<Directory>> {
        self.root.open(self.path.clone())
    }
}

impl Entries {
    pub(crate) fn of(home: &Home) -> Result<Entries> {
        let names = match home.examine_root()? {
            None => None,
            Some(root) => match std::fs::read_dir(home.root()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                result => Some((root, result.map_err(|error| Error::os("cannot list", home.root(), error))?)),
            },
        };
        Ok(Entries { names, root: home.root().to_owned(), prefix: home.options().prefix.clone() })
    }

    fn entry(&self, root: Root, name: &[u8]) -> Option<Entry> {
        let (uid, aside) = parse_name(&self.prefix, name)?;
        let path = self.root.join(std::ffi::OsStr::from_bytes(name));
        // If other users cannot make files in the store, no check is needed.
        let admitted = root.admits_all()
            || path.symlink_metadata().is_ok_and(|metadata| root.admits(metadata.uid(), metadata.mode()));
        admitted.then_some(Entry { uid, path, aside, root })
    }
}

/// The uid in the name of an upload's directory, and whether the name ends with [`ASIDE`].
fn parse_name(prefix: &str, name: &[u8]) -> Option<(Uid, bool)> {
    let rest = name.strip_prefix(prefix.as_bytes())?;
    let digits = rest.strip_suffix(ASIDE.as_bytes());
    let uid = Uid::parse(std::str::from_utf8(digits.unwrap_or(rest)).ok()?).ok()?;
    Some((uid, digits.is_some()))
}

pub(crate) fn names_upload(home: &Home, name: &[u8]) -> bool {
    parse_name(&home.options().prefix, name).is_some()
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
                    // The behaviour of the iterator after an error is not defined.
                    self.names = None;
                    return Some(Err(Error::os("cannot list", &self.root, error)));
                }
            }
        }
    }
}
