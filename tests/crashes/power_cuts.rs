//! Cuts the power under load, on real file systems. At random instants a file system's image is cloned while processes
//! write to it. Each clone is mounted, and must hold what clients had been promised by then.
//!
//! A clone of a file (ioctl_ficlone(2)) is taken between two writes to it. So it is a disk that lost power then: it
//! lacks the bytes that the file system had not written out. The image lies on an xfs of its own, which can clone
//! files. `UPLOAD_ROUNDS=` sets the number of rounds, `UPLOAD_SEED=` the seed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{Image, fork, seeded_bytes, succeeds};
use chunked_upload::{Chunk, Durability, Error, ErrorKind, Options, Store};

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];
const WRITERS: u64 = 3;
const CHUNKS: usize = 6;
/// How often the power is cut in each run.
const CUTS: u64 = 3;

/// A small random generator. One seed gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); // Knuth's MMIX
        (self.0 >> 33) as usize % limit
    }
}

/// The chunks of the upload with this number. Every second upload has equal chunks.
fn pieces(upload: u64) -> Vec<Vec<u8>> {
    let size = |number: usize| {
        let uneven = if upload.is_multiple_of(2) { 0 } else { (number * 7 + upload as usize) % 5 * 3000 };
        4096 * (1 + upload as usize % 8) + uneven
    };
    (0..CHUNKS).map(|number| seeded_bytes(size(number), upload * 100 + number as u64 + 1)).collect()
}

/// The bytes that the client sends first in place of a chunk.
fn other(piece: &[u8]) -> Vec<u8> {
    piece.iter().map(|byte| !byte).collect()
}

fn send(store: &Store, uid: &str, upload: u64, number: usize, content: &[u8]) -> Result<String, Error> {
    let chunk = Chunk {
        upload_uid: uid,
        file_name: "a.bin",
        total_size: pieces(upload).iter().map(|piece| piece.len() as u64).sum(),
        chunk_number: number as u64,
        chunk_count: CHUNKS as u64,
        content,
        ..Chunk::default()
    };
    store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
}

fn destination(mountpoint: &Path, upload: u64) -> PathBuf {
    mountpoint.join(format!("moved-{upload}"))
}

// --- the load ---

/// A client: one upload after the other, for ever. The log names each call before it begins, and after it ends.
fn write_for_ever(mountpoint: &Path, store: &Store, writer: u64, random: &mut Random, log: &mut File) {
    for upload in (0..).map(|count: u64| writer + count * WRITERS) {
        // Each line is one write, so lines of several processes do not mix.
        let mut say = |what: String| log.write_all(format!("{upload} {what}\n").as_bytes()).unwrap();
        let pieces = pieces(upload);
        let mut uid = String::new();
        let mut send = |number: usize, right: bool| {
            say(format!("send {number} {right}"));
            let content = if right { pieces[number].clone() } else { other(&pieces[number]) };
            uid = send(store, &uid, upload, number, &content).unwrap();
            say(format!("sent {number} {right} {uid}"));
        };
        let mut order: Vec<usize> = (0..CHUNKS).collect();
        while !order.is_empty() {
            send(order.swap_remove(random.below(order.len())), random.below(4) > 0);
        }
        for number in 0..CHUNKS {
            send(number, true);
        }
        if random.below(4) > 0 {
            say("get".into());
            store.get(&uid).unwrap();
            say("got".into());
        }
        match random.below(4) {
            0 => {
                say("move".into());
                store.move_to(&uid, destination(mountpoint, upload), false).unwrap();
                say("moved".into());
            }
            1 => {
                say("remove".into());
                store.remove(&uid).unwrap();
            }
            _ => {}
        }
    }
}

/// Makes the file system write its pages out at random moments.
fn sync_for_ever(mountpoint: &Path, random: &mut Random) {
    let root = File::open(mountpoint).unwrap();
    loop {
        std::thread::sleep(Duration::from_millis(random.below(60) as u64));
        // SAFETY: no pointers are passed.
        unsafe { libc::syncfs(std::os::fd::AsRawFd::as_raw_fd(&root)) };
    }
}

// --- what the clients know ---

