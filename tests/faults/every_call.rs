//! Every system call fails, once or from then on, in every call of the engine.
//!
//! After each failure there is a named error, no acknowledged chunk is lost, and no descriptor is leaked. Without the
//! fault the upload continues, and `cleanup` finds everything that is left.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::shim::{CREATE, EVERY, Fault, LOCK, OPEN, REMOVE, SHORT_WRITE, SYNC, Shim, TOUCH, WRITE};
use crate::common::{CUTS, TestStore, bytes, cut, entries, seeded_bytes};
use chunked_upload::{Chunk, Durability, Error, ErrorKind, Expiry, Options, Phase, Result};

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];

const FAULTS: [Fault; 10] = [
    Fault { errno: libc::EIO, kinds: EVERY, lasting: false },
    Fault { errno: libc::EIO, kinds: WRITE | SYNC | CREATE | REMOVE, lasting: true },
    Fault { errno: libc::ENOSPC, kinds: WRITE | CREATE | SYNC, lasting: false },
    Fault { errno: libc::ENOSPC, kinds: WRITE | CREATE | SYNC, lasting: true },
    Fault { errno: libc::EDQUOT, kinds: WRITE | CREATE, lasting: true },
    Fault { errno: libc::EMFILE, kinds: OPEN, lasting: true },
    Fault { errno: libc::ENOLCK, kinds: LOCK, lasting: true },
    Fault { errno: libc::EINTR, kinds: OPEN | WRITE | SYNC | LOCK, lasting: false },
    Fault { errno: SHORT_WRITE, kinds: WRITE, lasting: false },
    Fault { errno: libc::EROFS, kinds: WRITE | CREATE | REMOVE | TOUCH, lasting: true },
];

const KEY: &str = "a key of at least sixteen bytes";

/// An unfinished upload, and what its client knows.
struct Case {
    store: TestStore,
    uid: String,
    file: Vec<u8>,
    sizes: &'static [usize],
    acknowledged: Vec<usize>,
    digest: String,
    key: &'static str,
    destination: PathBuf,
    /// The directory of a destination on another file system.
    elsewhere: Option<tempfile::TempDir>,
}

impl Case {
    /// An upload with these chunks.
    fn new(options: Options, sizes: &'static [usize], keyed: bool, numbers: &[usize]) -> Case {
        use base64::Engine;
        use sha2::Digest;
        let file = bytes(350);
        let digest = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(&file));
        let store = TestStore::with(Options { min_free_space: 0, max_store_size: 100_000, ..options });
        let destination = store.dir.path().join("moved");
        let digest = format!("sha-256=:{digest}:");
        let key = if keyed { KEY } else { "" };
        let (uid, acknowledged, elsewhere) = (String::new(), vec![], None);
        let mut case = Case { store, uid, file, sizes, acknowledged, digest, key, destination, elsewhere };
        for &number in numbers {
            case.uid = case.send(number).unwrap();
            case.acknowledged.push(number);
        }
        case
    }

    fn send(&self, number: usize) -> Result<String> {
        self.send_bytes(number, cut(&self.file, self.sizes)[number])
    }

    fn send_bytes(&self, number: usize, content: &[u8]) -> Result<String> {
        let chunk = Chunk {
            upload_uid: &self.uid,
            upload_key: if self.uid.is_empty() { self.key.as_bytes() } else { b"" },
            file_name: "a.bin",
            total_size: 350,
            chunk_number: number as u64,
            chunk_count: 4,
            content,
            file_digest: &self.digest,
            ..Chunk::default()
        };
        self.store.handle_chunk(&chunk).map(|receipt| receipt.upload_uid.to_string())
    }

    /// Without the fault. Everything that was acknowledged is there, and the rest can be sent.
    fn recover(&mut self) {
        if self.uid.is_empty() && self.acknowledged.is_empty() {
            self.uid = self.send(1).unwrap();
            self.acknowledged.push(1);
        }
        let inspection = self.store.inspect(&self.uid, 0).unwrap();
        assert_ne!(inspection.phase, Phase::Gone);
        for &number in &self.acknowledged {
            let missing = inspection.missing.iter().any(|range| range.contains(&(number as u64)));
            assert!(!missing, "chunk {number} was acknowledged");
        }
        for number in (0..4).filter(|number| !self.acknowledged.contains(number)) {
            self.send(number).unwrap();
        }
        assert_eq!(std::fs::read(self.store.get(&self.uid).unwrap().path).unwrap(), self.file);
    }

    /// Cleanup finds everything that is left.
    fn clean(self) {
        for _ in 0..2 {
            assert_eq!(self.store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap().failed_count, 0);
        }
        // The store's own records stay. They belong to no upload.
        let left: Vec<_> =
            entries(self.store.root()).into_iter().filter(|n| n != "promised" && n != "secret").collect();
        assert_eq!(left, [""; 0]);
        let beside: Vec<_> = entries(self.store.dir.path()).into_iter().filter(|name| name.starts_with('.')).collect();
        assert_eq!(beside, [""; 0], "an unfinished copy");
    }
}

