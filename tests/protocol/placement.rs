//! No two chunks ever have one place in `data` on record, live or on any disk. No checksum would find that, and each
//! chunk sent again would destroy the other.

use std::cell::RefCell;
use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use crate::common::{TestStore, bytes, cut, die_in, dies_at, join, kill_self, seeded_bytes};
use chunked_upload::{Chunk, Durability, Error, Options, Store, test_hooks};

/// From here on this thread sees the store through this mount. `None`: the kernel does not tell the mount.
fn mount(tag: Option<u32>) {
    test_hooks::set_trust_tag(Some(tag));
}

/// The name is empty, so the slots begin at 512, and each sector has 16.
const SLOTS_0_TO_15: std::ops::Range<usize> = 512..1024;

fn state(store: &TestStore, uid: &str) -> Vec<u8> {
    std::fs::read(store.path(uid, "state")).unwrap()
}

/// The last synced `state` after a call; `disk` is the one before the call.
fn disk_behind(store: &TestStore, uid: &str, disk: Vec<u8>, call: impl FnOnce()) -> Vec<u8> {
    let (path, to) = (store.path(uid, "state"), store.dir.path().join("disk"));
    std::fs::write(&to, disk).unwrap();
    let into = to.clone();
    test_hooks::set_hook(Some(Rc::new(move |step| {
        if step == "synced:state" {
            std::fs::copy(&path, &into).unwrap();
        }
        Ok(())
    })));
    call();
    test_hooks::set_hook(None);
    std::fs::read(&to).unwrap()
}

/// Power loss keeps the newest `state`, except the first 16 slots, which are those of `disk`.
fn lose_slots(store: &TestStore, uid: &str, disk: &[u8]) {
    let mut kept = state(store, uid);
    kept[SLOTS_0_TO_15].copy_from_slice(&disk[SLOTS_0_TO_15]);
    std::fs::write(store.path(uid, "state"), kept).unwrap();
    mount(Some(999));
}

/// When the tail has reached its limit, a chunk takes room that another chunk left. This room may end after the tail.
#[test]
fn room_that_is_used_again_is_behind_no_later_chunk_s() {
    let store = TestStore::new();
    let uid = store.send_content("", 1000, 3, 2, &seeded_bytes(900, 1));
    store.send_content(&uid, 1000, 3, 0, &seeded_bytes(600, 2));
    store.send_content(&uid, 1000, 3, 0, &seeded_bytes(700, 3));
    store.send_content(&uid, 1000, 3, 1, &seeded_bytes(200, 4));
    store.send_content(&uid, 1000, 3, 2, &seeded_bytes(100, 5));
    assert_eq!(store.content(&uid), [seeded_bytes(700, 3), seeded_bytes(200, 4), seeded_bytes(100, 5)].concat());
}

/// Chunk 1 leaves its place at the tail for the grid. Another view of the store, which does not trust the mark of the
/// tail's end, gives this place to chunk 17.
#[test]
fn a_place_that_was_left_is_not_on_the_disk_when_another_gets_it() {
    for (first, second) in [(Some(100), Some(100)), (Some(100), Some(200)), (None, None)] {
        let store = TestStore::new();
        mount(first);
        let uid = store.send_content("", 2000, 20, 0, &seeded_bytes(100, 1));
        store.send_content(&uid, 2000, 20, 1, &seeded_bytes(120, 2));
        let disk = state(&store, &uid);
        store.send_content(&uid, 2000, 20, 1, &seeded_bytes(100, 3));
        mount(second);
        let disk = disk_behind(&store, &uid, disk, || {
            store.send_content(&uid, 2000, 20, 17, &seeded_bytes(110, 4));
        });
        lose_slots(&store, &uid, &disk);
        store.send_content(&uid, 2000, 20, 17, &seeded_bytes(110, 4));
        store.send_content(&uid, 2000, 20, 1, &seeded_bytes(120, 2));
        assert_eq!(store.verify(&uid).unwrap().damaged_count, 0, "{first:?} {second:?}");
    }
}

