//! Removes an upload.
//!
//! The upload is first marked as removed, under all its locks. From then on it is `not_found` for every call, even one
//! that was waiting. Then its files are removed through the open directory, so that another directory with its name is
//! safe. `state` is removed last, so that a cleanup finds and finishes an interrupted removal.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::api::error::{Error, Result};
use crate::api::uid::Uid;
use crate::local::calls::{budget, claim_record};
use crate::local::files::directory::Directory;
use crate::local::files::locks::Lock;
use crate::local::files::test_hooks;
use crate::local::home::Home;
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::rules::format::layout::{DATA, FILE, ORDERED, STATE};
use crate::rules::format::records::{Stage, StageRecord};

/// Removes an upload. Waits for the calls that are working on it. If a part of a copy stays at a destination of
/// `move_to`, the upload is removed all the same, and the error names the part.
pub(crate) fn remove(upload: &Upload<'_>) -> Result<()> {
    {
        let upload = upload.lock_all()?;
        // Another call may have removed it first.
        if !upload.stage_of(&upload.records()?)?.stage.is_upload() {
            return Err(upload.not_found());
        }
        mark(&upload)?;
    }
    erase_upload(upload)?.map_or(Ok(()), Err)
}

pub(crate) fn mark(upload: &LockedUpload<'_>) -> Result<()> {
    let tag = upload.trust.tag();
    upload.write_stage(StageRecord { stage: Stage::Removed, crc32c: 0, tag, grid_is_void: false })?;
    upload.reach("remove:marked")
}

/// The reason why a part of a copy stayed at its destination; `None` if no part stayed.
pub(crate) type LeftPart = Option<Error>;

/// Erases an upload that is marked as removed. The caller holds no lock on it, because subtracting it from the sum may
/// have to wait.
pub(crate) fn erase_upload(upload: &Upload<'_>) -> Result<LeftPart> {
    budget::release(upload.home, &upload.state, upload.header.size_on_disk())?;
    erase(&upload.dir)
}

/// Removes the files of an upload, and its directory. Fails if the directory has other files.
fn erase(dir: &Directory) -> Result<LeftPart> {
    // The destination may belong to another user by now, or be read-only. A failure there must not keep the upload.
    let left = claim_record::abandon(dir)?;
    for name in [DATA, ORDERED, FILE, STATE] {
        dir.remove(name)?;
        test_hooks::reach("remove:file").map_err(|error| dir.error("remove:file", name, error))?;
    }
    match std::fs::remove_dir(&dir.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(left),
        // This directory is removed, and another upload with its key is at its path.
        Err(_) if dir.handle.metadata().is_ok_and(|own| own.nlink() == 0) => Ok(left),
        result => result.map(|()| left).map_err(|error| Error::os("cannot remove", &dir.path, error)),
    }
}

/// Erases a directory without an upload, at the place of an upload with a key. False if there is an upload.
pub(crate) fn sweep(home: &Home, uid: Uid, place: &Path) -> Result<bool> {
    let Some(root) = home.examine_root()? else { return Ok(true) };
    let Some(dir) = root.open(place.to_owned())? else { return Ok(true) };
    let erased = match Upload::open_in(home, uid, dir.try_clone()?)? {
        // Uploads with a key are built elsewhere. So the stage *being created* here means that power loss lost the last
        // write.
        Some(upload) if upload.opened.stage().is_some_and(|record| !record.stage.is_upload()) => erase_upload(&upload),
        Some(_) => return Ok(false),
        None => erase_no_upload(&dir),
    };
    match erased {
        // Another call removed the directory, too, and an upload is there now; or the directory has files of other
        // programs. Then the rename fails.
        Err(error) if error.os_errno() == Some(libc::ENOTEMPTY) => Ok(true),
        result => result.map(|_| true),
    }
}

/// Erases a directory without an upload. Power loss may have kept the mark that an upload is complete. If its file were
/// removed first, and the call died, the upload would be `gone` for ever. So `state` is emptied first.
fn erase_no_upload(dir: &Directory) -> Result<LeftPart> {
    if let Some(state) = dir.open_file(STATE)? {
        state.set_len(0).map_err(|error| dir.error("cannot empty", STATE, error))?;
    }
    erase(dir)
}

/// Erases a directory without a usable upload, which a crash or another program left. `None` if another call is making
/// or erasing an upload there: then the directory is left alone.
pub(crate) fn erase_leftover(home: &Home, uid: Uid, dir: Directory, dry_run: bool) -> Result<Option<LeftPart>> {
    if dry_run {
        return Ok(Some(None));
    }
    // If this call makes `state`, no other call begins an upload here.
    let state = match dir.open_file(STATE)? {
        Some(state) => state,
        None => match std::fs::remove_dir(&dir.path) {
            Ok(()) => return Ok(Some(None)),
            Err(_) => match dir.create_file(STATE, home.options().state_mode()) {
                // Another call is making or erasing an upload here.
                Err(error) if matches!(error.os_errno(), Some(libc::EEXIST | libc::ENOENT)) => return Ok(None),
                result => result?,
            },
        },
    };
    let Some(_gate) = Lock::try_gate(&state).map_err(|error| dir.error("cannot lock", STATE, error))? else {
        return Ok(None);
    };
    // The maker may have finished before this call got the gate.
    match Upload::open_in(home, uid, dir.try_clone()?) {
        Ok(None) => {}
        Err(error) if error.os_errno() == Some(libc::EBADMSG) => {}
        _ => return Ok(None),
    }
    erase_no_upload(&dir).map(Some)
}
