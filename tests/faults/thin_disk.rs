//! A disk that runs out of space under the file system: a sparse image on a full file system in memory.
//!
//! The file system sees free blocks, so every write succeeds. The disk refuses them later, when the kernel writes them
//! back. The kernel reports such a failure once. No test hook simulates the failing disk.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use crate::common::{
    Image, Memory, TestStore, chunk_count, cut, in_child, kill_self, seeded_bytes, send, succeeds, unwritten,
};
use chunked_upload::{Chunk, Durability, Error, ErrorKind, Options, Result, Store, test_hooks};

/// The disk, mounted.
pub struct Thin {
    kind: &'static str,
    pub image: Image,
    memory: Memory,
}

/// The bytes for which the disk has no room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Starved {
    /// The bytes of the uploads: blocks that the file system has allocated already.
    Data,
    /// Records: all blocks that the file system has not allocated yet.
    Records,
    /// Both. Then the file system may stop working until it is repaired.
    Everything,
}

/// What happens to the pages that could not be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evicted {
    Nothing,
    Pages,
    /// The kernel also evicts the inodes, and forgets that a write failed.
    Inodes,
}

pub const STARVED: [Starved; 3] = [Starved::Data, Starved::Records, Starved::Everything];
pub const EVICTED: [Evicted; 3] = [Evicted::Nothing, Evicted::Pages, Evicted::Inodes];
const ROOM: &str = "size=600m";

