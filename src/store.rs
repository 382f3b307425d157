//! The face of the engine: one line for each call. Nothing is kept open or in memory between calls, so any thread,
//! process or forked child may make any call.

use std::fmt;
use std::path::Path;

use crate::api::answers::{Cleaned, Expiry, Inspection, Verification};
use crate::api::chunk::{Chunk, Finished, Receipt};
use crate::api::error::{Error, Result};
use crate::api::options::Options;
use crate::api::uid::Uid;
use crate::local::calls::list::List;
use crate::local::calls::{cleanup, create, get, inspect, move_to, receive, remove, secret, verify};
use crate::local::home::Home;
use crate::local::upload::opened::Upload;
use crate::rules::{crc, keys};

/// A directory in which uploads are received.
///
/// Opening a store creates nothing: the first chunk makes the directory. A `Store` may be shared between threads,
/// cloned, and used in a forked child. Calls block until they are done.
///
/// ```
/// use chunked_upload::{Chunk, Error, Options, Store};
///
/// # fn main() -> chunked_upload::Result<()> {
/// # let directory = std::env::temp_dir().join(format!("chunked-upload-store-{}", std::process::id()));
/// let store = Store::open(&directory, Options { max_total_size: 1 << 30, ..Options::default() })?;
/// let chunk = Chunk { file_name: "a.txt", total_size: 3, chunk_count: 2, content: b"ab", ..Chunk::default() };
/// let uid = store.handle_chunk(&chunk)?.upload_uid;
/// match store.get(uid.as_str()) {
///     Err(Error::Incomplete { missing_count, .. }) => assert_eq!(missing_count, 1),
///     other => panic!("{other:?}"),
/// }
/// # std::fs::remove_dir_all(&directory).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    home: Home,
}

