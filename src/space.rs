//! File systems: which are refused, how much room there is, and reserving it.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result, errno};
use crate::{seam, sys};

/// File systems that other hosts share, or that a daemon we know nothing of stands behind: locks, renames and syncing
/// there are not what the engine's promises rest on. Magic numbers from Linux `include/uapi/linux/magic.h` and the
/// file systems' own sources; see statfs(2).
const REFUSED: [(u32, &str); 17] = [
    (NFS, "nfs"),
    (0x517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x00c3_6400, "ceph"),
    (0x7375_7245, "coda"),
    (0x564c, "ncp"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
    (0xaad7_aaea, "panfs"),
    (0x1983_0326, "beegfs"),
    (0x6573_5546, "fuse"),
];

const NFS: u32 = 0x6969;
const TMPFS: u32 = 0x0102_1994;

/// The largest window that is reserved at once.
const MAX_WINDOW: u64 = 64 << 20;
/// A window is this many chunks at the most: what a request can reserve is in proportion to what it brings.
const CHUNKS_PER_WINDOW: u64 = 64;

/// Refuses network file systems by name, and says how much room there is where `path` is or will be.
pub(crate) fn check_file_system(path: &Path) -> Result<u64> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let file_system =
        sys::file_system_at(existing).map_err(|error| Error::os("cannot examine the file system of", path, error))?;
    let magic = if seam::reach("space:nfs").is_err() { NFS } else { file_system.magic };
    if let Some((_, name)) = REFUSED.iter().find(|(refused, _)| *refused == magic) {
        let action = format!("what is promised cannot be kept on a file system of type {name}:");
        return Err(Error::os(action, path, errno(libc::EOPNOTSUPP)));
    }
    Ok(file_system.available)
}

/// Refuses a new upload that would leave less than `min_free_space`.
pub(crate) fn check_room(root: &Path, total_size: u64, min_free_space: u64) -> Result<()> {
    let available = check_file_system(root)?;
    if available < total_size.saturating_add(min_free_space) {
        let action = format!("{total_size} bytes beside {min_free_space} to stay free, of {available}, at");
        return Err(Error::os(action, root, errno(libc::ENOSPC)));
    }
    Ok(())
}

/// Reserves room in `data` ahead of a chunk on the grid, if the chunk covers the first byte of a window.
///
/// A file that grows within reserved room grows faster, and a full disk is noticed early. Reserving the whole file at
/// once would let one small request claim the disk.
pub(crate) fn reserve(data: &File, grid: u64, total_size: u64, offset: u64, size: u64) -> io::Result<()> {
    let window = grid.saturating_mul(CHUNKS_PER_WINDOW).min(MAX_WINDOW);
    let (start, chunk_end) = (offset.next_multiple_of(window), offset + size);
    if start >= chunk_end {
        return Ok(());
    }
    let end = chunk_end.next_multiple_of(window).min(total_size);
    if end <= chunk_end {
        return Ok(()); // the chunk fills it: writing does the same
    }
    seam::reach("space:reserve")?;
    // Not on tmpfs, where it is slower than writing, nor where it is not supported: there free space is looked at.
    let file_system = sys::file_system_of(data)?;
    let reserved = match file_system.magic {
        TMPFS => Err(errno(libc::EOPNOTSUPP)),
        _ => sys::allocate(data, start, end - start),
    };
    match reserved {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            if file_system.available < size {
                Err(errno(libc::ENOSPC))
            } else {
                Ok(())
            }
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_tiny_chunk_reserves_little() {
        let data = tempfile::NamedTempFile::new().unwrap();
        reserve(data.as_file(), 10, 1 << 40, 0, 10).unwrap();
        assert!(data.as_file().metadata().unwrap().blocks() * 512 <= 4096);
    }

    #[test]
    fn a_window_is_reserved_once_and_ends_with_the_file() {
        let data = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let size = || data.as_file().metadata().unwrap().len();
        let mib = 1 << 20;
        reserve(data.as_file(), mib, 100 * mib, mib, mib).unwrap();
        assert_eq!(size(), 0, "not at a window's first byte");
        reserve(data.as_file(), mib, 100 * mib, 64 * mib, mib).unwrap();
        assert!(size() == 100 * mib || size() == 0, "{}", size());
    }
}
