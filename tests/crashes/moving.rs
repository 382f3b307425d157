//! The finished file arrives at its permanent place once and whole, whichever call dies.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::{CUTS, TestStore, bytes, cut, die_in, dies_at, entries, seeded_bytes};
use chunked_upload::{Durability, ErrorKind, Options, Phase, Store, test_hooks};

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];

/// A directory on the store's file system, or on another one.
struct Elsewhere(tempfile::TempDir);

impl Elsewhere {
    /// `None`, with a message, where there is no other file system.
    fn new(store: &TestStore, other: bool) -> Option<Elsewhere> {
        let near = || tempfile::tempdir_in(store.dir.path()).ok();
        if other { crate::common::other_file_system() } else { near() }.map(Elsewhere)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn entries(&self) -> Vec<String> {
        entries(self.0.path())
    }
}

/// An upload of 350 bytes with all chunks, not completed yet.
fn upload(store: &TestStore) -> (String, Vec<u8>) {
    let file = bytes(350);
    (store.send_pieces(&cut(&file, CUTS[1]), &[2, 0, 3, 1]), file)
}

#[test]
fn a_moved_file_is_at_its_place_and_gone_from_the_store() {
    for other in [false, true] {
        for durability in LEVELS {
            let store = TestStore::with(Options { durability, ..Options::default() });
            let Some(elsewhere) = Elsewhere::new(&store, other) else { return };
            let (uid, file) = upload(&store);
            let to = elsewhere.path("report.pdf");
            let moved = store.move_to(&uid, &to, false).unwrap();
            assert_eq!((&moved.path, moved.total_size, moved.file_name.as_str()), (&to, 350, "a.bin"));
            assert_eq!(std::fs::read(&to).unwrap(), file);
            assert_eq!(elsewhere.entries(), ["report.pdf"]);
            assert_eq!(entries(&store.root().join(&uid)), ["claim", "state"], "a tombstone");
            assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
            assert_eq!(store.send_piece(&uid, &cut(&file, CUTS[1]), 0).unwrap_err().kind(), ErrorKind::Gone);
            assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Gone);
            assert_eq!(store.move_to(&uid, &to, false).unwrap(), moved, "the same again");
            let roundabout =
                elsewhere.0.path().join("..").join(elsewhere.0.path().file_name().unwrap()).join("report.pdf");
            assert!(store.move_to(&uid, roundabout, false).is_ok(), "however it is spelled");
            assert_eq!(store.move_to(&uid, elsewhere.path("other"), true).unwrap_err().kind(), ErrorKind::Gone);
            std::fs::remove_file(&to).unwrap();
            assert_eq!(store.move_to(&uid, &to, true).unwrap_err().kind(), ErrorKind::Gone, "it was moved on");
            assert_eq!(elsewhere.entries(), [""; 0]);
        }
    }
}

#[test]
fn nothing_is_overwritten_unless_told_to() {
    for other in [false, true] {
        let store = TestStore::new();
        let Some(elsewhere) = Elsewhere::new(&store, other) else { return };
        let (uid, file) = upload(&store);
        let to = elsewhere.path("taken");
        std::fs::write(&to, b"another program's").unwrap();
        for _ in 0..2 {
            let error = store.move_to(&uid, &to, false).unwrap_err();
            assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EEXIST)), "{error}");
            assert_eq!(error.path().map(|path| path.file_name()), Some(to.file_name()));
        }
        let dangling = elsewhere.path("dangling");
        std::os::unix::fs::symlink(elsewhere.path("nowhere"), &dangling).unwrap();
        assert_eq!(store.move_to(&uid, &dangling, false).unwrap_err().os_errno(), Some(libc::EEXIST));
        std::fs::create_dir(elsewhere.path("directory")).unwrap();
        for overwrite in [false, true] {
            assert!(store.move_to(&uid, elsewhere.path("directory"), overwrite).is_err());
        }
        assert_eq!(std::fs::read(&to).unwrap(), b"another program's");
        assert_eq!(elsewhere.entries(), ["dangling", "directory", "taken"], "nothing is left");
        assert_eq!(store.content(&uid), file, "and the upload is what it was");
        assert_eq!(std::fs::read(store.move_to(&uid, &to, true).unwrap().path).unwrap(), file);
        assert_eq!(elsewhere.entries(), ["dangling", "directory", "taken"]);
    }
}

