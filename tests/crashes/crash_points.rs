//! The power fails between any two system calls of an upload's whole life: chunks, `get`, `move_to`, `remove`,
//! `cleanup`.
//!
//! The possible disks at that moment are made from the recorded calls (see `common/recorder.rs`). Each is opened as in
//! another boot, and must keep what the client was promised.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::recorder::{Image, Recorder};
use crate::common::shim::Shim;
use crate::common::{bytes, cut, entries, seeded_bytes};
use chunked_upload::{Chunk, Durability, ErrorKind, Expiry, Options, Result, Store, test_hooks};

/// A grid with a shorter last chunk, and chunks that fit no grid. No two chunks lie in one sector: each reaches the
/// disk by itself.
const CUTS: [&[usize]; 2] = [&[1024, 1024, 1024, 512], &[1024, 1536, 0, 1024]];
const TOTAL: usize = 3584;

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];
const KEY: &[u8] = b"a key of at least sixteen bytes";
const OWNER: &[u8] = b"an owner";
static LONG_NAME: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "n".repeat(4000));

/// What the client knows, and the calls whose answer it is waiting for.
#[derive(Clone, Default, Hash, Debug)]
struct Client {
    uid: String,
    acknowledged: [Option<Vec<u8>>; 4],
    /// Each content that was sent for each chunk.
    sent: [Vec<Vec<u8>>; 4],
    under_way: Option<usize>,
    /// Whether `get` was begun, and whether it has returned.
    asked: bool,
    got: bool,
    moving: bool,
    moved: bool,
    /// Whether `remove` or `cleanup` was begun.
    removing: bool,
}

/// The kind of a scenario.
#[derive(Clone, Copy, Default)]
struct Kind {
    keyed: bool,
    owned: bool,
    limited: bool,
    /// The file name is so long that `state` is not written in one call.
    long_name: bool,
    /// The destination is on another file system.
    far: bool,
}

struct Case {
    shim: Shim,
    kind: Kind,
    durability: Durability,
    sizes: &'static [usize],
    file: Vec<u8>,
    root: PathBuf,
    destination: PathBuf,
    recorder: Recorder,
    client: Client,
    seen: HashSet<u64>,
    failures: Vec<(Image, Client)>,
    _dirs: [tempfile::TempDir; 2],
}

impl Case {
    fn new(shim: Shim, kind: Kind, durability: Durability, sizes: &'static [usize]) -> Case {
        let near = || tempfile::tempdir_in("/dev/shm").unwrap();
        let dirs = [near(), if kind.far { tempfile::tempdir().unwrap() } else { near() }];
        let root = dirs[0].path().join("uploads");
        let there = if kind.far { dirs[1].path() } else { dirs[0].path() }.join("there");
        std::fs::create_dir(&there).unwrap();
        std::fs::create_dir(&root).unwrap();
        let case = Case {
            shim,
            kind,
            durability,
            sizes,
            file: bytes(TOTAL),
            recorder: Recorder::new(&[&root, &there]),
            root,
            destination: there.join("moved"),
            client: Client::default(),
            seen: HashSet::new(),
            failures: Vec::new(),
            _dirs: dirs,
        };
        case.store(durability);
        case
    }

    fn store(&self, durability: Durability) -> Store {
        let max_store_size = if self.kind.limited { 100_000 } else { 0 };
        let options = Options { durability, max_store_size, min_free_space: 0, ..Options::default() };
        let store = Store::open(&self.root, options).unwrap();
        if self.kind.owned { store.for_owner(OWNER).unwrap() } else { store }
    }

    /// Makes a call. The power fails before each of its system calls, and once after the call.
    fn step<T>(&mut self, call: impl FnOnce(&Store) -> Result<T>, learned: impl FnOnce(&mut Client, T)) {
        self.try_step(call, learned).unwrap();
    }