/// The call that takes another chunk's place is killed after its first sync, and repeated.
#[test]
fn a_repeated_call_does_not_write_where_the_disk_has_another() {
    let store = TestStore::new();
    mount(Some(100));
    let uid = store.send_content("", 1000, 20, 0, &seeded_bytes(900, 1));
    store.send_content(&uid, 1000, 20, 1, &seeded_bytes(500, 2));
    let disk = state(&store, &uid);
    store.send_content(&uid, 1000, 20, 1, &seeded_bytes(550, 3));
    let seventeen = || {
        store.send_content(&uid, 1000, 20, 17, &seeded_bytes(300, 4));
    };
    let disk = disk_behind(&store, &uid, disk, || die_in("synced:state", 0, seventeen));
    let disk = disk_behind(&store, &uid, disk, seventeen);
    lose_slots(&store, &uid, &disk);
    store.send_content(&uid, 1000, 20, 17, &seeded_bytes(300, 4));
    store.send_content(&uid, 1000, 20, 1, &seeded_bytes(500, 2));
    assert_eq!(store.verify(&uid).unwrap().damaged_count, 0);
}

/// A call that brings chunks into order is killed after its mark, before that is synced. The next call continues, and
/// the power fails. The mark must be on the disk before any slot has a chunk's place in the new file.
#[test]
fn slots_are_not_moved_before_the_mark_is_on_the_disk() {
    for durability in [Durability::Process, Durability::Chunk] {
        let store = TestStore::with(Options { durability, ..Options::default() });
        mount(Some(100));
        let sizes: Vec<usize> = (0..20).map(|n| 600 + n * 13 + usize::from(n == 0)).collect();
        let file = bytes(sizes.iter().sum());
        let pieces = cut(&file, &sizes);
        let mut uid = String::new();
        for number in (0..20).rev() {
            uid = store.send_content(&uid, file.len(), 20, number as u64, pieces[number]);
        }
        let before = state(&store, &uid);
        die_in("rewrite:ordered", 0, || drop(store.get(&uid)));
        let synced = store.dir.path().join("synced");
        let (path, into) = (store.path(&uid, "state"), synced.clone());
        let call = || {
            test_hooks::set_hook(Some(Rc::new(move |step| {
                if step == "synced:state" {
                    std::fs::copy(&path, &into).unwrap();
                }
                if step == "rewrite:moved" {
                    kill_self();
                }
                Ok(())
            })));
            drop(store.get(&uid));
        };
        assert!(!crate::common::in_child(call).success());
        let (disk, live) = (std::fs::read(&synced).expect("it is synced"), state(&store, &uid));
        let phase = |state: &[u8]| state[64];
        assert_eq!((phase(&before), phase(&disk), phase(&live)), (1, 2, 2));
        assert!(disk[512..] == before[512..] && live[512..] != before[512..], "and only then the slots are moved");
        mount(Some(300));
        assert_eq!(store.content(&uid), file);
    }
}

/// Random numbers below their bounds, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % bound
    }

    fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        (1..count).for_each(|at| order.swap(at, self.below(at + 1)));
        order
    }
}

/// A file with its cuts, and an upload of it that began with chunks of other sizes.
struct Damaged {
    store: TestStore,
    sizes: Vec<usize>,
    file: Vec<u8>,
    uid: String,
}