impl Thin {
    pub fn new(kind: &'static str) -> Option<Thin> {
        let (mebibytes, arguments): (u64, &[&str]) = match kind {
            "ext4" => (96, &["-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]),
            "xfs" => (320, &["-K"]),
            _ => (160, &["-K", "-m", "single", "-d", "single"]),
        };
        let memory = Memory::mount(ROOM)?;
        let image = Image::made_with(memory.path(), kind, mebibytes, arguments)?;
        // The disk has the blocks that the file system itself needs, with its journal.
        let size = format!("{mebibytes}M");
        assert!(succeeds("fallocate", &["-l", &size, image.file().to_str().unwrap()]));
        Some(Thin { kind, image, memory })
    }

    pub fn store(&self, durability: Durability) -> Store {
        let options = Options { durability, min_free_space: 0, ..Options::default() };
        Store::open(self.image.mountpoint().join("uploads"), options).unwrap()
    }

    fn state(&self, uid: &str) -> PathBuf {
        self.image.mountpoint().join("uploads").join(uid).join("state")
    }

    /// From here on the disk accepts no new blocks.
    pub fn starve(&self, starved: Starved) {
        self.starve_uploads(starved, &self.image.mountpoint().join("uploads"));
    }

    /// The same for uploads in this directory.
    pub fn starve_uploads(&self, starved: Starved, uploads: &Path) {
        self.write_back();
        if starved != Starved::Data {
            assert!(succeeds("fstrim", &[self.image.mountpoint().to_str().unwrap()]));
        }
        if self.kind == "btrfs" {
            self.keep_trees();
        }
        if starved != Starved::Records {
            for upload in std::fs::read_dir(uploads).unwrap() {
                for (start, length) in unwritten(&upload.unwrap().path().join("data")) {
                    let backing = self.image.file();
                    assert!(succeeds("fallocate", &["-p", "-o", &start, "-l", &length, backing.to_str().unwrap()]));
                }
            }
        }
        self.limit(0);
        // Page by page: the loop device mistakes a partial write for a whole one.
        let devices =
            Command::new("losetup").args(["-n", "-O", "NAME", "-j"]).arg(self.image.file()).output().unwrap().stdout;
        let device = String::from_utf8(devices).unwrap();
        let queue = format!("/sys/block/{}/queue/max_sectors_kb", device.trim().trim_start_matches("/dev/"));
        std::fs::write(queue, "4").unwrap();
    }

    /// btrfs writes its trees only to new places, and stops working when it cannot. So the disk keeps room for them.
    /// The bytes of files go to new places, too, so a failed write leaves the old bytes.
    fn keep_trees(&self) {
        let (image, all) = (self.image.file(), ["inspect-internal", "dump-tree", "-t", "chunk"]);
        let listed = Command::new("btrfs").args(all).arg(&image).output().unwrap().stdout;
        let listed = String::from_utf8(listed).unwrap();
        let after =
            |line: &str, word| line.split_whitespace().skip_while(|&found| found != word).nth(1).map(str::to_owned);
        let mut length = None;
        for line in listed.lines() {
            if line.contains(" type ") && line.contains("length ") {
                length = if line.contains("type DATA") { None } else { after(line, "length") };
            } else if let (true, Some(length)) = (line.contains("stripe "), &length) {
                let start = after(line, "offset").unwrap();
                assert!(succeeds("fallocate", &["-o", &start, "-l", length, image.to_str().unwrap()]), "{line}");
            }
        }
    }

    /// From here on the disk accepts only this many more bytes.
    fn limit(&self, more: u64) {
        let used = Command::new("df").args(["--output=used", "-B1"]).arg(self.memory.path()).output().unwrap().stdout;
        let used = String::from_utf8(used).unwrap();
        let used: u64 = used.lines().nth(1).unwrap().trim().parse().unwrap();
        self.memory.remount(&format!("size={}", used + more));
    }

    /// Gives the disk room again. Repairs a file system that the lack of room damaged, as an administrator would. True
    /// if that was necessary.
    pub fn feed(&self, remounted: bool) -> bool {
        let broken = std::fs::write(self.image.mountpoint().join("probe"), "").is_err();
        let mounted = !(remounted || broken) || !self.image.unmount();
        self.memory.remount(ROOM);
        if broken && self.kind == "ext4" {
            succeeds("e2fsck", &["-fy", self.image.file().to_str().unwrap()]);
        }
        assert!(mounted || self.image.mount());
        broken
    }

    /// Makes the kernel write its pages back, as it does by itself after a while.
    pub fn write_back(&self) {
        let dir = std::fs::File::open(self.image.mountpoint()).unwrap();
        // SAFETY: no pointers are passed. The tests expect failures here.
        unsafe { libc::syncfs(dir.as_raw_fd()) };
    }

    pub fn evict(&self, evicted: Evicted) {
        let what = match evicted {
            Evicted::Nothing => return,
            Evicted::Pages => "1",
            Evicted::Inodes => "3",
        };
        std::fs::write("/proc/sys/vm/drop_caches", what).unwrap();
    }
}

/// A file whose pages stay in memory while this lives, whatever other tests evict.
struct Kept(*mut libc::c_void, usize);

impl Kept {
    fn new(path: &Path) -> Kept {
        let file = std::fs::File::open(path).unwrap();
        let size = file.metadata().unwrap().len() as usize;
        let (read, how) = (libc::PROT_READ, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping, through which no code reads.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size, read, how, file.as_raw_fd(), 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Kept(start, size)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: this value owns the mapping.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

/// An upload on a thin disk, and its right file.
pub struct Sent<'a> {
    pub case: String,
    pub file: &'a [u8],
    /// The size of its chunks.
    pub size: usize,
    pub uid: String,
}

impl Sent<'_> {
    /// Begins with the first chunk, which reserves room for the others.
    pub fn begin<'a>(store: &Store, case: &dyn std::fmt::Debug, file: &'a [u8], size: usize) -> Sent<'a> {
        Sent::begin_with(0, store, case, file, size)
    }

    fn begin_with<'a>(number: u64, store: &Store, case: &dyn std::fmt::Debug, file: &'a [u8], size: usize) -> Sent<'a> {
        let uid = send(store, "", file, size, number).unwrap().upload_uid.to_string();
        Sent { case: format!("{case:?}"), file, size, uid }
    }

    pub fn count(&self) -> u64 {
        chunk_count(self.file, self.size)
    }

    pub fn send(&self, store: &Store, number: u64) -> Result<()> {
        send(store, &self.uid, self.file, self.size, number).map(drop)
    }

    /// Calls `get`. The file must be right, or the result must be an error.
    pub fn get(&self, store: &Store) -> Result<()> {
        match store.get(&self.uid) {
            Ok(finished) => {
                let found = std::fs::read(finished.path).unwrap();
                let wrong: Vec<usize> = (0..found.len()).filter(|&at| found[at] != self.file[at]).collect();
                let edges = wrong.first().zip(wrong.last());
                assert!(found == self.file, "{}: wrong bytes, {} from {edges:?}", self.case, wrong.len());
                Ok(())
            }
            Err(error) => {
                let expected = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Incomplete];
                assert!(expected.contains(&error.kind()), "{}: {error}", self.case);
                Err(error)
            }
        }
    }

    /// With room again, missing chunks are sent again. Then the file is right, also when it is read from the disk. If
    /// the file system had to be repaired (`broken`), the upload may be lost with the bytes that were not written.
    pub fn finish(&self, thin: &Thin, store: &Store, mut broken: bool) {
        let mut answers = Vec::new();
        for _ in 0..6 {
            if broken && matches!(store.inspect(&self.uid, 0), Err(Error::NotFound { .. })) {
                return;
            }
            match self.get(store) {
                Ok(()) => break,
                Err(error) => {
                    // A write that failed before there was room can stop the file system later.
                    let stopped = error.os_errno() == Some(libc::EROFS) && thin.feed(true);
                    answers.push(error.to_string());
                    if stopped {
                        broken = true;
                        continue;
                    }
                }
            }
            for number in store.inspect(&self.uid, 0).unwrap().missing.into_iter().flatten() {
                if let Err(error) = self.send(store, number) {
                    answers.push(error.to_string());
                }
            }
        }
        let case = &self.case;
        self.get(store).unwrap_or_else(|error| panic!("{case}: not complete with room again: {error} {answers:#?}"));
        assert!(thin.image.unmount() && thin.image.mount());
        self.get(store).unwrap_or_else(|error| panic!("{case}: after a remount: {error}"));
    }
}