    fn try_step<T>(
        &mut self,
        call: impl FnOnce(&Store) -> Result<T>,
        learned: impl FnOnce(&mut Client, T),
    ) -> Result<()> {
        let store = self.store(self.durability);
        let (answer, during, after) = self.recorder.record(self.shim, || call(&store));
        self.keep(during);
        let answered = answer.map(|answer| learned(&mut self.client, answer));
        self.keep(after);
        answered
    }

    fn keep(&mut self, images: Vec<Image>) {
        for image in images {
            let mut hasher = DefaultHasher::new();
            (&image, &self.client).hash(&mut hasher);
            if self.seen.insert(hasher.finish()) {
                self.failures.push((image, self.client.clone()));
            }
        }
    }

    fn piece(&self, number: usize) -> Vec<u8> {
        cut(&self.file, self.sizes)[number].to_vec()
    }

    fn send(&mut self, number: usize, content: &[u8]) {
        self.try_send(number, content).unwrap();
    }

    fn try_send(&mut self, number: usize, content: &[u8]) -> Result<()> {
        let (kind, uid) = (self.kind, self.client.uid.clone());
        self.client.sent[number].push(content.to_vec());
        self.client.under_way = Some(number);
        self.try_step(
            |store| send(store, kind, &uid, number, content),
            |client, uid| {
                client.uid = uid;
                client.acknowledged[number] = Some(content.to_vec());
                client.under_way = None;
            },
        )
    }

    /// Every chunk.
    fn send_all(&mut self) {
        for number in [3, 1, 0, 2] {
            self.send(number, &self.piece(number));
        }
    }

    fn get(&mut self) {
        self.try_get().unwrap();
    }

    fn try_get(&mut self) -> Result<()> {
        self.client.asked = true;
        let uid = self.client.uid.clone();
        self.try_step(|store| store.get(&uid), |client, _| client.got = true)
    }

    fn move_away(&mut self) {
        self.client.moving = true;
        let (uid, destination) = (self.client.uid.clone(), self.destination.clone());
        self.step(|store| store.move_to(&uid, destination, false), |client, _| client.moved = true);
    }

    fn remove(&mut self) {
        self.client.removing = true;
        let uid = self.client.uid.clone();
        self.step(|store| store.remove(&uid), |_, ()| {});
    }

    fn clean_up(&mut self) {
        self.client.removing = true;
        self.step(|store| store.cleanup(&Expiry::older_than(Duration::ZERO)), |_, _| {});
    }

    /// Opens some of the possible disks. The client continues, and the power fails again meanwhile.
    fn check_twice(&mut self, name: &str) {
        let failures = std::mem::take(&mut self.failures);
        let first = std::mem::replace(&mut self.recorder, Recorder::new(&[]));
        // Few disks have a mark without the files that belong to it.
        let (rare, usual): (Vec<_>, Vec<_>) = failures.iter().partition(|(image, _)| marked_without_file(image));
        let some = |of: Vec<_>| {
            let every = of.len() / 12 + 1;
            of.into_iter().step_by(every)
        };
        for (image, client) in some(rare).chain(some(usual)) {
            first.restore(image);
            self.recorder = Recorder::new(&[&self.root, self.destination.parent().unwrap()]);
            self.client = client.clone();
            test_hooks::set_trust_tag(Some(Some(0xb007)));
            let _ = self.try_get();
            // If the upload is lost, the client learns that it is.
            let _ = [2, 0, 3, 1].iter().try_for_each(|&number| self.try_send(number, &self.piece(number)));
            let _ = self.try_get();
            self.check(name, 0xb008);
        }
    }

