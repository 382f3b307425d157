//! Makes an upload, for its first chunk.
//!
//! `state` is made first and written last. Until it is written, no call finds an upload, and a cleanup removes what a
//! crash leaves. The maker holds the gate meanwhile, so no cleanup mistakes a live maker for a dead one. If the store
//! keeps a sum of its uploads, `state` is written once before `data`. It then has the stage *being created*, and says
//! that the upload is in the sum.
//!
//! No client knows a random uid before the call returns. The uid of a key is known earlier. So an upload with a key is
//! built in another directory and renamed. If another call was faster, this call joins the other's upload.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::api::chunk::{Chunk, Receipt};
use crate::api::error::{Error, Result, errno};
use crate::api::options::Durability;
use crate::api::uid::Uid;
use crate::local::calls::budget::Promise;
use crate::local::calls::entries::ASIDE;
use crate::local::calls::{budget, receive, remove, secret};
use crate::local::files::directory::Directory;
use crate::local::files::locks::Lock;
use crate::local::files::root::{make_directory, sync_parents};
use crate::local::files::{file_systems, sys, test_hooks, write};
use crate::local::home::{Home, random_uid};
use crate::local::upload::opened::Upload;
use crate::rules::digests::Digests;
use crate::rules::format::header::Header;
use crate::rules::format::layout::{COUNTED_AT, DATA, HEAD_SIZE, LEVEL_AT, SLOT_SIZE, STATE};
use crate::rules::format::records::{Mark, Stage, StageRecord};
use crate::rules::placement::{Place, Shape, Slot};
use crate::rules::tag::Tag;
use crate::rules::{digests, keys};

/// How often a call begins again because another call removed what it was about to use. Each time needs a coincidence.
const ATTEMPTS: u32 = 16;

/// Receives a chunk without a uid. If the chunk is refused, nothing is left.
pub(crate) fn create(home: &Home, chunk: &Chunk<'_>) -> Result<Receipt> {
    if chunk.upload_key.is_empty() {
        let new = New::admitted(home, chunk)?;
        for _ in 0..ATTEMPTS {
            let uid = random_uid()?;
            if new.make(uid, &home.directory(uid), None)? {
                return Ok(new.receipt(uid));
            }
        }
        return Err(Error::os("other calls removed each new upload in", home.root(), errno(libc::ENOENT)));
    }
    keys::validate_key(home.owner(), chunk.upload_key)?;
    for _ in 0..ATTEMPTS {
        // Without a secret the store has no upload with a key. The secret is made only after the chunk is admitted.
        if let Some(root) = home.examine_root_and_owner()?
            && let Some(uid) = secret::known_uid_for_key(home, root, chunk.upload_key)?
        {
            match Upload::open_at(home, root, uid).and_then(|upload| receive::receive(&upload, chunk)) {
                Err(Error::NotFound { .. }) => {}
                result => return result,
            }
        }
        let new = New::admitted(home, chunk)?;
        let uid = secret::uid_for_key(home, chunk.upload_key)?;
        let aside = home.root().join(format!("{}{}{ASIDE}", home.options().prefix, random_uid()?));
        if new.make(uid, &aside, Some(&home.directory(uid)))? {
            return Ok(new.receipt(uid));
        }
    }
    Err(Error::os("other calls made and removed the upload with this key in", home.root(), errno(libc::EAGAIN)))
}

/// A `state` of at most this size is written in one call.
const SMALL_STATE: u64 = 4096;

/// A first chunk that has passed all checks.
struct New<'a> {
    home: &'a Home,
    chunk: &'a Chunk<'a>,
    /// The header without the owner's digest, which depends on the uid.
    header: Header,
    state_size: u64,
    crc32c: u32,
}

