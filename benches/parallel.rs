//! 1, 2, 4 and 8 processes or threads send the same bytes at once: chunks of one upload, or an upload each.
//!
//! The time is that of all chunks, from the start signal to the end of the last chunk. For several uploads it includes
//! their `get`. The gain is limited by the number of processors, and by the kernel, which lets only one writer at a
//! time into a file. Plain writes into one file by as many processes show this limit.

mod common;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::time::Instant;

use chunked_upload::{Chunk, Options, Store, Uid};
use common::child::fork;
use common::{Figure, MIB, Place, Report, Spread, in_turn, ratios};

const CROWD: [u64; 4] = [1, 2, 4, 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ProcessesOneUpload,
    ThreadsOneUpload,
    ProcessesOneEach,
    Plain,
}

fn main() {
    let mut report = Report::new("parallel", "1 MiB chunks from several processes or threads at once");
    for place in common::places() {
        measure(&mut report, &place);
    }
    report.finish();
}

fn measure(report: &mut Report, place: &Place) {
    let kinds = [
        (Kind::ProcessesOneUpload, "processes", "one"),
        (Kind::ThreadsOneUpload, "threads", "one"),
        (Kind::ProcessesOneEach, "processes", "one each"),
        (Kind::Plain, "processes", "plain writes"),
    ];
    let total = common::total(512);
    let content = common::content(MIB as usize);
    let took = in_turn(common::rounds(9), kinds.len() * CROWD.len(), |number| {
        common::warm(total);
        send(place, kinds[number / CROWD.len()].0, CROWD[number % CROWD.len()], total, &content)
    });
    for ((_, who, uploads), took) in kinds.iter().zip(took.chunks(CROWD.len())) {
        for (senders, seconds) in CROWD.iter().zip(took) {
            report.row(
                &[("file system", &place.name), ("senders", &format!("{senders} {who}")), ("uploads", uploads)],
                &[
                    ("all chunks", Figure("ms", Spread::of(seconds.iter().map(|seconds| seconds * 1e3)))),
                    ("to one sender", Figure("", ratios(seconds, &took[0], |seconds| *seconds))),
                ],
            );
        }
    }
}

fn send(place: &Place, kind: Kind, senders: u64, total: u64, content: &[u8]) -> f64 {
    if kind == Kind::Plain {
        return send_plainly(place, senders, total, content);
    }
    let store = Store::open(place.path().join("store"), Options::default()).unwrap();
    let one = Sender { store: &store, content, total };
    let seconds = match kind {
        Kind::ProcessesOneEach => {
            let each = Sender { total: total / senders, ..one };
            in_processes(senders, |_| {
                let uid = each.chunk(None, 0);
                each.send(uid, 1..each.count());
                store.get(uid.as_str()).unwrap();
            })
        }
        _ => {
            let uid = one.chunk(None, 0);
            let share = |sender: u64| {
                one.send(uid, (1 + sender..one.count()).step_by(senders as usize));
            };
            let seconds = match kind {
                Kind::ThreadsOneUpload => in_threads(senders, share),
                _ => in_processes(senders, share),
            };
            assert_eq!(store.get(uid.as_str()).unwrap().total_size, total);
            seconds
        }
    };
    std::fs::remove_dir_all(store.root()).unwrap();
    seconds
}

fn send_plainly(place: &Place, senders: u64, total: u64, content: &[u8]) -> f64 {
    let path = place.path().join("plain");
    let write = |number: u64| {
        // Each chunk opens the file again, as with the engine, because it may come to another process.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).unwrap();
        file.write_all_at(content, number * MIB).unwrap();
    };
    write(0);
    let seconds = in_processes(senders, |sender| {
        (1 + sender..total / MIB).step_by(senders as usize).for_each(write);
    });
    std::fs::remove_file(path).unwrap();
    seconds
}

#[derive(Clone, Copy)]
struct Sender<'a> {
    store: &'a Store,
    content: &'a [u8],
    total: u64,
}

impl Sender<'_> {
    fn count(&self) -> u64 {
        self.total / MIB
    }

    fn send(&self, uid: Uid, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            self.chunk(Some(uid), number);
        }
    }

    fn chunk(&self, uid: Option<Uid>, number: u64) -> Uid {
        let chunk = Chunk {
            upload_uid: uid.as_ref().map_or("", Uid::as_str),
            total_size: self.total,
            chunk_number: number,
            chunk_count: self.count(),
            content: self.content,
            ..Chunk::default()
        };
        self.store.handle_chunk(&chunk).unwrap().upload_uid
    }
}

/// The processes start before the clock does. The time includes their end.
fn in_processes(count: u64, act: impl Fn(u64)) -> f64 {
    let pairs: Vec<(UnixStream, UnixStream)> = (0..count).map(|_| UnixStream::pair().unwrap()).collect();
    let children: Vec<_> = pairs
        .iter()
        .enumerate()
        .map(|(number, (_, theirs))| {
            fork(|| {
                let mut stream = theirs;
                stream.write_all(b"!").unwrap();
                stream.read_exact(&mut [0]).unwrap();
                act(number as u64);
            })
        })
        .collect();
    let mut ours: Vec<&UnixStream> = pairs.iter().map(|(ours, _)| ours).collect();
    ours.iter_mut().for_each(|stream| stream.read_exact(&mut [0]).unwrap());
    let start = Instant::now();
    ours.iter_mut().for_each(|stream| stream.write_all(b"!").unwrap());
    children.into_iter().for_each(|child| assert!(child.wait().success()));
    start.elapsed().as_secs_f64()
}

fn in_threads(count: u64, act: impl Fn(u64) + Sync) -> f64 {
    let barrier = Barrier::new(count as usize + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (barrier, act) = (&barrier, &act);
                scope.spawn(move || {
                    barrier.wait();
                    act(number);
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        start.elapsed().as_secs_f64()
    })
}