    /// Opens each possible disk, in a boot with this tag.
    fn check(&mut self, name: &str, tag: u32) {
        let failures = std::mem::take(&mut self.failures);
        test_hooks::set_trust_tag(Some(Some(tag)));
        for (image, client) in &failures {
            self.recorder.restore(image);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.check_image(client);
                if self.durability >= Durability::Complete && image.contains_key(&self.destination) {
                    self.recorder.restore(image);
                    self.check_taken(client);
                }
            }));
            if checked.is_err() {
                let names: Vec<_> =
                    image.iter().map(|(path, (_, content))| (path, content.as_ref().map(Vec::len))).collect();
                let acknowledged: Vec<_> = client.acknowledged.iter().map(Option::is_some).collect();
                panic!(
                    "{name}, {:?}, {:?}: {names:?}, acknowledged {acknowledged:?}, {:?} on its way, got {}, moving {}, \
                     moved {}, removing {}",
                    self.durability,
                    self.sizes,
                    client.under_way,
                    client.got,
                    client.moving,
                    client.moved,
                    client.removing
                );
            }
        }
        test_hooks::set_trust_tag(None);
        let Recorder { calls, syncs, .. } = self.recorder;
        eprintln!("{name}, {:?}: {calls} calls, {syncs} of them syncs, {} images", self.durability, failures.len());
    }

    fn check_image(&self, client: &Client) {
        let store = self.store(Durability::Process);
        if self.kind.owned && !client.uid.is_empty() {
            let stranger = Store::open(&self.root, Options::default()).unwrap();
            assert!(stranger.get(&client.uid).is_err(), "a stranger");
        }
        let durable = self.durability >= Durability::Complete;
        if client.moving {
            self.check_moved(&store, client, durable);
        } else {
            self.check_chunks(&store, client, durable);
        }
        let admin = Store::open(&self.root, Options { all_owners: true, ..Options::default() }).unwrap();
        for _ in 0..2 {
            assert_eq!(admin.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().failed_count, 0);
        }
        let left = |dir: &Path, known: &[&str]| {
            let mut left = entries(dir);
            left.retain(|name| !known.contains(&name.as_str()));
            assert_eq!(left, [""; 0], "in {}", dir.display());
        };
        left(&self.root, &["promised", "secret"]);
        if durable {
            left(self.destination.parent().unwrap(), &["moved"]);
        }
    }

    /// The consumer takes the file before the call is repeated: it is not delivered again.
    fn check_taken(&self, client: &Client) {
        std::fs::remove_file(&self.destination).unwrap();
        let again = self.store(Durability::Process).move_to(&client.uid, &self.destination, false);
        assert_eq!(again.map_err(|error| error.kind()).err(), Some(ErrorKind::Gone), "it was taken");
        assert!(!self.destination.exists(), "delivered twice");
    }

    /// The bytes that `get` returns, if it succeeds.
    fn content(&self, store: &Store, uid: &str) -> Option<Vec<u8>> {
        match store.get(uid) {
            Ok(finished) => Some(std::fs::read(finished.path).unwrap()),
            Err(error) => {
                let named = [ErrorKind::NotFound, ErrorKind::Incomplete, ErrorKind::SizeMismatch, ErrorKind::Gone];
                assert!(uid.is_empty() || named.contains(&error.kind()), "{error}");
                None
            }
        }
    }

    fn check_chunks(&self, store: &Store, client: &Client, durable: bool) {
        if client.got && durable && !client.removing {
            assert!(self.content(store, &client.uid).unwrap() == self.file, "what `get` had answered");
        }
        if let Some(content) = self.content(store, &client.uid) {
            // A byte is wrong if no client sent it or, at level `chunk`, if it was replaced before.
            let possible = |number: usize, found: &[u8]| match &client.acknowledged[number] {
                Some(known) if self.durability == Durability::Chunk && client.under_way != Some(number) => {
                    found == known
                }
                _ => client.sent[number].iter().any(|sent| sent == found),
            };
            let pieces = cut(&content, self.sizes);
            // The file itself may have been sent in other pieces.
            let right = content == self.file || (0..4).all(|number| possible(number, pieces[number]));
            assert!(right, "bytes that no client sent");
        }
        let mut kept = self.durability == Durability::Chunk && !client.removing && !client.uid.is_empty();
        let mut lost = vec![ErrorKind::NotFound];
        lost.extend(client.asked.then_some(ErrorKind::Gone));
        let others = |number: usize| client.sent[number].iter().any(|sent| *sent != self.piece(number));
        lost.extend((0..4).any(others).then_some(ErrorKind::Conflict));
        let mut uid = client.uid.clone();
        if self.kind.keyed && kept {
            uid = send(store, self.kind, "", 0, &self.piece(0)).unwrap();
            assert_eq!(uid, client.uid, "the same key");
        }
        for number in 0..4 {
            let piece = self.piece(number);
            if kept && client.under_way != Some(number) && client.acknowledged[number].as_ref() == Some(&piece) {
                continue;
            }
            uid = match send(store, self.kind, &uid, number, &piece) {
                // The client sends everything again if the upload is lost, or has chunks that were replaced meanwhile.
                Err(error) if lost.contains(&error.kind()) && (!kept || error.kind() == ErrorKind::Conflict) => {
                    kept = false;
                    if error.kind() != ErrorKind::NotFound {
                        store.remove(&uid).unwrap();
                    }
                    let mut again = String::new();
                    for before in 0..=number {
                        again = send(store, self.kind, &again, before, &self.piece(before)).unwrap();
                    }
                    again
                }
                sent => sent.unwrap(),
            };
        }
        let finished = store.get(&uid).expect("after everything was sent");
        assert!(std::fs::read(finished.path).unwrap() == self.file, "after everything was sent");
    }

    fn check_moved(&self, store: &Store, client: &Client, durable: bool) {
        let there = std::fs::read(&self.destination).ok();
        if durable {
            assert!(there.as_ref().is_none_or(|there| *there == self.file), "a part of a file in its place");
            assert!(!client.moved || there.is_some(), "what `move_to` had answered");
        }
        if let Some(content) = self.content(store, &client.uid) {
            assert!(content == self.file);
        }
        let again = store.move_to(&client.uid, &self.destination, false);
        let there = std::fs::read(&self.destination).ok();
        if let Err(error) = &again {
            let named = [ErrorKind::NotFound, ErrorKind::Gone, ErrorKind::Incomplete, ErrorKind::SizeMismatch];
            let promised = client.moved || client.got || self.durability == Durability::Chunk;
            assert!(
                !(durable && promised) && (named.contains(&error.kind()) || error.os_errno() == Some(libc::EEXIST)),
                "{error}"
            );
        } else if durable {
            assert!(there.unwrap() == self.file);
        }
    }
}

