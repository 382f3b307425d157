//! Writing chunks into `data`, and reserving room in it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::local::files::volume::TMPFS;
use crate::local::files::{sys, test_hooks};
use crate::rules::placement::Shape;

/// Writes a chunk into `data`. Before that, reserves a window if this chunk begins one. With `durable` the caller syncs
/// next, so the disk is told to begin with the first quarter while the rest is copied.
pub(crate) fn write(data: &File, shape: &Shape, content: &[u8], offset: u64, durable: bool) -> io::Result<()> {
    /// A smaller first quarter is not started early: the disk would do one more write, and not finish sooner.
    const WORTH_STARTING: usize = 128 << 10;
    if let Some(window) = shape.window(offset, content.len() as u64) {
        reserve(data, window)?;
    }
    let (first, rest) = content.split_at(content.len() / 4);
    if !durable || first.len() < WORTH_STARTING {
        return data.write_all_at(content, offset);
    }
    data.write_all_at(first, offset)?;
    sys::start_write_back(data, offset, first.len() as u64);
    data.write_all_at(rest, offset + first.len() as u64)
}

/// Reserves room in `data`, where that is faster than growing it.
fn reserve(data: &File, window: Range<u64>) -> io::Result<()> {
    test_hooks::reach("space:reserve")?;
    let file_system = sys::file_system_of(data)?;
    // On tmpfs reserving is slower than writing. Where room is short, only the chunk itself is written: the system
    // keeps a partial allocation when the rest fails.
    if file_system.magic == TMPFS || file_system.available < window.end - window.start {
        return Ok(());
    }
    match sys::allocate(data, window.start, window.end - window.start) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        result => result,
    }
}
