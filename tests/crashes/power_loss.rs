//! A machine that loses power at any step of any call.
//!
//! Synced bytes and names are on the disk. Others may be there or not, each file and each name by itself. The tests
//! keep both apart, make the disks that are possible at every step, and open them as in another boot.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::common::{CUTS, TestStore, bytes, copy_directory, cut, entries, seeded_bytes};
use chunked_upload::{Chunk, Durability, Error, Options, Store, test_hooks};

type Content = Rc<Vec<u8>>;
type Names = BTreeMap<String, u64>;

/// The files of one upload, as they are and as they could be on the disk. Files are known by their inodes, because
/// names change.
#[derive(Default)]
struct Disk {
    /// Each content of a file since its last sync. The first is the synced content, or nothing.
    contents: HashMap<u64, Vec<Content>>,
    /// Each set of names of the directory since its last sync.
    names: Vec<Names>,
}

impl Disk {
    /// Records the content of the directory after a step.
    fn observe(&mut self, dir: &Path, step: &str) {
        let mut names = Names::new();
        for name in entries(dir) {
            let path = dir.join(&name);
            let inode = path.metadata().unwrap().ino();
            let versions = self.contents.entry(inode).or_insert_with(|| vec![Rc::default()]);
            let content = std::fs::read(path).unwrap();
            let last = versions.last().unwrap().clone();
            if *last != content {
                if name != "state" {
                    versions.push(Rc::new(half_way(&last, &content)));
                }
                versions.push(Rc::new(content));
            }
            if step.strip_prefix("synced:") == Some(name.as_str()) {
                versions.drain(..versions.len() - 1);
            }
            names.insert(name, inode);
        }
        if self.names.last() != Some(&names) {
            self.names.push(names);
        }
        if step == "synced:names" {
            self.names.drain(..self.names.len() - 1);
        }
    }

    /// All possible disks if the power failed now. Of each file except `state` only the oldest and newest content, and
    /// mixtures of the last two.
    fn images(&self) -> Vec<BTreeMap<String, Content>> {
        let mut images = Vec::new();
        for names in &self.names {
            let mut partial = vec![BTreeMap::new()];
            for (name, inode) in names {
                let mut versions = self.contents[inode].clone();
                if name != "state" && versions.len() > 3 {
                    versions = [&versions[..1], &versions[versions.len() - 2..]].concat();
                }
                let with = |image: &BTreeMap<String, Content>, version: &Content| {
                    let mut image = image.clone();
                    image.insert(name.clone(), version.clone());
                    image
                };
                partial = partial.iter().flat_map(|image| versions.iter().map(move |v| with(image, v))).collect();
            }
            images.extend(partial);
        }
        images
    }
}

/// A file after half of a change has reached the disk.
fn half_way(old: &[u8], new: &[u8]) -> Vec<u8> {
    let byte = |of: &[u8], at: usize| of.get(at).copied().unwrap_or(0);
    let differ: Vec<usize> = (0..old.len().max(new.len())).filter(|&at| byte(old, at) != byte(new, at)).collect();
    let Some(&middle) = differ.get(differ.len() / 2) else { return new.to_vec() };
    (0..new.len()).map(|at| byte(if at < middle { new } else { old }, at)).collect()
}

/// What the client knows: for each chunk the acknowledged bytes, and the bytes that are being sent.
#[derive(Clone, Default)]
struct Client {
    acknowledged: Vec<Option<Vec<u8>>>,
    under_way: Option<(usize, Vec<u8>)>,
    /// What `get` returned.
    finished: Option<Vec<u8>>,
}

/// A possible disk, with what the client knew then.
type Failure = (BTreeMap<String, Content>, Client);

/// A store whose power can fail at every step. It is in memory, because only the order of calls matters.
struct Machine {
    _dir: tempfile::TempDir,
    root: PathBuf,
    total: u64,
    disk: Rc<RefCell<Disk>>,
    client: Rc<RefCell<Client>>,
    failures: Rc<RefCell<Vec<Failure>>>,
}

