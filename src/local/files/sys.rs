//! The system calls that std does not offer. All of the engine's `unsafe` is here.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Repeats a call that a signal interrupted.
fn uninterrupted(mut call: impl FnMut() -> libc::c_int) -> io::Result<()> {
    loop {
        match check(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Random bytes, at most 256, from the kernel's generator. No bytes are cached, so a forked child gets other bytes.
pub(crate) fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    // SAFETY: `bytes` has room for `COUNT` bytes. Up to 256 come at once (getrandom(2)).
    match uninterrupted(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), COUNT, 0) } as libc::c_int) {
        // A filter refuses the call, or the kernel does not know it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => {
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        }
        result => result?,
    }
    Ok(bytes)
}

pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes no arguments, and cannot fail.
    unsafe { libc::geteuid() }
}

pub(crate) fn is_in_group(group: u32) -> bool {
    // SAFETY: takes no arguments, and cannot fail.
    if unsafe { libc::getegid() } == group {
        return true;
    }
    // SAFETY: with room for no group, the kernel only counts the groups.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: `groups` has room for `count` groups.
    let count = unsafe { libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    groups.contains(&group)
}

/// Opens `name` in `dir`. Never follows a symbolic link. A program that the process execs does not inherit the
/// descriptor.
pub(crate) fn open_at(dir: &File, name: &CStr, flags: libc::c_int, mode: u32) -> io::Result<File> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let mut fd = -1;
    uninterrupted(|| {
        // SAFETY: `name` is NUL-terminated and outlives the call; the kernel keeps no pointer.
        fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode) };
        fd
    })?;
    // SAFETY: openat has just returned this descriptor, and no other code has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Renames `from` to `to` within `dir`, and replaces a file there.
pub(crate) fn rename_at(dir: &File, from: &CStr, to: &CStr) -> io::Result<()> {
    let fd = dir.as_raw_fd();
    // SAFETY: both names are NUL-terminated and outlive the call.
    check(unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) })
}

/// Renames `from` in `dir` to `to`, an absolute path. Fails if `to` exists.
pub(crate) fn rename_to_new(dir: &File, from: &CStr, to: &CStr) -> io::Result<()> {
    let flags = libc::RENAME_NOREPLACE;
    // SAFETY: both names are NUL-terminated and outlive the call.
    check(unsafe { libc::renameat2(dir.as_raw_fd(), from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) })
}

/// Renames `from` in `dir` to `to`, an absolute path, and replaces a file there.
pub(crate) fn rename_to(dir: &File, from: &CStr, to: &CStr) -> io::Result<()> {
    // SAFETY: both names are NUL-terminated and outlive the call.
    check(unsafe { libc::renameat(dir.as_raw_fd(), from.as_ptr(), libc::AT_FDCWD, to.as_ptr()) })
}

pub(crate) fn unlink_at(dir: &File, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) })
}

/// Sets access and modification time to now. This needs only write permission; setting another time needs ownership.
pub(crate) fn touch(file: &File) -> io::Result<()> {
    // SAFETY: a null pointer means "now" for both times.
    check(unsafe { libc::futimens(file.as_raw_fd(), std::ptr::null()) })
}

/// Waits for an exclusive lock on `length` bytes at `start`, or releases it.
///
/// This is an open-file-description lock (fcntl(2), `F_OFD_SETLKW`). It belongs to the open file, so threads that
/// opened the file separately exclude each other. The kernel releases it with the last descriptor, however the process
/// ends.
pub(crate) fn lock_range(file: &File, start: u64, length: u64, release: bool) -> io::Result<()> {
    set_lock(file, start, length, if release { libc::F_UNLCK } else { libc::F_WRLCK }, libc::F_OFD_SETLKW)
}

/// Takes a lock as [`lock_range`] does, but does not wait. False if another open file has a lock there.
pub(crate) fn try_lock_range(file: &File, start: u64, length: u64) -> io::Result<bool> {
    /// A byte that is never locked.
    const UNUSED: u64 = i64::MAX as u64;
    match set_lock(file, start, length, libc::F_WRLCK, libc::F_OFD_SETLK) {
        // A lock in the way and a filter (seccomp, security modules) give the same error numbers. A filter also refuses
        // unlocking, which no lock prevents.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            set_lock(file, UNUSED, 1, libc::F_UNLCK, libc::F_OFD_SETLK).map(|()| false)
        }
        result => result.map(|()| true),
    }
}

fn set_lock(file: &File, start: u64, length: u64, kind: libc::c_int, command: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros are a value of the plain C structure flock; l_pid must be 0 for these locks.
    let mut range: libc::flock = unsafe { zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    let number = |n: u64| libc::off_t::try_from(n).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW));
    range.l_start = number(start)?;
    range.l_len = number(length)?;
    let done = uninterrupted(|| {
        // SAFETY: `range` is initialised and outlives the call.
        unsafe { libc::fcntl(file.as_raw_fd(), command, &range) }
    });
    done.map_err(|error| match error.raw_os_error() {
        // The descriptor is open only for reading: see `Directory::open_file`.
        Some(libc::EBADF) => io::Error::from_raw_os_error(libc::EROFS),
        _ => error,
    })
}

