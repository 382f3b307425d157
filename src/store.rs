//! The store: an absolute path and options, nothing more. Nothing is kept open or in memory between calls, so any
//! thread, process or forked child may make any call.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::trust::Boot;
use crate::upload::Upload;
use crate::{Chunk, Finished, Options, Receipt, Uid, complete, create, receive, space};

/// A directory in which uploads are received.
///
/// Opening one creates nothing: the directory is made by the first chunk. A `Store` may be shared between threads,
/// cloned, and used in a forked child. Calls block until they are done.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    options: Options,
    pub(crate) boot: Boot,
}

impl Store {
    /// A store at `path`. A relative path is taken from the present working directory, now and not later.
    ///
    /// The directory and its parents need not exist; of those that do not, the first chunk makes the last component.
    ///
    /// # Errors
    /// `invalid_argument` for an empty path, one with NUL, or options no store can work with; `io` if the path is on a network file
    /// system, where what is promised cannot be kept, or cannot be examined.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        options.validate()?;
        let path = path.as_ref();
        if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
            return Err(Error::InvalidArgument("the store's path is empty or contains NUL".into()));
        }
        let root = std::path::absolute(path).map_err(|error| Error::os("cannot make absolute", path, error))?;
        space::check_file_system(&root)?;
        let boot = Boot::current()?;
        Ok(Store { root, options, boot })
    }

    /// Where the store is: an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The options it was opened with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Receives one chunk. When it returns `Ok`, the chunk is as safe as the store's [`Durability`](crate::Durability)
    /// says.
    ///
    /// Chunks may come in any order, at once, and more than once; other bytes for a chunk replace it until the upload
    /// is complete. Takes time in proportion to the content; waits only for a call on the same chunk, for a `get` that
    /// is completing the upload, and, for a chunk off the grid, the moment it takes another to get its place.
    ///
    /// # Errors
    /// `invalid_argument`: the chunk contradicts itself. `limit_exceeded`: an option of the store, or `data` would
    /// become larger than twice the file. `not_found`: no such upload. `conflict`: other totals than the first chunk's,
    /// or other bytes than the finished file's. `gone`: the finished file was taken away. `no_space`, `io`. In each
    /// case nothing was stored; after `no_space` and `io`, a chunk that was to be replaced may be missing.
    pub fn handle_chunk(&self, chunk: &Chunk<'_>) -> Result<Receipt> {
        chunk.validate()?;
        if chunk.upload_uid.is_empty() {
            return create::create(self, chunk);
        }
        let uid = Uid::parse(chunk.upload_uid)?;
        receive::receive(&Upload::open(self, uid)?, chunk)
    }

    /// The finished file of an upload; completes it if all chunks are there.
    ///
    /// May be repeated, and called by several processes at once: each gets the same path. Takes time in proportion to
    /// the number of chunks at first, then none; the data itself is read only if it was written before a reboot or
    /// under another mount (or, at level `process`, where the kernel does not tell: before Linux 6.8, or without
    /// `/proc`), and copied only if chunks of uneven sizes did not arrive in order.
    ///
    /// # Errors
    /// `incomplete`: chunks are missing. `size_mismatch`: they do not add up to the declared size. `not_found`: no such
    /// upload. `gone`: the file was taken away. `no_space`: chunks need to be copied into order, and there is no room.
    /// `io`.
    pub fn get(&self, uid: &str) -> Result<Finished> {
        complete::get(&Upload::open(self, Uid::parse(uid)?)?)
    }

    /// Where the directory of an upload is.
    pub(crate) fn directory(&self, uid: Uid) -> PathBuf {
        self.root.join(format!("{}{uid}", self.options.prefix))
    }
}