fn send(store: &Store, kind: Kind, uid: &str, number: usize, content: &[u8]) -> Result<String> {
    let chunk = Chunk {
        upload_uid: uid,
        upload_key: if kind.keyed { KEY } else { b"" },
        file_name: if kind.long_name { &LONG_NAME } else { "a.bin" },
        total_size: TOTAL as u64,
        chunk_number: number as u64,
        chunk_count: 4,
        content,
        ..Chunk::default()
    };
    store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
}

/// Whether the upload is marked as ordered or complete, and has neither of the files for that mark.
fn marked_without_file(image: &Image) -> bool {
    /// The offset of the stage in `state`, and its numbers: see docs/design.md.
    const PHASE_AT: usize = 64;
    const ORDERED_OR_COMPLETE: std::ops::RangeInclusive<u8> = 2..=3;
    let there = |name: &str| image.keys().any(|path| path.ends_with(name));
    let state = image.iter().find(|(path, _)| path.ends_with("state")).and_then(|(_, (_, content))| content.as_ref());
    state.is_some_and(|state| state.get(PHASE_AT).is_some_and(|phase| ORDERED_OR_COMPLETE.contains(phase)))
        && !there("ordered")
        && !there("file")
}

/// Runs a scenario at each level, and with chunks on and off a grid.
fn at_every_point(name: &str, kind: Kind, scenario: impl Fn(&mut Case)) {
    at_every_point_of(kind, scenario, |case| case.check(name, 0xb007));
}

fn at_every_point_of(kind: Kind, scenario: impl Fn(&mut Case), check: impl Fn(&mut Case)) {
    let Some(shim) = Shim::load() else { return };
    for durability in LEVELS {
        for sizes in CUTS {
            let mut case = Case::new(shim, kind, durability, sizes);
            scenario(&mut case);
            assert!(case.failures.len() > 20, "only {} images", case.failures.len());
            check(&mut case);
        }
    }
}