/// Allocates `length` bytes at `offset`, extending the file.
pub(crate) fn allocate(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let number = |n: u64| libc::off_t::try_from(n).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG));
    let (offset, length) = (number(offset)?, number(length)?);
    uninterrupted(|| {
        // SAFETY: no pointers are passed.
        unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, length) }
    })
}

/// Starts writing these bytes of the file from the page cache to the disk, without waiting (sync_file_range(2)). This
/// is a hint. The next sync reports errors.
pub(crate) fn start_write_back(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (libc::off64_t::try_from(offset), libc::off64_t::try_from(length)) else { return };
    // SAFETY: no pointers are passed.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Drops these bytes of the file, and bytes that share a page with them, from the page cache, if the cache counts them
/// as clean (posix_fadvise(2)). This is a hint. Bytes that are being written stay.
pub(crate) fn drop_from_cache(file: &File, offset: u64, length: u64) {
    /// The largest page of any machine. The kernel does not drop parts of a page.
    const PAGE: u64 = 64 << 10;
    let (start, end) = (offset / PAGE * PAGE, offset.saturating_add(length).div_ceil(PAGE).saturating_mul(PAGE));
    let (Ok(start), Ok(length)) = (libc::off_t::try_from(start), libc::off_t::try_from(end - start)) else { return };
    // SAFETY: no pointers are passed.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), start, length, libc::POSIX_FADV_DONTNEED) };
}

/// Whether some of these bytes lie in blocks that are allocated, but not marked as written. They read as zeros later,
/// whatever the page cache shows (`FS_IOC_FIEMAP`, Documentation/filesystems/fiemap.rst). False where the file system
/// does not tell.
pub(crate) fn has_unwritten(file: &File, offset: u64, length: u64) -> bool {
    const FS_IOC_FIEMAP: libc::Ioctl = 0xc020_660b_u32 as libc::Ioctl;
    const UNWRITTEN: u32 = 0x800;
    const AT_ONCE: usize = 32;
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Extent {
        logical: u64,
        physical: u64,
        length: u64,
        reserved: [u64; 2],
        flags: u32,
        more_reserved: [u32; 3],
    }
    #[repr(C)]
    struct Map {
        start: u64,
        length: u64,
        flags: u32,
        mapped: u32,
        count: u32,
        reserved: u32,
        extents: [Extent; AT_ONCE],
    }
    let end = offset.saturating_add(length);
    let mut start = offset;
    while start < end {
        let (count, extents) = (AT_ONCE as u32, [Extent::default(); AT_ONCE]);
        let mut map = Map { start, length: end - start, flags: 0, mapped: 0, count, reserved: 0, extents };
        // SAFETY: `map` is the structure that FS_IOC_FIEMAP reads and writes, has room for `count` extents, and
        // outlives the call.
        if check(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_FIEMAP, &mut map) }).is_err() {
            return false;
        }
        let found = &map.extents[..(map.mapped as usize).min(AT_ONCE)];
        if found.iter().any(|extent| extent.flags & UNWRITTEN != 0) {
            return true;
        }
        match found.last() {
            Some(last) if found.len() == AT_ONCE => start = last.logical.saturating_add(last.length),
            _ => break,
        }
    }
    false
}

/// Commands of fcntl(2) since Linux 4.13. `NO_HINT` also means "no hint", but differs from the value of a fresh inode.
const F_GET_RW_HINT: libc::c_int = 1035;
const F_SET_RW_HINT: libc::c_int = 1036;
const NEVER_SET: u64 = 0;
const NO_HINT: u64 = 1;

/// Sets or removes a mark on the inode in the kernel's memory. The mark is not on disk: it is lost when the kernel
/// evicts the inode. With the inode the kernel also loses the record that writing its pages failed. Only the owner of a
/// file can mark it.
pub(crate) fn mark_resident(file: &File, resident: bool) {
    let hint: u64 = if resident { NO_HINT } else { NEVER_SET };
    // SAFETY: `hint` is the number that the command reads, and outlives the call.
    unsafe { libc::fcntl(file.as_raw_fd(), F_SET_RW_HINT, &hint) };
}

/// Whether the inode has stayed in the kernel's memory since it was marked. `None` where the kernel has no such marks.
pub(crate) fn resident(file: &File) -> Option<bool> {
    #[cfg(feature = "test-hooks")]
    if crate::local::files::test_hooks::volumes_are_hidden() {
        return None;
    }
    let mut hint = NEVER_SET;
    // SAFETY: `hint` has room for the number that the command writes, and outlives the call.
    let told = check(unsafe { libc::fcntl(file.as_raw_fd(), F_GET_RW_HINT, &mut hint) });
    told.is_ok().then_some(hint != NEVER_SET)
}