impl Machine {
    fn new(pieces: &[&[u8]]) -> Machine {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let machine = Machine {
            root: dir.path().join("uploads"),
            _dir: dir,
            total: pieces.iter().map(|piece| piece.len() as u64).sum(),
            disk: Rc::default(),
            client: Rc::default(),
            failures: Rc::default(),
        };
        machine.client.borrow_mut().acknowledged = vec![None; pieces.len()];
        machine
    }

    fn store(&self, durability: Durability) -> Store {
        Store::open(&self.root, Options { durability, ..Options::default() }).unwrap()
    }

    /// Makes a call. The power fails at every step of it, and once after the call.
    fn observed<T>(&self, call: impl FnOnce() -> T, learned: impl FnOnce(&mut Client, &T)) -> T {
        let (root, disk, client, failures) =
            (self.root.clone(), self.disk.clone(), self.client.clone(), self.failures.clone());
        let step = move |step: &str| {
            let [uid] = entries(&root).try_into().expect("one upload");
            disk.borrow_mut().observe(&root.join(uid), step);
            // Before the first answer the client knows no uid.
            if client.borrow().acknowledged.iter().any(Option::is_some) {
                let images = disk.borrow().images();
                failures.borrow_mut().extend(images.into_iter().map(|image| (image, client.borrow().clone())));
            }
        };
        let step = Rc::new(step);
        let in_call = step.clone();
        test_hooks::set_hook(Some(Rc::new(move |name| {
            if name != "space:nfs" {
                in_call(name);
            }
            Ok(())
        })));
        let answer = call();
        test_hooks::set_hook(None);
        learned(&mut self.client.borrow_mut(), &answer);
        step("answered");
        answer
    }

    fn send(&self, durability: Durability, uid: &str, number: usize, content: &[u8]) -> String {
        self.client.borrow_mut().under_way = Some((number, content.to_vec()));
        let store = self.store(durability);
        let count = self.client.borrow().acknowledged.len();
        let call = || send(&store, uid, self.total, count, number, content);
        self.observed(call, |client, _| {
            client.acknowledged[number] = Some(content.to_vec());
            client.under_way = None;
        })
    }

    fn get(&self, durability: Durability, uid: &str) -> Vec<u8> {
        let store = self.store(durability);
        let call = || std::fs::read(store.get(uid).unwrap().path).unwrap();
        self.observed(call, |client, content| client.finished = Some(content.clone()))
    }
}

fn send(store: &Store, uid: &str, total: u64, count: usize, number: usize, content: &[u8]) -> String {
    let chunk = Chunk {
        upload_uid: uid,
        total_size: total,
        chunk_number: number as u64,
        chunk_count: count as u64,
        content,
        ..Chunk::default()
    };
    store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
}