#[test]
fn what_cannot_be_moved_stays() {
    let store = TestStore::new();
    let (uid, file) = upload(&store);
    let kind = |to: &Path| store.move_to(&uid, to, false).unwrap_err().kind();
    assert_eq!(kind(Path::new("")), ErrorKind::InvalidArgument);
    assert_eq!(kind(Path::new("/")), ErrorKind::InvalidArgument);
    assert_eq!(kind(&store.dir.path().join("..")), ErrorKind::InvalidArgument);
    assert_eq!(kind(&store.dir.path().join("a/")), ErrorKind::InvalidArgument);
    assert_eq!(kind(&store.dir.path().join("a\0")), ErrorKind::InvalidArgument);
    assert_eq!(kind(&store.path(&uid, "mine")), ErrorKind::InvalidArgument, "in its own directory");
    let another = store.send_all(&bytes(100), 100);
    assert_eq!(kind(&store.path(&another, "data")), ErrorKind::InvalidArgument, "in another's directory");
    assert_eq!(kind(&store.root().join("secret")), ErrorKind::InvalidArgument, "in the place of the store's secret");
    assert_eq!(kind(&store.dir.path().join("no such directory/x")), ErrorKind::Io);
    assert_eq!(store.content(&uid), file);
    let incomplete = store.first(&file, 100, 0);
    let to = store.dir.path().join("to");
    assert_eq!(store.move_to(&incomplete, &to, false).unwrap_err().kind(), ErrorKind::Incomplete);
    std::fs::remove_file(store.finished(&uid).path).unwrap();
    assert_eq!(store.move_to(&uid, &to, false).unwrap_err().kind(), ErrorKind::Gone, "its owner took it");
    assert!(!to.exists());
}

/// The call dies at every step. Then the same destination or another one succeeds, or the upload is gone and the file
/// is at the first.
#[test]
fn dying_at_any_step_leaves_one_file() {
    for other in [false, true] {
        for durability in LEVELS {
            for to_another in [false, true] {
                for step in 0.. {
                    let store = TestStore::with(Options { durability, ..Options::default() });
                    let Some(elsewhere) = Elsewhere::new(&store, other) else { return };
                    let (uid, file) = upload(&store);
                    let (first, second) = (elsewhere.path("first"), elsewhere.path("second"));
                    let died = dies_at(step, |_| {}, || drop(store.move_to(&uid, &first, false).unwrap()));
                    let place = if !to_another {
                        store.move_to(&uid, &first, false).unwrap().path
                    } else {
                        match store.move_to(&uid, &second, false) {
                            Ok(moved) => moved.path,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Gone);
                                first
                            }
                        }
                    };
                    assert_eq!(std::fs::read(&place).unwrap(), file);
                    assert_eq!(elsewhere.entries(), [place.file_name().unwrap().to_str().unwrap()], "step {step}");
                    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Gone);
                    if !died {
                        assert!(step >= 4, "{step}");
                        break;
                    }
                }
            }
        }
    }
}

