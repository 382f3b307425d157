//! The store: an absolute path and options, nothing more. Nothing is kept open or in memory between calls, so any
//! thread, process or forked child may make any call.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::directory::{Root, is_trusted, refused};
use crate::error::{Error, Result};
use crate::sys::effective_user;
use crate::trust::Boot;
use crate::upload::Upload;
use crate::volume::Volumes;
use crate::{
    Chunk, Cleaned, Expiry, Finished, Inspection, List, Options, Receipt, Uid, Verification, claim, complete, crc,
    create, expire, inspect, owner, receive, space, verify,
};

/// A directory in which uploads are received.
///
/// Opening one creates nothing: the directory is made by the first chunk. A `Store` may be shared between threads,
/// cloned, and used in a forked child. Calls block until they are done.
#[derive(Clone)]
pub struct Store {
    root: PathBuf,
    options: Options,
    pub(crate) boot: Boot,
    pub(crate) volumes: Volumes,
    /// To whom this handle is bound.
    owner: Option<Vec<u8>>,
}

impl Store {
    /// A store at `path`. A relative path is taken from the present working directory, now and not later.
    ///
    /// The directory and its parents need not exist; of those that do not, the first chunk makes the last component.
    ///
    /// Symbolic links are resolved now: later calls use the path without links, as [`Store::root`] shows it, even if a
    /// link is changed. A link that is later put in the place of the store is refused.
    ///
    /// Other users must not be able to exchange the store. If all users can write into its directory, the directory
    /// must be sticky and belong to the caller or root, unless `dir_mode` lets all users write. In such a sticky
    /// directory only files of the caller and of root are used. A store below a directory like `/tmp` must belong to
    /// the caller or root, or be writable for a group of the caller.
    ///
    /// # Errors
    /// `invalid_argument`: the path is empty or has a NUL, or no store can work with the options. `io`: the path cannot
    /// be resolved or examined, or the file system cannot keep what is promised. That is a network file system, or, at
    /// the levels `complete` and `chunk`, one without a journal, such as ext2. `io` with `EPERM`: another user could
    /// exchange the store, or made the symbolic link that is the path's last component.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        crc::prepare();
        options.validate()?;
        let path = path.as_ref();
        if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
            return Err(Error::InvalidArgument("the store's path is empty or contains NUL".into()));
        }
        let root = resolve(path)?;
        space::check_file_system(&root, options.durability)?;
        match Root::examine(&root, options.dir_mode) {
            // If the store cannot be examined, the error appears when it is used.
            Err(error) if error.os_errno() == Some(libc::EACCES) => {}
            // A server may open the store as root, and use it as the user who made it.
            Ok(Some(found)) if effective_user() != 0 => found.check_owner(&root)?,
            result => drop(result?),
        }
        let boot = Boot::current()?;
        let volumes =
            Volumes::around(&root).map_err(|error| Error::os("cannot examine the volume of", &root, error))?;
        Ok(Store { root, options, boot, volumes, owner: None })
    }

    /// Where the store is: an absolute path, resolved when the store was opened.
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
    /// is completing the upload, and, for a chunk off the grid, for another chunk that is getting its place.
    ///
    /// # Errors
    /// `invalid_argument`: the chunk contradicts itself. `checksum_mismatch`: its content does not have the `checksum`
    /// that came with it. `limit_exceeded`: an option of the store, or `data` would become larger than twice the file.
    /// `not_found`: no such upload. `conflict`: other totals than the first chunk's, or other bytes than the finished
    /// file's. `gone`: the finished file was taken away. `no_space`, `io`. In each case nothing was stored; after
    /// `no_space`, `io`, and the limit `data_size`, a chunk that was to be replaced may be missing. A chunk of a right
    /// file that the limit `data_size` refused succeeds when the other chunks are there.
    pub fn handle_chunk(&self, chunk: &Chunk<'_>) -> Result<Receipt> {
        chunk.validate()?;
        if chunk.upload_uid.is_empty() {
            return create::create(self, chunk);
        }
        receive::receive(&self.upload(chunk.upload_uid)?, chunk)
    }

    /// The finished file of an upload; completes it if all chunks are there.
    ///
    /// Works on a file system that became read-only, if the file was finished and nothing has to be recorded.
    ///
    /// May be repeated, and called by several processes at once: each gets the same path. Takes time in proportion to
    /// the number of chunks at first, then none; the data itself is read only if it was written before a reboot or
    /// a remount (or, at level `process`, where the kernel does not tell one volume from another: see docs/kernels.md),
    /// and copied only if chunks of uneven sizes did not arrive in order.
    ///
    /// # Errors
    /// `incomplete`: chunks are missing. `size_mismatch`: they do not add up to the declared size. `checksum_mismatch`:
    /// together they do not have the `file_digest` that was declared; like the former, sending chunks again can repair it.
    /// `not_found`: no such
    /// upload. `gone`: the file was taken away. `no_space`: chunks need to be copied into order, and there is no room.
    /// `io`.
    pub fn get(&self, uid: &str) -> Result<Finished> {
        complete::get(&self.upload(uid)?)
    }

    /// A view of this store bound to an owner: any bytes that name who is calling, 1 to [`MAX_OWNER`](crate::MAX_OWNER).
    ///
    /// Uploads that are made through it are `not_found` through every other handle, just as if they did not exist, and
    /// through it all others are. Of the owner itself only a keyed digest is stored.
    ///
    /// # Errors
    /// `invalid_argument`: the owner is empty or too long.
    pub fn for_owner(&self, owner: &[u8]) -> Result<Store> {
        owner::validate_owner(owner)?;
        let options = Options { all_owners: false, ..self.options.clone() };
        Ok(Store { options, owner: Some(owner.to_vec()), ..self.clone() })
    }

    /// The owner this handle is bound to.
    pub fn owner(&self) -> Option<&[u8]> {
        self.owner.as_deref()
    }

    /// The uid of the upload that was or would be made with this key through this handle. Makes no upload; at most the
    /// store's secret, if it has none yet.
    ///
    /// # Errors
    /// `invalid_argument`: the key is empty, too long, or too short without an owner. `no_space`, `io`.
    pub fn uid_for_key(&self, upload_key: &[u8]) -> Result<Uid> {
        owner::uid_for_key(self, upload_key)
    }

    /// What is known of an upload, with the missing chunks from number `from_chunk` on. Takes no lock and changes
    /// nothing; reads the table of chunks once.
    ///
    /// # Errors
    /// `not_found`, `io`. An upload whose file was taken is no error here: its phase says so.
    pub fn inspect(&self, uid: &str, from_chunk: u64) -> Result<Inspection> {
        inspect::inspect(&self.upload(uid)?, from_chunk)
    }

    /// Reads what is stored of an upload again, and compares it with the checksums taken when it arrived. Damaged chunks
    /// of an unfinished upload are missing from then on, so that they can be sent again; of a finished file they are only
    /// reported.
    ///
    /// # Errors
    /// `not_found`, `gone`, `io`.
    pub fn verify(&self, uid: &str) -> Result<Verification> {
        verify::verify(&self.upload(uid)?)
    }

    /// Puts the finished file at its permanent place, completing the upload if need be. From then on the upload is `gone`.
    ///
    /// A rename where that is possible; otherwise a copy, made by the kernel and with shared extents where it can. The
    /// file appears at `destination` only when it is whole and, from level `complete` on, on disk. A relative path is taken
    /// from the present working directory. What stands there is replaced only if `overwrite` says so.
    ///
    /// May be repeated after a crash: the same destination succeeds again while the file is there and has its size,
    /// another is `gone`. Of several callers with different destinations one succeeds. A copy that was begun at another
    /// destination is removed. If it cannot be removed, for example because its file system became read-only, the call
    /// succeeds, and a file `.upload-*.part` stays there.
    ///
    /// # Errors
    /// As [`Store::get`]; `gone`: it was moved elsewhere, or taken; `io` with `EEXIST`: something is there already.
    pub fn move_to(&self, uid: &str, destination: impl AsRef<Path>, overwrite: bool) -> Result<Finished> {
        let destination = destination.as_ref();
        if destination.as_os_str().is_empty() {
            return Err(Error::InvalidArgument("the destination is empty".into()));
        }
        let upload = self.upload(uid)?;
        let destination =
            std::path::absolute(destination).map_err(|error| Error::os("cannot make absolute", destination, error))?;
        claim::move_to(&upload, &destination, overwrite)
    }

    /// Removes an upload with all that belongs to it, whatever it is. Waits for calls that are working on it.
    ///
    /// # Errors
    /// `not_found`, `io`. If `io` names a file `.upload-*.part`, the upload was removed, but this file stays: a copy to
    /// another file system that [`Store::move_to`] had begun.
    pub fn remove(&self, uid: &str) -> Result<()> {
        expire::remove(&self.upload(uid)?)
    }

    /// Removes uploads without activity for some time, and what crashes left; never one that a call is working on, in
    /// whatever process. If the time of an upload lies in the future, because the clock was set back, the upload ages
    /// from the first cleanup on.
    ///
    /// # Errors
    /// `io`: the store cannot be read. Uploads that cannot be removed are counted in the answer. So are uploads that
    /// were removed, if the part of a copy stays where [`Store::move_to`] had begun it.
    pub fn cleanup(&self, expiry: &Expiry) -> Result<Cleaned> {
        expire::cleanup(self, expiry)
    }

    /// The uploads in the store, in no particular order, each looked at when it is asked for. What is not an upload is
    /// skipped; a store that does not exist yet is empty.
    ///
    /// # Errors
    /// `io`: the store cannot be read. An upload that cannot be read is an error in its place, and the others follow.
    pub fn list(&self) -> Result<List> {
        List::of(self)
    }

    /// The store's directory as it is now; `None` if it does not exist.
    pub(crate) fn examine_root(&self) -> Result<Option<Root>> {
        Root::examine(&self.root, self.options.dir_mode)
    }

    /// The same; also checks the owner, because here another user's directory in the place of the store could do harm.
    pub(crate) fn examine_root_and_owner(&self) -> Result<Option<Root>> {
        let root = self.examine_root()?;
        root.map_or(Ok(()), |root| root.check_owner(&self.root))?;
        Ok(root)
    }

    fn upload(&self, uid: &str) -> Result<Upload<'_>> {
        Upload::open(self, Uid::parse(uid)?)
    }

    /// Whether what crashes left is this handle's to see: it belongs to no owner.
    pub(crate) fn sees_leftovers(&self) -> bool {
        self.owner.is_none()
    }

    /// Where the directory of an upload is.
    pub(crate) fn directory(&self, uid: Uid) -> PathBuf {
        self.root.join(format!("{}{uid}", self.options.prefix))
    }
}