/// Boots from each image and checks the store's promises. `pieces` is what the client wants to have sent.
fn check(machine: &Machine, pieces: &[&[u8]], uid: &str, promised: Durability) {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut seen = HashSet::new();
    for (image, client) in machine.failures.borrow().iter() {
        if !seen.insert((image.clone(), client.acknowledged.clone(), client.under_way.clone(), client.finished.clone()))
        {
            continue;
        }
        let root = dir.path().join(seen.len().to_string());
        std::fs::create_dir_all(root.join(uid)).unwrap();
        for (name, content) in image {
            std::fs::write(root.join(uid).join(name), content.as_slice()).unwrap();
        }
        test_hooks::set_trust_tag(Some(Some(0xb007)));
        let store = Store::open(&root, Options::default()).unwrap();
        let what = || {
            let sizes: Vec<_> = image.iter().map(|(name, content)| (name, content.len())).collect();
            let acknowledged: Vec<_> = client.acknowledged.iter().map(Option::is_some).collect();
            format!("{sizes:?}, acknowledged {acknowledged:?}, on its way {:?}", client.under_way.as_ref().map(|u| u.0))
        };
        if let Some(finished) = &client.finished {
            // A file that `get` returned is there, at either level.
            let path = store.get(uid).unwrap_or_else(|error| panic!("{}: {error}", what())).path;
            assert!(std::fs::read(path).unwrap() == *finished, "{}", what());
        } else if promised == Durability::Chunk {
            // A byte is wrong if no client sent it. While a chunk is replaced, its old and its new bytes are right.
            if let Ok(answer) = store.get(uid) {
                let content = std::fs::read(answer.path).unwrap();
                let possible = |new: bool| -> Vec<u8> {
                    let chunk = |number: usize| match &client.under_way {
                        Some((under_way, content)) if new && *under_way == number => content.clone(),
                        _ => client.acknowledged[number].clone().unwrap_or_default(),
                    };
                    (0..pieces.len()).flat_map(chunk).collect()
                };
                assert!(content == possible(false) || content == possible(true), "{}", what());
            } else {
                // The client sends only chunks that were not acknowledged, or that are to be replaced.
                for (number, piece) in pieces.iter().enumerate() {
                    let kept = client.acknowledged[number].as_deref() == Some(piece);
                    if !kept || client.under_way.as_ref().is_some_and(|(under_way, _)| *under_way == number) {
                        send(&store, uid, machine.total, pieces.len(), number, piece);
                    }
                }
                let path = store.get(uid).unwrap_or_else(|error| panic!("{}: {error}", what())).path;
                assert!(std::fs::read(path).unwrap() == pieces.concat(), "{}", what());
            }
        }
        test_hooks::set_trust_tag(None);
        std::fs::remove_dir_all(root).unwrap();
    }
    assert!(seen.len() > 5, "only {} images", seen.len());
}

#[test]
fn at_level_chunk_every_acknowledged_chunk_survives() {
    let (file, other) = (bytes(350), seeded_bytes(350, 2));
    for sizes in CUTS {
        let pieces = cut(&file, sizes);
        let machine = Machine::new(&pieces);
        let mut uid = String::new();
        for number in [3, 1, 0, 2] {
            uid = machine.send(Durability::Chunk, &uid, number, pieces[number]);
        }
        // A repeat; other bytes; a longer chunk; a shorter one; and back.
        for (number, content) in [
            (1, pieces[1]),
            (0, &other[..pieces[0].len()]),
            (0, pieces[0]),
            (1, &other[..115]),
            (1, &other[..40]),
            (1, pieces[1]),
        ] {
            machine.send(Durability::Chunk, &uid, number, content);
        }
        assert_eq!(machine.get(Durability::Chunk, &uid), file);
        assert_eq!(machine.get(Durability::Chunk, &uid), file);
        check(&machine, &pieces, &uid, Durability::Chunk);
    }
}

/// Chunks from a lower level are synced before the first chunk at the higher level is acknowledged.
#[test]
fn raising_the_level_makes_durable_what_was_there() {
    let file = bytes(350);
    for sizes in CUTS {
        let pieces = cut(&file, sizes);
        let machine = Machine::new(&pieces);
        let mut uid = String::new();
        for number in [3, 1] {
            uid = machine.send(Durability::Process, &uid, number, pieces[number]);
        }
        machine.failures.borrow_mut().clear();
        machine.send(Durability::Chunk, &uid, 0, pieces[0]);
        // Before that answer nothing is promised. The level does not fall again.
        let answered = machine.failures.borrow().last().cloned().unwrap();
        machine.failures.replace(vec![answered]);
        machine.send(Durability::Process, &uid, 2, pieces[2]);
        assert_eq!(machine.get(Durability::Process, &uid), file);
        check(&machine, &pieces, &uid, Durability::Chunk);
    }
}

#[test]
fn at_level_complete_the_finished_file_survives() {
    let file = bytes(350);
    for (sizes, chunks) in CUTS.iter().flat_map(|sizes| [(sizes, Durability::Complete), (sizes, Durability::Process)]) {
        let pieces = cut(&file, sizes);
        let machine = Machine::new(&pieces);
        let mut uid = String::new();
        for number in [3, 1, 0, 2] {
            uid = machine.send(chunks, &uid, number, pieces[number]);
        }
        assert_eq!(machine.get(Durability::Complete, &uid), file);
        assert_eq!(machine.get(Durability::Process, &uid), file);
        check(&machine, &pieces, &uid, Durability::Complete);
    }
}

