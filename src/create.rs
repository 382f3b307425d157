//! The first chunk: an upload comes into being.
//!
//! `state` is made first and written last: until then there is no upload for anybody, and what a crash leaves is swept away
//! by a cleanup. The gate is held meanwhile, so no cleanup takes a live one for a dead one. Where the store keeps a sum
//! of its uploads, `state` says before that it is in the sum, and that the upload is being created.
//!
//! No client knows a random uid before the call returns. The uid of a key is known before: such an upload is built
//! aside and renamed, and a call that finds that another was faster joins that upload.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::Digests;
use crate::directory::{DATA, Directory, Root, STATE, open_directory, sync_parents};
use crate::error::{Error, Result, errno};
use crate::format::{COUNTED_AT, HEAD_SIZE, Header, LEVEL_AT, Mark, Phase, PhaseRecord, SLOT_SIZE, Slot};
use crate::lock::Lock;
use crate::placement::{Place, Shape};
use crate::store::Store;
use crate::trust::{self, Trust};
use crate::upload::Upload;
use crate::{Chunk, Durability, Receipt, Uid, budget, digest, expire, owner, receive, seam, space, sys};

/// How often a call begins again because another call removed what it was about to use. Each time needs a coincidence.
const ATTEMPTS: u32 = 16;

/// Receives a chunk that carries no uid. Whatever refuses it, nothing is left.
pub(crate) fn create(store: &Store, chunk: &Chunk<'_>) -> Result<Receipt> {
    if chunk.upload_key.is_empty() {
        let new = New::admitted(store, chunk)?;
        for _ in 0..ATTEMPTS {
            let uid = Uid::random()?;
            if new.make(uid, &store.directory(uid), None)? {
                return Ok(new.receipt(uid));
            }
        }
        return Err(Error::os("every new upload was removed at once in", store.root(), errno(libc::ENOENT)));
    }
    owner::validate_key(store, chunk.upload_key)?;
    for _ in 0..ATTEMPTS {
        // Without a secret there is no upload with a key either, and if the chunk is refused, no secret is made.
        if let Some(root) = store.examine_root_and_owner()?
            && let Some(uid) = owner::known_uid_for_key(store, root, chunk.upload_key)?
        {
            match Upload::open_at(store, root, uid).and_then(|upload| receive::receive(&upload, chunk)) {
                Err(Error::NotFound { .. }) => {}
                result => return result,
            }
        }
        let new = New::admitted(store, chunk)?;
        let uid = owner::uid_for_key(store, chunk.upload_key)?;
        let aside = store.root().join(format!("{}{}{ASIDE}", store.options().prefix, Uid::random()?));
        if new.make(uid, &aside, Some(&store.directory(uid)))? {
            return Ok(new.receipt(uid));
        }
    }
    Err(Error::os("the upload with this key comes and goes in", store.root(), errno(libc::EAGAIN)))
}

/// A `state` of at most this size is written whole at once.
const SMALL_STATE: u64 = 4096;

/// The end of the name of a directory in which an upload is built aside.
pub(crate) const ASIDE: &str = ".new";

/// A first chunk that nothing speaks against.
struct New<'a> {
    store: &'a Store,
    chunk: &'a Chunk<'a>,
    /// Of an upload without an owner.
    header: Header,
    state_size: u64,
    crc32c: u32,
}

