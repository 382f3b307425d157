//! The helpers that all tests share.

#![allow(dead_code, unused_imports)] // each test program uses only a part

mod child;
pub mod hostile;
mod image;
pub mod recorder;
pub mod shim;
mod skip;

use std::path::{Path, PathBuf};

pub use child::*;
use chunked_upload::{Chunk, Finished, Options, Receipt, Result, Store};
pub use image::*;
pub use skip::skip;

/// Bytes without a pattern that a misplaced piece could fit.
pub fn bytes(size: usize) -> Vec<u8> {
    seeded_bytes(size, 1)
}

/// Bytes without a pattern, different for each seed.
pub fn seeded_bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(size);
    bytes
}

/// How many times as long as usual the tests with random parts run.
pub fn rounds() -> u64 {
    std::env::var("UPLOAD_ROUNDS").map_or(1, |text| text.parse().expect("a number"))
}

/// The CRC-32C, bit by bit, by the definition (RFC 3720 appendix B.4).
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// The names of the steps that a call reaches.
#[cfg(feature = "test-hooks")]
pub fn steps(call: impl FnOnce()) -> Vec<&'static str> {
    let names = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = names.clone();
    chunked_upload::test_hooks::set_hook(Some(std::rc::Rc::new(move |name| {
        seen.borrow_mut().push(name);
        Ok(())
    })));
    call();
    chunked_upload::test_hooks::set_hook(None);
    names.take()
}

/// Whether unsynced bytes are trusted here: the kernel tells the volume of the temporary directory. See
/// docs/kernels.md.
#[cfg(feature = "test-hooks")]
pub fn volume_is_told() -> bool {
    let store = TestStore::new();
    let uid = store.first(&bytes(1), 1, 0);
    !steps(|| drop(store.get(&uid))).contains(&"check:passed")
}

/// Cuts a file at these sizes.
pub fn cut<'a>(file: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = file;
    sizes.iter().map(|&size| rest.split_off(..size).unwrap()).collect()
}

/// A grid of 100 with a shorter last chunk, and chunks that fit no grid.
pub const CUTS: [&[usize]; 2] = [&[100, 100, 100, 50], &[90, 110, 30, 120]];

/// The names in a directory, sorted; none if there is no directory.
pub fn entries(path: &Path) -> Vec<String> {
    let Ok(directory) = std::fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<String> = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A store in a temporary directory.
pub struct TestStore {
    pub store: Store,
    pub dir: tempfile::TempDir,
}

impl std::ops::Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Default for TestStore {
    fn default() -> TestStore {
        TestStore::new()
    }
}

impl TestStore {
    pub fn new() -> TestStore {
        TestStore::with(Options::default())
    }

    pub fn with(options: Options) -> TestStore {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("uploads"), options).unwrap();
        TestStore { store, dir }
    }

    /// Opens the same directory with other options.
    pub fn reopened(&self, options: Options) -> Store {
        Store::open(self.root(), options).unwrap()
    }

    /// The path of a file of an upload.
    pub fn path(&self, uid: &str, name: &str) -> PathBuf {
        self.root().join(uid).join(name)
    }

    /// Sends the first chunk of `file`, cut into pieces of `size`.
    pub fn first(&self, file: &[u8], size: usize, number: u64) -> String {
        send(&self.store, "", file, size, number).unwrap().upload_uid.to_string()
    }

    pub fn send(&self, uid: &str, file: &[u8], size: usize, number: u64) -> Result<Receipt> {
        send(&self.store, uid, file, size, number)
    }

    /// Sends every chunk, in order.
    pub fn send_all(&self, file: &[u8], size: usize) -> String {
        let uid = self.first(file, size, 0);
        for number in 1..chunk_count(file, size) {
            self.send(&uid, file, size, number).unwrap();
        }
        uid
    }

    /// Sends these pieces in the order of `order`.
    pub fn send_pieces(&self, pieces: &[&[u8]], order: &[usize]) -> String {
        let mut uid = String::new();
        for &number in order {
            uid = self.send_piece(&uid, pieces, number).unwrap().upload_uid.to_string();
        }
        uid
    }

    /// Sends a chunk of these bytes and returns the uid. The file name is empty.
    pub fn send_content(&self, uid: &str, total: usize, count: u64, number: u64, content: &[u8]) -> String {
        let chunk = Chunk {
            upload_uid: uid,
            total_size: total as u64,
            chunk_number: number,
            chunk_count: count,
            content,
            ..Chunk::default()
        };
        self.store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
    }

    pub fn send_piece(&self, uid: &str, pieces: &[&[u8]], number: usize) -> Result<Receipt> {
        self.store.handle_chunk(&Chunk {
            upload_uid: uid,
            file_name: "a.bin",
            total_size: pieces.iter().map(|piece| piece.len() as u64).sum(),
            chunk_number: number as u64,
            chunk_count: pieces.len() as u64,
            content: pieces[number],
            ..Default::default()
        })
    }

    /// The finished file's bytes.
    pub fn content(&self, uid: &str) -> Vec<u8> {
        std::fs::read(self.finished(uid).path).unwrap()
    }

    pub fn finished(&self, uid: &str) -> Finished {
        self.store.get(uid).unwrap()
    }
}

pub fn chunk_count(file: &[u8], size: usize) -> u64 {
    file.len().div_ceil(size).max(1) as u64
}

/// Sends one of the pieces of `size` that make up `file`.
pub fn send(store: &Store, uid: &str, file: &[u8], size: usize, number: u64) -> Result<Receipt> {
    let start = (number as usize * size).min(file.len());
    store.handle_chunk(&Chunk {
        upload_uid: uid,
        file_name: "a.bin",
        total_size: file.len() as u64,
        chunk_number: number,
        chunk_count: chunk_count(file, size),
        content: &file[start..(start + size).min(file.len())],
        ..Default::default()
    })
}

/// Waits for these threads. The end of their scope does that, too, but ThreadSanitizer cannot see it.
pub fn join<T>(threads: Vec<std::thread::ScopedJoinHandle<T>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A directory that is not on the file system of temporary files. `None`, with a message, if there is none.
pub fn other_file_system() -> Option<tempfile::TempDir> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    let here = device(&std::env::temp_dir());
    let found = ["/dev/shm", "/var/tmp", "/run"].iter().map(Path::new).find(|place| device(place) != here);
    let dir = found.and_then(|place| tempfile::tempdir_in(place).ok());
    if dir.is_none() {
        skip("no second file system here");
    }
    dir
}

/// Copies the files of a directory.
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in entries(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Whether the test runs as root. Only root can act as another user.
pub fn is_root() -> bool {
    // SAFETY: takes no arguments.
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        skip("only root can act as another user");
    }
    is_root
}

/// Runs `body` in a forked child that acts as this user, only in these groups. False if the test does not run as root,
/// because only root can do this.
pub fn as_user(user: u32, groups: &[u32], body: impl FnOnce()) -> bool {
    if !is_root() {
        return false;
    }
    let status = in_child(|| {
        // SAFETY: `groups` has this many entries.
        unsafe {
            assert_eq!(libc::setgroups(groups.len(), groups.as_ptr()), 0);
            assert_eq!(libc::setgid(user), 0);
            assert_eq!(libc::setuid(user), 0);
            libc::umask(0);
        }
        body();
    });
    assert!(status.success(), "user {user}: {status:?}");
    true
}
