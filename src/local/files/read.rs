//! Reads and copies stored bytes in pieces, so that memory does not grow with them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::api::error::errno;
use crate::rules::crc::Crc32c;

const AT_ONCE: u64 = 256 << 10;

/// Calls `visit` with each piece of the `length` bytes at `offset`, until it returns false. False also if the file ends
/// earlier.
pub(crate) fn read(
    file: &File,
    mut offset: u64,
    length: u64,
    buffer: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut left = length;
    while left > 0 {
        buffer.resize(left.min(AT_ONCE) as usize, 0);
        match file.read_exact_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result?,
        }
        if !visit(buffer)? {
            return Ok(false);
        }
        offset = offset.saturating_add(buffer.len() as u64);
        left -= buffer.len() as u64;
    }
    Ok(true)
}

/// The checksum of these bytes; `None` if the file ends earlier. Also calls `visit` with each piece.
pub(crate) fn checksum(
    file: &File,
    offset: u64,
    length: u64,
    buffer: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<u32>> {
    let mut crc = Crc32c::new();
    let whole = read(file, offset, length, buffer, |piece| {
        crc.update(piece);
        visit(piece).map(|()| true)
    })?;
    Ok(whole.then(|| crc.finish()))
}

/// Copies these bytes to the same offset of another file. The kernel copies them, and shares extents where it can: see
/// [`std::io::copy`].
pub(crate) fn copy(mut from: &File, mut to: &File, range: Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        from.seek(SeekFrom::Start(at))?;
        to.seek(SeekFrom::Start(at))?;
        match io::copy(&mut from.take(range.end - at), &mut to) {
            Ok(0) => return Err(errno(libc::EIO)), // another program has cut the file
            Ok(copied) => at += copied,
            // A signal handler ran. The copy continues after the written bytes, because signals may come faster than a
            // whole copy.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => at = to.stream_position()?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
