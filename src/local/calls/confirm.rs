//! Finds out which chunks are on disk, after a sync that failed or may have failed.
//!
//! The kernel reports a failed write-back once. The pages are clean from then on: the next sync has nothing to write
//! and succeeds, and the bytes last until the pages are evicted. So before a sync of a whole file a mark is set in
//! `state` (the *doubt*). It is cleared when everything has been confirmed. In doubt, only records whose bytes were
//! synced before are trusted. The other chunks are read past the page cache and compared with their checksums. A chunk
//! that passes is recorded as synced. A chunk that fails is missing and has to be sent again.
//!
//! When the kernel evicts an inode, it forgets that a write-back failed. So files get a mark in the kernel's memory,
//! which is lost with the inode (`sys::mark_resident`). A missing mark counts as a doubt.

use std::ffi::CStr;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::api::error::{Result, errno};
use crate::api::options::Durability;
use crate::local::files::on_disk::{BLOCK, OnDisk};
use crate::local::files::sys;
use crate::local::upload::locked::LockedUpload;
use crate::rules::format::head::StateHead;
use crate::rules::format::layout::{DATA, FILE, ORDERED, STATE};
use crate::rules::placement::Slot;
use crate::rules::tag::Tag;

/// Sets the doubt if the kernel may have forgotten a failed write-back. Called before a sync whose success is to show
/// that everything is on disk. True if it set the doubt.
pub(crate) fn notice_eviction(upload: &LockedUpload<'_>, records: &StateHead) -> Result<bool> {
    let synced = records.stage().is_some_and(|record| record.tag == Tag::SYNCED);
    if synced || records.doubt() || upload.level(records) < Durability::Complete {
        return Ok(false);
    }
    let evicted = |file: &File| sys::resident(file) == Some(false);
    let mut doubt = evicted(&upload.state);
    for name in [DATA, ORDERED, FILE] {
        doubt |= upload.dir.open_file(name)?.is_some_and(|file| evicted(&file));
    }
    if doubt {
        upload.doubt()?;
    }
    Ok(doubt)
}

/// Syncs `file`, and reads from the disk all its chunks that are not known to be there. Then confirms `state`. True if
/// no chunk was lost; then the doubt ends. With `in_place`, lost chunks keep their place.
pub(crate) fn confirm(upload: &LockedUpload<'_>, name: &CStr, file: &File, in_place: bool) -> Result<bool> {
    // Dirty pages are written now, or the error says why not.
    upload.dir.sync_file(name, file)?;
    upload.reach("confirm:synced")?;
    let records = upload.records()?;
    // An unfinished copy may be the file whose sync failed.
    upload.forget_progress()?;
    // Some file systems use the page cache even for direct reads (compressed or journaled data).
    let size = file.metadata().map_err(|error| upload.dir.error("cannot examine", name, error))?.len();
    sys::drop_from_cache(file, 0, size);
    let mut on_disk = OnDisk::open(&upload.dir, name, file)?;
    let mut whole = true;
    upload.for_each_slot(0, |number, slot| {
        if !slot.received() || slot.tag == Tag::SYNCED {
            return Ok(true);
        }
        let crc32c = on_disk
            .checksum(slot.offset, slot.length)
            .map_err(|error| upload.dir.error(&format!("cannot read chunk {number} in"), name, error))?;
        if crc32c == Some(slot.crc32c) {
            upload.write_slot(number, &Slot { tag: Tag::SYNCED, ..slot })?;
            upload.reach("confirm:passed")?;
            return Ok(true);
        }
        whole = false;
        // If ext4 writes blocks for the second time from the same pages, it does not mark them as written, and they
        // read as zeros later. So the chunk must come again into fresh pages.
        sys::drop_from_cache(file, slot.offset, slot.length);
        upload.forget_progress_with(&records, number)?;
        // A lost mark of the tail's end may have given one place to two chunks.
        let cleared = if in_place { slot.cleared() } else { Slot::default() };
        upload.write_slot(number, &cleared)?;
        upload.reach("confirm:cleared")?;
        Ok(true)
    })?;
    // The mark of the tail's end may be older than the places. So the next chunk at the tail reads all places.
    upload.write_tail(upload.header.shape.tail_start(), Tag::UNKNOWN)?;
    if !whole {
        upload.write_full(0)?;
    }
    confirm_state(upload)?;
    if whole {
        upload.end_doubt(file)?;
    }
    upload.reach("confirm:done")?;
    Ok(whole)
}

/// Syncs `state`. In doubt, also repairs blocks that a dead call could not sync.
pub(crate) fn secure_state(upload: &LockedUpload<'_>) -> Result<()> {
    if upload.records()?.doubt() { confirm_state(upload) } else { upload.sync_state() }
}

/// Syncs `state`. Where the disk differs, writes it again into fresh pages.
pub(crate) fn confirm_state(upload: &LockedUpload<'_>) -> Result<()> {
    upload.sync_state()?;
    if repair_state(upload)? {
        return Ok(());
    }
    upload.sync_state()?;
    if repair_state(upload)? { Ok(()) } else { Err(upload.state_error("cannot read back", errno(libc::EIO))) }
}

/// Writes each block of `state` again in which the disk differs. True if the disk differs nowhere.
fn repair_state(upload: &LockedUpload<'_>) -> Result<bool> {
    /// The bytes that are dropped from the page cache at once.
    const PART: u64 = 64 << 10;
    let failed = |error| upload.state_error("cannot repair", error);
    let mut on_disk = OnDisk::open(&upload.dir, STATE, &upload.state)?;
    let (mut same, mut part) = (true, Vec::new());
    let size = upload.header.state_size().unwrap_or_default();
    for start in (0..size).step_by(PART as usize) {
        part.resize(PART.min(size - start) as usize, 0);
        upload.state.read_exact_at(&mut part, start).map_err(failed)?;
        if on_disk.holds(start, &part).map_err(failed)? {
            continue;
        }
        same = false;
        sys::drop_from_cache(&upload.state, start, PART);
        upload.reach("confirm:dropped")?;
        for (number, block) in (0..).zip(part.chunks(BLOCK as usize)) {
            let at = start + number * BLOCK;
            if !on_disk.holds(at, block).map_err(failed)? {
                upload.state.write_all_at(block, at).map_err(failed)?;
            }
        }
    }
    Ok(same)
}