/// Checks that the error names the system's failure.
fn is_named(error: &Error, fault: Fault, call: &str) -> bool {
    match error.kind() {
        ErrorKind::NoSpace => [libc::ENOSPC, libc::EDQUOT].contains(&fault.errno),
        ErrorKind::Io => error.os_errno() == Some(fault.errno) || fault.errno == SHORT_WRITE,
        other => panic!("{call}: {other:?} {error}"),
    }
}

fn open_descriptors() -> usize {
    entries("/proc/self/fd".as_ref()).len()
}

/// `prepare` an upload, make a `call` with a fault in its n-th system call, for every n, level and fault, then
/// `recover`.
fn at_every_call(
    prepare: &dyn Fn(Options) -> Case,
    call: &dyn Fn(&mut Case) -> Result<()>,
    recover: &dyn Fn(&mut Case, bool),
) {
    let Some(shim) = Shim::load() else { return };
    let mut failed = std::collections::BTreeMap::<String, usize>::new();
    let mut errors = 0;
    for durability in LEVELS {
        for fault in FAULTS {
            for nth in 1.. {
                let mut case = prepare(Options { durability, ..Options::default() });
                let before = open_descriptors();
                let (answer, hit) = shim.with(nth, fault, || call(&mut case));
                let what = format!("{durability:?}, {fault:?}, number {nth}: {hit:?}, {:?}", answer.as_ref().err());
                assert_eq!(open_descriptors(), before, "{what}");
                let Some(hit) = hit else {
                    assert!(answer.is_ok(), "{what}");
                    break;
                };
                if let Err(error) = &answer {
                    assert!(is_named(error, fault, &what), "{what}");
                    errors += 1;
                }
                *failed.entry(hit).or_default() += 1;
                let recovered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    recover(&mut case, answer.is_ok());
                    case.clean();
                }));
                assert!(recovered.is_ok(), "{what}");
            }
        }
    }
    println!("{failed:?}, {errors} errors");
    // A cleanup returns few errors: it counts the uploads that it could not remove, and continues.
    assert!(failed.values().sum::<usize>() > 20 && errors > 0, "the faults reach the engine");
}

/// Tests a call that may lose nothing.
fn keeps_everything(prepare: &dyn Fn(Options) -> Case, call: &dyn Fn(&mut Case) -> Result<()>) {
    at_every_call(prepare, call, &|case, _| case.recover());
}

#[test]
fn the_first_chunk() {
    keeps_everything(&|options| Case::new(options, CUTS[0], false, &[]), &|case| {
        case.uid = case.send(3)?;
        case.acknowledged.push(3);
        Ok(())
    });
}

/// After an error, the same key leads to the same upload or a new one, but never to two.
#[test]
fn the_first_chunk_with_a_key() {
    keeps_everything(&|options| Case::new(options, CUTS[1], true, &[]), &|case| {
        case.uid = case.send(3)?;
        case.acknowledged.push(3);
        Ok(())
    });
}

#[test]
fn a_new_chunk_on_the_grid() {
    keeps_everything(&|options| Case::new(options, CUTS[0], false, &[2, 0]), &|case| {
        case.send(3)?;
        case.acknowledged.push(3);
        Ok(())
    });
}

#[test]
fn a_new_chunk_at_the_tail() {
    keeps_everything(&|options| Case::new(options, CUTS[1], false, &[2, 3]), &|case| {
        case.send(1)?;
        case.acknowledged.push(1);
        Ok(())
    });
}

#[test]
fn a_repeat() {
    keeps_everything(&|options| Case::new(options, CUTS[1], false, &[2, 3]), &|case| case.send(3).map(|_| ()));
}

/// Other bytes of the same size: after an error only this chunk's acknowledgement is void.
#[test]
fn other_bytes_of_the_same_size() {
    replaced(CUTS[0], 100);
}

#[test]
fn other_bytes_of_another_size() {
    replaced(CUTS[1], 115);
}