/// Makes `length` bytes at `to_offset` of `to` share their extents with those at `from_offset` of `from`
/// (ioctl_ficlonerange(2)). Fails where the file system or the alignment does not allow it.
pub(crate) fn share_range(from: &File, from_offset: u64, to: &File, to_offset: u64, length: u64) -> io::Result<()> {
    let range = libc::file_clone_range {
        src_fd: i64::from(from.as_raw_fd()),
        src_offset: from_offset,
        src_length: length,
        dest_offset: to_offset,
    };
    // SAFETY: `range` is the structure that FICLONERANGE reads, and outlives the call.
    check(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONERANGE, &range) })
}

pub(crate) struct FileSystem {
    /// The magic number, see statfs(2).
    pub magic: u32,
    /// The bytes that a process without privileges may still write.
    pub available: u64,
}

fn file_system(raw: &libc::statfs) -> FileSystem {
    // An unlimited tmpfs counts no blocks.
    let unlimited = raw.f_blocks == 0;
    let available = if unlimited { u64::MAX } else { raw.f_bavail.saturating_mul(raw.f_bsize as u64) };
    FileSystem { magic: raw.f_type as u32, available }
}

pub(crate) fn file_system_at(path: &Path) -> io::Result<FileSystem> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut raw = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `path` is NUL-terminated, and `raw` has room for the result.
    uninterrupted(|| unsafe { libc::statfs(path.as_ptr(), raw.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled `raw`.
    Ok(file_system(unsafe { raw.assume_init_ref() }))
}

pub(crate) fn file_system_of(file: &File) -> io::Result<FileSystem> {
    let mut raw = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `raw` has room for the result.
    uninterrupted(|| unsafe { libc::fstatfs(file.as_raw_fd(), raw.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled `raw`.
    Ok(file_system(unsafe { raw.assume_init_ref() }))
}

/// Major and minor number.
pub(crate) type Device = (u32, u32);

pub(crate) struct Status {
    pub is_file: bool,
    /// The permissions, with the special bits.
    pub mode: u32,
    pub size: u64,
    pub links: u32,
    /// The user who owns it.
    pub owner: u32,
    pub inode: u64,
    /// Of the file system.
    pub device: Device,
    /// The id of the mount: not used again until the next boot (`STATX_MNT_ID_UNIQUE`, Linux 6.8). `None` where the
    /// kernel does not tell.
    pub mount: Option<u64>,
}

pub(crate) fn status(file: &File) -> io::Result<Status> {
    status_at(file, c"")
}

/// The status of `name` in `dir`, or of `dir` itself if `name` is empty. Symbolic links are not followed.
pub(crate) fn status_at(dir: &File, name: &CStr) -> io::Result<Status> {
    statx(dir.as_raw_fd(), name)
}

/// The status of the file at `path`. Symbolic links are not followed.
pub(crate) fn status_of(path: &Path) -> io::Result<Status> {
    use std::os::unix::ffi::OsStrExt;
    statx(libc::AT_FDCWD, &std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

fn statx(dir: libc::c_int, name: &CStr) -> io::Result<Status> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    // Times are not asked for. Since Linux 6.13 a file whose times were read gets finer times at its next write. That
    // writes its inode, and a chunk of 64 KiB would take a quarter longer.
    let basic = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_NLINK | libc::STATX_UID | libc::STATX_INO;
    let (basic, mount) = (basic | libc::STATX_SIZE, libc::STATX_MNT_ID_UNIQUE);
    let mut raw = MaybeUninit::<libc::statx>::uninit();
    // SAFETY: `name` is NUL-terminated and outlives the call; `raw` has room for the result.
    check(unsafe { libc::statx(dir, name.as_ptr(), flags, basic | mount, raw.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it filled `raw`.
    let raw = unsafe { raw.assume_init_ref() };
    let kind = libc::mode_t::from(raw.stx_mode) & libc::S_IFMT;
    let (is_file, mode) = (kind == libc::S_IFREG, u32::from(raw.stx_mode) & 0o7777);
    let mount = (raw.stx_mask & mount != 0).then_some(raw.stx_mnt_id);
    let (inode, device) = (raw.stx_ino, (raw.stx_dev_major, raw.stx_dev_minor));
    let (size, links, owner) = (raw.stx_size, raw.stx_nlink, raw.stx_uid);
    Ok(Status { is_file, mode, size, links, owner, inode, device, mount })
}

/// The id of the btrfs of `file` (`BTRFS_IOC_FS_INFO`): the same for all its subvolumes and devices.
pub(crate) fn btrfs_id(file: &File) -> io::Result<[u8; 16]> {
    /// First come the highest device number and the number of devices, then the id. All versions have 1024 bytes.
    #[repr(C)]
    struct Info {
        devices: [u64; 2],
        id: [u8; 16],
        rest: [u64; 124],
    }
    const FS_INFO: libc::Ioctl = 0x8400_941f; // _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args)
    const { assert!(size_of::<Info>() == 1024) };
    let mut info = Info { devices: [0; 2], id: [0; 16], rest: [0; 124] };
    // SAFETY: `info` has the size that the request's number contains, and outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), FS_INFO, &mut info) })?;
    Ok(info.id)
}
