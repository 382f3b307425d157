//! Removes old uploads, and what crashes left.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::api::answers::{Cleaned, Expiry, Phase, Removed};
use crate::api::error::{Error, Result};
use crate::local::calls::entries::{Entries, Entry};
use crate::local::calls::remove::{LeftPart, erase_leftover, erase_upload, mark};
use crate::local::files::directory::{Directory, modified};
use crate::local::files::sys;
use crate::local::home::Home;
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::rules::format::layout::FILE;
use crate::rules::format::records::Stage;

/// Decides which uploads are old enough to be removed.
struct Ages<'a> {
    expiry: &'a Expiry,
    now: SystemTime,
}

impl Ages<'_> {
    fn is_over(&self, last_activity: SystemTime, age: Duration) -> bool {
        self.now.duration_since(last_activity).unwrap_or_default() >= age
    }

    /// Whether an upload in this phase is old enough. `None`: a crash left the directory.
    fn expired(&self, dir: &Directory, phase: Option<Phase>) -> Result<bool> {
        let age = match phase {
            None | Some(Phase::Receiving) => self.expiry.unfinished,
            Some(Phase::Complete) => self.expiry.finished,
            Some(Phase::Gone) => self.expiry.gone,
        };
        let Some(age) = age else { return Ok(false) };
        Ok(self.is_over(dir.last_activity()?, age))
    }
}

/// See [`Store::cleanup`](crate::Store::cleanup).
pub(crate) fn cleanup(home: &Home, expiry: &Expiry) -> Result<Cleaned> {
    let mut cleaned = Cleaned::default();
    let Some(least) = [expiry.unfinished, expiry.finished, expiry.gone].into_iter().flatten().min() else {
        return Ok(cleaned);
    };
    let ages = Ages { expiry, now: SystemTime::now() };
    for entry in Entries::of(home)? {
        let entry = entry?;
        // Most uploads are in use, and this one look at the time is enough.
        let Ok(metadata) = std::fs::symlink_metadata(&entry.path) else { continue };
        if !metadata.is_dir() {
            continue;
        }
        let at = modified(&metadata);
        // The clock was set back, or another program set this time. Without a new time, the directory would not age.
        if at > SystemTime::now() && !expiry.dry_run && set_time_to_now(&entry.path).is_err() {
            cleaned.failed_count += 1;
            continue;
        }
        if !ages.is_over(at, least) {
            continue;
        }
        if cleaned.removed.len() as u64 >= expiry.max_removals {
            cleaned.more = true;
            break;
        }
        match clean(home, &ages, &entry) {
            Ok(Some((phase, left))) => {
                cleaned.removed.push(Removed { uid: entry.uid, phase });
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

/// The phase of the removed upload (`None`: a crash left the directory), and the part of a copy that stayed.
type Erased = (Option<Phase>, LeftPart);

/// Removes one directory, if it is old enough and no call is working on it.
fn clean(home: &Home, ages: &Ages<'_>, entry: &Entry) -> Result<Option<Erased>> {
    let Some(dir) = entry.open()? else { return Ok(None) };
    match Upload::open_in(home, entry.uid, dir.try_clone()?) {
        Ok(Some(upload)) => clean_upload(&upload, ages, entry),
        // A `state` of another version is left alone.
        Err(error) if error.os_errno() != Some(libc::EBADMSG) => Err(error),
        // The directory has no upload, or a damaged one.
        Ok(None) | Err(_) if !home.sees_leftovers() || !ages.expired(&dir, None)? => Ok(None),
        Ok(None) | Err(_) => Ok(erase_leftover(home, entry.uid, dir, ages.expiry.dry_run)?.map(|left| (None, left))),
    }
}

fn clean_upload(upload: &Upload<'_>, ages: &Ages<'_>, entry: &Entry) -> Result<Option<Erased>> {
    let home = upload.home;
    let is_leftover = entry.aside || upload.opened.stage().is_some_and(|record| !record.stage.is_upload());
    let visible =
        if is_leftover { home.sees_leftovers() } else { home.admits(entry.uid, upload.header.owner.as_ref()) };
    if !visible {
        return Ok(None);
    }
    upload.reach("cleanup:opened")?;
    let phase = {
        let Some(upload) = upload.try_lock_all()? else { return Ok(None) };
        // The maker may have finished the upload, and renamed its directory to its place.
        if entry.aside && !upload.dir.is_at_its_path()? {
            return Ok(None);
        }
        let phase = if entry.aside { None } else { phase(&upload)? };
        // The time is read again under the locks, because a call may have used the upload.
        if !ages.expired(&upload.dir, phase)? {
            return Ok(None);
        }
        if ages.expiry.dry_run {
            return Ok(Some((phase, None)));
        }
        mark(&upload)?;
        phase
    };
    Ok(Some((phase, erase_upload(upload)?)))
}

/// The phase of an upload, for its cleanup.
fn phase(upload: &LockedUpload<'_>) -> Result<Option<Phase>> {
    match upload.records()?.stage() {
        // Power loss lost the rename to the destination, but not the mark. `move_to` can still deliver the file.
        Some(record) if record.stage == Stage::Gone && upload.dir.has(FILE)? => Ok(Some(Phase::Complete)),
        Some(record) => Ok(upload.verdict(record)?.phase()),
        None => Ok(Some(Phase::Receiving)),
    }
}
