//! The first chunk: an upload comes into being.
//!
//! Nobody knows the uid before the call returns, so nothing here needs to look whole to others. `state` is written
//! last: a directory without it is what a crash left, and no upload.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::crc::crc32c;
use crate::directory::{DATA, Directory, STATE, open_directory, sync_parents};
use crate::error::{Error, Result};
use crate::format::{Header, Mark, Phase, PhaseRecord, Slot};
use crate::placement::{Place, Shape};
use crate::store::Store;
use crate::trust::{self, Trust};
use crate::{Chunk, Durability, Receipt, Uid, seam, space, sys};

/// Receives the first chunk of an upload. Whatever refuses it, nothing is left.
pub(crate) fn create(store: &Store, chunk: &Chunk<'_>) -> Result<Receipt> {
    let size = chunk.content.len() as u64;
    let shape = Shape::of_first_chunk(chunk.total_size, chunk.chunk_count, chunk.chunk_number, size);
    let header = Header::new(shape, chunk.file_name);
    store.options().admit(chunk.total_size, chunk.chunk_count)?;
    let too_many = || Error::InvalidArgument(format!("no file can hold the table of {} chunks", chunk.chunk_count));
    let state_size = header.state_size().ok_or_else(too_many)?;
    space::check_room(store.root(), chunk.total_size, store.options().min_free_space)?;
    make_root(store)?;

    let uid = Uid::random();
    let path = store.directory(uid);
    let make = || make_directory(&path, store.options().dir_mode);
    let handle = match make() {
        // Somebody cleaned the empty store away in between.
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_root(store).map(|()| make())?,
        result => result,
    };
    let handle = handle.map_err(|error| Error::os("cannot make", &path, error))?;
    let unfinished = Unfinished(Some(path.clone()));
    let dir = Directory { handle, path };
    let reach = |step| seam::reach(step).map_err(|error| dir.error(step, STATE, error));
    reach("create:directory")?;

    let durable = store.options().durability == Durability::Chunk;
    let data = dir.create_file(DATA, store.options().file_mode)?;
    let offset = match shape.place(&Slot::default(), chunk.chunk_number, size) {
        Place::Own { offset, .. } => offset,
        Place::Tail => shape.tail_start(),
    };
    let write = || -> io::Result<()> {
        if let Some(window) = shape.window(offset, size) {
            space::reserve(&data, window)?;
        }
        data.write_all_at(chunk.content, offset)
    };
    write().map_err(|error| dir.error("cannot write", DATA, error))?;
    if durable {
        dir.sync_file(DATA, &data)?;
    }
    reach("create:data")?;

    let state = dir.create_file(STATE, store.options().state_mode())?;
    let mount = sys::status(&state).map_err(|error| dir.error("cannot examine", STATE, error))?.mount;
    let tag = Trust::now(&store.boot, mount).tag();
    let slot = Slot {
        offset,
        length: size,
        capacity: size,
        crc32c: crc32c(chunk.content),
        tag: if durable { trust::SYNCED } else { tag },
    };
    // The tail is behind this chunk, if the chunk lies in it.
    let tail = Mark { value: shape.tail_start().max(if shape.grid == 0 { size } else { 0 }), tag };
    let phase = PhaseRecord { phase: Phase::Receiving, crc32c: 0, tag, grid_is_void: false };
    let write = || -> io::Result<()> {
        state.set_len(state_size)?;
        state.write_all_at(&header.first_bytes(chunk.file_name, phase, tail, store.options().durability), 0)?;
        state.write_all_at(&slot.encode(), header.slot_at(chunk.chunk_number))
    };
    write().map_err(|error| dir.error("cannot write", STATE, error))?;
    reach("create:state")?;
    if durable {
        dir.sync_file(STATE, &state)?;
        dir.sync_names()?;
        sync_parents(store.root())?;
    }
    unfinished.keep();
    Ok(Receipt { upload_uid: uid, received_all: chunk.chunk_count == 1 })
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
    // By its name: the umask may have left a directory that its owner cannot open.
    std::fs::set_permissions(path, Permissions::from_mode(mode)).and_then(|()| open_directory(path)).inspect_err(|_| {
        let _ = std::fs::remove_dir(path);
    })
}

/// A directory that is removed again unless it is kept.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