#[derive(Default, Clone)]
struct Known {
    uid: String,
    /// The last acknowledged bytes of each chunk: true for the right ones.
    acknowledged: [Option<bool>; CHUNKS],
    got: bool,
    moved: bool,
    /// Whether a call with this chunk is running.
    under_way: [bool; CHUNKS],
    moving: bool,
    removing: bool,
}

/// Reads the log from before the cut and the one from after it.
fn read_log(before: &str, after: &str) -> BTreeMap<u64, Known> {
    let mut uploads: BTreeMap<u64, Known> = BTreeMap::new();
    for (at, line) in after.split_inclusive('\n').scan(0, |at, line| {
        *at += line.len();
        Some((*at, line))
    }) {
        let promised = at <= before.len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let known = uploads.entry(words[0].parse().unwrap()).or_default();
        let number = || words[2].parse::<usize>().unwrap();
        match words[1] {
            "send" => known.under_way[number()] = true,
            "sent" if promised => {
                known.uid = words[4].to_owned();
                known.acknowledged[number()] = Some(words[3] == "true");
                known.under_way[number()] = false;
            }
            "got" => known.got |= promised,
            "move" => known.moving = true,
            "moved" => known.moved |= promised,
            "remove" => known.removing = true,
            _ => {}
        }
    }
    // Uploads whose uid the client does not know cannot be checked.
    uploads.retain(|_, known| !known.uid.is_empty());
    uploads
}

// --- after the cut ---

fn check(mountpoint: &Path, durability: Durability, uploads: &BTreeMap<u64, Known>) {
    let options = Options { durability: Durability::Process, min_free_space: 0, ..Options::default() };
    let store = Store::open(mountpoint.join("uploads"), options).unwrap();
    for (&upload, known) in uploads {
        let checked = std::panic::AssertUnwindSafe(|| check_upload(mountpoint, &store, durability, upload, known));
        if std::panic::catch_unwind(checked).is_err() {
            let Known { acknowledged, got, moved, under_way, moving, removing, .. } = known;
            panic!(
                "upload {upload} at {durability:?}: acknowledged {acknowledged:?}, under way {under_way:?}, got {got}, \
                 moving {moving}, moved {moved}, removing {removing}"
            );
        }
    }
    for _ in 0..2 {
        let cleaned = store.cleanup(&chunked_upload::Expiry::older_than(Duration::ZERO)).unwrap();
        assert_eq!(cleaned.failed_count, 0);
    }
    assert_eq!(crate::common::entries(store.root()), [""; 0], "cleanup finds everything");
}

fn check_upload(mountpoint: &Path, store: &Store, durability: Durability, upload: u64, known: &Known) {
    let pieces = pieces(upload);
    let file = pieces.concat();
    let durable = durability >= Durability::Complete;
    if known.moving {
        let there = std::fs::read(destination(mountpoint, upload)).ok();
        assert!(!durable || there.as_ref().is_none_or(|there| *there == file), "a part of a file in its place");
        assert!(!(durable && known.moved) || there.is_some(), "what `move_to` had answered");
        return;
    }
    let answer = store.get(&known.uid);
    if let Err(error) = &answer {
        let named = [ErrorKind::NotFound, ErrorKind::Incomplete, ErrorKind::SizeMismatch, ErrorKind::Gone];
        assert!(named.contains(&error.kind()), "{error}");
    }
    if known.removing {
        return;
    }
    if durable && known.got {
        let finished = answer.expect("what `get` had answered");
        assert!(std::fs::read(finished.path).unwrap() == file, "what `get` had answered");
        return;
    }
    if let Ok(finished) = &answer {
        let content = std::fs::read(&finished.path).unwrap();
        let mut rest = &content[..];
        for (number, piece) in pieces.iter().enumerate() {
            let found = rest.split_off(..piece.len()).unwrap();
            let is_right = if found == piece { Some(true) } else { (found == other(piece)).then_some(false) };
            let is_right = is_right.expect("bytes that a client sent");
            let last = durability == Durability::Chunk && !known.under_way[number];
            assert!(!last || known.acknowledged[number] == Some(is_right), "what was acknowledged of chunk {number}");
        }
        return;
    }
    if durability == Durability::Chunk {
        let missing = store.inspect(&known.uid, 0).unwrap().missing;
        for number in (0..CHUNKS).filter(|&number| known.acknowledged[number].is_some() && !known.under_way[number]) {
            assert!(!missing.iter().any(|range| range.contains(&(number as u64))), "chunk {number} was acknowledged");
        }
    }
    // The client continues, or begins again.
    let mut uid = if matches!(answer, Err(Error::Incomplete { .. })) { known.uid.clone() } else { String::new() };
    for (number, piece) in pieces.iter().enumerate() {
        uid = send(store, &uid, upload, number, piece).unwrap();
    }
    assert!(std::fs::read(store.get(&uid).unwrap().path).unwrap() == file, "after everything was sent");
}