impl Damaged {
    /// `send` makes the calls; the first one has no uid.
    fn new(dice: &mut Dice, durability: Durability, send: impl Fn(&Store, &Chunk<'_>) -> Option<String>) -> Damaged {
        // In memory, because syncing does not matter here.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = Options { durability, min_free_space: 0, ..Options::default() };
        let store = TestStore { store: Store::open(dir.path().join("uploads"), options).unwrap(), dir };
        let count = 2 + dice.below(40);
        let largest = 1 << dice.below(12);
        let mut sizes: Vec<usize> = (0..count).map(|_| dice.below(largest + 1)).collect();
        let large = dice.below(count);
        sizes[large] += 1 + dice.below(largest * count);
        let file = seeded_bytes(sizes.iter().sum(), dice.0);
        let total = file.len();
        let mut damaged = Damaged { store, sizes, file, uid: String::new() };
        // Either all chunks except the large one, with a size that fills the room, or random chunks, mostly of about
        // the right size.
        let filled = dice.below(2) == 0;
        for turn in 0..if filled { count } else { 1 + dice.below(4 * count) } {
            let most = if dice.below(8) == 0 { total } else { 3 * total / count };
            let size = if filled { total.min(2 * total / (count - 1)) } else { dice.below(most.min(total) + 1) };
            let number = if filled { turn } else { dice.below(count) };
            if filled && number == large {
                continue;
            }
            let wrong = seeded_bytes(size, dice.0);
            if let Some(uid) = send(&damaged.store, &damaged.chunk(number, &wrong)) {
                damaged.uid = uid;
            }
        }
        damaged
    }

    fn chunk<'a>(&'a self, number: usize, content: &'a [u8]) -> Chunk<'a> {
        Chunk {
            upload_uid: &self.uid,
            total_size: self.file.len() as u64,
            chunk_number: number as u64,
            chunk_count: self.sizes.len() as u64,
            content,
            ..Chunk::default()
        }
    }

    fn right(&self, number: usize) -> Chunk<'_> {
        self.chunk(number, cut(&self.file, &self.sizes)[number])
    }

    /// A random order. Half of the time the largest chunk is last.
    fn order(&self, dice: &mut Dice) -> Vec<usize> {
        let mut order = dice.order(self.sizes.len());
        if dice.below(2) == 0 {
            let largest = self.sizes.iter().max().unwrap();
            order.sort_by_key(|&number| self.sizes[number] == *largest);
        }
        order
    }

