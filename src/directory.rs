//! The directory of one upload, and the files in it.

use std::ffi::CStr;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result, errno};
use crate::seam;
use crate::sys::{self, Status};

/// The header and the table.
pub(crate) const STATE: &CStr = c"state";
/// The bytes while receiving.
pub(crate) const DATA: &CStr = c"data";
/// The chunks copied into order, when they did not arrive in place.
pub(crate) const ORDERED: &CStr = c"ordered";
/// The finished upload.
pub(crate) const FILE: &CStr = c"file";

/// Outside cleaners go by the directory's modification time; moving it more often would cost for nothing.
const TOUCH_INTERVAL: Duration = Duration::from_secs(1);

/// Where the finished upload is going, or went.
pub(crate) const CLAIM: &CStr = c"claim";
/// The next claim, while it is written.
pub(crate) const NEW_CLAIM: &CStr = c"claim.new";

/// An open directory: what is looked up in it stays in it, whatever happens to its name.
pub(crate) struct Directory {
    pub handle: File,
    pub path: PathBuf,
}

/// `path` as a directory, not through a symbolic link.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

/// The store's directory as this call found it. It decides which users' files the call may use.
///
/// Every upload and every record of the store is opened through this. If all users can make files in the store, another
/// user could make a file before the store does. Then the call uses only files of its own user and of root.
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
            return Err(refused("a symbolic link is in the place of the store:", path));
        }
        let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
        let open_to_others = mode & OTHERS_WRITE != 0 && dir_mode & OTHERS_WRITE == 0;
        if open_to_others && mode & STICKY == 0 {
            return Err(refused("anybody can write into the store, and it is not sticky:", path));
        }
        if open_to_others && !is_trusted(owner) {
            return Err(refused("anybody can write into the store, and it belongs to another user:", path));
        }
        Ok(Some(Root { owner, group, mode, open_to_others }))
    }

    /// Refuses a store's directory that another user made below a directory like `/tmp`, unless that user shares it
    /// with a group of the caller. Called where a planted directory could do harm: when the store is opened, a key is
    /// used, or an upload begins.
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
        Err(refused("another user made the store in a directory that anybody can write into:", path))
    }

    /// Whether the caller may use a file or directory with this owner and mode that is in the store.
    pub(crate) fn admits(self, owner: u32, mode: u32) -> bool {
        !self.open_to_others || (is_trusted(owner) && mode & OTHERS_WRITE == 0)
    }

    /// Whether the caller may use all files in the store.
    pub(crate) fn admits_all(self) -> bool {
        !self.open_to_others
    }

    /// Opens the directory of an upload. `None` if there is none, or if there is something else.
    pub(crate) fn open(self, path: PathBuf) -> Result<Option<Directory>> {
        let Some(dir) = Directory::open(path)? else { return Ok(None) };
        if self.open_to_others {
            let metadata = dir.handle.metadata().map_err(|error| Error::os("cannot examine", &dir.path, error))?;
            if !self.admits(metadata.uid(), metadata.mode()) {
                return Err(refused("another user made or can change", &dir.path));
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
            return Err(refused("cannot use (it is no regular file)", path));
        }
        // A second name could be a link that another user made to a file of the caller.
        if !self.admits(status.owner, status.mode) || (self.open_to_others && status.links > 1) {
            return Err(refused("another user made or can change", path));
        }
        Ok(Some((file, status)))
    }
}

/// Whether this user is the caller's or root.
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