impl<'a> New<'a> {
    /// Checks everything that can be checked before anything is made.
    fn admitted(store: &'a Store, chunk: &'a Chunk<'a>) -> Result<New<'a>> {
        let size = chunk.content.len() as u64;
        let shape = Shape::of_first_chunk(chunk.total_size, chunk.chunk_count, chunk.chunk_number, size);
        let header = Header::new(shape, chunk.file_name, None, Digests::parse("file_digest", chunk.file_digest)?);
        store.options().admit(chunk.total_size, chunk.chunk_count, header.size_on_disk())?;
        let too_many = || Error::InvalidArgument(format!("no file can hold the table of {} chunks", chunk.chunk_count));
        let state_size = header.state_size().ok_or_else(too_many)?;
        let crc32c = digest::checked_crc32c(chunk)?;
        space::check_room(store.root(), chunk.total_size, store.options())?;
        examine_or_make_root(store)?;
        Ok(New { store, chunk, header, state_size, crc32c })
    }

    fn receipt(&self, uid: Uid) -> Receipt {
        Receipt { upload_uid: uid, received_all: self.chunk.chunk_count == 1 }
    }

    /// Makes the upload in the new directory `path`, and renames that to `place` if there is one. False if it has to be
    /// tried again: a cleanup took the directory away before anything was in it, or there is such an upload already.
    fn make(&self, uid: Uid, path: &Path, place: Option<&Path>) -> Result<bool> {
        let (store, chunk) = (self.store, self.chunk);
        let mut header = self.header.clone();
        header.owner = owner::digest_for(store, uid);
        let shape = header.shape;
        let promise = budget::promise(store, header.size_on_disk())?;
        let Some(dir) = self.make_directory(path)? else { return Ok(false) };
        let mut unfinished = Unfinished { store, path: Some(path.to_owned()), counted: None };
        let reach = |step| seam::reach(step).map_err(|error| dir.error(step, STATE, error));
        reach("create:directory")?;
        let state_mode = store.options().state_mode();
        let state = match dir.create_file_under_umask(STATE, state_mode) {
            // A cleanup found the empty directory.
            Err(Error::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) =>
            {
                unfinished.path = None;
                return Ok(false);
            }
            result => result?,
        };
        sys::mark_resident(&state, true);
        let _gate = Lock::gate(&state).map_err(|error| dir.error("cannot lock", STATE, error))?;
        let status = sys::status(&state).map_err(|error| dir.error("cannot examine", STATE, error))?;
        if status.links == 0 {
            return Ok(false);
        }
        dir.undo_umask(STATE, &state, &status, state_mode)?;
        let volume = store.volumes.of(&state, &status).map_err(|error| dir.error("cannot examine", STATE, error))?;
        let tag = Trust::now(&store.boot, volume).tag();
        // The tail continues after this chunk, if the chunk lies in it.
        let size = chunk.content.len() as u64;
        let tail = Mark { value: shape.tail_start().max(if shape.grid == 0 { size } else { 0 }), tag };
        let level = store.options().durability;
        // One that others may join keeps its promises only when its name is on disk: then the level is raised.
        let first_level = if place.is_some() && level == Durability::Chunk { Durability::Process } else { level };
        let counted = promise.is_some();
        let head = |phase| {
            let record = PhaseRecord { phase, crc32c: 0, tag, grid_is_void: false };
            let mut bytes = header.first_bytes(chunk.file_name, record, tail, first_level);
            bytes[COUNTED_AT as usize] = counted.into();
            bytes
        };
        let failed = |error| dir.error("cannot write", STATE, error);
        if let Some(promise) = promise {
            self.write_state(&state, head(Phase::Creating), &Slot::default()).map_err(failed)?;
            unfinished.counted = Some((state.try_clone().map_err(failed)?, header.size_on_disk()));
            promise.keep();
        }
        reach("create:state")?;

        let slot = self.write_content(&dir, tag)?;
        self.write_state(&state, head(Phase::Receiving), &slot).map_err(failed)?;
        reach("create:marked")?;
        let durable = level == Durability::Chunk;
        if durable {
            dir.sync_file(STATE, &state)?;
            dir.sync_names()?;
        }
        if let Some(place) = place {
            if !put_in_place(store, uid, path, place)? {
                return Ok(false);
            }
            // Others may have joined by now: whatever goes wrong from here on, it stays.
            unfinished.path = None;
            reach("create:renamed")?;
        }
        if durable {
            sync_parents(store.root())?;
        }
        if first_level != level {
            state.write_all_at(&[level as u8], LEVEL_AT).map_err(failed)?;
        }
        unfinished.path = None;
        Ok(true)
    }

    /// Writes all of `state`: `head`, which is everything in front of the table, and the first chunk's slot. The first sector
    /// comes last: it makes this an upload.
    fn write_state(&self, state: &File, mut head: Vec<u8>, slot: &Slot) -> io::Result<()> {
        let slot_at = self.header.slot_at(self.chunk.chunk_number);
        if self.state_size <= SMALL_STATE {
            // In one page: a process that is killed here has written all of it, or nothing.
            head.resize(self.state_size as usize, 0);
            head[slot_at as usize..][..SLOT_SIZE as usize].copy_from_slice(&slot.encode());
            return state.write_all_at(&head, 0);
        }
        state.set_len(self.state_size)?;
        let (first, name) = head.split_at(HEAD_SIZE);
        state.write_all_at(&slot.encode(), slot_at)?;
        state.write_all_at(name, HEAD_SIZE as u64)?;
        state.write_all_at(first, 0)
    }

    /// `None` if a cleanup took it away.
    fn make_directory(&self, path: &Path) -> Result<Option<Directory>> {
        let make = || make_directory(path, self.store.options().dir_mode);
        let handle = match make() {
            // The empty store or the new directory was removed in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                examine_or_make_root(self.store).map(|_| make())?
            }
            result => result,
        };
        match handle {
            Ok(handle) => Ok(Some(Directory { handle, path: path.to_owned() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.store.root().is_dir() => Ok(None),
            Err(error) => Err(Error::os("cannot make", path, error)),
        }
    }

    /// Makes `data` and writes the chunk into it; answers what the chunk's slot is to say.
    fn write_content(&self, dir: &Directory, tag: u32) -> Result<Slot> {
        let (chunk, shape, size) = (self.chunk, self.header.shape, self.chunk.content.len() as u64);
        let data = dir.create_file(DATA, self.store.options().file_mode)?;
        sys::mark_resident(&data, true);
        let offset = match shape.place(&Slot::default(), chunk.chunk_number, size) {
            Place::Own { offset } => offset,
            Place::Tail => shape.tail_start(),
        };
        let durable = self.store.options().durability == Durability::Chunk;
        space::write(&data, &shape, chunk.content, offset, durable)
            .map_err(|error| dir.error("cannot write", DATA, error))?;
        if durable {
            dir.sync_file(DATA, &data)?;
        }
        seam::reach("create:data").map_err(|error| dir.error("create:data", DATA, error))?;
        let tag = if durable { trust::SYNCED } else { tag };
        Ok(Slot { offset, length: size, capacity: size, crc32c: self.crc32c, tag })
    }
}

/// Renames a finished directory to its place; false if there is an upload.
fn put_in_place(store: &Store, uid: Uid, aside: &Path, place: &Path) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        // Replaces an empty directory, and nothing else.
        match std::fs::rename(aside, place) {
            Ok(()) => return Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOTEMPTY | libc::EEXIST) if !expire::sweep(store, uid, place)? => return Ok(false),
                Some(libc::ENOTEMPTY | libc::EEXIST) => {}
                _ => return Err(Error::os("cannot rename to", place, error)),
            },
        }
    }
    Err(Error::os("cannot make room for an upload at", place, errno(libc::ENOTEMPTY)))
}