    /// Sends all right chunks twice: the first time some may be refused.
    fn repair(&self, dice: &mut Dice, send: impl Fn(&Store, &Chunk<'_>) -> Option<String>) {
        for number in self.order(dice) {
            send(&self.store, &self.right(number));
        }
        for number in self.order(dice) {
            self.store.handle_chunk(&self.right(number)).unwrap();
        }
        assert!(self.store.content(&self.uid) == self.file);
    }
}

/// The uid; `None` if there is no room.
fn sent(store: &Store, chunk: &Chunk<'_>) -> Option<String> {
    match store.handle_chunk(chunk) {
        Ok(receipt) => Some(receipt.upload_uid.to_string()),
        Err(Error::LimitExceeded { limit: "data_size", .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The right chunks find room, whatever was sent before, and `data` keeps within its bounds.
#[test]
fn right_chunks_find_room_whatever_was_sent_before() {
    for seed in 0..600 * crate::common::rounds() {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let damaged = Damaged::new(&mut dice, Durability::Process, sent);
        let largest = std::cell::Cell::new(0);
        let data = damaged.store.path(&damaged.uid, "data");
        damaged.repair(&mut dice, |store, chunk| {
            let uid = sent(store, chunk);
            largest.set(largest.get().max(data.metadata().unwrap().len()));
            uid
        });
        assert!(largest.get() <= 3 * damaged.file.len() as u64);
    }
}

/// The right chunks come at once, some from other processes. After that each is sent once more, and none is refused.
#[test]
fn right_chunks_find_room_among_others() {
    for seed in 0..40 * crate::common::rounds() {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let damaged = Damaged::new(&mut dice, Durability::Process, sent);
        let orders: Vec<_> = (0..4).map(|_| damaged.order(&mut dice)).collect();
        let work = |order: &[usize]| {
            for &number in order {
                sent(&damaged.store, &damaged.right(number));
            }
        };
        std::thread::scope(|scope| {
            let hands = orders.iter().enumerate().map(|(hand, order)| {
                let work = &work;
                scope.spawn(move || {
                    if hand % 2 == 0 { work(order) } else { assert!(crate::common::in_child(|| work(order)).success()) }
                })
            });
            join(hands.collect());
        });
        damaged.repair(&mut dice, sent);
    }
}

/// Calls are killed at any step, also while they move other chunks.
#[test]
fn right_chunks_find_room_after_kills() {
    for seed in 0..60 * crate::common::rounds() {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let kills = RefCell::new(Dice(seed));
        let or_die = |store: &Store, chunk: &Chunk<'_>| {
            let step = kills.borrow_mut().below(24);
            if chunk.upload_uid.is_empty() || step > 10 {
                return sent(store, chunk);
            }
            dies_at(step, |_| {}, || drop(sent(store, chunk)));
            None
        };
        let damaged = Damaged::new(&mut dice, Durability::Process, or_die);
        for number in damaged.order(&mut dice) {
            or_die(&damaged.store, &damaged.right(number));
        }
        damaged.repair(&mut dice, sent);
    }
}

/// The places that one slot may record on the disk.
type Versions = HashSet<(u64, u64)>;

/// No disk that the calls can leave records one place for two chunks, whichever sectors are old or new.
#[test]
fn no_disk_has_one_place_for_two_chunks() {
    for seed in 0..150 * crate::common::rounds() {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let level = if seed % 2 == 0 { Durability::Process } else { Durability::Chunk };
        // The versions of each slot that the disk may have, since `state` was last synced.
        let disk: Rc<RefCell<Vec<Versions>>> = Rc::default();
        let watched = |store: &Store, chunk: &Chunk<'_>| {
            if chunk.upload_uid.is_empty() {
                return sent(store, chunk);
            }
            let (path, disk) = (store.root().join(chunk.upload_uid).join("state"), disk.clone());
            let look = move |step: &str| {
                let state = std::fs::read(&path).unwrap();
                let mut disk = disk.borrow_mut();
                let slots = state[512..].chunks_exact(32);
                disk.resize_with(slots.len(), HashSet::new);
                for (slot, known) in slots.zip(disk.iter_mut()) {
                    if step == "synced:state" {
                        known.clear();
                    }
                    let number = |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
                    known.insert((number(0), number(0) + number(16)));
                }
                for (one, other) in (0..disk.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                    // The slots of one sector are from one moment.
                    if one / 16 == other / 16 {
                        continue;
                    }
                    let meet = |a: &(u64, u64), b: &(u64, u64)| a.0.max(b.0) < a.1.min(b.1);
                    for place in &disk[one] {
                        assert!(!disk[other].iter().any(|taken| meet(place, taken)), "{one} {other} {place:?} {step}");
                    }
                }
            };
            look("before");
            let hooked = look.clone();
            test_hooks::set_hook(Some(Rc::new(move |step| {
                hooked(step);
                Ok(())
            })));
            let uid = sent(store, chunk);
            test_hooks::set_hook(None);
            look("after");
            uid
        };
        let damaged = Damaged::new(&mut dice, level, watched);
        damaged.repair(&mut dice, watched);
    }
}

/// A chunk that a call is writing keeps its place while others are moved to make room.
#[test]
fn a_place_that_is_being_written_is_not_taken() {
    for step in ["receive:locked", "receive:cleared", "receive:written"] {
        let store = Rc::new(TestStore::new());
        let file = bytes(100);
        let pieces = cut(&file, &[1, 1, 1, 97]);
        let mut uid = String::new();
        for number in 0..3 {
            uid = store.send_content(&uid, 100, 4, number, &[0xff; 66]);
        }
        for (number, content) in [(0, pieces[0]), (1, b"-"), (2, pieces[2])] {
            store.send_content(&uid, 100, 4, number, content);
        }
        let (other, upload, large) = (store.clone(), uid.clone(), pieces[3].to_vec());
        let hook = move |reached: &str| {
            if reached == step {
                test_hooks::set_hook(None);
                other.send_content(&upload, 100, 4, 3, &large);
            }
            Ok(())
        };
        test_hooks::set_hook(Some(Rc::new(hook)));
        store.send_content(&uid, 100, 4, 1, pieces[1]);
        assert!(store.content(&uid) == file, "{step}");
    }
}

/// A chunk that is recorded as synced is on disk at its new place before the new place is recorded.
#[test]
fn a_chunk_that_is_moved_is_as_safe_as_before() {
    let store = TestStore::with(Options { durability: Durability::Chunk, ..Options::default() });
    let file = bytes(100);
    let pieces = cut(&file, &[1, 1, 1, 97]);
    let mut uid = String::new();
    for number in 0..3 {
        uid = store.send_content(&uid, 100, 4, number, &[0xff; 66]);
    }
    for number in [0, 1, 2] {
        store.send_content(&uid, 100, 4, number, pieces[number as usize]);
    }
    let steps = crate::common::steps(|| drop(store.send_content(&uid, 100, 4, 3, pieces[3])));
    let count = |wanted: &[&str]| steps.windows(wanted.len()).filter(|part| *part == wanted).count();
    assert_eq!(count(&["tail:copied", "synced:data", "tail:moved"]), count(&["tail:moved"]), "{steps:?}");
    assert!(count(&["tail:moved"]) > 0);
    assert!(store.content(&uid) == file);
}

/// More scattered places than are read at once are moved together.
#[test]
fn a_large_chunk_finds_room_between_many_small_ones() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = Options { min_free_space: 0, ..Options::default() };
    let store = TestStore { store: Store::open(dir.path().join("uploads"), options).unwrap(), dir };
    let (total, count) = (120_000, 40_000);
    let file = bytes(total);
    let (large, small) = file.split_at(total - count + 1);
    let mut uid = String::new();
    for number in 1..count as u64 {
        uid = store.send_content(&uid, total, count as u64, number, b"sixsix");
    }
    for number in (1..count).rev() {
        store.send_content(&uid, total, count as u64, number as u64, &small[number - 1..number]);
    }
    store.send_content(&uid, total, count as u64, 0, large);
    assert!(store.content(&uid) == file);
}

/// In earlier versions a chunk kept all the room that it ever had.
#[test]
fn room_beyond_a_chunk_s_bytes_is_given_away() {
    let store = TestStore::new();
    let file = bytes(100);
    let pieces = cut(&file, &[10, 10, 80]);
    let uid = store.send_content("", 100, 3, 0, &[1; 100]);
    store.send_content(&uid, 100, 3, 1, &[1; 100]);
    store.send_content(&uid, 100, 3, 0, pieces[0]);
    store.send_content(&uid, 100, 3, 1, pieces[1]);
    let mut old = state(&store, &uid);
    for slot in 0..2 {
        old[512 + 32 * slot + 16] = 100;
    }
    std::fs::write(store.path(&uid, "state"), old).unwrap();
    store.send_content(&uid, 100, 3, 2, pieces[2]);
    assert!(store.content(&uid) == file);
}

/// The first chunk suggested a grid that is too small for all right chunks.
#[test]
fn a_wrong_grid_does_not_take_the_room_of_right_chunks() {
    let store = TestStore::new();
    let file = bytes(100);
    let pieces = cut(&file, &[10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0]);
    let uid = store.send_content("", 100, 11, 1, &[1; 9]);
    store.send_content(&uid, 100, 11, 0, &[1; 11]);
    for (number, piece) in (0..).zip(pieces) {
        store.send_content(&uid, 100, 11, number, piece);
    }
    assert!(store.content(&uid) == file);
}

/// After a reboot, or on another mount, no chunk is moved without being read. A damaged one gives up its place, and is
/// missing.
#[test]
fn right_chunks_find_room_under_another_mount() {
    for durability in [Durability::Process, Durability::Complete, Durability::Chunk] {
        for (first, second) in [(Some(100), Some(200)), (Some(100), None), (None, Some(200)), (None, None)] {
            for damaged in [false, true] {
                let store = TestStore::with(Options { durability, ..Options::default() });
                let file = bytes(100);
                let pieces = cut(&file, &[1, 1, 1, 97]);
                mount(first);
                let mut uid = String::new();
                for number in 0..3 {
                    uid = store.send_content(&uid, 100, 4, number, &[0xff; 66]);
                }
                for (number, piece) in (0..3).zip(&pieces) {
                    store.send_content(&uid, 100, 4, number, piece);
                }
                if damaged {
                    let data = std::fs::OpenOptions::new().write(true).open(store.path(&uid, "data")).unwrap();
                    data.write_all_at(&[!file[1]], 66).unwrap();
                }
                mount(second);
                store.send_content(&uid, 100, 4, 3, pieces[3]);
                if damaged {
                    assert_eq!(store.inspect(&uid, 0).unwrap().missing, vec![1..2], "{durability:?} {second:?}");
                    store.send_content(&uid, 100, 4, 1, pieces[1]);
                }
                assert!(store.content(&uid) == file, "{durability:?} {second:?}");
            }
        }
    }
}