impl Store {
    /// A store at `path`. A relative path starts at the working directory of this moment.
    ///
    /// The directory and its parents need not exist. The first chunk makes the last component, and no parent.
    ///
    /// Symbolic links are resolved now. Later calls use the path without links, as [`Store::root`] shows it, even if a
    /// link is changed. A link that is later put in the place of the store is refused.
    ///
    /// Other users must not be able to exchange the store. If all users can write into its directory, the directory
    /// must be sticky and belong to the caller or root, unless `dir_mode` lets all users write. In such a sticky
    /// directory only files of the caller and of root are used. A store below a directory like `/tmp` must belong to
    /// the caller or root, or be writable for a group of the caller.
    ///
    /// # Errors
    /// - [`Error::InvalidArgument`]: the path is empty or contains NUL, or no store can work with the options.
    /// - [`Error::Io`]: the path cannot be resolved or examined, or the file system cannot keep the store's promises.
    ///   That is a network file system, or, at the levels `complete` and `chunk`, one without a journal, such as ext2.
    /// - [`Error::Io`] with `EPERM`: another user could exchange the store, or made the symbolic link that is the
    ///   path's last component.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        crc::prepare();
        Ok(Store { home: Home::open(path.as_ref(), options)? })
    }

    /// Where the store is: an absolute path, resolved when the store was opened.
    pub fn root(&self) -> &Path {
        self.home.root()
    }

    /// The options that the store was opened with.
    pub fn options(&self) -> &Options {
        self.home.options()
    }

    /// Receives one chunk. When it returns `Ok`, the chunk is as durable as the store's
    /// [`Durability`](crate::Durability) promises.
    ///
    /// Chunks may come in any order, at the same time, and more than once. Other bytes for a chunk replace it until the
    /// upload is complete. The call takes time in proportion to the content. It waits only for a call on the same
    /// chunk, and for a `get` that is completing the upload. A chunk off the grid also waits for another chunk that is
    /// getting its place.
    ///
    /// # Errors
    /// A refused chunk is not stored. After [`Error::NoSpace`], [`Error::Io`] and the limit `data_size`, the chunk that
    /// it was to replace may be missing.
    /// - [`Error::InvalidArgument`]: the chunk contradicts itself, or a value is malformed.
    /// - [`Error::ChecksumMismatch`]: its content does not match its `checksum`.
    /// - [`Error::LimitExceeded`]: an option of the store does not allow it, or `data` would become too large
    ///   (`data_size`). After `data_size`, a chunk of a right file succeeds when the other chunks are there.
    /// - [`Error::NotFound`]: there is no such upload.
    /// - [`Error::Conflict`]: the totals differ from those of the first chunk, or the bytes from the finished file.
    /// - [`Error::Gone`]: the finished file was taken away.
    /// - [`Error::NoSpace`], [`Error::Io`]: the operating system reported an error.
    pub fn handle_chunk(&self, chunk: &Chunk<'_>) -> Result<Receipt> {
        chunk.validate()?;
        if chunk.upload_uid.is_empty() {
            return create::create(&self.home, chunk);
        }
        receive::receive(&self.upload(chunk.upload_uid)?, chunk)
    }

    /// The finished file of an upload. Completes the upload if all chunks are there.
    ///
    /// The call may be repeated, also by several processes at the same time: each gets the same path. The first call
    /// takes time in proportion to the number of chunks, later calls take constant time. The data is read only if it
    /// was written before a reboot or a remount, or if the kernel does not tell volumes apart (at level `process`, see
    /// docs/kernels.md). It is copied only if chunks of uneven sizes did not arrive in order.
    ///
    /// The call works on a file system that became read-only, if the file was finished and nothing has to be recorded.
    ///
    /// # Errors
    /// - [`Error::Incomplete`]: chunks are missing.
    /// - [`Error::SizeMismatch`]: their sizes do not add up to the declared size. Chunks that are sent again can repair
    ///   it.
    /// - [`Error::ChecksumMismatch`]: the file does not have the declared `file_digest`. Chunks that are sent again can
    ///   repair it.
    /// - [`Error::NotFound`]: there is no such upload.
    /// - [`Error::Gone`]: the file was taken away.
    /// - [`Error::NoSpace`]: chunks must be copied into order, and there is no room for the copy.
    /// - [`Error::Io`]: the operating system reported an error.
    pub fn get(&self, uid: &str) -> Result<Finished> {
        get::get(&self.upload(uid)?)
    }

    /// A view of this store for one owner. `owner` is any bytes that name the caller, 1 to
    /// [`MAX_OWNER`](crate::MAX_OWNER).
    ///
    /// Uploads made through this view are [`Error::NotFound`] through other views, except one with the option
    /// `all_owners`. All other uploads are [`Error::NotFound`] through this view. Only a keyed digest of the owner is
    /// stored.
    ///
    /// ```
    /// # use chunked_upload::{Chunk, Error, Options, Store};
    /// # fn main() -> chunked_upload::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("chunked-upload-owner-{}", std::process::id()));
    /// # let store = Store::open(&directory, Options::default())?;
    /// let (ann, bob) = (store.for_owner(b"ann")?, store.for_owner(b"bob")?);
    /// let chunk = Chunk { total_size: 1, chunk_count: 1, content: b"a", ..Chunk::default() };
    /// let uid = ann.handle_chunk(&chunk)?.upload_uid;
    /// assert!(ann.get(uid.as_str()).is_ok());
    /// assert!(matches!(bob.get(uid.as_str()), Err(Error::NotFound { .. })));
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]: the owner is empty or too long.
    pub fn for_owner(&self, owner: &[u8]) -> Result<Store> {
        keys::validate_owner(owner)?;
        Ok(Store { home: self.home.for_owner(owner) })
    }

    /// The owner of this view.
    pub fn owner(&self) -> Option<&[u8]> {
        self.home.owner()
    }

    /// The uid of the upload that was or would be made with this key through this handle. Makes no upload. Makes the
    /// store's secret if the store has none yet.
    ///
    /// # Errors
    /// - [`Error::InvalidArgument`]: the key is empty, too long, or too short without an owner.
    /// - [`Error::NoSpace`], [`Error::Io`]: the secret cannot be read or made.
    pub fn uid_for_key(&self, upload_key: &[u8]) -> Result<Uid> {
        secret::uid_for_key(&self.home, upload_key)
    }

    /// What is known of an upload, with the missing chunks from number `from_chunk` on. Takes no lock and changes
    /// nothing. Reads the table of chunks once.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`]. An upload whose file was taken is no error: its phase is
    /// [`Phase::Gone`](crate::Phase::Gone).
    pub fn inspect(&self, uid: &str, from_chunk: u64) -> Result<Inspection> {
        inspect::inspect(&self.upload(uid)?, from_chunk)
    }

    /// Reads the stored bytes of an upload again, and compares them with the checksums taken when they arrived. Damaged
    /// chunks of an unfinished upload are missing from then on, so that they can be sent again. Damage in a finished
    /// file is only reported.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Gone`], [`Error::Io`].
    pub fn verify(&self, uid: &str) -> Result<Verification> {
        verify::verify(&self.upload(uid)?)
    }

    /// Puts the finished file at its permanent place. Completes the upload if all chunks are there. From then on the
    /// upload is [`Error::Gone`].
    ///
    /// The file is renamed where that is possible. Otherwise the kernel copies it, with shared extents where it can.
    /// The file appears at `destination` only when it is whole and, from level `complete` on, on disk. A relative path
    /// starts at the working directory of this moment. An existing file at `destination` is replaced only with
    /// `overwrite`.
    ///
    /// The call may be repeated after a crash. With the same destination it succeeds again while the file is there and
    /// has its size. With another destination it is [`Error::Gone`]. So a server derives the destination from the uid,
    /// or records it before the call. If several callers name different destinations, one succeeds. A copy that was
    /// begun at another destination is removed. If it cannot be removed, for example because its file system became
    /// read-only, the call succeeds, and a file `.upload-*.part` stays there.
    ///
    /// # Errors
    /// Those of [`Store::get`], and:
    /// - [`Error::Gone`]: the file was moved elsewhere, or taken.
    /// - [`Error::Io`] with `EEXIST`: there is a file at `destination`, and `overwrite` is false.
    pub fn move_to(&self, uid: &str, destination: impl AsRef<Path>, overwrite: bool) -> Result<Finished> {
        let destination = destination.as_ref();
        if destination.as_os_str().is_empty() {
            return Err(Error::InvalidArgument("the destination is empty".into()));
        }
        let upload = self.upload(uid)?;
        let destination =
            std::path::absolute(destination).map_err(|error| Error::os("cannot make absolute", destination, error))?;
        move_to::move_to(&upload, &destination, overwrite)
    }

    /// Removes an upload with all its files, in any phase. Waits for calls that are working on it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`]. If `Io` names a file `.upload-*.part`, the upload was removed, but this file
    /// stays: a copy to another file system that [`Store::move_to`] had begun.
    pub fn remove(&self, uid: &str) -> Result<()> {
        remove::remove(&self.upload(uid)?)
    }

    /// Removes uploads that were idle for longer than their age in `expiry`, and what crashes left. Never removes an
    /// upload that a call of any process is working on. If the time of an upload lies in the future, because the clock
    /// was set back, the upload ages from this cleanup on.
    ///
    /// # Errors
    /// [`Error::Io`]: the store cannot be read. Uploads that cannot be removed are counted in the answer. Uploads that
    /// were removed are counted, too, if the part of a copy that [`Store::move_to`] began stays at its destination.
    pub fn cleanup(&self, expiry: &Expiry) -> Result<Cleaned> {
        cleanup::cleanup(&self.home, expiry)
    }

    /// The uploads in the store, in no particular order. Each is examined when the iterator reaches it. Other entries
    /// of the directory are skipped. A store that does not exist yet is empty.
    ///
    /// # Errors
    /// [`Error::Io`]: the store cannot be read. An upload that cannot be read is an error in its place, and the others
    /// follow.
    pub fn list(&self) -> Result<List> {
        List::of(&self.home)
    }

    fn upload(&self, uid: &str) -> Result<Upload<'_>> {
        Upload::open(&self.home, Uid::parse(uid)?)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.home, f)
    }
}
