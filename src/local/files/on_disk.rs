//! Reads from the disk itself, past the page cache.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::api::error::Result;
use crate::local::files::directory::Directory;
use crate::local::files::sys;
use crate::rules::crc::Crc32c;

pub(crate) struct OnDisk {
    file: File,
    buffer: Vec<u8>,
}

/// The alignment of reads past the page cache, in the file and in memory. No file system here needs a larger one.
pub(crate) const BLOCK: u64 = 4096;
const DIRECTLY_AT_ONCE: u64 = 1 << 20;

fn aligned(buffer: &mut [u8]) -> &mut [u8] {
    let skipped = buffer.as_ptr().align_offset(BLOCK as usize);
    &mut buffer[skipped..]
}

impl OnDisk {
    /// Opens the file `name` again, which is open as `file` and has just been synced.
    pub(crate) fn open(dir: &Directory, name: &CStr, file: &File) -> Result<OnDisk> {
        let mut buffer = vec![0; (DIRECTLY_AT_ONCE + BLOCK) as usize];
        let open = |flags| sys::open_at(&dir.handle, name, flags | libc::O_RDONLY | libc::O_NONBLOCK, 0);
        let opened = open(libc::O_DIRECT)
            .and_then(|direct| direct.read_at(&mut aligned(&mut buffer)[..BLOCK as usize], 0).map(|_| direct));
        let file = match opened {
            // This file system always reads through the page cache, or needs larger blocks. The bytes were synced, so
            // they can be dropped from the cache.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let size = file.metadata().map_err(|error| dir.error("cannot examine", name, error))?.len();
                sys::drop_from_cache(file, 0, size);
                open(0)
            }
            // If the first block cannot be read, `read` reports it when the block is needed.
            Err(_) => open(libc::O_DIRECT),
            opened => opened,
        };
        Ok(OnDisk { file: file.map_err(|error| dir.error("cannot open", name, error))?, buffer })
    }

    /// Calls `visit` with each piece of the `length` bytes at `offset`. False if the file ends earlier, or the disk
    /// cannot read the bytes.
    pub(crate) fn read(&mut self, offset: u64, length: u64, mut visit: impl FnMut(&[u8])) -> io::Result<bool> {
        let end = offset.saturating_add(length);
        let mut at = offset / BLOCK * BLOCK;
        while at < end {
            let wanted = (end - at).next_multiple_of(BLOCK).min(DIRECTLY_AT_ONCE);
            let piece = &mut aligned(&mut self.buffer)[..wanted as usize];
            let count = match self.file.read_at(piece, at) {
                Ok(0) => return Ok(false),
                Ok(count) => count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The disk cannot read the bytes, or they fail the file system's own checksum.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EBADMSG | libc::EUCLEAN)) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let (from, to) = (offset.max(at), end.min(at + count));
            if from < to {
                visit(&piece[(from - at) as usize..(to - at) as usize]);
            }
            // Only at the end of the file does a read end within a block.
            if to < end && count % BLOCK != 0 {
                return Ok(false);
            }
            at += count;
        }
        Ok(true)
    }

    pub(crate) fn holds(&mut self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        let (mut rest, mut same) = (bytes, true);
        let whole = self.read(offset, bytes.len() as u64, |piece| {
            let (expected, after) = rest.split_at(piece.len());
            same &= piece == expected;
            rest = after;
        })?;
        Ok(whole && same)
    }

    /// The checksum of these bytes; `None` if the disk does not have them.
    pub(crate) fn checksum(&mut self, offset: u64, length: u64) -> io::Result<Option<u32>> {
        let mut crc = Crc32c::new();
        let whole = self.read(offset, length, |piece| crc.update(piece))?;
        Ok(whole.then(|| crc.finish()))
    }
}