/// What the disk and the kernel do to one upload.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: &'static str,
    level: Durability,
    starved: Starved,
    evicted: Evicted,
    remounted: bool,
    size: usize,
}

/// Aligned to the disk's blocks; not aligned; and so many chunks that the table takes many blocks.
const SIZES: [usize; 3] = [256 << 10, 250_000, 8 << 10];
pub const FILE: usize = 4 << 20;

fn cases(kind: &'static str, level: Durability) -> impl Iterator<Item = Case> {
    let all = STARVED.into_iter().flat_map(|starved| EVICTED.map(|evicted| (starved, evicted)));
    all.flat_map(move |(starved, evicted)| {
        let case = Case { kind, level, starved, evicted, remounted: false, size: SIZES[0] };
        [case, Case { remounted: true, ..case }, Case { size: SIZES[1], ..case }, Case { size: SIZES[2], ..case }]
    })
}

/// The kernel's own write-back fails. The answers on the full disk, and later, are right or errors.
fn never_wrong(case: Case) {
    let Some(thin) = Thin::new(case.kind) else { return };
    let (store, file) = (thin.store(case.level), seeded_bytes(FILE, 1));
    // The last chunk reserves nothing. So the file system gives the others room that the disk does not have.
    let first = if case.kind == "ext4" { 0 } else { chunk_count(&file, case.size) - 1 };
    let sent = Sent::begin_with(first, &store, &case, &file, case.size);
    thin.starve(case.starved);
    for number in (0..sent.count()).filter(|&number| number != first) {
        let _ = sent.send(&store, number);
    }
    thin.write_back();
    for _ in 0..2 {
        thin.evict(case.evicted);
        let _ = sent.get(&store);
    }
    let _ = sent.get(&store);
    let broken = thin.feed(case.remounted);
    sent.finish(&thin, &store, broken);
}

#[test]
fn a_file_whose_write_back_failed_is_never_wrong_at_level_complete() {
    cases("ext4", Durability::Complete).for_each(never_wrong);
}

#[test]
fn a_file_whose_write_back_failed_is_never_wrong_at_level_chunk() {
    cases("ext4", Durability::Chunk).for_each(never_wrong);
}

#[test]
fn a_file_whose_write_back_failed_is_never_wrong_on_xfs_and_btrfs() {
    for kind in ["xfs", "btrfs"] {
        for level in [Durability::Complete, Durability::Chunk] {
            let case = Case {
                kind,
                level,
                starved: Starved::Records,
                evicted: Evicted::Pages,
                remounted: false,
                size: SIZES[0],
            };
            for evicted in EVICTED {
                never_wrong(Case { evicted, ..case });
            }
        }
    }
}

