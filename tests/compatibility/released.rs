//! Stores that released versions wrote open for ever. See `tests/stores/README.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{CUTS, bytes, copy_directory, cut, entries};
use chunked_upload::{Chunk, ErrorKind, Expiry, Options, Phase, Store};

struct Kept {
    uid: String,
    sizes: &'static [usize],
    phase: Phase,
    owner: Option<&'static str>,
    acknowledged: Vec<u64>,
}

/// A copy of a kept store, in which files may be changed, and its uploads.
fn copy_of(version: &Path) -> (tempfile::TempDir, Vec<Kept>) {
    let dir = tempfile::tempdir().unwrap();
    for name in entries(version) {
        match version.join(&name) {
            path if path.is_dir() => copy_directory(&path, &dir.path().join(name)),
            path if name != "uploads.txt" => drop(std::fs::copy(path, dir.path().join(name)).unwrap()),
            _ => {}
        }
    }
    let text = std::fs::read_to_string(version.join("uploads.txt")).unwrap();
    let kept = text.lines().map(|line| {
        let [uid, sizes, what, numbers] = line.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        Kept {
            uid: uid.to_owned(),
            sizes: CUTS[["grid", "uneven"].iter().position(|name| *name == sizes).unwrap()],
            phase: [Phase::Receiving, Phase::Complete, Phase::Gone]
                .into_iter()
                .find(|phase| what.starts_with(phase.name()))
                .unwrap(),
            owner: what.ends_with("of alice").then_some("alice"),
            acknowledged: numbers.split(',').filter_map(|number| number.parse().ok()).collect(),
        }
    });
    (dir, kept.collect())
}

fn versions() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores");
    let versions: Vec<_> =
        entries(&root).into_iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect();
    assert!(versions.len() >= 2);
    versions
}

/// Opens the store for an upload's owner.
fn handle(dir: &Path, owner: Option<&str>) -> Store {
    let store = Store::open(dir, Options::default()).unwrap();
    owner.map_or(store.clone(), |owner| store.for_owner(owner.as_bytes()).unwrap())
}

#[test]
fn every_upload_is_what_it_was_and_can_be_finished() {
    let file = bytes(350);
    for version in versions() {
        let (dir, kept) = copy_of(&version);
        assert!(kept.len() >= 20, "{}", version.display());
        for upload in &kept {
            let what = format!("{} in {}", upload.uid, version.display());
            let store = handle(dir.path(), upload.owner);
            let inspection = store.inspect(&upload.uid, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((inspection.phase, inspection.file_name.as_str()), (upload.phase, "a.bin"), "{what}");
            if upload.phase == Phase::Gone {
                assert_eq!(store.get(&upload.uid).unwrap_err().kind(), ErrorKind::Gone, "{what}");
                continue;
            }
            assert_eq!(inspection.received_count, upload.acknowledged.len() as u64, "{what}");
            // The stores were written before a reboot. The bytes are read again, and none is damaged.
            assert_eq!(store.verify(&upload.uid).unwrap().damaged_count, 0, "{what}");
            let pieces = cut(&file, upload.sizes);
            for number in (0..4).filter(|number| !upload.acknowledged.contains(number)) {
                let chunk = Chunk {
                    upload_uid: &upload.uid,
                    total_size: 350,
                    chunk_number: number,
                    chunk_count: 4,
                    content: pieces[number as usize],
                    ..Chunk::default()
                };
                store.handle_chunk(&chunk).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            assert_eq!(std::fs::read(store.get(&upload.uid).unwrap().path).unwrap(), file, "{what}");
        }
    }
}

/// Without other calls before it, `get` returns the file of each upload that has all chunks.
#[test]
fn what_is_complete_comes_out() {
    for version in versions() {
        let (dir, kept) = copy_of(&version);
        for upload in kept.iter().filter(|upload| upload.acknowledged.len() == 4) {
            let finished = handle(dir.path(), upload.owner).get(&upload.uid).unwrap();
            assert_eq!(std::fs::read(finished.path).unwrap(), bytes(350));
        }
    }
}

/// A key leads to the upload that an earlier version began under it: the store's secret is still read.
#[test]
fn keys_lead_to_their_uploads() {
    let version = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/v0.2");
    let (dir, kept) = copy_of(&version);
    let store = handle(dir.path(), None);
    for (cut, level) in [("grid", "process"), ("uneven", "process"), ("grid", "chunk"), ("uneven", "chunk")] {
        let uid = store.uid_for_key(format!("the key of {cut} at level {level}").as_bytes()).unwrap().to_string();
        assert!(kept.iter().any(|upload| upload.uid == uid), "{cut} {level}");
    }
}

#[test]
fn an_administrator_lists_and_removes_them() {
    for version in versions() {
        let (dir, kept) = copy_of(&version);
        let store = Store::open(dir.path(), Options { all_owners: true, ..Options::default() }).unwrap();
        assert_eq!(store.list().unwrap().map(Result::unwrap).count(), kept.len());
        let cleaned = store.cleanup(&Expiry::older_than(Duration::ZERO)).unwrap();
        assert_eq!((cleaned.removed.len(), cleaned.failed_count), (kept.len(), 0));
        let left: Vec<_> = entries(dir.path()).into_iter().filter(|name| name != "secret").collect();
        assert_eq!(left, [""; 0]);
    }
}
