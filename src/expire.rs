//! The end of uploads: removing one, and removing what was not used for long or what crashes left.
//!
//! An upload is first marked as removed, under all its locks: from there on it is `not_found` for everybody, also for calls
//! that were waiting. Then its files go, by way of the open directory, so that whatever stands at its name by then is safe;
//! `state` goes last, so that a removal that was cut off is found and finished.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::claim;
use crate::directory::{DATA, Directory, FILE, ORDERED, STATE, modified};
use crate::error::{Error, Result};
use crate::format::{Phase as Recorded, PhaseRecord};
use crate::list::{Entries, Entry};
use crate::lock::Lock;
use crate::store::Store;
use crate::upload::Upload;
use crate::{Cleaned, Expiry, Phase, Removed, Uid, budget, inspect, owner, sys};

/// Removes an upload, waiting for the calls that are working on it. The upload is also removed if a part of a copy
/// stays at a destination of `move_to`: then the error names the part.
pub(crate) fn remove(upload: &Upload<'_>) -> Result<()> {
    {
        let _all = upload.lock_all()?;
        // Another call may have been faster.
        if !upload.phase_of(&upload.records()?)?.phase.is_upload() {
            return Err(upload.not_found());
        }
        mark(upload)?;
    }
    erase_upload(upload)?.map_or(Ok(()), Err)
}

/// Under all slots: from here on there is no upload any more.
fn mark(upload: &Upload<'_>) -> Result<()> {
    let tag = upload.trust.tag();
    upload.write_phase(PhaseRecord { phase: Recorded::Removed, crc32c: 0, tag, grid_is_void: false })?;
    upload.reach("remove:marked")
}

/// If the part of a copy could not be removed from its destination, the reason.
type LeftPart = Option<Error>;

/// Removes what is left of a removed upload. Without its locks: taking it out of the sum may have to wait.
fn erase_upload(upload: &Upload<'_>) -> Result<LeftPart> {
    budget::release(upload.store, &upload.state, upload.header.size_on_disk())?;
    erase(&upload.dir)
}

/// Removes the files of an upload, and its directory unless it has other files.
fn erase(dir: &Directory) -> Result<LeftPart> {
    // The destination may belong to another user by now, or be read-only: a failure there must not keep the upload.
    let left = claim::abandon(dir)?;
    for name in [DATA, ORDERED, FILE, STATE] {
        dir.remove(name)?;
        crate::seam::reach("remove:file").map_err(|error| dir.error("remove:file", name, error))?;
    }
    match std::fs::remove_dir(&dir.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(left),
        // Another upload with the same key stands there by now; this directory is gone.
        Err(_) if dir.handle.metadata().is_ok_and(|own| own.nlink() == 0) => Ok(left),
        result => result.map(|()| left).map_err(|error| Error::os("cannot remove", &dir.path, error)),
    }
}

/// Empties a directory in which no upload is any more, at the place of one with a key. False if there is one.
pub(crate) fn sweep(store: &Store, uid: Uid, place: &Path) -> Result<bool> {
    let Some(root) = store.examine_root()? else { return Ok(true) };
    let Some(dir) = root.open(place.to_owned())? else { return Ok(true) };
    let erased = match Upload::open_in(store, uid, dir.try_clone()?)? {
        // With a key it is created aside: here, power loss took the mark of its end.
        Some(upload) if upload.opened.phase().is_some_and(|record| !record.phase.is_upload()) => erase_upload(&upload),
        Some(_) => return Ok(false),
        None => erase_nobodys(&dir),
    };
    match erased {
        // Another call removed it, too, and an upload is there now; or it has files of other programs. Then the
        // renaming fails.
        Err(error) if error.os_errno() == Some(libc::ENOTEMPTY) => Ok(true),
        result => result.map(|_| true),
    }
}

/// Removes what is no upload. Power loss may have left of one its mark that it is complete: with that, and without its file, it
/// would look like one whose file was taken, for ever if this is cut off. So that goes first.
fn erase_nobodys(dir: &Directory) -> Result<LeftPart> {
    if let Some(state) = dir.open_file(STATE)? {
        state.set_len(0).map_err(|error| dir.error("cannot empty", STATE, error))?;
    }
    erase(dir)
}

