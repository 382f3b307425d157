//! The time and memory of `get`, by the size of the file and by the number of its chunks. The first `get`, which
//! completes the upload, and later ones are measured.
//!
//! Writing gigabytes for each figure would take hours. So each upload is written once, and its first `get` is undone:
//! `state` gets its old bytes, and `file` its old name. The very first `get` after receiving is reported separately. On
//! tmpfs the largest files are left out, because they lie in memory.
//!
//! `GIB=8` adds a file of 8 GiB to those on disk.

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

use chunked_upload::{Chunk, Options, Store};
use common::{Figure, KIB, MIB, Place, Report, Spread, in_turn};

fn main() {
    let mut report = Report::new("get", "the first get of an upload, which completes it, and a later one");
    for place in common::places() {
        let mut shapes = if common::smoke() { vec![(MIB, 64)] } else { sizes(&place) };
        // Chunks of eight bytes.
        let counts = if common::smoke() { vec![10, KIB] } else { vec![10, KIB, 100_000, 1_000_000] };
        shapes.extend(counts.into_iter().map(|count| (8 * count, count)));
        let uploads: Vec<Upload> =
            shapes.into_iter().map(|(total, count)| Upload::send(&place, total, count)).collect();
        measure(&mut report, &place, &uploads);
    }
    report.finish();
}

/// Measures by size, in 64 chunks.
fn sizes(place: &Place) -> Vec<(u64, u64)> {
    let most = if place.name == "tmpfs" { KIB } else { KIB * common::gib(4) };
    [1, 16, 256, KIB, 4 * KIB, 8 * KIB].into_iter().filter(|&mib| mib <= most).map(|mib| (mib * MIB, 64)).collect()
}

fn measure(report: &mut Report, place: &Place, uploads: &[Upload]) {
    let very_first: Vec<f64> = uploads.iter().map(|upload| upload.first_get()).collect();
    let took = in_turn(common::rounds(21), uploads.len(), |number| {
        let upload = &uploads[number];
        upload.take_back();
        (upload.first_get(), upload.get())
    });
    for ((upload, took), very_first) in uploads.iter().zip(&took).zip(very_first) {
        let microseconds = |figure: fn(&(f64, f64)) -> f64| Spread::of(took.iter().map(|took| figure(took) * 1e6));
        report.row(
            &[("file system", &place.name), ("size", &size(upload.total)), ("chunks", &upload.count.to_string())],
            &[
                ("very first", Figure::once("µs", very_first * 1e6)),
                ("first", Figure("µs", microseconds(|took| took.0))),
                ("later", Figure("µs", microseconds(|took| took.1))),
                ("memory", Figure::once("KiB", upload.memory() as f64)),
            ],
        );
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if !bytes.is_multiple_of(MIB) => format!("{bytes} bytes"),
        _ if bytes.is_multiple_of(1024 * MIB) => format!("{} GiB", bytes / MIB / 1024),
        _ => format!("{} MiB", bytes / MIB),
    }
}

/// An upload that has all its chunks.
struct Upload {
    store: Store,
    uid: String,
    total: u64,
    count: u64,
    /// The content of `state` before the first `get`.
    state: Vec<u8>,
    directory: PathBuf,
}

impl Upload {
    fn send(place: &Place, total_size: u64, chunk_count: u64) -> Upload {
        let store = Store::open(place.path().join("store"), Options::default()).unwrap();
        let content = common::content((total_size / chunk_count) as usize);
        let mut uid = String::new();
        for chunk_number in 0..chunk_count {
            let chunk = Chunk {
                upload_uid: &uid,
                total_size,
                chunk_number,
                chunk_count,
                content: &content,
                ..Chunk::default()
            };
            let receipt = store.handle_chunk(&chunk).unwrap();
            if uid.is_empty() {
                uid = receipt.upload_uid.to_string();
            }
        }
        let directory = store.root().join(&uid);
        let state = std::fs::read(directory.join("state")).unwrap();
        Upload { store, uid, total: total_size, count: chunk_count, state, directory }
    }

    /// Undoes the first `get`.
    fn take_back(&self) {
        std::fs::rename(self.directory.join("file"), self.directory.join("data")).unwrap();
        let state = OpenOptions::new().write(true).open(self.directory.join("state")).unwrap();
        state.write_all_at(&self.state, 0).unwrap();
    }

    /// The seconds that a first `get` takes.
    fn first_get(&self) -> f64 {
        assert!(self.directory.join("data").exists());
        let took = self.get();
        assert!(self.directory.join("file").exists());
        took
    }

    fn get(&self) -> f64 {
        let start = Instant::now();
        let finished = self.store.get(&self.uid).unwrap();
        let took = start.elapsed();
        assert_eq!(finished.total_size, self.total);
        took.as_secs_f64()
    }

    /// The most memory, in KiB, that a first `get` adds to a process that has made one before.
    fn memory(&self) -> u64 {
        let told = self.directory.with_file_name("told");
        let status = common::child::in_child(|| {
            self.take_back();
            self.get();
            self.take_back();
            let before = common::start_peak();
            self.get();
            std::fs::write(&told, (common::peak() - before).to_string()).unwrap();
        });
        assert!(status.success());
        std::fs::read_to_string(told).unwrap().parse().unwrap()
    }
}