/// A file that was finished at a lower level is synced by the first `get` that promises more.
#[test]
fn a_file_finished_at_level_process_survives_once_get_promises_it() {
    let file = bytes(350);
    for (sizes, level) in CUTS.iter().flat_map(|sizes| [(sizes, Durability::Complete), (sizes, Durability::Chunk)]) {
        let pieces = cut(&file, sizes);
        let machine = Machine::new(&pieces);
        let mut uid = String::new();
        for number in [3, 1, 0, 2] {
            uid = machine.send(Durability::Process, &uid, number, pieces[number]);
        }
        assert_eq!(machine.get(Durability::Process, &uid), file);
        machine.client.borrow_mut().finished = None;
        machine.failures.borrow_mut().clear();
        assert_eq!(machine.get(level, &uid), file);
        check_finished(&machine, &uid, &file);
    }
}

/// A chunk of a finished file is repeated at a higher level. The file is synced before the answer.
#[test]
fn a_repeat_of_a_finished_file_s_chunk_is_as_durable_as_it_says() {
    let file = bytes(350);
    for sizes in CUTS {
        let pieces = cut(&file, sizes);
        let machine = Machine::new(&pieces);
        let mut uid = String::new();
        for number in [3, 1, 0, 2] {
            uid = machine.send(Durability::Process, &uid, number, pieces[number]);
        }
        machine.get(Durability::Process, &uid);
        machine.client.borrow_mut().finished = None;
        machine.send(Durability::Chunk, &uid, 1, pieces[1]);
        let answered = machine.failures.borrow().last().cloned().unwrap();
        let images = machine.disk.borrow().images();
        let client = Client { finished: Some(file.clone()), ..answered.1 };
        machine.failures.replace(images.into_iter().map(|image| (image, client.clone())).collect());
        check_finished(&machine, &uid, &file);
    }
}

/// Power loss lost the sector with the mark of the tail's end, and kept the sector with the slot of the last chunk
/// there. The next chunk must not get the same place, above all not over bytes that are trusted because they were
/// synced.
#[test]
fn a_stale_mark_of_the_tail() {
    let file = bytes(350);
    let pieces = cut(&file, CUTS[1]);
    for durability in [Durability::Process, Durability::Chunk] {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let mut uid = String::new();
        let name = "x".repeat(600); // so that no slot shares a sector with the records
        let mut before = Vec::new();
        for number in [1, 0, 3] {
            before = uid.is_empty().then(Vec::new).unwrap_or_else(|| std::fs::read(store.path(&uid, "state")).unwrap());
            let chunk = Chunk {
                upload_uid: &uid,
                file_name: &name,
                total_size: 350,
                chunk_number: number,
                chunk_count: 4,
                content: pieces[number as usize],
                ..Default::default()
            };
            uid = store.handle_chunk(&chunk).unwrap().upload_uid.to_string();
        }
        let mut state = std::fs::read(store.path(&uid, "state")).unwrap();
        assert_ne!(state[96..128], before[96..128], "the last chunk moved the tail");
        state[..512].copy_from_slice(&before[..512]);
        std::fs::write(store.path(&uid, "state"), state).unwrap();
        test_hooks::set_trust_tag(Some(Some(0xb007)));
        store.send_piece(&uid, &pieces, 2).unwrap();
        assert_eq!(store.content(&uid), file, "{durability:?}");
        test_hooks::set_trust_tag(None);
    }
}