/// A removal removes the part that a dead copy left at its destination, wherever it died. A file that has appeared
/// stays.
#[test]
fn a_copy_that_died_is_removed_with_its_upload() {
    let mut left_over = 0;
    for step in 0.. {
        let store = TestStore::new();
        let Some(elsewhere) = Elsewhere::new(&store, true) else { return };
        let (uid, file) = upload(&store);
        let died = dies_at(step, |_| {}, || drop(store.move_to(&uid, elsewhere.path("to"), false)));
        left_over += elsewhere.entries().iter().filter(|name| name.ends_with(".part")).count();
        store.remove(&uid).unwrap();
        match &elsewhere.entries()[..] {
            [] => assert!(died),
            [name] => assert_eq!((name.as_str(), std::fs::read(elsewhere.path("to")).unwrap()), ("to", file)),
            more => panic!("step {step}: {more:?}"),
        }
        if !died {
            break;
        }
    }
    assert!(left_over >= 2);
}

/// The caller of a move died before the move was on disk. A repeated call syncs it.
#[test]
fn a_repeated_move_is_as_durable_as_the_first() {
    use std::cell::Cell;
    use std::rc::Rc;
    for (durability, least) in [(Durability::Process, 0), (Durability::Complete, 1), (Durability::Chunk, 1)] {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let (uid, _) = upload(&store);
        let to = store.dir.path().join("to");
        die_in("move:renamed", 0, || drop(store.move_to(&uid, &to, false)));
        let syncs = Rc::new(Cell::new(0));
        let count = syncs.clone();
        chunked_upload::test_hooks::set_hook(Some(Rc::new(move |step| {
            count.set(count.get() + u32::from(step == "synced:names"));
            Ok(())
        })));
        store.move_to(&uid, &to, false).unwrap();
        chunked_upload::test_hooks::set_hook(None);
        assert_eq!(syncs.get(), least, "{durability:?}");
    }
}

/// After power loss at the lowest level the mark may be on disk without the rename. Then the file is there, and is
/// moved again.
#[test]
fn a_move_that_power_loss_took_is_made_again() {
    let store = TestStore::new();
    let Some(elsewhere) = Elsewhere::new(&store, false) else { return };
    let (uid, file) = upload(&store);
    let (to, other) = (elsewhere.path("to"), elsewhere.path("other"));
    store.move_to(&uid, &to, false).unwrap();
    std::fs::rename(&to, store.path(&uid, "file")).unwrap();
    assert_eq!(std::fs::read(store.move_to(&uid, &other, false).unwrap().path).unwrap(), file);
    assert_eq!(elsewhere.entries(), ["other"]);
    assert_eq!(store.move_to(&uid, &to, false).unwrap_err().kind(), ErrorKind::Gone);
}

/// Power loss loses the name of a moved file in the upload, but not the file at its destination.
#[test]
fn a_moved_file_whose_name_is_lost_was_moved_all_the_same() {
    let store = TestStore::new();
    let (uid, file) = upload(&store);
    let destination = store.dir.path().join("moved");
    store.move_to(&uid, &destination, false).unwrap();
    let state = std::fs::File::options().write(true).open(store.path(&uid, "state")).unwrap();
    state.write_all_at(&[0; 5], 512).unwrap();
    test_hooks::set_trust_tag(Some(Some(99)));
    let again = store.move_to(&uid, &destination, false).unwrap();
    assert_eq!((again.file_name.as_str(), std::fs::read(again.path).unwrap()), ("", file));
    assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Gone);
    assert!(store.list().unwrap().all(|listed| listed.is_ok()));
    test_hooks::set_trust_tag(None);
}

/// An interrupted copy between file systems continues where it stopped.
#[test]
fn a_long_copy_goes_on() {
    use std::cell::Cell;
    use std::rc::Rc;
    const SIZE: usize = 150 << 20;
    let store = TestStore::new();
    let Some(elsewhere) = Elsewhere::new(&store, true) else { return };
    let file = bytes(SIZE);
    let uid = store.send_all(&file, SIZE / 3);
    let to = elsewhere.path("to");
    die_in("move:copied", 1, || drop(store.move_to(&uid, &to, false)));
    let pieces = Rc::new(Cell::new(0));
    let count = pieces.clone();
    chunked_upload::test_hooks::set_hook(Some(Rc::new(move |step| {
        count.set(count.get() + u32::from(step == "move:copied"));
        Ok(())
    })));
    store.move_to(&uid, &to, false).unwrap();
    chunked_upload::test_hooks::set_hook(None);
    assert_eq!(pieces.get(), 1, "two of three were done");
    assert!(std::fs::read(&to).unwrap() == file);
}

