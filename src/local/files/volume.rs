//! The number of the volume that a file is on. It is part of a tag (see `rules::tag`), and changes when the volume
//! vanishes and comes back.
//!
//! A volume is known by its page cache. A page cache belongs to a superblock, from its first mount to its last unmount.
//! All mounts of a superblock share it: bind mounts, other mount namespaces, btrfs subvolumes. The number of a volume
//! is one of these:
//!
//! - ext4, xfs, f2fs: the inode of `/sys/fs/<type>/<device>`. It is made and removed with the superblock. sysfs never
//!   reuses an inode number within a boot (`fs/kernfs/dir.c`: a cyclic counter, and a generation above it).
//! - btrfs: the inode of `/sys/fs/btrfs/<fsid>`, for the same reason.
//! - tmpfs: the device number. Another tmpfs may get it later, but none of the files.
//! - others: the unique mount id (Linux 6.8). A mount keeps its superblock, and its id is never used again.
//!
//! overlayfs is deliberately among the others: files of one directory may lie on several volumes, and one mount keeps
//! all of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::local::files::sys;
use crate::local::files::sys::{Device, Status};

/// Magic numbers from Linux `include/uapi/linux/magic.h`; see statfs(2).
const SYSFS: u32 = 0x6265_6572;
const EXT4: u32 = 0xef53;
const XFS: u32 = 0x5846_5342;
const F2FS: u32 = 0xf2f5_2010;
const BTRFS: u32 = 0x9123_683e;
pub(crate) const TMPFS: u32 = 0x0102_1994;

/// These bits keep numbers of different kinds apart: inodes, devices and mount ids alone stay below them. A mount id is
/// used as it is.
const OF_SYSFS: u64 = 1 << 62;
const OF_MEMORY: u64 = 2 << 62;

/// The facts about volumes from the moment when a store is opened. They never change, so a forked child inherits them
/// whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volumes {
    /// The device of `/sys`, if that is sysfs.
    sysfs: Option<Device>,
    /// The place where the store is or will be. Without it, calls only take longer.
    at_root: Option<AtRoot>,
}

/// The facts that the kernel told about one place.
#[derive(Debug, Clone)]
struct AtRoot {
    /// The unique mount id. A mount never changes its volume, so calls on this mount need not ask again.
    mount: Option<u64>,
    device: Device,
    /// Empty if the device is not a block device.
    device_name: String,
    volume: Option<u64>,
}

impl Volumes {
    pub(crate) fn around(root: &Path) -> io::Result<Volumes> {
        let magic = told(sys::file_system_at(Path::new("/sys")))?.map(|there| there.magic);
        let sysfs = match magic {
            Some(SYSFS) => told(sys::status_of(Path::new("/sys")))?.map(|status| status.device),
            _ => None,
        };
        let mut volumes = Volumes { sysfs, at_root: None };
        let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).clone();
        if let Some(place) = root.ancestors().find_map(|path| directory.open(path).ok()) {
            let status = sys::status(&place)?;
            let volume = volumes.of(&place, &status)?;
            let (mount, device) = (status.mount, status.device);
            let device_name = device_name(device)?.unwrap_or_default();
            volumes.at_root = Some(AtRoot { mount, device, device_name, volume });
        }
        Ok(volumes)
    }

    /// The number of an open file's volume; `None` where the kernel does not tell. An error that passes, such as a lack
    /// of memory, is returned: it must not look like a kernel that does not tell.
    pub(crate) fn of(&self, file: &File, status: &Status) -> io::Result<Option<u64>> {
        #[cfg(feature = "test-hooks")]
        if crate::local::files::test_hooks::volumes_are_hidden() {
            return Ok(None);
        }
        match &self.at_root {
            Some(at_root) if at_root.mount.is_some() && at_root.mount == status.mount => Ok(at_root.volume),
            _ => Ok(self.superblock_of(file, status.device)?.or(status.mount)),
        }
    }

    fn superblock_of(&self, file: &File, device: Device) -> io::Result<Option<u64>> {
        let Some(there) = told(sys::file_system_of(file))? else { return Ok(None) };
        match there.magic {
            EXT4 => self.node_of_device("ext4", device),
            XFS => self.node_of_device("xfs", device),
            F2FS => self.node_of_device("f2fs", device),
            BTRFS => match told(sys::btrfs_id(file))? {
                Some(id) => self.node("btrfs", &uuid::Uuid::from_bytes(id).to_string()),
                None => Ok(None),
            },
            TMPFS => Ok(Some(OF_MEMORY | u64::from(device.0) << 32 | u64::from(device.1))),
            _ => Ok(None),
        }
    }

    /// The kernel names the node after the device.
    fn node_of_device(&self, kind: &str, device: Device) -> io::Result<Option<u64>> {
        // While the superblock from the opening of the store exists, its device keeps number and name.
        if let Some(at_root) = self.at_root.as_ref().filter(|at_root| at_root.device == device) {
            let node = self.node(kind, &at_root.device_name)?;
            if node.is_some() && node == at_root.volume {
                return Ok(node);
            }
        }
        match device_name(device)? {
            Some(name) => self.node(kind, &name),
            None => Ok(None),
        }
    }

    fn node(&self, kind: &str, name: &str) -> io::Result<Option<u64>> {
        let status = told(sys::status_of(Path::new(&format!("/sys/fs/{kind}/{name}"))))?;
        Ok(status.filter(|node| self.sysfs == Some(node.device)).map(|node| OF_SYSFS | node.inode))
    }
}

/// The present name of a device: another device can get its number later.
fn device_name((major, minor): Device) -> io::Result<Option<String>> {
    let link = told(std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")))?;
    Ok(link.and_then(|link| Some(link.file_name()?.to_str()?.to_owned())))
}

/// `None` where the kernel has no such answer, or a sandbox hides it.
fn told<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match error.raw_os_error() {
            Some(
                libc::ENOENT
                | libc::ENOTDIR
                | libc::EACCES
                | libc::EPERM
                | libc::ENOSYS
                | libc::ENOTTY
                | libc::EOPNOTSUPP,
            ) => Ok(None),
            _ => Err(error),
        },
    }
}