impl<'a> New<'a> {
    /// Checks everything that can be checked before the upload is made. Makes the store's directory.
    fn admitted(home: &'a Home, chunk: &'a Chunk<'a>) -> Result<New<'a>> {
        let size = chunk.content.len() as u64;
        let shape = Shape::of_first_chunk(chunk.total_size, chunk.chunk_count, chunk.chunk_number, size);
        let header = Header::new(shape, chunk.file_name, None, Digests::parse("file_digest", chunk.file_digest)?);
        home.options().admit(chunk.total_size, chunk.chunk_count, header.size_on_disk())?;
        let too_many = || {
            let text = format!("chunk_count {} is too large: no file can hold the table", chunk.chunk_count);
            Error::InvalidArgument(text)
        };
        let state_size = header.state_size().ok_or_else(too_many)?;
        let crc32c = digests::checked_crc32c(chunk)?;
        file_systems::check_room(home.root(), chunk.total_size, home.options())?;
        home.examine_or_make_root()?;
        Ok(New { home, chunk, header, state_size, crc32c })
    }

    fn receipt(&self, uid: Uid) -> Receipt {
        Receipt { upload_uid: uid, received_all: self.chunk.chunk_count == 1 }
    }

    /// Makes the upload in the new directory `path`, and renames it to `place` if there is one. False if the caller has
    /// to try again: a cleanup removed the directory before anything was in it, or an upload is at `place` already.
    fn make(&self, uid: Uid, path: &Path, place: Option<&Path>) -> Result<bool> {
        let home = self.home;
        let mut header = self.header.clone();
        header.owner = keys::digest_for(home.owner(), uid);
        let promise = budget::promise(home, header.size_on_disk())?;
        let Some(dir) = self.make_directory(path)? else { return Ok(false) };
        let mut unfinished = Unfinished { home, path: Some(path.to_owned()), counted: None };
        let Some(state) = self.make_state(&dir)? else {
            unfinished.keep();
            return Ok(false);
        };
        let Some((_gate, tag)) = self.lock_gate(&dir, &state)? else { return Ok(false) };
        let draft = Draft { dir, state: &state, header, tag, is_joined: place.is_some() };
        self.fill(&draft, promise, &mut unfinished)?;
        self.publish(&draft, uid, place, &mut unfinished)
    }

    /// Makes an empty `state`. `None` if a cleanup found the empty directory first.
    fn make_state(&self, dir: &Directory) -> Result<Option<File>> {
        reach(dir, "create:directory")?;
        match dir.create_file_under_umask(STATE, self.home.options().state_mode()) {
            Err(Error::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) =>
            {
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Locks the gate, so that no cleanup mistakes this maker for a dead one. Returns the tag for unsynced bytes in
    /// this directory; `None` if a cleanup was faster.
    fn lock_gate<'f>(&self, dir: &Directory, state: &'f File) -> Result<Option<(Lock<'f>, Tag)>> {
        sys::mark_resident(state, true);
        let gate = Lock::gate(state).map_err(|error| dir.error("cannot lock", STATE, error))?;
        let examine = |error| dir.error("cannot examine", STATE, error);
        let status = sys::status(state).map_err(examine)?;
        if status.links == 0 {
            return Ok(None);
        }
        dir.undo_umask(STATE, state, &status, self.home.options().state_mode())?;
        Ok(Some((gate, self.home.trust_in(state, &status).map_err(examine)?.tag())))
    }

    /// Writes a `state` that says that the upload is in the store's sum, if there is a sum. Then writes the content
    /// into `data`, and then all of `state`.
    fn fill(&self, draft: &Draft<'_>, promise: Option<Promise>, unfinished: &mut Unfinished<'_>) -> Result<()> {
        let Draft { dir, state, header, tag, .. } = draft;
        let failed = |error| dir.error("cannot write", STATE, error);
        if let Some(promise) = promise {
            let counted = (state.try_clone().map_err(failed)?, header.size_on_disk());
            self.write_state(state, self.head(draft, Stage::Creating, true), &Slot::default()).map_err(failed)?;
            unfinished.counted = Some(counted);
            promise.keep();
        }
        reach(dir, "create:state")?;
        let slot = self.write_content(dir, *tag)?;
        let head = self.head(draft, Stage::Receiving, unfinished.counted.is_some());
        self.write_state(state, head, &slot).map_err(failed)?;
        reach(dir, "create:marked")
    }

    fn head(&self, draft: &Draft<'_>, stage: Stage, counted: bool) -> Vec<u8> {
        let (shape, size, tag) = (draft.header.shape, self.chunk.content.len() as u64, draft.tag);
        let record = StageRecord { stage, crc32c: 0, tag, grid_is_void: false };
        // If this chunk lies in the tail, the tail continues after it.
        let tail = Mark { value: shape.tail_start().max(if shape.grid == 0 { size } else { 0 }), tag };
        let mut bytes = draft.header.first_bytes(self.chunk.file_name, record, tail, self.first_level(draft));
        bytes[COUNTED_AT as usize] = counted.into();
        bytes
    }

    /// Other calls may join this upload as soon as it is at its place. At level `chunk` its name must be on disk first,
    /// so its level is raised only then.
    fn first_level(&self, draft: &Draft<'_>) -> Durability {
        let level = self.home.options().durability;
        if draft.is_joined && level == Durability::Chunk { Durability::Process } else { level }
    }

    /// Syncs the upload if its level requires that, and renames it to `place`. False if there is an upload at `place`.
    fn publish(
        &self,
        draft: &Draft<'_>,
        uid: Uid,
        place: Option<&Path>,
        unfinished: &mut Unfinished<'_>,
    ) -> Result<bool> {
        let (home, Draft { dir, state, .. }) = (self.home, draft);
        let level = home.options().durability;
        let durable = level == Durability::Chunk;
        if durable {
            dir.sync_file(STATE, state)?;
            dir.sync_names()?;
        }
        if let Some(place) = place {
            if !put_in_place(home, uid, &dir.path, place)? {
                return Ok(false);
            }
            // Other calls may have joined. So the upload stays, even if a later step fails.
            unfinished.keep();
            reach(dir, "create:renamed")?;
        }
        if durable {
            sync_parents(home.root())?;
        }
        if self.first_level(draft) != level {
            let raised = state.write_all_at(&[level as u8], LEVEL_AT);
            raised.map_err(|error| dir.error("cannot write", STATE, error))?;
        }
        unfinished.keep();
        Ok(true)
    }

    /// Writes all of `state`: `head`, which is everything before the table, and the first chunk's slot. The first
    /// sector is written last, because it makes this an upload.
    fn write_state(&self, state: &File, mut head: Vec<u8>, slot: &Slot) -> io::Result<()> {
        let slot_at = self.header.slot_at(self.chunk.chunk_number);
        if self.state_size <= SMALL_STATE {
            // This write is within one page: a process that is killed here has written all of it, or nothing.
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

    /// `None` if a cleanup removed the directory.
    fn make_directory(&self, path: &Path) -> Result<Option<Directory>> {
        let make = || make_directory(path, self.home.options().dir_mode);
        let handle = match make() {
            // Another call removed the empty store or the new directory meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.home.examine_or_make_root().map(|_| make())?
            }
            result => result,
        };
        match handle {
            Ok(handle) => Ok(Some(Directory { handle, path: path.to_owned() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.home.root().is_dir() => Ok(None),
            Err(error) => Err(Error::os("cannot make", path, error)),
        }
    }

    /// Makes `data` and writes the chunk into it. Returns the chunk's slot.
    fn write_content(&self, dir: &Directory, tag: Tag) -> Result<Slot> {
        let (chunk, shape, size) = (self.chunk, self.header.shape, self.chunk.content.len() as u64);
        let data = dir.create_file(DATA, self.home.options().file_mode)?;
        sys::mark_resident(&data, true);
        let offset = match shape.place(&Slot::default(), chunk.chunk_number, size) {
            Place::Own { offset } => offset,
            Place::Tail => shape.tail_start(),
        };
        let durable = self.home.options().durability == Durability::Chunk;
        write::write(&data, &shape, chunk.content, offset, durable)
            .map_err(|error| dir.error("cannot write", DATA, error))?;
        if durable {
            dir.sync_file(DATA, &data)?;
        }
        reach(dir, "create:data")?;
        let tag = if durable { Tag::SYNCED } else { tag };
        Ok(Slot { offset, length: size, capacity: size, crc32c: self.crc32c, tag })
    }
}

/// Renames a finished directory to its place. False if an upload is there.
fn put_in_place(home: &Home, uid: Uid, aside: &Path, place: &Path) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        // The rename replaces an empty directory, and nothing else.
        match std::fs::rename(aside, place) {
            Ok(()) => return Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOTEMPTY | libc::EEXIST) if !remove::sweep(home, uid, place)? => return Ok(false),
                Some(libc::ENOTEMPTY | libc::EEXIST) => {}
                _ => return Err(Error::os("cannot rename to", place, error)),
            },
        }
    }
    Err(Error::os("cannot make room for an upload at", place, errno(libc::ENOTEMPTY)))
}

/// A named step, for tests.
fn reach(dir: &Directory, step: &'static str) -> Result<()> {
    test_hooks::reach(step).map_err(|error| dir.error(step, STATE, error))
}

/// The parts of an upload that is being made.
struct Draft<'a> {
    dir: Directory,
    /// The file `state`, whose gate is locked.
    state: &'a File,
    header: Header,
    /// The tag for unsynced bytes in this directory.
    tag: Tag,
    /// Whether other calls may join the upload when it is at its place.
    is_joined: bool,
}

/// Unless it is kept, dropping it removes the directory and subtracts the upload from the store's sum.
struct Unfinished<'a> {
    home: &'a Home,
    path: Option<PathBuf>,
    /// If the upload is in the store's sum: its `state`, and the size to subtract.
    counted: Option<(File, u64)>,
}

impl Unfinished<'_> {
    fn keep(&mut self) {
        self.path = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            if let Some((state, size)) = &self.counted {
                let _ = budget::release(self.home, state, *size);
            }
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