#[test]
fn of_many_callers_one_wins() {
    for round in 0..20 {
        let store = TestStore::new();
        let Some(elsewhere) = Elsewhere::new(&store, round % 2 == 1) else { return };
        let (uid, file) = upload(&store);
        let start = std::sync::Barrier::new(8);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|caller| {
                    // Two callers for each destination.
                    let to = elsewhere.path(&format!("to {}", caller / 2));
                    let (store, uid, start): (&Store, _, _) = (&store, &uid, &start);
                    scope.spawn(move || {
                        start.wait();
                        store.move_to(uid, to, false)
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).map(|moved| &moved.path).collect();
        assert_eq!(won.len(), 2, "one destination, twice");
        assert_eq!(won[0], won[1]);
        assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(|e| e.kind() == ErrorKind::Gone));
        assert_eq!(elsewhere.entries().len(), 1);
        assert_eq!(std::fs::read(won[0]).unwrap(), file);
    }
}

/// A container may reach an upload's own directory by another path. There the copy would replace the original.
#[test]
fn nothing_is_moved_into_its_own_directory_by_another_name() {
    let store = TestStore::new();
    let (uid, file) = upload(&store);
    let there = store.dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let own = store.root().join(&uid);
    if !crate::common::succeeds("mount", &["--bind", own.to_str().unwrap(), there.to_str().unwrap()]) {
        crate::common::skip("may not mount here");
        return;
    }
    let moved = store.move_to(&uid, there.join("file"), true);
    assert!(crate::common::unmount(&there));
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(store.content(&uid), file);
}

/// A cleaner removed a killed call's copy, and its inode is now another file's, at the destination.
#[test]
fn another_file_with_the_copy_s_inode_is_not_taken_for_it() {
    let file = bytes(1000);
    let store = TestStore::new();
    let Some(elsewhere) = Elsewhere::new(&store, true) else { return };
    let uid = store.send_all(&file, 100);
    let destination = elsewhere.0.path().join("moved");
    die_in("move:copied", 0, || drop(store.move_to(&uid, &destination, true)));
    let part = elsewhere.0.path().join(&entries(elsewhere.0.path())[0]);
    // This keeps the inode, whatever the file system does with free ones.
    std::fs::write(&part, b"an older version").unwrap();
    std::fs::rename(&part, &destination).unwrap();
    assert_eq!(store.move_to(&uid, &destination, false).unwrap_err().os_errno(), Some(libc::EEXIST));
    store.move_to(&uid, &destination, true).unwrap();
    assert_eq!(std::fs::read(&destination).unwrap(), file);
}

/// A call was killed while it copied. Since then the upload was receiving again, and got other bytes.
#[test]
fn a_copy_of_the_file_before_is_not_gone_on_with() {
    let (old, new) = (bytes(1000), seeded_bytes(1000, 2));
    let store = TestStore::new();
    let Some(elsewhere) = Elsewhere::new(&store, true) else { return };
    let uid = store.send_all(&old, 100);
    let destination = elsewhere.0.path().join("moved");
    die_in("move:copied", 0, || drop(store.move_to(&uid, &destination, true)));
    std::fs::File::options().write(true).open(store.finished(&uid).path).unwrap().set_len(950).unwrap();
    assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Incomplete);
    for number in 0..10 {
        store.send(&uid, &new, 100, number).unwrap();
    }
    assert_eq!(store.content(&uid), new);
    store.move_to(&uid, &destination, true).unwrap();
    assert!(std::fs::read(&destination).unwrap() == new);
}
