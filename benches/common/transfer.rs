//! One file, sent in chunks: to the engine, or as plain positional writes of the same bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use chunked_upload::{Chunk, Durability, Options, Store};
use sha2::Digest as _;

/// The order of the chunks, and whether they have one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Even,
    Shuffled,
    Uneven,
    UnevenShuffled,
}

impl Order {
    pub fn name(self) -> &'static str {
        match self {
            Order::Even => "in order",
            Order::Shuffled => "shuffled",
            Order::Uneven => "uneven",
            Order::UnevenShuffled => "unev. shuffled",
        }
    }
}

/// The chunks in the order of sending: number, offset, length.
pub struct Plan {
    pub total: u64,
    pub chunks: Vec<(u64, u64, usize)>,
}

impl Plan {
    pub fn new(total: u64, chunk_size: u64, order: Order) -> Plan {
        let mut random = Random(7);
        let uneven = matches!(order, Order::Uneven | Order::UnevenShuffled);
        let mut chunks = Vec::new();
        let mut offset = 0;
        while offset < total {
            // From half of the usual size to one and a half, so that the count is about the same.
            let size = if uneven { chunk_size / 2 + random.below(chunk_size) } else { chunk_size };
            let size = size.min(total - offset);
            chunks.push((chunks.len() as u64, offset, size as usize));
            offset += size;
        }
        if matches!(order, Order::Shuffled | Order::UnevenShuffled) {
            for last in (1..chunks.len()).rev() {
                chunks.swap(last, random.below(last as u64 + 1) as usize);
            }
        }
        Plan { total, chunks }
    }

    /// The length of the longest chunk.
    pub fn longest(&self) -> usize {
        self.chunks.iter().map(|&(_, _, length)| length).max().unwrap_or(0)
    }
}

/// Splitmix64, with the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

/// The bytes of a chunk. A shorter chunk has the first of them.
pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// The checksum of a chunk, as a client sends it.
pub fn sha_256(content: &[u8]) -> String {
    format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(content)))
}

/// The seconds for sending a file: until the file is there, the last call's part of them, the median of all other
/// calls, and processor time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    pub all: f64,
    pub get: f64,
    pub call: f64,
    pub cpu: f64,
}

/// Processor time of this process so far.
pub fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_secs_f64()
}

/// Positional writes into one file, synced where the engine would sync.
pub fn plain(directory: &Path, plan: &Plan, content: &[u8], level: Durability) -> Took {
    let path = directory.join("plain");
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let file = File::create(&path).unwrap();
    for &(_, offset, length) in &plan.chunks {
        file.write_all_at(&content[..length], offset).unwrap();
        if level == Durability::Chunk {
            file.sync_data().unwrap();
        }
    }
    if level == Durability::Complete {
        file.sync_data().unwrap();
    }
    let took = Took { all: start.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu, ..Took::default() };
    std::fs::remove_file(path).unwrap();
    took
}

/// Sends the file to the engine, with the chunks' checksums, if any, by chunk number.
pub fn engine(directory: &Path, plan: &Plan, content: &[u8], level: Durability, checksums: &[String]) -> Took {
    let options = Options { durability: level, ..Options::default() };
    let store = Store::open(directory.join("store"), options).unwrap();
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let mut uid = None;
    for &(number, _, length) in &plan.chunks {
        let chunk = Chunk {
            upload_uid: uid.as_ref().map_or("", |uid: &chunked_upload::Uid| uid.as_str()),
            file_name: "bench",
            total_size: plan.total,
            chunk_number: number,
            chunk_count: plan.chunks.len() as u64,
            content: &content[..length],
            checksum: checksums.get(number as usize).map_or("", String::as_str),
            ..Default::default()
        };
        uid = Some(store.handle_chunk(&chunk).unwrap().upload_uid);
    }
    let sent = start.elapsed().as_secs_f64();
    let finished = store.get(uid.unwrap().as_str()).unwrap();
    let all = start.elapsed().as_secs_f64();
    let took = Took { all, get: all - sent, cpu: cpu_seconds() - cpu, ..Took::default() };
    check(&finished.path, plan, content);
    std::fs::remove_dir_all(store.root()).unwrap();
    took
}

/// Checks the size and the last chunk. The tests check all bytes.
pub fn check(path: &Path, plan: &Plan, content: &[u8]) {
    assert_eq!(std::fs::metadata(path).unwrap().len(), plan.total);
    let &(_, offset, length) = plan.chunks.last().expect("a chunk");
    let mut found = vec![0; length];
    File::open(path).unwrap().read_exact_at(&mut found, offset).unwrap();
    assert!(found == content[..length], "the chunk at {offset} is another");
}