/// The store's directory. Makes it if it does not exist.
pub(crate) fn examine_or_make_root(store: &Store) -> Result<Root> {
    if let Some(root) = store.examine_root_and_owner()? {
        return Ok(root);
    }
    make_root(store)?;
    // Another call may have made it with other options, or another user.
    let missing = || Error::os("cannot open the store", store.root(), errno(libc::ENOENT));
    store.examine_root_and_owner()?.ok_or_else(missing)
}

/// Makes the store's directory if it is not there. Only its last component: a missing parent is a mistake in the path,
/// or a volume that is not mounted.
fn make_root(store: &Store) -> Result<()> {
    let root = store.root();
    match make_directory(root, store.options().dir_mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // On a read-only file system an existing directory may be reported as such; what follows finds out.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem && root.is_dir() => Ok(()),
        result => result.map(drop).map_err(|error| Error::os("cannot make the store", root, error)),
    }
}

/// Makes a directory with just this mode, whatever the umask.
fn make_directory(path: &Path, mode: u32) -> io::Result<File> {
    DirBuilder::new().mode(mode & 0o700).create(path)?;
    let open = || match open_directory(path) {
        Ok(directory) if sys::status(&directory)?.mode == mode => Ok(directory),
        _ => {
            // By its name: the umask may have left a directory that its owner cannot open.
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
            open_directory(path)
        }
    };
    open().inspect_err(|_| {
        let _ = std::fs::remove_dir(path);
    })
}

/// A directory that is removed again, and a promise that is taken back, unless it is kept.
struct Unfinished<'a> {
    store: &'a Store,
    path: Option<PathBuf>,
    /// The `state` that says that it is in the store's sum, and the size that is.
    counted: Option<(File, u64)>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            if let Some((state, size)) = &self.counted {
                let _ = budget::release(self.store, state, *size);
            }
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
