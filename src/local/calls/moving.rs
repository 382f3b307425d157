//! Moves a finished file to its destination: by a rename, or as a copy across file systems.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::api::error::{Error, Result, errno};
use crate::local::calls::claim_record::{Birth, Claim, Way, discard, part_path, place_of};
use crate::local::files::directory::Directory;
use crate::local::files::{read, sys};
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::rules::format::layout::FILE;
use crate::rules::format::records::{Stage, StageRecord};

pub(crate) struct Moving<'a> {
    pub upload: &'a LockedUpload<'a>,
    pub record: StageRecord,
    pub destination: &'a Path,
    pub overwrite: bool,
    /// Whether the moved file is to survive power loss.
    pub durable: bool,
}

impl Moving<'_> {
    pub(crate) fn failed(&self, error: io::Error) -> Error {
        Error::os("cannot move an upload to", self.destination, error)
    }

    pub(crate) fn reach(&self, step: &'static str) -> Result<()> {
        self.upload.reach(step)
    }

    pub(crate) fn source(&self) -> Result<File> {
        self.upload.dir.open_file(FILE)?.ok_or_else(|| self.upload.vanished())
    }

    /// Whether the file at this destination has the file's size and checksum. The inode alone proves nothing: another
    /// file may have it now, and the original is removed next.
    pub(crate) fn is_whole_at(&self, destination: &Path) -> bool {
        let total = self.upload.header.shape.total_size;
        open_unfollowed(destination).is_ok_and(|copy| {
            copy.metadata().is_ok_and(|there| there.len() == total)
                && read::checksum(&copy, 0, total, &mut Vec::new(), |_| Ok(()))
                    .is_ok_and(|crc32c| crc32c == Some(self.record.crc32c))
        })
    }

    /// Syncs a copy that has appeared, before the original is removed. If an earlier sync may have failed, the copy is
    /// read from the disk.
    pub(crate) fn sync_delivered(&self, copy: &File, destination: &Path) -> Result<()> {
        let failed = |error| Error::os("cannot sync", destination, error);
        let resident = sys::resident(copy) != Some(false);
        sys::mark_resident(copy, false);
        copy.sync_all().map_err(failed)?;
        if !resident {
            sys::drop_from_cache(copy, 0, self.upload.header.shape.total_size);
        }
        if resident || self.is_whole_at(destination) { Ok(()) } else { Err(failed(errno(libc::EIO))) }
    }

    /// Whether a copy has appeared, though `file` is still there.
    pub(crate) fn was_delivered(&self, claim: &Claim) -> bool {
        let has_appeared = || claim.has_appeared(self.upload.header.shape.total_size);
        match claim.way {
            Way::Renamed(_) => false,
            Way::Whole { place, .. } if self.is_in_place(&claim.destination, place) => {
                match std::fs::symlink_metadata(part_path(&claim.destination, &self.upload.dir)) {
                    // If a link is used instead of the rename, part and copy are both there for a moment.
                    Ok(_) => has_appeared(),
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                }
            }
            Way::Whole { .. } | Way::Copying { .. } => has_appeared() && self.is_whole_at(&claim.destination),
        }
    }

    pub(crate) fn is_in_place(&self, destination: &Path, place: u32) -> bool {
        [true, false].iter().any(|&synced| place_of(destination, self.upload.home, synced) == Some(place))
    }

    /// Moves the file within one file system.
    pub(crate) fn rename(&self) -> Result<()> {
        let file = self.source()?.metadata().map_err(|error| self.failed(error))?;
        self.write_claim(file.ino(), Way::Renamed(Birth::of(&file)), self.durable)?;
        self.reach("move:claimed")?;
        match self.appear(&self.upload.dir, FILE.to_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => self.copy(None),
            Err(error) => {
                discard(&self.upload.dir)?;
                Err(self.failed(error))
            }
            Ok(()) => {
                self.reach("move:renamed")?;
                if self.durable {
                    sync_directory_of(self.destination)?;
                }
                self.mark_gone()
            }
        }
    }

    pub(crate) fn write_claim(&self, inode: u64, way: Way, durable: bool) -> Result<Claim> {
        let claim = Claim { destination: self.destination.to_owned(), inode, way };
        claim.write(&self.upload.dir, self.upload.home.options().state_mode(), durable)?;
        Ok(claim)
    }

    /// Renames `name` in `dir` to the destination. Without `overwrite`, fails if the destination exists.
    pub(crate) fn appear(&self, dir: &Directory, name: &[u8]) -> io::Result<()> {
        let (from, to) = (CString::new(name)?, CString::new(self.destination.as_os_str().as_bytes())?);
        if self.overwrite {
            return sys::rename_to(&dir.handle, &from, &to);
        }
        let from_path = dir.path.join(OsStr::from_bytes(name));
        let inode = |path: &Path| std::fs::symlink_metadata(path).map(|there| (there.dev(), there.ino())).ok();
        match sys::rename_to_new(&dir.handle, &from, &to) {
            // This file system cannot rename without replacing. A link does not replace a file either.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                match std::fs::hard_link(&from_path, self.destination) {
                    // A killed call made this link.
                    Err(error)
                        if error.raw_os_error() == Some(libc::EEXIST)
                            && inode(&from_path) == inode(self.destination) => {}
                    result => result?,
                }
                sys::unlink_at(&dir.handle, &from)
            }
            result => result,
        }
    }

    /// Removes the original, after the copy appeared at its destination.
    pub(crate) fn finish(&self, destination: &Path) -> Result<()> {
        if self.durable {
            sync_directory_of(destination)?;
        }
        self.upload.dir.remove(FILE)?;
        self.reach("move:dropped")?;
        self.mark_gone()
    }

    pub(crate) fn mark_gone(&self) -> Result<()> {
        self.upload.write_stage(StageRecord { stage: Stage::Gone, ..self.record })?;
        if self.durable {
            self.upload.sync_state()?;
            self.upload.dir.sync_names()?;
        }
        self.reach("move:marked")
    }
}

/// Opens the file at a destination, where another program may have put a symbolic link, or a FIFO, on which opening
/// would wait.
pub(crate) fn open_unfollowed(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

pub(crate) fn sync_directory_of(destination: &Path) -> Result<()> {
    let parent = destination.parent().unwrap_or(Path::new("/"));
    match File::open(parent).and_then(|dir| dir.sync_all()) {
        // A directory that the caller may write but not read cannot be opened, and so not synced.
        Err(error) if error.raw_os_error() != Some(libc::EACCES) => Err(Error::os("cannot sync", parent, error)),
        _ => Ok(()),
    }
}

/// Syncs the move of a file.
pub(crate) fn sync_move(upload: &Upload<'_>, destination: &Path) -> Result<()> {
    sync_directory_of(destination)?;
    upload.sync_state()?;
    upload.dir.sync_names()
}
