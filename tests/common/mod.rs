//! What the tests share.

#![allow(dead_code)] // each test program uses a part of it

pub mod hostile;
pub mod shim;

use std::path::{Path, PathBuf};

use chunked_upload::{Chunk, Finished, Options, Receipt, Result, Store};

/// Bytes without a pattern that a misplaced piece could fit.
pub fn bytes(size: usize) -> Vec<u8> {
    seeded_bytes(size, 1)
}

/// Others for another seed.
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

/// Cuts a file at these sizes.
pub fn cut<'a>(file: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = file;
    sizes.iter().map(|&size| rest.split_off(..size).unwrap()).collect()
}

/// On a grid of 100 but for a shorter last chunk; and with chunks that fit no grid.
pub const CUTS: [&[usize]; 2] = [&[100, 100, 100, 50], &[90, 110, 30, 120]];

/// The names in a directory, sorted; of one that is not there, none.
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

    /// The same directory, with other options.
    pub fn reopened(&self, options: Options) -> Store {
        Store::open(self.root(), options).unwrap()
    }

    /// Where a file of an upload lies.
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

    /// Sends these pieces, each in its order of `order`.
    pub fn send_pieces(&self, pieces: &[&[u8]], order: &[usize]) -> String {
        let mut uid = String::new();
        for &number in order {
            uid = self.send_piece(&uid, pieces, number).unwrap().upload_uid.to_string();
        }
        uid
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

/// Runs `body` in a forked child and answers how it ended. The child may be killed at any instant; it must not print.
pub fn in_child(body: impl FnOnce()) -> std::process::ExitStatus {
    use std::os::unix::process::ExitStatusExt;
    // SAFETY: the child calls `body`, which allocates and makes system calls only (glibc's allocator survives a fork),
    // and leaves by _exit, so nothing of the parent's runs in it.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends this process without running anything.
        unsafe { libc::_exit(if ended.is_ok() { 0 } else { 101 }) };
    }
    let mut status = 0;
    // SAFETY: `status` has room for the result.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    std::process::ExitStatus::from_raw(status)
}

/// Ends this process as a power switch would.
pub fn kill_self() -> ! {
    // SAFETY: no pointers are passed.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL returns to nobody")
}

/// Runs `call` in a child that dies at its step number `step`, counted from 0, after a `last` act; false if it got
/// through.
#[cfg(feature = "test-seams")]
pub fn dies_at(step: usize, last: impl Fn(&'static str) + 'static, call: impl FnOnce()) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let status = in_child(|| {
        let left = std::cell::Cell::new(step);
        chunked_upload::seam::set_hook(Some(std::rc::Rc::new(move |name| {
            if left.get() == 0 {
                last(name);
                kill_self();
            }
            left.set(left.get() - 1);
            Ok(())
        })));
        call();
    });
    assert!(status.success() || status.signal() == Some(libc::SIGKILL), "{status:?}");
    !status.success()
}

/// Runs `call` in a child that dies at its `nth` step of this name, counted from 0. It must come that far.
#[cfg(feature = "test-seams")]
pub fn die_in(name: &'static str, nth: usize, call: impl FnOnce()) {
    use std::os::unix::process::ExitStatusExt;
    let status = in_child(|| {
        let left = std::cell::Cell::new(nth);
        chunked_upload::seam::set_hook(Some(std::rc::Rc::new(move |step| {
            if step == name {
                if left.get() == 0 {
                    kill_self();
                }
                left.set(left.get() - 1);
            }
            Ok(())
        })));
        call();
    });
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{name} is reached");
}

/// Copies the files of a directory.
pub fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in entries(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// A file system in a file, mounted while this lives.
pub struct Image {
    dir: tempfile::TempDir,
}

pub fn succeeds(command: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(command).args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Image {
    /// Of this kind (`ext4`, `xfs`, `btrfs`). `None`, said aloud, where it cannot be made or mounted.
    pub fn make(kind: &str) -> Option<Image> {
        let image = Image { dir: tempfile::tempdir().unwrap() };
        // The least that each makes, and no more: tests fill them.
        let mebibytes = match kind {
            "xfs" => 320,
            "btrfs" => 128,
            _ => 64,
        };
        std::fs::File::create(image.file()).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir(image.mountpoint()).unwrap();
        if succeeds(&format!("mkfs.{kind}"), &["-q", image.file().to_str().unwrap()]) && image.mount() {
            return Some(image);
        }
        eprintln!("skipped: no {kind} can be made or mounted here");
        None
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    pub fn mount(&self) -> bool {
        succeeds("mount", &["-o", "loop", self.file().to_str().unwrap(), self.mountpoint().to_str().unwrap()])
    }

    pub fn unmount(&self) -> bool {
        succeeds("umount", &[self.mountpoint().to_str().unwrap()])
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.unmount();
    }
}
