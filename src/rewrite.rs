//! Bringing chunks that did not arrive in place into order.
//!
//! They are copied one by one into the file `ordered`, and how far that has come is on record: a rewrite that is cut
//! off goes on where it stopped. When all are copied, the phase says so, `data` is dropped, the slots are set to where
//! the chunks lie now, and `ordered` becomes the finished file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::complete::READ_AT_ONCE;
use crate::crc::{Combined, Crc32c};
use crate::directory::{DATA, FILE, ORDERED};
use crate::error::{Error, Result, errno};
use crate::format::{Phase, PhaseRecord, Slot};
use crate::upload::Upload;
use crate::{Durability, sys};

/// Extents can be shared where both ends lie on blocks of the file system; all of those it runs on have blocks of at
/// most this size or a divisor of it.
const SHARED_BLOCK: u64 = 4096;

/// Under all slots, with all chunks there. Leaves the upload complete, or without a chunk that turned out damaged.
pub(crate) fn rewrite(upload: &Upload<'_>, data: &File) -> Result<()> {
    let (ordered, done) = start(upload)?;
    match copy(upload, data, &ordered, done) {
        // The disk is full: what could not be finished does not stay in the way of others.
        Err(error @ Error::NoSpace { .. }) => {
            upload.forget_progress()?;
            upload.dir.remove(ORDERED)?;
            return Err(error);
        }
        Err(error) => return Err(error),
        Ok(false) => return Ok(()),
        Ok(true) => {}
    }
    let durable = upload.level(&upload.records()?) >= Durability::Complete;
    if durable {
        upload.dir.sync_file(ORDERED, &ordered)?;
        upload.sync_state()?;
        // Its name must not be lost when `data` is dropped.
        upload.dir.sync_names()?;
    }
    let tag = upload.trust.tag();
    upload.write_phase(PhaseRecord { phase: Phase::Ordered, crc32c: 0, tag, grid_is_void: true })?;
    if durable {
        upload.sync_state()?;
    }
    upload.reach("rewrite:ordered")?;
    finish(upload, tag)
}

/// How far a rewrite has come.
#[derive(Clone, Copy)]
struct Done {
    number: u64,
    offset: u64,
}

/// The file to copy into, and where to go on.
fn start(upload: &Upload<'_>) -> Result<(File, Done)> {
    let total_size = upload.header.shape.total_size;
    let done = upload.records()?.rewrite().filter(|done| upload.trust.believes(done.tag));
    let begun = done.zip(upload.dir.open_file(ORDERED)?);
    let done = begun
        .as_ref()
        .map_or(Done { number: 0, offset: 0 }, |(done, _)| Done { number: done.number, offset: done.offset });
    let available = sys::file_system_of(&upload.state).map(|file_system| file_system.available);
    if available.map_err(|error| upload.state_error("cannot examine", error))? < total_size - done.offset {
        let action = format!("{} more bytes to bring the chunks into order in", total_size - done.offset);
        return Err(upload.dir.error(&action, ORDERED, errno(libc::ENOSPC)));
    }
    let ordered = match begun {
        Some((_, ordered)) => ordered,
        None => upload.dir.create_file(ORDERED, upload.store.options().file_mode)?,
    };
    Ok((ordered, done))
}

/// Copies what is left. False if a chunk failed its checksum: it is missing now.
fn copy(upload: &Upload<'_>, data: &File, ordered: &File, done: Done) -> Result<bool> {
    let (mut whole, mut offset, mut share) = (true, done.offset, true);
    let mut buffer = vec![0; READ_AT_ONCE];
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

/// Copies one chunk and answers its checksum, `None` if `data` ends before it.
fn copy_chunk(
    data: &File,
    slot: &Slot,
    ordered: &File,
    to: u64,
    buffer: &mut [u8],
    share: &mut bool,
) -> io::Result<Option<u32>> {
    let aligned = [slot.offset, to, slot.length].iter().all(|n| n % SHARED_BLOCK == 0);
    // Nothing is written where extents are shared; the bytes are read for their checksum all the same.
    let shared = *share
        && aligned
        && slot.length > 0
        && match sys::share_range(data, slot.offset, ordered, to, slot.length) {
            Ok(()) => true,
            Err(_) => {
                *share = false;
                false
            }
        };
    let mut crc = Crc32c::new();
    let mut at = 0;
    while at < slot.length {
        let piece = &mut buffer[..(slot.length - at).min(READ_AT_ONCE as u64) as usize];
        match data.read_exact_at(piece, slot.offset.saturating_add(at)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        crc.update(piece);
        if !shared {
            ordered.write_all_at(piece, to + at)?;
        }
        at += piece.len() as u64;
    }
    Ok(Some(crc.finish()))
}

/// Under all slots, with the phase ordered: from the mark to the finished file, whose bytes were written under `tag`.
/// May be repeated from any point.
pub(crate) fn finish(upload: &Upload<'_>, tag: u32) -> Result<()> {
    upload.dir.remove(DATA)?;
    upload.reach("rewrite:dropped")?;
    let (mut offset, mut lost) = (0_u64, false);
    let mut crc = Combined::new();
    upload.for_each_slot(0, |number, slot| {
        // Power loss can take records, too: behind a missing one nobody knows where the next chunk begins.
        lost |= !slot.received();
        let moved = if lost { Slot::default() } else { Slot { offset, capacity: slot.length, tag, ..slot } };
        upload.write_slot(number, &moved)?;
        offset = offset.saturating_add(slot.length);
        crc.append(slot.crc32c, slot.length);
        Ok(true)
    })?;
    upload.reach("rewrite:moved")?;
    if upload.dir.file_size(ORDERED)?.is_some() {
        upload.dir.rename(ORDERED, FILE)?;
    }
    upload.reach("rewrite:renamed")?;
    upload.forget_progress()?;
    let phase = Phase::Complete;
    upload.write_phase(PhaseRecord { phase, crc32c: crc.finish(), tag, grid_is_void: true })?;
    upload.reach("rewrite:marked")
}
