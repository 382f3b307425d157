//! What receiving a file costs beside a plain loop of positional writes of the same bytes, in turn in one run.
//!
//! `cargo bench --bench receive -- [DIRECTORY [MIB]]`: on a disk file system, not on tmpfs. Prints a table of medians
//! and ratios, the system's memory figures of this process, and fails only where the bytes differ.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chunked_upload::{Chunk, Durability, Options, Store};

const ROUNDS: usize = 9;

fn main() {
    // Cargo passes --bench.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let directory = arguments.next().map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let mib: u64 = arguments.next().map_or(1024, |text| text.parse().expect("a number of MiB"));
    let directory = tempfile::tempdir_in(directory).expect("a directory to write to");
    println!("{mib} MiB in {}; medians of {ROUNDS} rounds", directory.path().display());
    println!("{:>9} {:>9} {:>11} {:>11} {:>9} {:>7}", "chunk", "level", "plain", "receive", "get", "ratio");
    for (chunk_size, durability) in [
        (64 << 10, Durability::Process),
        (1 << 20, Durability::Process),
        (8 << 20, Durability::Process),
        (1 << 20, Durability::Chunk),
    ] {
        // Syncing 1 GiB in each round measures the disk, not the engine.
        let total = if durability == Durability::Chunk { (mib << 20) / 8 } else { mib << 20 };
        compare(directory.path(), total, chunk_size, durability);
    }
    println!("peak memory of this process: {} KiB", peak_memory());
}

fn compare(directory: &Path, total: u64, chunk_size: usize, durability: Durability) {
    let content: Vec<u8> = (0..chunk_size).map(|i| (i * 7 + i / 251) as u8).collect();
    let (mut plain, mut receive, mut get, mut ratios) = (vec![], vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let one = plain_writes(directory, total, &content, durability);
        let (two, three) = engine(directory, total, &content, durability);
        if round > 0 {
            plain.push(one);
            receive.push(two);
            get.push(three);
            ratios.push((two + three).as_secs_f64() / one.as_secs_f64());
        }
    }
    println!(
        "{:>8}K {:>9} {:>11.1?} {:>11.1?} {:>9.1?} {:>7.2}",
        chunk_size >> 10,
        durability.name(),
        median(&mut plain),
        median(&mut receive),
        median(&mut get),
        median(&mut ratios)
    );
}

fn plain_writes(directory: &Path, total: u64, content: &[u8], durability: Durability) -> Duration {
    let path = directory.join("plain");
    let start = Instant::now();
    let file = File::create(&path).unwrap();
    for offset in (0..total).step_by(content.len()) {
        file.write_all_at(content, offset).unwrap();
        if durability == Durability::Chunk {
            file.sync_data().unwrap();
        }
    }
    let elapsed = start.elapsed();
    std::fs::remove_file(path).unwrap();
    elapsed
}

fn engine(directory: &Path, total: u64, content: &[u8], durability: Durability) -> (Duration, Duration) {
    let options = Options { durability, ..Options::default() };
    let store = Store::open(directory.join("store"), options).unwrap();
    let start = Instant::now();
    let mut uid = String::new();
    for chunk_number in 0..total / content.len() as u64 {
        let chunk = Chunk {
            upload_uid: &uid,
            file_name: "bench",
            total_size: total,
            chunk_number,
            chunk_count: total / content.len() as u64,
            content,
            ..Default::default()
        };
        uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
    }
    let received = start.elapsed();
    let start = Instant::now();
    let finished = store.get(&uid).unwrap();
    let got = start.elapsed();
    assert_eq!(std::fs::metadata(&finished.path).unwrap().len(), total);
    let mut last = vec![0; content.len()];
    File::open(&finished.path).unwrap().read_exact_at(&mut last, total - content.len() as u64).unwrap();
    assert_eq!(last, content);
    std::fs::remove_dir_all(store.root()).unwrap();
    (received, got)
}

fn median<T: Copy + PartialOrd>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    values[values.len() / 2]
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line of its own");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of KiB")
}