impl Directory {
    /// `None` if there is none, or if there is something else. Directories of uploads are opened by [`Root::open`].
    pub(crate) fn open(path: PathBuf) -> Result<Option<Directory>> {
        match open_directory(&path) {
            Ok(handle) => Ok(Some(Directory { handle, path })),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(None),
                _ => Err(Error::os("cannot open", path, error)),
            },
        }
    }

    /// The same directory, whatever stands at its name.
    pub(crate) fn try_clone(&self) -> Result<Directory> {
        let handle = self.handle.try_clone().map_err(|error| Error::os("cannot open", &self.path, error))?;
        Ok(Directory { handle, path: self.path.clone() })
    }

    /// Whether it still stands where it was opened.
    pub(crate) fn is_at_its_path(&self) -> Result<bool> {
        let own = self.handle.metadata().map_err(|error| Error::os("cannot examine", &self.path, error))?;
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::os("cannot examine", &self.path, error)),
        }
    }

    /// Where one of its files lies.
    pub(crate) fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(name.to_str().expect("the names above are ASCII"))
    }

    /// An error that concerns one of its files.
    pub(crate) fn error(&self, action: &str, name: &CStr, error: io::Error) -> Error {
        let error = match error.raw_os_error() {
            // The file system turned read-only during the call, so the file is open for reading: see `open_file`.
            Some(libc::EBADF) => io::Error::from_raw_os_error(libc::EROFS),
            _ => error,
        };
        Error::os(action, self.path_of(name), error)
    }

    /// Opens a file for reading and writing; `None` if there is none. On a read-only file system the file is opened for
    /// reading. Calls that only read succeed there. All others need a lock, which is refused with `EROFS`.
    pub(crate) fn open_file(&self, name: &CStr) -> Result<Option<File>> {
        // With this flag, opening a FIFO does not wait; it has no effect on regular files.
        let open = |access| sys::open_at(&self.handle, name, access | libc::O_NONBLOCK, 0);
        let opened = match open(libc::O_RDWR) {
            Err(error) if error.raw_os_error() == Some(libc::EROFS) => open(libc::O_RDONLY),
            result => result,
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(self.error("cannot open", name, error)),
        }
    }

    /// Makes a new file with just this mode, whatever the umask.
    pub(crate) fn create_file(&self, name: &CStr, mode: u32) -> Result<File> {
        let file = self.create_file_under_umask(name, mode)?;
        let status = sys::status(&file).map_err(|error| self.error("cannot examine", name, error))?;
        self.undo_umask(name, &file, &status, mode)?;
        Ok(file)
    }

    /// Makes a new file whose mode may lack what the umask forbids; [`Directory::undo_umask`] completes it.
    pub(crate) fn create_file_under_umask(&self, name: &CStr, mode: u32) -> Result<File> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        sys::open_at(&self.handle, name, flags, mode).map_err(|error| self.error("cannot create", name, error))
    }

    /// Gives a new file just this mode, if `status` shows another. Mostly it has the right one, and no call is made.
    pub(crate) fn undo_umask(&self, name: &CStr, file: &File, status: &Status, mode: u32) -> Result<()> {
        if status.mode == mode {
            return Ok(());
        }
        let set = file.set_permissions(Permissions::from_mode(mode));
        set.map_err(|error| self.error("cannot set the mode of", name, error))
    }

    /// The size of a file that is there.
    pub(crate) fn file_size(&self, name: &CStr) -> Result<Option<u64>> {
        match sys::status_at(&self.handle, name) {
            Ok(status) => Ok(status.is_file.then_some(status.size)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(self.error("cannot examine", name, error)),
        }
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &CStr) -> Result<bool> {
        self.file_size(name).map(|size| size.is_some())
    }

    /// Renames a file, replacing what is there.
    pub(crate) fn rename(&self, from: &CStr, to: &CStr) -> Result<()> {
        sys::rename_at(&self.handle, from, to).map_err(|error| self.error("cannot rename", from, error))
    }

    /// Removes a file, if there is one.
    pub(crate) fn remove(&self, name: &CStr) -> Result<()> {
        match sys::unlink_at(&self.handle, name) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(self.error("cannot remove", name, error)),
            _ => Ok(()),
        }
    }

    /// Puts on disk what was written to one of its files.
    pub(crate) fn sync_file(&self, name: &CStr, file: &File) -> Result<()> {
        let done =
            file.sync_data().inspect_err(|_| drop(seam::reach("failed:sync"))).and_then(|()| seam::reach(synced(name)));
        done.map_err(|error| self.error("cannot sync", name, error))
    }

    /// Puts on disk which files there are.
    pub(crate) fn sync_names(&self) -> Result<()> {
        let done = self.handle.sync_all().and_then(|()| seam::reach("synced:names"));
        done.map_err(|error| Error::os("cannot sync", &self.path, error))
    }

    /// Records that the upload is in use.
    pub(crate) fn touch(&self) {
        touch(&self.handle);
    }

    /// When the directory was last changed or touched.
    pub(crate) fn last_activity(&self) -> Result<SystemTime> {
        let metadata = self.handle.metadata().map_err(|error| Error::os("cannot examine", &self.path, error))?;
        Ok(modified(&metadata))
    }

    /// Waits until no other handle has locked the directory itself (flock(2)), and locks it.
    pub(crate) fn lock_exclusively(&self) -> Result<Exclusive<'_>> {
        loop {
            match self.handle.lock() {
                // A signal handler ran.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| Error::os("cannot lock", &self.path, error))?,
            }
        }
        Ok(Exclusive(&self.handle))
    }
}

/// A locked directory. Released explicitly, for the same reason as `lock::Lock`.
#[must_use]
pub(crate) struct Exclusive<'a>(&'a File);

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The modification time; before 1970 counts as then.
pub(crate) fn modified(metadata: &Metadata) -> SystemTime {
    UNIX_EPOCH + Duration::new(metadata.mtime().try_into().unwrap_or(0), metadata.mtime_nsec() as u32)
}

/// Says that something is in use, at most once a second. Failing to say so fails nothing else.
pub(crate) fn touch(file: &File) {
    let Ok(metadata) = file.metadata() else { return };
    let idle = SystemTime::now().duration_since(modified(&metadata)).unwrap_or_else(|ahead| ahead.duration());
    if idle >= TOUCH_INTERVAL {
        let _ = sys::touch(file);
    }
}

/// The step after a file's sync, for tests.
fn synced(name: &CStr) -> &'static str {
    match name.to_bytes() {
        b"state" => "synced:state",
        b"data" => "synced:data",
        b"ordered" => "synced:ordered",
        b"claim" | b"claim.new" => "synced:claim",
        _ => "synced:file",
    }
}

/// Makes the names of `path` itself durable: its entry in the directory above, and that directory's.
pub(crate) fn sync_parents(root: &Path) -> Result<()> {
    let sync = |path: &Path| File::open(path).and_then(|dir| dir.sync_all());
    sync(root).map_err(|error| Error::os("cannot sync", root, error))?;
    match root.parent().map(sync) {
        // Who may not read the directory above did not make the root in it either.
        Some(Err(error)) if error.raw_os_error() != Some(libc::EACCES) => {
            Err(Error::os("cannot sync the directory above", root, error))
        }
        _ => Ok(()),
    }
}