#[test]
fn receiving_and_getting() {
    at_every_point("receiving_and_getting", Kind::default(), |case| {
        case.send_all();
        case.get();
        case.get();
    });
}

#[test]
fn the_power_fails_twice() {
    let name = "the_power_fails_twice";
    let scenario = |case: &mut Case| {
        case.send_all();
        case.get();
    };
    at_every_point_of(Kind::default(), scenario, |case| case.check_twice(name));
}

#[test]
fn with_a_key() {
    at_every_point("with_a_key", Kind { keyed: true, ..Kind::default() }, |case| {
        case.send_all();
        case.get();
    });
}

#[test]
fn with_an_owner_and_a_limit() {
    at_every_point("with_an_owner_and_a_limit", Kind { owned: true, limited: true, ..Kind::default() }, |case| {
        case.send_all();
        case.get();
    });
}

#[test]
fn with_a_long_name() {
    at_every_point("with_a_long_name", Kind { long_name: true, limited: true, ..Kind::default() }, |case| {
        case.send_all();
        case.get();
        case.move_away();
    });
}

/// Two chunks come with other sizes first. The rewrite that they need stops half-way, and is needless later.
#[test]
fn abandoning_a_rewrite() {
    at_every_point("abandoning_a_rewrite", Kind::default(), |case| {
        let file = case.file.clone();
        let mut sizes = case.sizes.to_vec();
        (sizes[1], sizes[2]) = (sizes[1] - 100, sizes[2] + 100);
        let other = cut(&file, &sizes);
        for number in [0, 3, 2, 1] {
            case.send(number, other[number]);
        }
        test_hooks::set_hook(Some(std::rc::Rc::new(|step| match step {
            "rewrite:copied" => Err(std::io::ErrorKind::Other.into()),
            _ => Ok(()),
        })));
        case.try_get().unwrap_err();
        test_hooks::set_hook(None);
        for number in [1, 2] {
            case.send(number, &case.piece(number));
        }
        case.get();
        case.move_away();
    });
}

#[test]
fn replacing() {
    at_every_point("replacing", Kind::default(), |case| {
        let other = seeded_bytes(TOTAL, 2);
        case.send_all();
        case.send(1, cut(&other, case.sizes)[1]);
        case.send(1, &case.piece(1));
        case.get();
    });
}

/// Chunks that were far too large leave scattered gaps. To make room for the last chunk, the others are moved together.
#[test]
fn making_room() {
    let name = "making_room";
    let Some(shim) = Shim::load() else { return };
    for durability in LEVELS {
        let mut case = Case::new(shim, Kind::default(), durability, &[20, 30, 40, TOTAL - 90]);
        for number in 0..3 {
            case.send(number, &seeded_bytes(TOTAL * 2 / 3, number as u64 + 2));
        }
        for number in [2, 1, 0] {
            case.send(number, &case.piece(number));
        }
        let last = case.piece(3);
        let moved =
            crate::common::steps(|| case.send(3, &last)).into_iter().filter(|step| *step == "tail:moved").count();
        assert!(moved > 0);
        case.get();
        case.check(name, 0xb007);
    }
}

#[test]
fn moving_by_rename() {
    at_every_point("moving_by_rename", Kind::default(), |case| {
        case.send_all();
        case.get();
        case.move_away();
    });
}

#[test]
fn moving_by_copying() {
    at_every_point("moving_by_copying", Kind { far: true, ..Kind::default() }, |case| {
        case.send_all();
        case.move_away();
    });
}

#[test]
fn removing() {
    at_every_point("removing", Kind { keyed: true, limited: true, ..Kind::default() }, |case| {
        case.send_all();
        case.get();
        case.remove();
    });
}

#[test]
fn cleaning_up() {
    at_every_point("cleaning_up", Kind { keyed: true, ..Kind::default() }, |case| {
        case.send_all();
        case.clean_up();
    });
}