/// The first `get` died after its rename. The second must still make the file durable before it returns it.
#[test]
fn a_get_that_died_does_not_leave_the_next_one_believing() {
    let file = bytes(350);
    for step in 0.. {
        let pieces = cut(&file, CUTS[1]);
        let machine = Machine::new(&pieces);
        let mut uid = String::new();
        for number in [3, 1, 0, 2] {
            uid = machine.send(Durability::Complete, &uid, number, pieces[number]);
        }
        let left = Rc::new(Cell::new(step));
        let counted = left.clone();
        let disk = machine.disk.clone();
        let dir = machine.root.join(&uid);
        let store = machine.store(Durability::Complete);
        test_hooks::set_hook(Some(Rc::new(move |name| {
            disk.borrow_mut().observe(&dir, name);
            counted.set(counted.get() - 1);
            // Every step after this one fails. For the disk, the process died here.
            if counted.get() < 0 { Err(std::io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
        })));
        let died = store.get(&uid).is_err();
        test_hooks::set_hook(None);
        assert_eq!(machine.get(Durability::Complete, &uid), file);
        check_finished(&machine, &uid, &file);
        if !died {
            break;
        }
    }
}

/// Checks the disks after `get` has returned.
fn check_finished(machine: &Machine, uid: &str, file: &[u8]) {
    let failures = machine.failures.borrow();
    let answered: Vec<_> = failures.iter().filter(|(_, client)| client.finished.is_some()).collect();
    assert!(!answered.is_empty());
    for (image, _) in answered {
        let store = TestStore::new();
        std::fs::create_dir_all(store.root().join(uid)).unwrap();
        for (name, content) in image {
            std::fs::write(store.path(uid, name), content.as_slice()).unwrap();
        }
        test_hooks::set_trust_tag(Some(Some(0xb007)));
        assert_eq!(store.content(uid), file);
        test_hooks::set_trust_tag(None);
    }
}

/// At level `process` nothing is synced, so the disk may have `state` from one moment and the other files from another.
/// Every such mixture of two moments, under a new trust tag, must lead to the right bytes or to chunks that can be sent
/// again.
#[test]
fn any_mixture_of_old_records_and_new_files() {
    let file = bytes(350);
    for sizes in CUTS {
        let pieces = cut(&file, sizes);
        let store = TestStore::new();
        let moments: Rc<Cell<usize>> = Rc::default();
        let moment_dir = |moment: usize| store.dir.path().join(format!("moment{moment}"));
        let mut uid = String::new();
        for number in [3, 1, 0, 2] {
            uid = store.send_piece(&uid, &pieces, number).unwrap().upload_uid.to_string();
            copy_directory(&store.root().join(&uid), &moment_dir(moments.replace(moments.get() + 1)));
        }
        let (from, to, count) = (store.root().join(&uid), store.dir.path().to_owned(), moments.clone());
        test_hooks::set_hook(Some(Rc::new(move |_| {
            copy_directory(&from, &to.join(format!("moment{}", count.replace(count.get() + 1))));
            Ok(())
        })));
        store.get(&uid).unwrap();
        test_hooks::set_hook(None);
        copy_directory(&store.root().join(&uid), &moment_dir(moments.replace(moments.get() + 1)));
        assert!(moments.get() > 7, "{}", moments.get());

        test_hooks::set_trust_tag(Some(Some(12345)));
        for old in 0..moments.get() {
            for new in 0..moments.get() {
                let what = format!("{sizes:?}: state of moment {old}, files of {new} of {}", moments.get());
                let mixed: PathBuf = store.root().join(&uid);
                std::fs::remove_dir_all(&mixed).unwrap();
                copy_directory(&moment_dir(new), &mixed);
                std::fs::copy(moment_dir(old).join("state"), mixed.join("state")).unwrap();
                match store.get(&uid) {
                    Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), file, "{what}"),
                    Err(Error::Incomplete { .. }) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
                for number in 0..pieces.len() {
                    if let Err(error) = store.send_piece(&uid, &pieces, number) {
                        panic!("{what}: chunk {number}: {error}");
                    }
                }
                assert_eq!(store.content(&uid), file, "{what}");
            }
        }
        test_hooks::set_trust_tag(None);
    }
}
