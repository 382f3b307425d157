//! Brings chunks that do not lie in order into order.
//!
//! The chunks are copied one by one into the file `ordered`. The progress is recorded, so an interrupted rewrite
//! continues where it stopped. When all are copied, the stage *ordered* is recorded and `data` is removed. Then the
//! slots are set to the new places, and `ordered` becomes the finished file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::api::error::{Error, Result, errno};
use crate::api::options::Durability;
use crate::local::calls::confirm;
use crate::local::files::{read, sys};
use crate::local::upload::locked::LockedUpload;
use crate::local::upload::opened::Upload;
use crate::rules::crc::Combined;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DATA, FILE, ORDERED};
use crate::rules::format::records::{Progress, Stage, StageRecord};
use crate::rules::placement::Slot;
use crate::rules::tag::Tag;

/// Extents can be shared where both ends lie on block boundaries. The blocks of all supported file systems are of this
/// size, or of a size that divides it.
const SHARED_BLOCK: u64 = 4096;

/// Called with all slots locked and all chunks there. Completes the upload. `None` if a chunk is damaged: it is missing
/// now.
pub(crate) fn rewrite(upload: &LockedUpload<'_>, data: &File) -> Result<Option<StageRecord>> {
    let (ordered, done) = start(upload)?;
    match copy(upload, data, &ordered, done) {
        // The disk is full. The unfinished copy is removed, because other uploads may need its room.
        Err(error @ Error::NoSpace { .. }) => {
            upload.forget_progress()?;
            upload.dir.remove(ORDERED)?;
            return Err(error);
        }
        Err(error) => return Err(error),
        Ok(false) => return Ok(None),
        Ok(true) => {}
    }
    let durable = upload.level(&upload.records()?) >= Durability::Complete;
    if durable {
        upload.doubt()?;
        if let Err(error) = upload.dir.sync_file(ORDERED, &ordered) {
            // The kernel reports a failed write-back once and then forgets it. So everything is copied again.
            upload.forget_progress()?;
            upload.dir.remove(ORDERED)?;
            return Err(error);
        }
        upload.sync_state()?;
        // The name `ordered` must not be lost when `data` is removed.
        upload.dir.sync_names()?;
    }
    let tag = upload.trust.tag();
    upload.write_stage(StageRecord { stage: Stage::Ordered, crc32c: 0, tag, grid_is_void: true })?;
    upload.reach("rewrite:ordered")?;
    finish(upload, tag).map(Some)
}

/// Whether a rewrite may have begun, and left `ordered`. The record that none has begun stays from the upload's first
/// write until `ordered` is made. It lies in the same sector as the stage, so it is trusted if the stage's tag is.
pub(crate) fn may_have_begun(upload: &Upload<'_>, records: &StateHead) -> bool {
    let trusted = records.stage().is_some_and(|record| upload.trust.trusts(record.tag));
    !(trusted && records.no_rewrite_yet())
}

/// The file to copy into, and the progress.
fn start(upload: &LockedUpload<'_>) -> Result<(File, Progress)> {
    let size = upload.dir.file_size(ORDERED)?;
    let begun = match upload.records()?.rewrite() {
        Some(done) if upload.trust.trusts(done.tag) && size >= Some(done.offset) => {
            upload.dir.open_file(ORDERED)?.map(|file| (file, done))
        }
        _ => None,
    };
    let copied = begun.as_ref().map_or(0, |(_, done)| done.offset);
    let left = upload.header.shape.total_size.saturating_sub(copied);
    let file_system =
        sys::file_system_of(&upload.state).map_err(|error| upload.state_error("cannot examine", error))?;
    if file_system.available < left {
        let action = format!("{left} more bytes to bring the chunks into order in");
        return Err(upload.dir.error(&action, ORDERED, errno(libc::ENOSPC)));
    }
    match begun {
        Some(begun) => Ok(begun),
        None => {
            // The progress is forgotten first: the next call, through any mount, must not apply it to the new file.
            upload.forget_progress()?;
            upload.dir.remove(ORDERED)?;
            let ordered = upload.dir.create_file(ORDERED, upload.home.options().file_mode)?;
            sys::mark_resident(&ordered, true);
            Ok((ordered, Progress::default()))
        }
    }
}