/// A call at level `chunk` gets the kernel's report of a failure on chunks that were acknowledged at a lower level.
#[test]
fn chunks_of_a_lower_level_whose_failure_another_call_met_are_sent_again() {
    for level in [Durability::Process, Durability::Complete] {
        for evicted in EVICTED {
            let case = (level, evicted);
            let Some(thin) = Thin::new("ext4") else { return };
            let (low, high, file) = (thin.store(level), thin.store(Durability::Chunk), seeded_bytes(FILE, 2));
            let sent = Sent::begin(&low, &case, &file, SIZES[0]);
            thin.starve(Starved::Data);
            for number in 1..8 {
                sent.send(&low, number).unwrap();
            }
            thin.write_back();
            assert!(sent.send(&high, 8).is_err(), "{case:?}");
            thin.evict(evicted);
            let broken = thin.feed(false);
            for number in 8..sent.count() {
                sent.send(&high, number).unwrap();
            }
            let first = sent.get(&low);
            assert!(evicted != Evicted::Nothing || first.is_ok() || sent.get(&high).is_err(), "{case:?}");
            sent.finish(&thin, &high, broken);
        }
    }
}

/// Runs a call in a process that is killed when a sync has failed.
fn dies(call: &dyn Fn()) {
    in_child(|| {
        test_hooks::set_hook(Some(Rc::new(|step| if step == "failed:sync" { kill_self() } else { Ok(()) })));
        call();
    });
}

/// The process is killed directly after a sync has failed. The kernel does not report the failure again.
#[test]
fn a_failure_that_kills_the_call_is_not_forgotten() {
    for level in [Durability::Complete, Durability::Chunk] {
        for starved in STARVED {
            for (evicted, size) in EVICTED.into_iter().flat_map(|evicted| SIZES.map(|size| (evicted, size))) {
                let case = (level, starved, evicted, size);
                let Some(thin) = Thin::new("ext4") else { return };
                let (store, file) = (thin.store(level), seeded_bytes(FILE, 3));
                let sent = Sent::begin(&store, &case, &file, size);
                thin.starve(starved);
                // At level `chunk` the first chunks meet the failure, otherwise `get` does.
                let (dying, rest) = if level == Durability::Chunk { (1..5, 1..1) } else { (1..1, 1..sent.count()) };
                for number in dying {
                    dies(&|| drop(sent.send(&store, number)));
                }
                for number in rest {
                    let _ = sent.send(&store, number);
                }
                dies(&|| drop(sent.get(&store)));
                thin.evict(evicted);
                let broken = thin.feed(false);
                // The neighbouring chunks are sent first, by processes that have not seen the failure.
                for number in (1..sent.count()).filter(|number| number % 2 == 0) {
                    let _ = sent.send(&store, number);
                }
                sent.finish(&thin, &store, broken);
            }
        }
    }
}

/// Sends `content` for one of these pieces.
fn send_as(store: &Store, uid: &str, pieces: &[&[u8]], number: usize, content: &[u8]) -> Result<String> {
    let (total_size, chunk_count) = (pieces.concat().len() as u64, pieces.len() as u64);
    let (upload_uid, chunk_number) = (uid, number as u64);
    let chunk = Chunk { upload_uid, total_size, chunk_number, chunk_count, content, ..Chunk::default() };
    store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
}

/// The disk still has a replaced record, because a call was killed when it could not sync. The record's place is given
/// to another chunk.
#[test]
fn a_chunk_in_the_place_of_one_whose_clearing_was_not_synced_is_kept() {
    let Some(thin) = Thin::new("btrfs") else { return };
    let (store, file) = (thin.store(Durability::Chunk), seeded_bytes(100_000, 5));
    // The records of the first chunk and of the others are in different blocks.
    let mut lengths = [0; 200];
    (lengths[10], lengths[150], lengths[151], lengths[152]) = (30_000, 20_000, 25_000, 25_000);
    let pieces = cut(&file, &lengths);
    let uid = send_as(&store, "", &pieces, 0, &[]).unwrap();
    let send = |number: usize, content: &[u8]| send_as(&store, &uid, &pieces, number, content);
    // All of them are too large, and the tail is nearly at its limit.
    for (number, length) in [(150, 40_000), (151, 60_000), (152, 50_000)] {
        send(number, &seeded_bytes(length, 6)).unwrap();
    }
    thin.starve(Starved::Records);
    let kept = Kept::new(&thin.state(&uid));
    dies(&|| drop(send(150, &seeded_bytes(41_000, 7))));
    assert!(!thin.feed(false));
    send(10, pieces[10]).unwrap();
    drop(kept);
    thin.evict(Evicted::Pages);
    for number in (0..200).filter(|&number| number != 10) {
        send(number, pieces[number]).unwrap();
    }
    assert!(std::fs::read(store.get(&uid).unwrap().path).unwrap() == file);
}

