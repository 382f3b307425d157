//! Removing an upload.
//!
//! An upload is first marked as removed, under all its locks: from there on it is `not_found` for everybody, also for
//! calls that were waiting. Then its files go, by way of the open directory, so that whatever stands at its name by
//! then is safe; `state` goes last, so that a removal that was cut off is found and finished.

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

/// Removes an upload, waiting for the calls that are working on it. The upload is also removed if a part of a copy
/// stays at a destination of `move_to`: then the error names the part.
pub(crate) fn remove(upload: &Upload<'_>) -> Result<()> {
    {
        let upload = upload.lock_all()?;
        // Another call may have been faster.
        if !upload.stage_of(&upload.records()?)?.stage.is_upload() {
            return Err(upload.not_found());
        }
        mark(&upload)?;
    }
    erase_upload(upload)?.map_or(Ok(()), Err)
}

/// From here on there is no upload any more.
pub(crate) fn mark(upload: &LockedUpload<'_>) -> Result<()> {
    let tag = upload.trust.tag();
    upload.write_stage(StageRecord { stage: Stage::Removed, crc32c: 0, tag, grid_is_void: false })?;
    upload.reach("remove:marked")
}

/// If the part of a copy could not be removed from its destination, the reason.
pub(crate) type LeftPart = Option<Error>;

/// Removes what is left of a removed upload. Without its locks: taking it out of the sum may have to wait.
pub(crate) fn erase_upload(upload: &Upload<'_>) -> Result<LeftPart> {
    budget::release(upload.home, &upload.state, upload.header.size_on_disk())?;
    erase(&upload.dir)
}

/// Removes the files of an upload, and its directory unless it has other files.
fn erase(dir: &Directory) -> Result<LeftPart> {
    // The destination may belong to another user by now, or be read-only: a failure there must not keep the upload.
    let left = claim_record::abandon(dir)?;
    for name in [DATA, ORDERED, FILE, STATE] {
        dir.remove(name)?;
        test_hooks::reach("remove:file").map_err(|error| dir.error("remove:file", name, error))?;
    }
    match std::fs::remove_dir(&dir.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(left),
        // Another upload with the same key stands there by now; this directory is gone.
        Err(_) if dir.handle.metadata().is_ok_and(|own| own.nlink() == 0) => Ok(left),
        result => result.map(|()| left).map_err(|error| Error::os("cannot remove", &dir.path, error)),
    }
}

/// Empties a directory in which no upload is any more, at the place of one with a key. False if there is one.
pub(crate) fn sweep(home: &Home, uid: Uid, place: &Path) -> Result<bool> {
    let Some(root) = home.examine_root()? else { return Ok(true) };
    let Some(dir) = root.open(place.to_owned())? else { return Ok(true) };
    let erased = match Upload::open_in(home, uid, dir.try_clone()?)? {
        // With a key it is created aside: here, power loss took the mark of its end.
        Some(upload) if upload.opened.stage().is_some_and(|record| !record.stage.is_upload()) => erase_upload(&upload),
        Some(_) => return Ok(false),
        None => erase_no_upload(&dir),
    };
    match erased {
        // Another call removed it, too, and an upload is there now; or it has files of other programs. Then the
        // renaming fails.
        Err(error) if error.os_errno() == Some(libc::ENOTEMPTY) => Ok(true),
        result => result.map(|_| true),
    }
}

/// Removes what is no upload. Power loss may have left of one its mark that it is complete: with that, and without its
/// file, it would look like one whose file was taken, for ever if this is cut off. So that goes first.
fn erase_no_upload(dir: &Directory) -> Result<LeftPart> {
    if let Some(state) = dir.open_file(STATE)? {
        state.set_len(0).map_err(|error| dir.error("cannot empty", STATE, error))?;
    }
    erase(dir)
}

/// Removes a directory without an upload that can be used: what a crash left before there was one, or somebody else
/// half-removed. `None` if it is not: a directory that a call is making is left alone.
pub(crate) fn erase_leftover(home: &Home, uid: Uid, dir: Directory, dry_run: bool) -> Result<Option<LeftPart>> {
    if dry_run {
        return Ok(Some(None));
    }
    // With a `state` that this call made, no other call begins an upload here.
    let state = match dir.open_file(STATE)? {
        Some(state) => state,
        None => match std::fs::remove_dir(&dir.path) {
            Ok(()) => return Ok(Some(None)),
            Err(_) => match dir.create_file(STATE, home.options().state_mode()) {
                // Another call is making an upload here, or erasing one.
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
