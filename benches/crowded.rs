//! Whether a store with many uploads is slower: the time of a chunk, of `list` for each upload, and of a `cleanup` that
//! finds nothing to remove.

mod common;

use std::time::{Duration, Instant};

use chunked_upload::{Chunk, Expiry, Options, Store, Uid};
use common::{Figure, Place, Report, Spread, in_turn};

/// The number of chunks in each round.
const CALLS: u64 = 200;

fn main() {
    let mut report = Report::new("crowded", "calls in stores with many uploads");
    let places = common::places();
    for place in &places {
        measure(&mut report, place);
    }
    report.finish();
}

fn measure(report: &mut Report, place: &Place) {
    let sizes: &[u64] = if common::smoke() { &[10, 100] } else { &[10, 1_000, 100_000] };
    let content = common::content(4096);
    let stores: Vec<Crowd> = sizes.iter().map(|&size| Crowd::new(place, size, &content)).collect();
    let took = in_turn(common::rounds(7), stores.len(), |number| stores[number].measure(&content));
    for (store, took) in stores.iter().zip(&took) {
        let spread = |figure: fn(&Took) -> f64, unit: f64| Spread::of(took.iter().map(|took| figure(took) * unit));
        report.row(
            &[("file system", &place.name), ("uploads", &store.size.to_string())],
            &[
                ("first chunk", Figure("µs", spread(|took| took.first, 1e6))),
                ("a chunk", Figure("µs", spread(|took| took.chunk, 1e6))),
                ("list, an upload", Figure("µs", spread(|took| took.list, 1e6))),
                ("cleanup", Figure("ms", spread(|took| took.cleanup, 1e3))),
            ],
        );
    }
}

/// The times in seconds.
struct Took {
    first: f64,
    chunk: f64,
    list: f64,
    cleanup: f64,
}

struct Crowd {
    store: Store,
    size: u64,
}

impl Crowd {
    fn new(place: &Place, size: u64, content: &[u8]) -> Crowd {
        let store = Store::open(place.path().join(size.to_string()), Options::default()).unwrap();
        let crowd = Crowd { store, size };
        // Each upload lacks a chunk. The chunks have only a few bytes, so that the disk does not fill.
        for _ in 0..size {
            crowd.chunk(None, 0, 2, &content[..8]);
        }
        crowd
    }

    fn chunk(&self, uid: Option<Uid>, number: u64, count: u64, content: &[u8]) -> Uid {
        let chunk = Chunk {
            upload_uid: uid.as_ref().map_or("", Uid::as_str),
            total_size: count * content.len() as u64,
            chunk_number: number,
            chunk_count: count,
            content,
            ..Chunk::default()
        };
        self.store.handle_chunk(&chunk).unwrap().upload_uid
    }

    fn measure(&self, content: &[u8]) -> Took {
        let start = Instant::now();
        let uid = self.chunk(None, 0, CALLS, content);
        let first = start.elapsed().as_secs_f64();
        let calls = (1..CALLS).map(|number| {
            let start = Instant::now();
            self.chunk(Some(uid), number, CALLS, content);
            start.elapsed().as_secs_f64()
        });
        let chunk = Spread::of(calls).median;
        self.store.remove(uid.as_str()).unwrap();

        let start = Instant::now();
        let found = self.store.list().unwrap().inspect(|listed| assert!(listed.is_ok())).count();
        let list = start.elapsed().as_secs_f64() / found as f64;
        assert_eq!(found as u64, self.size);

        let start = Instant::now();
        let cleaned = self.store.cleanup(&Expiry::older_than(Duration::from_secs(86_400))).unwrap();
        let cleanup = start.elapsed().as_secs_f64();
        assert!(cleaned.removed.is_empty() && cleaned.failed_count == 0);
        Took { first, chunk, list, cleanup }
    }
}