fn first_seed() -> u64 {
    std::env::var("UPLOAD_SEED").map_or(1, |text| text.parse().expect("a number"))
}

/// Cuts the power under a store at `level`, and checks the promises of the level `promised`. Returns how many chunks
/// were acknowledged; `None` where there is no such file system.
fn cut_power(outer: &Image, kind: &str, level: Durability, promised: Durability, seed: u64) -> Option<usize> {
    let image = Image::sized(&outer.mountpoint(), kind, 300)?;
    let mut random = Random(seed);
    let options = Options { durability: level, min_free_space: 0, ..Options::default() };
    let store = Store::open(image.mountpoint().join("uploads"), options).unwrap();
    let log_dir = tempfile::tempdir().unwrap();
    let log_path = log_dir.path().join("log");
    let log = File::options().create(true).append(true).open(&log_path).unwrap();
    let mut children: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut random = Random(seed * 100 + writer);
            fork(|| write_for_ever(&image.mountpoint(), &store, writer, &mut random, &mut log.try_clone().unwrap()))
        })
        .collect();
    let mut syncing = Random(seed * 100 + WRITERS);
    children.push(fork(|| sync_for_ever(&image.mountpoint(), &mut syncing)));

    let read_log_now = || std::fs::read_to_string(&log_path).unwrap();
    let mut lost = Vec::new();
    for cut in 0..CUTS {
        std::thread::sleep(Duration::from_millis(100 + random.below(300) as u64));
        let before = read_log_now();
        let clone = image.file().with_file_name(format!("clone-{cut}"));
        assert!(succeeds("cp", &["--reflink=always", image.file().to_str().unwrap(), clone.to_str().unwrap()]));
        lost.push((clone, before, read_log_now()));
    }
    children.into_iter().for_each(|child| child.kill());
    assert!(image.unmount(), "no process uses it any more");
    let mut promises = 0;
    for (clone, before, after) in lost {
        std::fs::rename(clone, image.file()).unwrap();
        assert!(image.mount(), "{kind} mounts what is left");
        let uploads = read_log(&before, &after);
        check(&image.mountpoint(), promised, &uploads);
        assert!(image.unmount());
        promises += uploads.values().flat_map(|known| known.acknowledged).flatten().count();
    }
    Some(promises)
}

/// One test runs all: a forked child has the files of other tests open, and they could not be unmounted then.
#[test]
fn on_real_file_systems() {
    // In memory where possible: the order of writes matters, not their speed.
    let place = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let Some(outer) = Image::sized(&place, "xfs", 2048) else { return };
    let (first, rounds) = (first_seed(), crate::common::rounds());
    for kind in ["ext4", "xfs", "btrfs"] {
        for level in LEVELS {
            let promises = (first..first + rounds).map(|seed| cut_power(&outer, kind, level, level, seed));
            let Some(promises) = promises.sum::<Option<usize>>() else { break };
            assert!(promises > 0);
            eprintln!("{kind}, {level:?}: {} cuts, {promises} chunks acknowledged", rounds * CUTS);
        }
    }
    // The test notices promises that the store does not keep. Not each time on a busy machine, where the kernel may
    // write everything by itself.
    for promised in [Durability::Complete, Durability::Chunk] {
        let kept = |seed| std::panic::catch_unwind(|| cut_power(&outer, "ext4", Durability::Process, promised, seed));
        let noticed = (1..=8).any(|seed| !matches!(kept(seed), Ok(Some(_))));
        assert!(noticed, "a store at level process keeps what {promised:?} promises");
    }
}