/// Removes what has been idle for long enough.
pub(crate) fn cleanup(store: &Store, expiry: &Expiry) -> Result<Cleaned> {
    let mut cleaned = Cleaned::default();
    let Some(least) = [expiry.unfinished, expiry.finished, expiry.gone].into_iter().flatten().min() else {
        return Ok(cleaned);
    };
    let now = SystemTime::now();
    for entry in Entries::of(store)? {
        let entry = entry?;
        // One look decides for most: they are in use.
        let Ok(metadata) = std::fs::symlink_metadata(&entry.path) else { continue };
        if !metadata.is_dir() {
            continue;
        }
        let at = modified(&metadata);
        // The clock was set back, or another program set this time: the directory would never be old enough.
        if at > SystemTime::now() && !expiry.dry_run && set_time_to_now(&entry.path).is_err() {
            cleaned.failed_count += 1;
            continue;
        }
        let idle = |at: SystemTime| now.duration_since(at).unwrap_or_default();
        if idle(at) < least {
            continue;
        }
        if cleaned.removed.len() as u64 >= expiry.max_removals {
            cleaned.more = true;
            break;
        }
        match clean(store, expiry, &entry, &idle) {
            Ok(Some((removed, left))) => {
                cleaned.removed.push(removed);
                cleaned.failed_count += u64::from(left.is_some());
            }
            Ok(None) => {}
            Err(_) => cleaned.failed_count += 1,
        }
    }
    Ok(cleaned)
}

/// Sets the directory's time to now, so that it ages from now on.
fn set_time_to_now(path: &Path) -> Result<()> {
    let Some(dir) = Directory::open(path.to_owned())? else { return Ok(()) };
    sys::touch(&dir.handle).map_err(|error| Error::os("cannot set the time of", path, error))
}

/// Removes one upload, if it is old enough and no call is working on it.
fn clean(
    store: &Store,
    expiry: &Expiry,
    entry: &Entry,
    idle: &impl Fn(SystemTime) -> Duration,
) -> Result<Option<(Removed, LeftPart)>> {
    let removed = |phase, left| Ok(Some((Removed { uid: entry.uid, phase }, left)));
    let Some(dir) = entry.open()? else { return Ok(None) };
    let expired =
        |dir: &Directory, age: Option<Duration>| dir.last_activity().map(|at| age.is_some_and(|age| idle(at) >= age));
    let upload = match Upload::open_in(store, entry.uid, dir.try_clone()?) {
        Ok(Some(upload)) => upload,
        // What another version wrote is not ours to judge.
        Err(error) if error.os_errno() != Some(libc::EBADMSG) => return Err(error),
        // Nothing in it, or nothing that can be used.
        Ok(None) | Err(_) => {
            if !store.sees_leftovers() || !expired(&dir, expiry.unfinished)? {
                return Ok(None);
            }
            return match erase_leftover(store, entry.uid, dir, expiry.dry_run)? {
                Some(left) => removed(None, left),
                None => Ok(None),
            };
        }
    };
    let leftover = entry.aside || upload.opened.phase().is_some_and(|record| !record.phase.is_upload());
    let visible =
        if leftover { store.sees_leftovers() } else { owner::admits(store, entry.uid, upload.header.owner.as_ref()) };
    if !visible {
        return Ok(None);
    }
    upload.reach("cleanup:opened")?;
    let phase = {
        let Some(_all) = upload.try_lock_all()? else { return Ok(None) };
        // Since it was opened, its maker may have finished it and moved it to its place.
        if entry.aside && !upload.dir.is_at_its_path()? {
            return Ok(None);
        }
        let phase = match upload.records()?.phase() {
            _ if entry.aside => None,
            // Power loss took the renaming to its place, but not the mark: `move_to` can still bring it there.
            Some(record) if record.phase == Recorded::Gone && upload.dir.has(FILE)? => Some(Phase::Complete),
            Some(record) => inspect::standing(&upload, record)?,
            None => Some(Phase::Receiving),
        };
        let age = match phase {
            None | Some(Phase::Receiving) => expiry.unfinished,
            Some(Phase::Complete) => expiry.finished,
            Some(Phase::Gone) => expiry.gone,
        };
        // Looked at again under the locks: it may have been used in between.
        if !expired(&upload.dir, age)? {
            return Ok(None);
        }
        if expiry.dry_run {
            return removed(phase, None);
        }
        mark(&upload)?;
        phase
    };
    removed(phase, erase_upload(&upload)?)
}

/// Removes a directory without an upload that can be used: what a crash left before there was one, or somebody else
/// half-removed. `None` if it is not: a directory that a call is making is left alone.
fn erase_leftover(store: &Store, uid: Uid, dir: Directory, dry_run: bool) -> Result<Option<LeftPart>> {
    if dry_run {
        return Ok(Some(None));
    }
    // With a `state` that this call made, no other call begins an upload here.
    let state = match dir.open_file(STATE)? {
        Some(state) => state,
        None => match std::fs::remove_dir(&dir.path) {
            Ok(()) => return Ok(Some(None)),
            Err(_) => match dir.create_file(STATE, store.options().state_mode()) {
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
    match Upload::open_in(store, uid, dir.try_clone()?) {
        Ok(None) => {}
        Err(error) if error.os_errno() == Some(libc::EBADMSG) => {}
        _ => return Ok(None),
    }
    erase_nobodys(&dir).map(Some)
}