/// Copies the remaining chunks. False if a chunk failed its checksum: it is missing now.
fn copy(upload: &LockedUpload<'_>, data: &File, ordered: &File, done: Progress) -> Result<bool> {
    let (mut whole, mut offset, mut share) = (true, done.offset, true);
    let mut buffer = Vec::new();
    upload.for_each_slot(done.number, |number, slot| {
        let crc32c = copy_chunk(data, &slot, ordered, offset, &mut buffer, &mut share)
            .map_err(|error| upload.dir.error(&format!("cannot copy chunk {number} to"), ORDERED, error))?;
        whole = crc32c == Some(slot.crc32c);
        if !whole {
            upload.write_slot(number, &slot.cleared())?;
            return Ok(false);
        }
        offset += slot.length;
        upload.reach("rewrite:copied")?;
        upload.write_progress(number + 1, offset)?;
        upload.reach("rewrite:recorded")?;
        Ok(true)
    })?;
    Ok(whole)
}

/// Copies one chunk and returns its checksum; `None` if `data` ends before it.
fn copy_chunk(
    data: &File,
    slot: &Slot,
    copy: &File,
    to: u64,
    buffer: &mut Vec<u8>,
    share: &mut bool,
) -> io::Result<Option<u32>> {
    let aligned = [slot.offset, to, slot.length].iter().all(|n| n % SHARED_BLOCK == 0);
    // If extents are shared, nothing is written. The bytes are still read for their checksum.
    let shared = *share
        && aligned
        && slot.length > 0
        && sys::share_range(data, slot.offset, copy, to, slot.length).inspect_err(|_| *share = false).is_ok();
    let mut at = to;
    read::checksum(data, slot.offset, slot.length, buffer, |piece| {
        if !shared {
            copy.write_all_at(piece, at)?;
        }
        at += piece.len() as u64;
        Ok(())
    })
}

/// From the stage *ordered* to the finished file, whose bytes were written under `tag`. Called with all slots locked.
/// May be repeated from any point.
pub(crate) fn finish(upload: &LockedUpload<'_>, tag: Tag) -> Result<StageRecord> {
    // The stage must be on disk, at every level. Otherwise the disk could have slots of the new file and know only the
    // old one, and two chunks could have one place. The slots are synced, too: without `data`, the chunks' lengths are
    // nowhere else.
    confirm::secure_state(upload)?;
    upload.dir.remove(DATA)?;
    upload.reach("rewrite:dropped")?;
    let crc32c = move_slots(upload, tag)?;
    upload.reach("rewrite:moved")?;
    if upload.dir.has(ORDERED)? {
        upload.dir.rename(ORDERED, FILE)?;
    }
    upload.reach("rewrite:renamed")?;
    upload.forget_progress()?;
    let record = StageRecord { stage: Stage::Complete, crc32c, tag, grid_is_void: true };
    upload.write_stage(record)?;
    upload.reach("rewrite:marked")?;
    Ok(record)
}

/// Sets the slots to the chunks' places in the new file, whose bytes were written under `tag`. Returns the CRC-32C of
/// all. May be repeated, because power loss can keep a later mark and lose some slots. The results of a check since
/// then, whole or damaged, stay.
pub(crate) fn move_slots(upload: &LockedUpload<'_>, tag: Tag) -> Result<u32> {
    let (mut offset, mut lost) = (0_u64, false);
    let mut crc = Combined::new();
    upload.for_each_slot(0, |number, slot| {
        let damaged = !slot.received() && slot.offset == offset && slot.capacity > 0;
        // Power loss can lose slots, too. After a lost slot it is unknown where the next chunk begins.
        lost |= !slot.received() && !damaged;
        let moved = Slot { offset, capacity: slot.length, tag, ..slot };
        let checked = Slot { tag: upload.trust.tag(), ..moved };
        if lost {
            upload.write_slot(number, &Slot::default())?;
        } else if !damaged && slot != moved && slot != checked {
            upload.write_slot(number, &moved)?;
        }
        offset = offset.saturating_add(if damaged { slot.capacity } else { slot.length });
        crc.append(slot.crc32c, slot.length);
        Ok(true)
    })?;
    Ok(crc.finish())
}
