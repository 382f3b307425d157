//! Uploads of one chunk of 4 KiB, each followed by `get`, compared with the bare calls that any method needs: mkdir,
//! open, write, close, rename. From Rust and C, in turn in one run. "Least calls" makes only the system calls that the
//! engine needs. "Its calls" makes all system calls of the engine, without its code between them: see common/least.rs.
//!
//! Nothing is removed before the end. When ext4 makes a file, it passes over inodes that were deleted in the last
//! minutes, one by one. A run that follows thousands of deletions, such as those of `crowded`, measures that: wait ten
//! minutes. It shows in bare calls that take several times as long as on tmpfs.

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use chunked_upload::{Chunk, Options, Store};
use common::{Figure, MIB, Place, Report, Spread, in_turn, least, ratios};

const SIZE: usize = 4096;

fn main() {
    let mut report = Report::new("small", "an upload of 4 KiB and its get beside mkdir, open, write, close, rename");
    let places = common::places();
    for place in &places {
        measure(&mut report, place);
    }
    report.finish();
}

/// Wall clock and processor time, in seconds.
type Took = (f64, f64);

fn measure(report: &mut Report, place: &Place) {
    let count = if common::smoke() { 20 } else { 200 };
    let content = common::content(SIZE);
    let c = common::c_program("small");
    let made = std::cell::Cell::new(0);
    // Each round has its own directory, so that all directories have the same size.
    let root = || {
        made.set(made.get() + 1);
        place.path().join(made.get().to_string())
    };
    let in_c = |what: &str| {
        let answer = c.as_ref()?.ask(&format!("{what} {count} {}", root().display()));
        Some((answer[0], answer[1]))
    };
    let took = in_turn(common::rounds(15), 6, |number| {
        common::warm(64 * MIB);
        match number {
            0 => Some(timed(|| least::small(&root(), count, &content, false))),
            1 => Some(timed(|| bare(root(), count, &content))),
            2 => Some(timed(|| engine(root(), count, &content))),
            3 => Some(timed(|| least::small(&root(), count, &content, true))),
            4 => in_c("bare"),
            _ => in_c("engine"),
        }
    });
    let took: Vec<Option<Vec<Took>>> = took.into_iter().map(|rounds| rounds.into_iter().collect()).collect();
    for (language, bare, engine) in [("least calls", 1, 0), ("its calls", 1, 3), ("Rust", 1, 2), ("C", 4, 5)] {
        let (Some(bare), Some(engine)) = (&took[bare], &took[engine]) else { continue };
        let each = |took: &[Took]| Spread::of(took.iter().map(|took| took.0 / count as f64 * 1e6));
        report.row(
            &[("file system", &place.name), ("from", language)],
            &[
                ("bare calls", Figure("µs", each(bare))),
                ("upload + get", Figure("µs", each(engine))),
                ("a second", Figure("uploads", Spread::of(engine.iter().map(|took| count as f64 / took.0)))),
                ("ratio", Figure("", ratios(engine, bare, |took| took.0))),
                ("cpu ratio", Figure("", ratios(engine, bare, |took| took.1))),
            ],
        );
    }
}

fn timed(act: impl FnOnce()) -> Took {
    let (cpu, start) = (common::cpu_seconds(), Instant::now());
    act();
    (start.elapsed().as_secs_f64(), common::cpu_seconds() - cpu)
}

fn bare(root: PathBuf, count: u32, content: &[u8]) {
    let make = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
    make(&root);
    for number in 0..count {
        let directory = root.join(format!("{number:032x}"));
        make(&directory);
        let (data, file) = (directory.join("data"), directory.join("file"));
        let open = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&data);
        open.unwrap().write_all_at(content, 0).unwrap();
        std::fs::rename(data, file).unwrap();
    }
}

fn engine(root: PathBuf, count: u32, content: &[u8]) {
    let store = Store::open(root, Options::default()).unwrap();
    for _ in 0..count {
        let total_size = content.len() as u64;
        let chunk = Chunk { file_name: "small", total_size, chunk_count: 1, content, ..Chunk::default() };
        let uid = store.handle_chunk(&chunk).unwrap().upload_uid;
        store.get(uid.as_str()).unwrap();
    }
}
