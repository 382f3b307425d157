//! The directory of one upload, and the files in it.

use std::ffi::CStr;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::error::{Error, Result};
use crate::local::files::sys::Status;
use crate::local::files::{sys, test_hooks};

/// The least time between two updates of the directory's modification time. Cleaners outside this library use that
/// time. More updates would cost, and tell them no more.
const TOUCH_INTERVAL: Duration = Duration::from_secs(1);

/// An open directory. Files are looked up in it even if its path names another directory by then.
pub(crate) struct Directory {
    pub handle: File,
    pub path: PathBuf,
}

/// Opens the directory at `path`, but not through a symbolic link.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)
}

impl Directory {
    /// `None` if there is no directory at the path. `Root::open` opens the directories of uploads.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Directory>> {
        match open_directory(&path) {
            Ok(handle) => Ok(Some(Directory { handle, path })),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(None),
                _ => Err(Error::os("cannot open", path, error)),
            },
        }
    }

    /// The same directory, even if its path names another one now.
    pub(crate) fn try_clone(&self) -> Result<Directory> {
        let handle = self.handle.try_clone().map_err(|error| Error::os("cannot open", &self.path, error))?;
        Ok(Directory { handle, path: self.path.clone() })
    }

    /// Whether its path still leads to it.
    pub(crate) fn is_at_its_path(&self) -> Result<bool> {
        let own = self.handle.metadata().map_err(|error| Error::os("cannot examine", &self.path, error))?;
        match std::fs::symlink_metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::os("cannot examine", &self.path, error)),
        }
    }

    pub(crate) fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(name.to_str().expect("the names above are ASCII"))
    }

    /// An error that concerns one of its files.
    pub(crate) fn error(&self, action: &str, name: &CStr, error: io::Error) -> Error {
        let error = match error.raw_os_error() {
            // The file system became read-only during the call, so the file is open for reading only: see `open_file`.
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

    /// Makes a new file with exactly this mode, whatever the umask.
    pub(crate) fn create_file(&self, name: &CStr, mode: u32) -> Result<File> {
        let file = self.create_file_under_umask(name, mode)?;
        let status = sys::status(&file).map_err(|error| self.error("cannot examine", name, error))?;
        self.undo_umask(name, &file, &status, mode)?;
        Ok(file)
    }

    /// Makes a new file whose mode may lack bits that the umask forbids; [`Directory::undo_umask`] adds them.
    pub(crate) fn create_file_under_umask(&self, name: &CStr, mode: u32) -> Result<File> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        sys::open_at(&self.handle, name, flags, mode).map_err(|error| self.error("cannot create", name, error))
    }

    /// Gives a new file exactly this mode, if `status` shows another. Most files have the right mode, and no call is
    /// made.
    pub(crate) fn undo_umask(&self, name: &CStr, file: &File, status: &Status, mode: u32) -> Result<()> {
        if status.mode == mode {
            return Ok(());
        }
        let set = file.set_permissions(Permissions::from_mode(mode));
        set.map_err(|error| self.error("cannot set the mode of", name, error))
    }

    /// The size of the regular file `name`; `None` if there is none.
    pub(crate) fn file_size(&self, name: &CStr) -> Result<Option<u64>> {
        match sys::status_at(&self.handle, name) {
            Ok(status) => Ok(status.is_file.then_some(status.size)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(self.error("cannot examine", name, error)),
        }
    }

    pub(crate) fn has(&self, name: &CStr) -> Result<bool> {
        self.file_size(name).map(|size| size.is_some())
    }

    /// Renames a file, and replaces a file there.
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

    /// Puts the written bytes of one of its files on disk.
    pub(crate) fn sync_file(&self, name: &CStr, file: &File) -> Result<()> {
        let done = file
            .sync_data()
            .inspect_err(|_| drop(test_hooks::reach("failed:sync")))
            .and_then(|()| test_hooks::reach(synced(name)));
        done.map_err(|error| self.error("cannot sync", name, error))
    }

    /// Puts the names of its files on disk.
    pub(crate) fn sync_names(&self) -> Result<()> {
        let done = self.handle.sync_all().and_then(|()| test_hooks::reach("synced:names"));
        done.map_err(|error| Error::os("cannot sync", &self.path, error))
    }

    pub(crate) fn touch(&self) {
        touch(&self.handle);
    }

    /// When the directory was last changed or touched.
    pub(crate) fn last_activity(&self) -> Result<SystemTime> {
        let metadata = self.handle.metadata().map_err(|error| Error::os("cannot examine", &self.path, error))?;
        Ok(modified(&metadata))
    }

    /// Waits for the exclusive lock on the directory itself (flock(2)).
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

/// A locked directory. The lock is released explicitly, for the same reason as `locks::Lock`.
#[must_use]
pub(crate) struct Exclusive<'a>(&'a File);

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The modification time. A time before 1970 counts as 1970.
pub(crate) fn modified(metadata: &Metadata) -> SystemTime {
    UNIX_EPOCH + Duration::new(metadata.mtime().try_into().unwrap_or(0), metadata.mtime_nsec() as u32)
}

/// Updates the modification time, at most once a second, to show that the file is in use. A failure is ignored.
pub(crate) fn touch(file: &File) {
    let Ok(metadata) = file.metadata() else { return };
    let idle = SystemTime::now().duration_since(modified(&metadata)).unwrap_or_else(|ahead| ahead.duration());
    if idle >= TOUCH_INTERVAL {
        let _ = sys::touch(file);
    }
}

/// The name of the step after a file's sync, for tests.
fn synced(name: &CStr) -> &'static str {
    match name.to_bytes() {
        b"state" => "synced:state",
        b"data" => "synced:data",
        b"ordered" => "synced:ordered",
        b"claim" | b"claim.new" => "synced:claim",
        _ => "synced:file",
    }
}
