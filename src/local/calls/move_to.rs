//! Moves the finished file to its permanent place, once.
//!
//! All slots are locked. The file `claim` is written first (`claim_record`). It has the destination, and the inode that
//! will appear there. So a call after a crash can tell what happened:
//!
//! | the claim says | `file` | at the destination | what happened | what follows |
//! |---|---|---|---|---|
//! | renamed | there | | killed before the file was moved | any destination |
//! | copying | there | not that file | killed while it was copied | any destination; the copy to this one continues |
//! | copying | there | that file, whole | power loss lost the mark; or an old version | drop `file`: gone |
//! | whole | there | not that file, and the part is there | killed before the copy appeared | as while copying |
//! | whole | there | the part is missing | the copy appeared, and may have been taken | drop `file`: gone |
//! | any | none | that file | done | the same destination succeeds again, others are `gone` |
//! | any | none | something else | moved on, or taken by other means | `gone` |
//!
//! Across file systems the copy grows in a hidden file in the destination's directory, the part. When the part is
//! whole, it is renamed to the destination. A missing part proves this only in the directory where the part was, and
//! only if power loss cannot have removed it. That is so if it was synced, or if boot and mount are the same. Otherwise
//! `file` is delivered, perhaps a second time, because losing it would be worse. Before a part is removed for another
//! reason, the claim says *copying* again.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::api::chunk::Finished;
use crate::api::error::{Error, Result};
use crate::api::options::Durability;
use crate::local::calls::claim_record::{Claim, Way};
use crate::local::calls::moving::{Moving, open_unfollowed, sync_move};
use crate::local::calls::{budget, complete, entries, get};
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::rules::format::layout::FILE;
use crate::rules::format::records::{Stage, StageRecord};

/// Moves the finished file to `destination`, which is an absolute path.
pub(crate) fn move_to(upload: &Upload<'_>, destination: &Path, overwrite: bool) -> Result<Finished> {
    let place = resolve(upload, destination)?;
    let claimed = { claim(&upload.lock_all()?, &place, overwrite) };
    if matches!(claimed, Ok(()) | Err(Error::Gone { .. })) {
        // The upload's locks are released first, because the store's lock comes before them. A repeated call does this
        // again, because the first call may have died before it.
        budget::release(upload.home, &upload.state, upload.header.size_on_disk())?;
    }
    claimed?;
    let crc32c = upload.stage_of(&upload.records()?)?.crc32c;
    get::finished(upload, destination.to_owned(), crc32c)
}

/// The destination without symbolic links, so that each place has one path. Refuses a path that can never be a file's
/// place.
fn resolve(upload: &Upload<'_>, destination: &Path) -> Result<PathBuf> {
    let refuse = |what: &str| Err(Error::InvalidArgument(format!("the destination {what}")));
    if destination.as_os_str().as_bytes().contains(&0) {
        return refuse("contains NUL");
    }
    let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
        return refuse("has no file name");
    };
    if destination.as_os_str().as_bytes().ends_with(b"/") {
        return refuse("is a directory");
    }
    let examine = |error| Error::os("cannot examine", parent, error);
    let parent = parent.canonicalize().map_err(examine)?;
    // In the store's directory, the file could be mistaken for an upload or for one of the store's own records.
    let inode = |directory: &Path| directory.metadata().map(|there| (there.dev(), there.ino()));
    let root = inode(upload.home.root()).map_err(examine)?;
    let there = inode(&parent).map_err(examine)?;
    let in_upload = parent.parent().is_some_and(|above| inode(above).is_ok_and(|above| above == root))
        && entries::names_upload(upload.home, parent.file_name().unwrap_or_default().as_bytes());
    // The upload's own directory may be reached by other paths, too.
    let own = upload.dir.handle.metadata().map(|own| (own.dev(), own.ino())).map_err(examine)?;
    if there == root || there == own || in_upload {
        return refuse("is in the store itself, or in the directory of an upload");
    }
    Ok(parent.join(name))
}

fn claim(upload: &LockedUpload<'_>, destination: &Path, overwrite: bool) -> Result<()> {
    let earlier = Claim::read(&upload.dir)?;
    let total = upload.header.shape.total_size;
    let durable = upload.level(&upload.records()?) >= Durability::Complete;
    let record = match (complete::complete(upload), &earlier) {
        (Err(Error::Gone { .. }), Some(claim)) if claim.destination == destination && claim.has_appeared(total) => {
            // The call that moved the file may have died before the move was on disk.
            return if durable { sync_move(upload, destination) } else { Ok(()) };
        }
        (Err(Error::Gone { .. }), Some(claim)) if !claim.has_appeared(total) && upload.dir.has(FILE)? => {
            // Power loss lost the rename, but not the mark.
            let record = StageRecord { stage: Stage::Complete, ..upload.stage_of(&upload.records()?)? };
            upload.write_stage(record)?;
            complete::complete(upload)?
        }
        (result, _) => result?,
    };
    let moving = Moving { upload, record, destination, overwrite, durable };
    match earlier {
        Some(claim) if moving.was_delivered(&claim) => {
            // A second link to the file may be left, see `appear`.
            let _ = claim.remove_part(&upload.dir);
            // The killed call may have had a lower level.
            if durable && let Ok(there) = open_unfollowed(&claim.destination) {
                moving.sync_delivered(&there, &claim.destination)?;
            }
            moving.finish(&claim.destination)?;
            let same = claim.destination == destination && claim.has_appeared(total);
            if same { Ok(()) } else { Err(upload.vanished()) }
        }
        Some(claim) if !matches!(claim.way, Way::Renamed(_)) && claim.destination == destination => {
            moving.copy(Some(claim))
        }
        earlier => {
            if let Some(mut claim) = earlier {
                claim.restart(&upload.dir)?;
                // If the part cannot be removed, it stays: moving the file is more important.
                let _ = claim.remove_part(&upload.dir);
            }
            moving.rename()
        }
    }
}
