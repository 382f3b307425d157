//! Which file systems are refused, and how much room there is.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::api::error::{Error, Result, errno};
use crate::api::options::{Durability, Options};
use crate::local::files::{sys, test_hooks};

/// File systems that cannot hold a store, with the reason. Some are shared with other hosts, or served by a daemon
/// whose behaviour is unknown: the engine cannot rely on their locks, renames and syncs. Some keep no permissions, and
/// their inode numbers change. Some show data of the kernel, and keep no files. The magic numbers are from Linux
/// `include/uapi/linux/magic.h` and the file systems' own sources; see statfs(2).
const REFUSED: [(&str, &[(u32, &str)]); 3] = [
    ("other hosts or programs may change it", &SHARED),
    ("it keeps no permissions", &WITHOUT_PERMISSIONS),
    ("it keeps no files", &WITHOUT_FILES),
];

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

const WITHOUT_PERMISSIONS: [(u32, &str); 6] = [
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x5346_544e, "ntfs"),
    (0x7366_746e, "ntfs3"),
    (0x4244, "hfs"),
    (0xf995_e849, "hpfs"),
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

/// File systems without a journal or a log. After power loss they may have kept a rename and lost an earlier removal.
/// `ext2` and `ext4` share one number, see [`ext_without_journal`].
const UNORDERED: [(u32, &str); 8] = [
    (0x137f, "minix"),
    (0x138f, "minix"),
    (0x2468, "minix"),
    (0x2478, "minix"),
    (0x4d5a, "minix"),
    (0x0001_1954, "ufs"),
    (0x482b, "hfsplus"),
    (0x1501_3346, "udf"),
];

const EXT: u32 = 0xef53;
const NFS: u32 = 0x6969;

/// Refuses, by name, a file system that cannot keep the promises of this level. Returns how much room there is where
/// `path` is or will be.
pub(crate) fn check_file_system(path: &Path, durability: Durability) -> Result<u64> {
    // A path that does not exist yet will be on the file system of its nearest existing ancestor.
    let absent = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ELOOP))
    };
    let mut examined = path.ancestors().map(|place| (place, sys::file_system_at(place)));
    let found = examined.find(|(_, answer)| !answer.as_ref().is_err_and(absent));
    let (place, file_system) = found.unwrap_or_else(|| (Path::new("/"), sys::file_system_at(Path::new("/"))));
    let file_system = file_system.map_err(|error| Error::os("cannot examine the file system of", path, error))?;
    let magic = if test_hooks::reach("space:nfs").is_err() { NFS } else { file_system.magic };
    let named = |list: &[(u32, &'static str)]| list.iter().find(|(number, _)| *number == magic).map(|&(_, name)| name);
    let refuse = |action: String| Err(Error::os(action, path, errno(libc::EOPNOTSUPP)));
    if let Some((why, name)) = REFUSED.iter().find_map(|(why, list)| Some((why, named(list)?))) {
        return refuse(format!("cannot keep the store's promises on a file system of type {name} ({why}):"));
    }
    if durability >= Durability::Complete {
        let unordered = if magic == EXT { ext_without_journal(place) } else { named(&UNORDERED) };
        if let Some(name) = unordered {
            let level = durability.name();
            return refuse(format!(
                "level {level} needs a journal, and this file system of type {name} has none \
                 (level process needs none):"
            ));
        }
    }
    Ok(file_system.available)
}

/// The name of the file system at `place` if it is of the ext family and has no journal. Also `None` if `/proc` or
/// `/sys` is missing, or if another file system hides it (overlayfs): then the journal is unknown.
fn ext_without_journal(place: &Path) -> Option<&'static str> {
    let device = place.metadata().ok()?.dev();
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    let link = std::fs::read_link(format!("/sys/dev/block/{device}")).ok()?;
    let name = link.file_name()?.to_str()?;
    let options = std::fs::read_to_string(format!("/proc/fs/ext4/{name}/options"));
    lacks_journal(options.ok().as_deref(), &std::fs::read_to_string("/proc/self/mountinfo").ok()?, &device)
}

/// The ext4 driver shows a `data=` mode only if there is a journal. For the ext2 driver only the type of the mount is
/// known.
fn lacks_journal(options: Option<&str>, mounts: &str, device: &str) -> Option<&'static str> {
    let ext2 = mounts.lines().any(|mount| {
        let (place, source) = mount.split_once(" - ").unwrap_or_default();
        place.split(' ').nth(2) == Some(device) && source.starts_with("ext2 ")
    });
    match options {
        Some(options) if options.lines().any(|option| option.starts_with("data=")) => None,
        _ if ext2 => Some("ext2"),
        Some(_) => Some("ext4"),
        None => None,
    }
}

/// Refuses a new upload that would leave less than `min_free_space`.
pub(crate) fn check_room(root: &Path, total_size: u64, options: &Options) -> Result<()> {
    let (available, min_free_space) = (check_file_system(root, options.durability)?, options.min_free_space);
    if available < total_size.saturating_add(min_free_space) {
        let action =
            format!("{available} bytes are free, {total_size} and a reserve of {min_free_space} are needed at");
        return Err(Error::os(action, root, errno(libc::ENOSPC)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_told_by_the_driver_or_by_the_mount() {
        let mounts =
            "45 27 7:1 / /a rw - ext4 /dev/loop1 rw\n46 27 7:2 / /b rw,relatime shared:1 - ext2 /dev/loop2 rw\n";
        let (with, without) = (Some("rw\nbsddf\ndata=ordered\n"), Some("rw\nnodelalloc\n"));
        for (options, device, expected) in [
            (with, "7:1", None),
            (with, "7:2", None),
            (without, "7:1", Some("ext4")),
            (without, "7:2", Some("ext2")),
            (None, "7:2", Some("ext2")),
            (None, "7:1", None),
            (None, "7:3", None),
        ] {
            assert_eq!(lacks_journal(options, mounts, device), expected, "{options:?} {device}");
        }
    }
}
