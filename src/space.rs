//! File systems: which are refused, how much room there is, reserving it, and writing into it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result, errno};
use crate::placement::Shape;
use crate::{seam, sys};

/// File systems that cannot hold a store, with the reason. Other hosts share them, or a daemon serves them of which the engine
/// knows nothing: locks, renames and syncing there are not what its promises rest on. Others show what the kernel knows, and keep no files. Magic numbers from Linux
/// `include/uapi/linux/magic.h` and the file systems' own sources; see statfs(2).
const REFUSED: [(&str, &[(u32, &str)]); 2] =
    [("other hosts or programs may change it", &SHARED), ("it keeps no files", &WITHOUT_FILES)];

const SHARED: [(u32, &str); 17] = [
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

const WITHOUT_FILES: [(u32, &str); 18] = [
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6265_6570, "configfs"),
    (0x1cd1, "devpts"),
    (0xde5e_81e4, "efivarfs"),
    (0xcafe_4a11, "bpf"),
    (0x6165_676c, "pstore"),
    (0x1980_0202, "mqueue"),
    (0x4249_4e4d, "binfmt_misc"),
    (0xf97c_ff8c, "selinuxfs"),
    (0x4341_5d53, "smackfs"),
    (0x6573_5543, "fusectl"),
    (0x9584_58f6, "hugetlbfs"),
];

const NFS: u32 = 0x6969;
const TMPFS: u32 = 0x0102_1994;

/// Refuses by name file systems that cannot hold a store, and says how much room there is where `path` is or will be.
pub(crate) fn check_file_system(path: &Path) -> Result<u64> {
    // What is not there yet will be on the file system of the first directory above it that is.
    let absent = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ELOOP))
    };
    let mut examined =
        path.ancestors().map(sys::file_system_at).skip_while(|answer| answer.as_ref().is_err_and(absent));
    let file_system = examined.next().unwrap_or_else(|| sys::file_system_at(Path::new("/")));
    let file_system = file_system.map_err(|error| Error::os("cannot examine the file system of", path, error))?;
    let magic = if seam::reach("space:nfs").is_err() { NFS } else { file_system.magic };
    let named = |list: &[(u32, &'static str)]| list.iter().find(|(number, _)| *number == magic).map(|&(_, name)| name);
    let refuse = |action: String| Err(Error::os(action, path, errno(libc::EOPNOTSUPP)));
    if let Some((why, name)) = REFUSED.iter().find_map(|(why, list)| Some((why, named(list)?))) {
        return refuse(format!("what is promised cannot be kept on a file system of type {name} ({why}):"));
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

/// Writes a chunk into `data`, and reserves a window of it before if this chunk begins one. With `durable` the caller syncs
/// next, so the disk is told to begin with the first quarter while the rest is copied.
pub(crate) fn write(data: &File, shape: &Shape, content: &[u8], offset: u64, durable: bool) -> io::Result<()> {
    /// A first quarter that is smaller is not started early: the disk would have one more write, and not be done sooner.
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
    seam::reach("space:reserve")?;
    let file_system = sys::file_system_of(data)?;
    // On tmpfs it is slower than writing. Where room is short, only the chunk itself is written: what allocating could
    // not finish it does not give back.
    if file_system.magic == TMPFS || file_system.available < window.end - window.start {
        return Ok(());
    }
    match sys::allocate(data, window.start, window.end - window.start) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        result => result,
    }
}
