//! The directory of the store: its owner, which files in it may be used, and making it.

use std::ffi::CStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::api::error::{Error, Result, errno};
use crate::local::files::directory::{Directory, open_directory};
use crate::local::files::sys;
use crate::local::files::sys::Status;

/// The store's directory when this call examined it. It decides which users' files the call may use.
///
/// Every upload and every record of the store is opened through `Root`. If all users can make files in the store,
/// another user could make a file before the store does. Then the call uses only files of its own user and of root.
#[derive(Clone, Copy)]
pub(crate) struct Root {
    owner: u32,
    group: u32,
    mode: u32,
    /// Whether users outside the directory's group can make files in it.
    open_to_others: bool,
}

const OTHERS_WRITE: u32 = 0o002;

impl Root {
    /// `None` if there is no directory. Refuses a symbolic link. Also refuses a directory into which all users can
    /// write, if it is not sticky (as `/tmp` is) or belongs to another user: another user could put a file in the place
    /// of an upload. Such a directory is allowed if `dir_mode` lets all users write.
    pub(crate) fn examine(path: &Path, dir_mode: u32) -> Result<Option<Root>> {
        const STICKY: u32 = 0o1000;
        let metadata = match path.symlink_metadata() {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(None),
            result => result.map_err(|error| Error::os("cannot examine", path, error))?,
        };
        if metadata.is_symlink() {
            return Err(refused("a symbolic link has replaced the store:", path));
        }
        let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
        let open_to_others = mode & OTHERS_WRITE != 0 && dir_mode & OTHERS_WRITE == 0;
        if open_to_others && mode & STICKY == 0 {
            return Err(refused("all users can write into the store, and it is not sticky:", path));
        }
        if open_to_others && !is_trusted(owner) {
            return Err(refused("all users can write into the store, and it belongs to another user:", path));
        }
        Ok(Some(Root { owner, group, mode, open_to_others }))
    }

    /// Refuses a store's directory that another user made below a directory like `/tmp`, unless that user shares it
    /// with a group of the caller. Called where a planted directory could do harm: when the store is opened, when a key
    /// is used, and when an upload begins.
    pub(crate) fn check_owner(self, path: &Path) -> Result<()> {
        const GROUP_WRITES: u32 = 0o020;
        let is_public = |above: &Metadata| above.mode() & OTHERS_WRITE != 0;
        // Below a directory of the caller or of root, no other user can have made it.
        let in_public = || {
            let mut above = path.ancestors().skip(1).filter_map(|above| above.symlink_metadata().ok());
            above.find(|above| is_public(above) || is_trusted(above.uid())).is_some_and(|above| is_public(&above))
        };
        let shared = || self.mode & GROUP_WRITES != 0 && sys::is_in_group(self.group);
        if is_trusted(self.owner) || !in_public() || shared() {
            return Ok(());
        }
        Err(refused("another user made the store in a directory into which all users can write:", path))
    }

    /// Whether the caller may use a file or directory with this owner and mode that is in the store.
    pub(crate) fn admits(self, owner: u32, mode: u32) -> bool {
        !self.open_to_others || (is_trusted(owner) && mode & OTHERS_WRITE == 0)
    }

    pub(crate) fn admits_all(self) -> bool {
        !self.open_to_others
    }

    /// Opens the directory of an upload. `None` if there is no directory at the path.
    pub(crate) fn open(self, path: PathBuf) -> Result<Option<Directory>> {
        let Some(dir) = Directory::open(path)? else { return Ok(None) };
        if self.open_to_others {
            let metadata = dir.handle.metadata().map_err(|error| Error::os("cannot examine", &dir.path, error))?;
            if !self.admits(metadata.uid(), metadata.mode()) {
                return Err(refused("cannot use (another user made or can change it)", &dir.path));
            }
        }
        Ok(Some(dir))
    }

    /// Opens a file of the store itself. `None` if there is none.
    pub(crate) fn open_record(self, path: &Path, options: &OpenOptions) -> Result<Option<(File, Status)>> {
        let file = match options.clone().custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(|error| Error::os("cannot open", path, error))?,
        };
        let status = sys::status(&file).map_err(|error| Error::os("cannot examine", path, error))?;
        if !status.is_file {
            return Err(refused("cannot use (it is not a regular file)", path));
        }
        // A second name could be a link that another user made to a file of the caller.
        if !self.admits(status.owner, status.mode) || (self.open_to_others && status.links > 1) {
            return Err(refused("cannot use (another user made or can change it)", path));
        }
        Ok(Some((file, status)))
    }
}

pub(crate) fn is_trusted(user: u32) -> bool {
    user == 0 || user == sys::effective_user()
}

pub(crate) fn refused(action: &str, path: &Path) -> Error {
    Error::os(action, path, errno(libc::EPERM))
}

/// Whether the directory `path`, or the file `name` in it, belongs to another user, as far as the caller can tell.
pub(crate) fn is_foreign(path: &Path, name: &CStr) -> bool {
    let own = sys::effective_user();
    let file = path.join(name.to_str().expect("the names above are ASCII"));
    [path, &file].into_iter().any(|path| path.symlink_metadata().is_ok_and(|there| there.uid() != own))
}

/// Makes the store's directory if it does not exist. Makes only its last component: a missing parent is a mistake in
/// the path, or a volume that is not mounted.
pub(crate) fn make_root(root: &Path, mode: u32) -> Result<()> {
    match make_directory(root, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // On a read-only file system mkdir(2) may report this for an existing directory. The call finds out later
        // whether it needs to write.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && root.is_dir() => Ok(()),
        result => result.map(drop).map_err(|error| Error::os("cannot make the store", root, error)),
    }
}

/// Makes a directory with exactly this mode, whatever the umask.
pub(crate) fn make_directory(path: &Path, mode: u32) -> io::Result<File> {
    DirBuilder::new().mode(mode & 0o700).create(path)?;
    let open = || match open_directory(path) {
        Ok(directory) if sys::status(&directory)?.mode == mode => Ok(directory),
        _ => {
            // Sets the mode by path, because the umask may have left a directory that its owner cannot open.
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
            open_directory(path)
        }
    };
    open().inspect_err(|_| {
        let _ = std::fs::remove_dir(path);
    })
}

/// Syncs the store's directory and the directory above it, which has its name.
pub(crate) fn sync_parents(root: &Path) -> Result<()> {
    let sync = |path: &Path| File::open(path).and_then(|dir| dir.sync_all());
    sync(root).map_err(|error| Error::os("cannot sync", root, error))?;
    match root.parent().map(sync) {
        // A user who may not read the directory above cannot sync it, and has not made the root in it.
        Some(Err(error)) if error.raw_os_error() != Some(libc::EACCES) => {
            Err(Error::os("cannot sync the directory above", root, error))
        }
        _ => Ok(()),
    }
}