/// The absolute path without symbolic links, as far as it exists. What does not exist yet keeps its name.
fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |error| Error::os("cannot resolve", path, error);
    // Without a slash at the end, after which the kernel would follow a link.
    let path: PathBuf = std::path::absolute(path).map_err(failed)?.components().collect();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return path.canonicalize().map_err(failed);
    };
    let place = resolve_above(parent).map_err(failed)?.join(name);
    match place.symlink_metadata() {
        Ok(link) if link.is_symlink() && !is_trusted(link.uid()) => {
            Err(refused("another user made the symbolic link in the place of the store:", &place))
        }
        Ok(link) if link.is_symlink() => place.canonicalize().map_err(failed),
        _ => Ok(place),
    }
}

fn resolve_above(parent: &Path) -> io::Result<PathBuf> {
    for existing in parent.ancestors() {
        match existing.canonicalize() {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)) => {}
            result => {
                let rest = parent.strip_prefix(existing).expect("an ancestor is a prefix");
                return result.map(|resolved| resolved.join(rest).components().collect());
            }
        }
    }
    Ok(parent.to_owned())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, options, has_owner) = (&self.root, &self.options, self.owner.is_some());
        f.debug_struct("Store").field("root", root).field("options", options).field("has_owner", &has_owner).finish()
    }
}
