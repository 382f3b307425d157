//! Reads the first bytes of `state`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::api::error::{Error, Result, errno};
use crate::local::files::directory::Directory;
use crate::rules::format::head::StateHead;
use crate::rules::format::header::OTHER_VERSION;
use crate::rules::format::layout::{HEAD_SIZE, RECORDS_SIZE, STATE};

/// The number of bytes of `state` that are read when an upload is opened, and later if the whole file is no larger.
/// This costs hardly more than reading less. It includes most names, and the tables of up to a hundred chunks.
pub(crate) const READ_AT_ONCE: usize = 4096;

/// Reads the first `length` bytes of `state`, or all of a shorter file.
pub(crate) fn read_records(dir: &Directory, state: &File, length: usize) -> Result<StateHead> {
    let (mut bytes, mut filled) = (vec![0; length], 0);
    while filled < length.min(HEAD_SIZE) {
        match state.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) if filled < RECORDS_SIZE => return Err(damaged(dir, "it is too short")),
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(dir.error("cannot read", STATE, error)),
        }
    }
    bytes.truncate(filled);
    Ok(StateHead(bytes))
}

/// The error for a `state` that this library did not write, or that power loss or another program damaged.
pub(crate) fn damaged(dir: &Directory, what: &str) -> Error {
    // A `state` of another version is not damaged, and is left alone.
    let number = if what == OTHER_VERSION { libc::EPROTONOSUPPORT } else { libc::EBADMSG };
    dir.error(&format!("cannot use ({what})"), STATE, errno(number))
}
