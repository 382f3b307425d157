//! The costs of an upload besides time, for each byte of the file: bytes written, disk at its peak, memory beyond the
//! caller's own chunk.
//!
//! The kernel counts them for a child that does nothing else, in `/proc/self/io`. `wchar` is the bytes that were given
//! to write calls. `write_bytes` is the pages that these calls made dirty, which go to the disk later. It is 0 on
//! tmpfs. The file system's own writes, such as its journal, are not counted. Disk is the blocks of the upload's files,
//! read all the time.

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chunked_upload::{Chunk, Options, Store};
use common::child::fork;
use common::{Figure, KIB, MIB, Order, Place, Plan, Report};

fn main() {
    let mut report = Report::new("costs", "bytes written, disk and memory for an upload and its get");
    for place in common::places() {
        for (chunk_size, name, order) in [
            (64 * KIB, "64 KiB", Order::Even),
            (MIB, "1 MiB", Order::Even),
            (MIB, "1 MiB", Order::Shuffled),
            (MIB, "1 MiB", Order::Uneven),
            (MIB, "1 MiB", Order::UnevenShuffled),
            (8 * MIB, "8 MiB", Order::Even),
        ] {
            measure(&mut report, &place, chunk_size, name, order);
        }
    }
    report.finish();
}

fn measure(report: &mut Report, place: &Place, chunk_size: u64, name: &str, order: Order) {
    let plan = Plan::new(common::total(256), chunk_size, order);
    let content = common::content(plan.longest());
    let root = place.path().join("store");
    let told = place.path().join("told");
    let child = fork(|| {
        // The pages that the first calls of a process load do not belong to an upload.
        send(&root, &Plan::new(4 * KIB, KIB, Order::Shuffled), &content);
        std::fs::remove_dir_all(&root).unwrap();
        let (before, io) = (common::start_peak(), transferred());
        send(&root, &plan, &content);
        let (after, memory) = (transferred(), common::peak() - before);
        std::fs::write(&told, format!("{} {} {memory}", after.0 - io.0, after.1 - io.1)).unwrap();
    });
    let ended = AtomicBool::new(false);
    let disk = std::thread::scope(|scope| {
        let watch = scope.spawn(|| peak_of_disk(&root, &ended));
        let status = child.wait();
        ended.store(true, Ordering::Relaxed);
        assert!(status.success());
        watch.join().unwrap()
    });
    let told = std::fs::read_to_string(told).unwrap();
    let figures: Vec<f64> = told.split(' ').map(|figure| figure.parse().unwrap()).collect();
    std::fs::remove_dir_all(root).unwrap();
    let total = plan.total as f64;
    report.row(
        &[("file system", &place.name), ("chunk", name), ("order", order.name())],
        &[
            ("written a byte", Figure::once("", figures[0] / total)),
            ("to disk a byte", Figure::once("", figures[1] / total)),
            ("disk a byte", Figure::once("", disk as f64 / total)),
            ("memory", Figure::once("KiB", figures[2])),
        ],
    );
}

fn send(root: &Path, plan: &Plan, content: &[u8]) {
    let store = Store::open(root, Options::default()).unwrap();
    let mut uid = None;
    for &(chunk_number, _, length) in &plan.chunks {
        let chunk = Chunk {
            upload_uid: uid.as_ref().map_or("", |uid: &chunked_upload::Uid| uid.as_str()),
            total_size: plan.total,
            chunk_number,
            chunk_count: plan.chunks.len() as u64,
            content: &content[..length],
            ..Chunk::default()
        };
        uid = Some(store.handle_chunk(&chunk).unwrap().upload_uid);
    }
    store.get(uid.unwrap().as_str()).unwrap();
}

/// `wchar` and `write_bytes` of this process.
fn transferred() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let figure = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (figure("wchar:"), figure("write_bytes:"))
}

/// The most bytes of disk that the uploads in a store had at once.
fn peak_of_disk(root: &Path, ended: &AtomicBool) -> u64 {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut peak = 0;
    loop {
        let last = ended.load(Ordering::Relaxed);
        let files = entries(root).flat_map(|upload| entries(&upload.path()));
        // A block here is 512 bytes, whatever the file system's block size is.
        peak = peak.max(files.flat_map(|file| file.metadata()).map(|file| file.blocks() * 512).sum());
        if last {
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
