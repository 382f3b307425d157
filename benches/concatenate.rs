//! Compares the engine with the usual way of a web server: each chunk becomes a file, and at the end all files are
//! read, appended to one file and removed. This bench repeats that way in Rust, so it compares the method, not the
//! language.
//!
//! With several processes the usual way needs a lock. If it is a lock file that the others poll, they sleep: 2 s each
//! time in the upload helper of GWS (around every chunk and the end), less elsewhere.

mod common;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chunked_upload::{Chunk, Durability, Options, Store, Uid};
use common::child::fork;
use common::{Figure, MIB, Order, Place, Plan, Report, Spread, in_turn, ratios};

const PROCESSES: usize = 8;

fn main() {
    let mut report = Report::new("concatenate", "the engine beside a file for each chunk, concatenated in the end");
    let places = common::places();
    for place in &places {
        alone(&mut report, place);
        together(&mut report, place);
    }
    report.finish();
}

/// One process sends 1 GiB.
fn alone(report: &mut Report, place: &Place) {
    let plan = Plan::new(common::total(1024), MIB, Order::Even);
    let content = common::content(plan.longest());
    let took = in_turn(common::rounds(5), 3, |number| {
        // The usual way writes the file twice.
        common::warm(2 * plan.total);
        match number {
            0 => common::engine(place.path(), &plan, &content, Durability::Process, &[]).all,
            1 => common::plain(place.path(), &plan, &content, Durability::Process).all,
            _ => {
                let (files, start) = (Files::new(place.path(), &plan), Instant::now());
                (0..plan.chunks.len()).for_each(|number| files.write(number, &content));
                files.concatenate();
                files.check(start.elapsed().as_secs_f64())
            }
        }
    });
    row(report, place, "1", "none", "engine", &took[2], &took[0]);
    // Plain writes show how much faster any method can be.
    row(report, place, "1", "none", "plain writes", &took[2], &took[1]);
}

/// Eight processes send 64 MiB.
fn together(report: &mut Report, place: &Place) {
    let plan = Plan::new(common::total(64), MIB, Order::Even);
    let content = common::content(plan.longest());
    let naps: &[u64] = if common::smoke() { &[100] } else { &[100, 1000, 2000] };
    let locked = |nap: u64| {
        let (files, start) = (Files::new(place.path(), &plan), Instant::now());
        let nap = Duration::from_millis(nap);
        in_processes(|process| {
            for number in (process..plan.chunks.len()).step_by(PROCESSES) {
                files.locked(nap, || files.write(number, &content));
            }
        });
        files.locked(nap, || files.concatenate());
        files.check(start.elapsed().as_secs_f64())
    };
    let took = in_turn(common::rounds(3), 1 + naps.len(), |number| match number {
        0 => together_by_the_engine(place.path(), &plan, &content),
        _ => locked(naps[number - 1]),
    });
    for (nap, theirs) in naps.iter().zip(&took[1..]) {
        row(report, place, "8", &format!("{} s", *nap as f64 / 1e3), "engine", theirs, &took[0]);
    }
}

fn together_by_the_engine(directory: &Path, plan: &Plan, content: &[u8]) -> f64 {
    let store = Store::open(directory.join("store"), Options::default()).unwrap();
    let send = |uid: Option<Uid>, number: usize| {
        let chunk = Chunk {
            upload_uid: uid.as_ref().map_or("", Uid::as_str),
            total_size: plan.total,
            chunk_number: number as u64,
            chunk_count: plan.chunks.len() as u64,
            content,
            ..Chunk::default()
        };
        store.handle_chunk(&chunk).unwrap().upload_uid
    };
    let start = Instant::now();
    let uid = send(None, 0);
    in_processes(|process| {
        for number in (process..plan.chunks.len()).step_by(PROCESSES).filter(|&number| number != 0) {
            send(Some(uid), number);
        }
    });
    store.get(uid.as_str()).unwrap();
    let took = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(store.root()).unwrap();
    took
}

fn in_processes(act: impl Fn(usize)) {
    let children: Vec<_> = (0..PROCESSES).map(|process| fork(|| act(process))).collect();
    children.into_iter().for_each(|child| assert!(child.wait().success()));
}

fn row(report: &mut Report, place: &Place, processes: &str, nap: &str, who: &str, theirs: &[f64], ours: &[f64]) {
    let milliseconds = |seconds: &[f64]| Figure("ms", Spread::of(seconds.iter().map(|seconds| seconds * 1e3)));
    report.row(
        &[("file system", &place.name), ("processes", processes), ("lock polled", nap), ("beside", who)],
        &[
            ("concatenating", milliseconds(theirs)),
            ("beside it", milliseconds(ours)),
            ("times as fast", Figure("", ratios(theirs, ours, |seconds| *seconds))),
        ],
    );
}

/// An upload in the usual way.
struct Files<'a> {
    directory: PathBuf,
    /// The directory for removed chunks.
    removed: PathBuf,
    plan: &'a Plan,
}

impl Files<'_> {
    fn new<'a>(place: &Path, plan: &'a Plan) -> Files<'a> {
        let directory = place.join("upload");
        std::fs::create_dir(&directory).unwrap();
        let removed = tempfile::tempdir_in(place).unwrap().keep();
        Files { directory, removed, plan }
    }

    fn chunk(&self, number: usize) -> PathBuf {
        self.directory.join(format!("chunk-{number}"))
    }

    fn write(&self, number: usize, content: &[u8]) {
        std::fs::write(self.chunk(number), content).unwrap();
    }

    /// Empties a chunk's file and moves it away in place of removing it, which costs about the same. When ext4 makes
    /// files, it passes over recently deleted inodes one by one, and the next round would look worse than the method
    /// is.
    fn remove(&self, number: usize) {
        OpenOptions::new().write(true).truncate(true).open(self.chunk(number)).unwrap();
        std::fs::rename(self.chunk(number), self.removed.join(number.to_string())).unwrap();
    }

    fn concatenate(&self) {
        // The size that Python's shutil.copyfileobj uses on Linux.
        let mut buffer = vec![0; 64 << 10];
        let mut whole = File::create(self.directory.join("whole")).unwrap();
        for number in 0..self.plan.chunks.len() {
            let mut chunk = File::open(self.chunk(number)).unwrap();
            loop {
                match chunk.read(&mut buffer).unwrap() {
                    0 => break,
                    length => whole.write_all(&buffer[..length]).unwrap(),
                }
            }
        }
        (0..self.plan.chunks.len()).for_each(|number| self.remove(number));
        std::fs::rename(self.directory.join("whole"), self.directory.join("file")).unwrap();
    }

    /// Acts under a lock file. The others wait for it by sleeping `nap` and trying again.
    fn locked(&self, nap: Duration, act: impl FnOnce()) {
        let path = self.directory.join("lock");
        while OpenOptions::new().write(true).create_new(true).open(&path).is_err() {
            std::thread::sleep(nap);
        }
        act();
        std::fs::remove_file(path).unwrap();
    }

    /// The rate of a transfer that took this long.
    fn check(&self, seconds: f64) -> f64 {
        assert_eq!(std::fs::metadata(self.directory.join("file")).unwrap().len(), self.plan.total);
        std::fs::remove_dir_all(&self.directory).unwrap();
        seconds
    }
}
