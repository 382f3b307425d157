//! The fewest system calls that can receive a file if nothing is kept between calls and every byte gets a checksum. The
//! engine makes these calls, too, and others that examine the files. No engine can save the time that this loop takes
//! longer than plain writes on this machine.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use super::transfer::{Plan, Took, check, cpu_seconds};

const HEAD: usize = 512;
const SLOT: u64 = 32;
/// Room in `data` is reserved in steps of this size, as in the engine.
const WINDOW: u64 = 64 << 20;

/// Receives a file in chunks of one size. With `reserves`, reserves room ahead where the engine does. With `looks`,
/// also makes the calls by which the engine examines files, 16 in all for a chunk. The rest of the engine's time is its
/// own code.
pub fn receive(directory: &Path, plan: &Plan, content: &[u8], reserves: bool, looks: bool) -> Took {
    /// The bytes that the engine reads of `state`: when it is opened, under the lock, and for `received_all`.
    const READ: [usize; 3] = [4096, 256, 2048];
    let upload = directory.join("least");
    let (cpu, start) = (cpu_seconds(), Instant::now());
    make(&upload, |dir| {
        create_at(dir, c"data");
        create_at(dir, c"state").write_all_at(&[1; HEAD], 0).unwrap();
    });
    for &(number, offset, length) in &plan.chunks {
        let chunk = &content[..length];
        let checksum = crc_fast::crc32_iscsi(chunk);
        let dir = open(&upload);
        let state = open_at(&dir, c"state", 0);
        let (mut head, mut slot) = ([0; READ[0]], [0; SLOT as usize]);
        if looks {
            look_at(&state, c"");
            let _ = state.read_at(&mut head, 0).unwrap();
        }
        lock(&state, number, libc::F_WRLCK);
        state.read_exact_at(&mut head[..if looks { READ[1] } else { HEAD }], 0).unwrap();
        let data = open_at(&dir, c"data", 0);
        let slot_at = HEAD as u64 + number * SLOT;
        // The slot may not be written yet: there may be nothing to read.
        let _ = state.read_at(&mut slot, slot_at).unwrap();
        if reserves && offset % WINDOW == 0 {
            reserve(&data, offset, WINDOW.min(plan.total - offset));
        }
        data.write_all_at(chunk, offset).unwrap();
        slot[..4].copy_from_slice(&checksum.to_le_bytes());
        state.write_all_at(&slot, slot_at).unwrap();
        if looks {
            let _ = state.read_at(&mut head[..READ[2]], slot_at).unwrap();
        }
        lock(&state, number, libc::F_UNLCK);
        if looks {
            dir.metadata().unwrap();
        }
    }
    rename(&open(&upload));
    let took = Took { all: start.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu, ..Took::default() };
    check(&upload.join("file"), plan, content);
    std::fs::remove_dir_all(upload).unwrap();
    took
}

/// Uploads of one chunk, each followed by `get`. With `looks`, also makes the calls by which the engine examines files,
/// 30 in all. The rest of the engine's time is its own code.
pub fn small(root: &Path, count: u32, content: &[u8], looks: bool) {
    const GATE: u64 = 1 << 62;
    std::fs::DirBuilder::new().mode(0o700).create(root).unwrap();
    for number in 0..count {
        let upload = root.join(format!("{number:032x}"));
        if looks {
            look_around(root);
        }
        make(&upload, |dir| {
            let look = |file: &File| {
                if looks {
                    look_at(file, c"");
                }
            };
            look(dir);
            let state = create_at(dir, c"state");
            lock(&state, GATE, libc::F_WRLCK);
            look(&state);
            {
                let data = create_at(dir, c"data");
                look(&data);
                data.write_all_at(content, 0).unwrap();
            }
            let mut head = [1; HEAD + SLOT as usize];
            head[HEAD..HEAD + 4].copy_from_slice(&crc_fast::crc32_iscsi(content).to_le_bytes());
            state.write_all_at(&head, 0).unwrap();
            lock(&state, GATE, libc::F_UNLCK);
        });
        let dir = open(&upload);
        let state = open_at(&dir, c"state", 0);
        let mut head = [0; HEAD + SLOT as usize];
        if looks {
            look_at(&state, c"");
            state.read_exact_at(&mut head, 0).unwrap();
        }
        lock(&state, 0, libc::F_WRLCK);
        state.read_exact_at(&mut head, 0).unwrap();
        if looks {
            look_at(&dir, c"data");
        }
        rename(&dir);
        state.write_all_at(&head[..SLOT as usize], 64).unwrap();
        lock(&state, 0, libc::F_UNLCK);
        if looks {
            dir.metadata().unwrap();
        }
    }
}

/// Examines the free room and the store's directory, and makes a new uid.
fn look_around(root: &Path) {
    let path = CString::new(root.as_os_str().as_bytes()).unwrap();
    // SAFETY: all zeros is a valid statfs.
    let mut file_system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with NUL, and `file_system` has room for the answer.
    assert_eq!(unsafe { libc::statfs(path.as_ptr(), &mut file_system) }, 0);
    root.metadata().unwrap();
    let mut uid = [0_u8; 16];
    // SAFETY: `uid` has room for the bytes.
    assert_eq!(unsafe { libc::getrandom(uid.as_mut_ptr().cast(), uid.len(), 0) }, 16);
}

/// Does not ask for the times. If they were read, the next write would have to store new ones.
fn look_at(dir: &File, name: &CStr) {
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    let mask = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_SIZE | libc::STATX_NLINK;
    // SAFETY: all zeros is a valid statx.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: `name` ends with NUL, and `status` has room for the answer.
    assert_eq!(unsafe { libc::statx(dir.as_raw_fd(), name.as_ptr(), flags, mask, &mut status) }, 0);
}

/// Makes a directory and has `fill` put files into it.
fn make(path: &Path, fill: impl FnOnce(&File)) {
    std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
    fill(&open(path));
}

fn open(directory: &Path) -> File {
    File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(directory).unwrap()
}

fn create_at(dir: &File, name: &CStr) -> File {
    open_at(dir, name, libc::O_CREAT | libc::O_EXCL)
}

fn open_at(dir: &File, name: &CStr, flags: i32) -> File {
    let flags = flags | libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` ends with NUL.
    let descriptor = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, 0o600) };
    assert!(descriptor >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the descriptor has just been opened, and no other code has it.
    unsafe { File::from_raw_fd(descriptor) }
}

fn lock(state: &File, number: u64, kind: i32) {
    // SAFETY: all zeros is a valid flock.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    (range.l_type, range.l_start, range.l_len) = (kind as i16, number as i64, 1);
    // SAFETY: `range` outlives the call.
    assert_eq!(unsafe { libc::fcntl(state.as_raw_fd(), libc::F_OFD_SETLKW, &range) }, 0);
}

fn reserve(data: &File, offset: u64, length: u64) {
    // SAFETY: no pointers are passed. Where this is not supported, it is not needed.
    unsafe { libc::fallocate(data.as_raw_fd(), 0, offset as i64, length as i64) };
}

fn rename(dir: &File) {
    let fd = dir.as_raw_fd();
    // SAFETY: both names end with NUL.
    assert_eq!(unsafe { libc::renameat(fd, c"data".as_ptr(), fd, c"file".as_ptr()) }, 0);
}