/// The record of a chunk is not on disk, because a call was killed when it could not sync. A call makes the copy,
/// removes the chunks in `data`, and is killed, too.
#[test]
fn a_record_that_was_not_synced_costs_no_other_chunk() {
    let Some(thin) = Thin::new("btrfs").map(Rc::new) else { return };
    let (store, file) = (thin.store(Durability::Chunk), seeded_bytes(100_000, 8));
    let lengths: Vec<usize> = (0..400).map(|number| 249 + number % 3).chain([1]).collect();
    let (pieces, late) = (cut(&file, &lengths), 150);
    let uid = send_as(&store, "", &pieces, 400, pieces[400]).unwrap();
    let send = |number: usize| send_as(&store, &uid, &pieces, number, pieces[number]);
    for number in (0..400).filter(|&number| number != late) {
        send(number).unwrap();
    }
    thin.starve(Starved::Records);
    // There is room for the chunk, but not for its record.
    thin.limit(1 << 20);
    let kept = Kept::new(&thin.state(&uid));
    in_child(|| {
        let disk = thin.clone();
        test_hooks::set_hook(Some(Rc::new(move |step| match step {
            "receive:secured" => {
                disk.limit(0);
                Ok(())
            }
            "failed:sync" => kill_self(),
            _ => Ok(()),
        })));
        let _ = send(late);
    });
    assert!(!thin.feed(false));
    in_child(|| {
        test_hooks::set_hook(Some(Rc::new(|step| if step == "rewrite:dropped" { kill_self() } else { Ok(()) })));
        let _ = store.get(&uid);
    });
    drop(kept);
    thin.evict(Evicted::Pages);
    let _ = store.get(&uid);
    let missing: Vec<u64> = store.inspect(&uid, 0).unwrap().missing.into_iter().flatten().collect();
    assert!(missing.iter().all(|&number| number == late as u64), "{missing:?}");
    send(late).unwrap();
    assert!(std::fs::read(store.get(&uid).unwrap().path).unwrap() == file);
}

#[test]
fn several_uploads_on_a_full_disk_are_each_right() {
    for level in [Durability::Complete, Durability::Chunk] {
        let Some(thin) = Thin::new("ext4") else { return };
        let store = thin.store(level);
        let files: Vec<Vec<u8>> = (10..14).map(|seed| seeded_bytes(FILE, seed)).collect();
        let all: Vec<Sent> = files.iter().map(|file| Sent::begin(&store, &level, file, SIZES[0])).collect();
        thin.starve(Starved::Everything);
        for number in 1..all[0].count() {
            for sent in &all {
                let _ = sent.send(&store, number);
            }
        }
        thin.write_back();
        thin.evict(Evicted::Pages);
        for _ in 0..2 {
            for sent in &all {
                let _ = sent.get(&store);
            }
        }
        let broken = thin.feed(false);
        for sent in &all {
            sent.finish(&thin, &store, broken);
        }
    }
}

/// The destination of `move_to` is on the disk that runs out. The call that copies is killed when its sync has failed.
#[test]
fn a_copy_whose_sync_failed_is_made_again() {
    for evicted in EVICTED {
        let Some(thin) = Thin::new("ext4") else { return };
        let store = TestStore::with(Options { durability: Durability::Complete, ..Options::default() });
        let (file, destination) = (seeded_bytes(FILE, 20), thin.image.mountpoint().join("moved"));
        let uid = store.send_all(&file, SIZES[0]);
        thin.starve(Starved::Records);
        dies(&|| drop(store.move_to(&uid, &destination, false)));
        assert!(!destination.exists(), "{evicted:?}: it has appeared");
        thin.evict(evicted);
        let broken = thin.feed(false);
        store.move_to(&uid, &destination, false).unwrap();
        for _ in 0..2 {
            assert!(std::fs::read(&destination).unwrap() == file, "{evicted:?}: broken {broken}");
            assert!(thin.image.unmount() && thin.image.mount());
        }
    }
}