fn replaced(sizes: &'static [usize], size: usize) {
    let prepare = move |options| {
        let mut case = Case::new(options, sizes, false, &[2, 0, 3]);
        case.send_bytes(1, &seeded_bytes(size, 9)).unwrap();
        case.acknowledged.push(1);
        case
    };
    keeps_everything(&prepare, &|case| {
        case.acknowledged.retain(|&number| number != 1);
        case.send(1)?;
        case.acknowledged.push(1);
        Ok(())
    });
}

#[test]
fn getting_a_file_that_lies_in_place() {
    let prepare = |options| Case::new(options, CUTS[0], false, &[2, 0, 3, 1]);
    keeps_everything(&prepare, &|case| case.store.get(&case.uid).map(|_| ()));
}

#[test]
fn getting_a_file_that_must_be_rewritten() {
    let prepare = |options| Case::new(options, CUTS[1], true, &[2, 0, 3, 1]);
    keeps_everything(&prepare, &|case| case.store.get(&case.uid).map(|_| ()));
}

#[test]
fn getting_a_finished_file() {
    let prepare = |options| {
        let case = Case::new(Options { durability: Durability::Process, ..options }, CUTS[0], false, &[2, 0, 3, 1]);
        case.store.get(&case.uid).unwrap();
        case
    };
    keeps_everything(&prepare, &|case| case.store.get(&case.uid).map(|_| ()));
}

/// A failed read is not damage: no chunk is lost.
#[test]
fn verifying() {
    let prepare = |options| Case::new(options, CUTS[1], false, &[2, 0, 3]);
    keeps_everything(&prepare, &|case| {
        assert_eq!(case.store.verify(&case.uid)?.damaged_count, 0);
        Ok(())
    });
}

#[test]
fn inspecting_and_listing() {
    let prepare = |options| Case::new(options, CUTS[1], false, &[2, 0, 3]);
    keeps_everything(&prepare, &|case| {
        case.store.inspect(&case.uid, 0)?;
        case.store.list()?.collect::<Result<Vec<_>>>().map(|_| ())
    });
}

/// Moves to one file system or to another. The file is in the store, or whole at its place, or both. A repeated call
/// ends what the failed one began.
fn moving(elsewhere: bool) {
    let prepare = move |options| {
        let mut case = Case::new(options, CUTS[0], false, &[2, 0, 3, 1]);
        if elsewhere {
            let place = crate::common::other_file_system().unwrap();
            case.destination = place.path().join("moved");
            case.elsewhere = Some(place);
        }
        case
    };
    let call = |case: &mut Case| case.store.move_to(&case.uid, &case.destination, false).map(|_| ());
    at_every_call(&prepare, &call, &move |case, _| {
        if let Ok(there) = std::fs::read(&case.destination) {
            assert_eq!(there, case.file, "what is there is whole");
        }
        let moved = case.store.move_to(&case.uid, &case.destination, false).unwrap();
        assert_eq!(std::fs::read(&moved.path).unwrap(), case.file);
        assert_eq!(case.store.get(&case.uid).unwrap_err().kind(), ErrorKind::Gone);
        case.store.remove(&case.uid).unwrap();
        let place = moved.path.parent().unwrap();
        let names = entries(place);
        assert!(elsewhere && names == ["moved"] || !elsewhere && !names.iter().any(|name| name.starts_with('.')));
    });
}

#[test]
fn moving_within_a_file_system() {
    moving(false);
}

#[test]
fn moving_to_another_file_system() {
    if crate::common::other_file_system().is_some() {
        moving(true);
    }
}

/// An upload whose removal failed is whole or `not_found`.
#[test]
fn removing() {
    let prepare = |options| Case::new(options, CUTS[1], true, &[2, 0, 3, 1]);
    let call = |case: &mut Case| case.store.remove(&case.uid);
    at_every_call(&prepare, &call, &|case, removed| match case.store.get(&case.uid) {
        Ok(finished) => assert!(!removed && std::fs::read(finished.path).unwrap() == case.file),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
    });
}

#[test]
fn cleaning_up() {
    let prepare = |options| {
        let case = Case::new(options, CUTS[1], true, &[2, 0, 3, 1]);
        case.store.handle_chunk(&Chunk { total_size: 9, chunk_count: 2, content: b"x", ..Chunk::default() }).unwrap();
        case
    };
    let call = |case: &mut Case| case.store.cleanup(&Expiry::older_than(Duration::ZERO)).map(|_| ());
    at_every_call(&prepare, &call, &|case, _| match case.store.get(&case.uid) {
        Ok(finished) => assert!(std::fs::read(finished.path).unwrap() == case.file),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
    });
}
