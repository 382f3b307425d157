//! Checksums from clients, the whole file's digest, and reading again what is stored.

#![allow(clippy::single_range_in_vec_init)] // the tests compare lists of ranges

use std::cell::Cell;
use std::rc::Rc;

use crate::common::{CUTS, TestStore, bytes, cut, die_in, dies_at, seeded_bytes};
use base64::prelude::{BASE64_STANDARD, Engine};
use chunked_upload::{Chunk, Durability, ErrorKind, Options, Phase, Receipt, Result, test_hooks};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(bytes)))
}

fn chunk<'a>(uid: &'a str, pieces: &[&'a [u8]], number: usize) -> Chunk<'a> {
    Chunk {
        upload_uid: uid,
        total_size: pieces.iter().map(|piece| piece.len() as u64).sum(),
        chunk_number: number as u64,
        chunk_count: pieces.len() as u64,
        content: pieces[number],
        ..Chunk::default()
    }
}

/// Sends all pieces, the first one sent with the digest of the whole.
fn send_with_digest(store: &TestStore, pieces: &[&[u8]], order: &[usize], digest: &str) -> String {
    let mut uid = String::new();
    for &number in order {
        let file_digest = if uid.is_empty() { digest } else { "" };
        let sent: Result<Receipt> = store.handle_chunk(&Chunk { file_digest, ..chunk(&uid, pieces, number) });
        uid = sent.unwrap().upload_uid.to_string();
    }
    uid
}

#[test]
fn a_chunk_that_is_not_what_was_sent_changes_nothing() {
    let store = TestStore::new();
    let file = bytes(350);
    let pieces = cut(&file, CUTS[0]);
    let wrong = sha256(b"something else");
    let kind = |chunk: Chunk<'_>| store.handle_chunk(&chunk).map(|_| ()).map_err(|error| error.kind());
    let mismatch = Err(ErrorKind::ChecksumMismatch);
    assert_eq!(kind(Chunk { checksum: &wrong, ..chunk("", &pieces, 0) }), mismatch);
    assert_eq!(kind(Chunk { checksum: "md5=:AA==:", ..chunk("", &pieces, 0) }), Err(ErrorKind::InvalidArgument));
    assert!(!store.root().exists(), "a first chunk leaves nothing");
    let uid = store.send_piece("", &pieces, 0).unwrap().upload_uid.to_string();
    assert_eq!(kind(Chunk { checksum: &wrong, ..chunk(&uid, &pieces, 1) }), mismatch);
    assert_eq!(kind(Chunk { checksum: &wrong, ..chunk(&uid, &pieces, 0) }), mismatch);
    assert_eq!(store.inspect(&uid, 0).unwrap().missing, [1..4]);
    for number in 1..4 {
        let checksum = sha256(pieces[number]);
        assert_eq!(kind(Chunk { checksum: &checksum, ..chunk(&uid, &pieces, number) }), Ok(()));
    }
    assert_eq!(store.content(&uid), file);
    assert_eq!(kind(Chunk { checksum: &wrong, ..chunk(&uid, &pieces, 1) }), mismatch, "of a finished upload, too");
}

#[test]
fn the_file_must_be_what_the_first_chunk_declared() {
    for durability in [Durability::Process, Durability::Chunk] {
        for sizes in CUTS {
            let store = TestStore::with(Options { durability, ..Options::default() });
            let file = bytes(350);
            let pieces = cut(&file, sizes);
            let both = format!("{}, crc32c=:{}:", sha256(&file), BASE64_STANDARD.encode(crc(&file).to_be_bytes()));
            let uid = send_with_digest(&store, &pieces, &[2, 0, 3, 1], &both);
            let other = Chunk { file_digest: &sha256(b"other"), ..chunk(&uid, &pieces, 0) };
            assert_eq!(store.handle_chunk(&other).unwrap_err().kind(), ErrorKind::Conflict);
            store.handle_chunk(&Chunk { file_digest: &both, ..chunk(&uid, &pieces, 0) }).unwrap();
            assert_eq!(store.content(&uid), file);
        }
    }
}

/// The kernel may have dropped bytes that it could not write back. The file's checksum would only say that the file is
/// wrong. The chunk's own says which chunk to send again.
#[test]
fn a_damaged_chunk_is_missing_rather_than_the_file_wrong() {
    for sizes in CUTS {
        let store = TestStore::new();
        let file = bytes(350);
        let pieces = cut(&file, sizes);
        let uid = send_with_digest(&store, &pieces, &[2, 0, 3, 1], &sha256(&file));
        let data = store.root().join(&uid).join("data");
        let stored = std::fs::read(&data).unwrap();
        let at = (0..stored.len()).find(|&at| stored[at..].starts_with(pieces[2])).unwrap();
        std::fs::write(&data, [&stored[..at], &[!stored[at]], &stored[at + 1..]].concat()).unwrap();
        for _ in 0..2 {
            assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::Incomplete);
            assert_eq!(store.inspect(&uid, 0).unwrap().missing, [2..3]);
        }
        let another = store.send_piece(&uid, &pieces, 1).unwrap();
        assert!(!another.received_all, "one is missing");
        assert!(store.send_piece(&uid, &pieces, 2).unwrap().received_all);
        assert_eq!(store.content(&uid), file);
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let store = TestStore::new();
    store.finished(&store.send_all(bytes, bytes.len())).crc32c
}

#[test]
fn a_wrong_file_stays_open_until_it_is_repaired() {
    let file = bytes(350);
    let other = seeded_bytes(350, 7);
    let digests = [sha256(&file), format!("crc32c=:{}:", BASE64_STANDARD.encode(crc(&file).to_be_bytes()))];
    for digest in &digests {
        for sizes in CUTS {
            let (pieces, wrong) = (cut(&file, sizes), cut(&other, sizes));
            let store = TestStore::new();
            let mut mixed = pieces.clone();
            mixed[1] = wrong[1];
            let uid = send_with_digest(&store, &mixed, &[1, 0, 3, 2], digest);
            for _ in 0..2 {
                assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::ChecksumMismatch);
                let elsewhere = store.dir.path().join("elsewhere");
                assert_eq!(store.move_to(&uid, &elsewhere, false).unwrap_err().kind(), ErrorKind::ChecksumMismatch);
            }
            assert_eq!(store.inspect(&uid, 0).unwrap().phase, Phase::Receiving);
            store.send_piece(&uid, &pieces, 1).unwrap();
            assert_eq!(store.content(&uid), file);
        }
    }
}

/// An interrupted digest continues where it stopped. A finished one is not repeated. A replaced chunk voids it.
#[test]
fn the_progress_of_a_digest_is_kept() {
    const MIB: usize = 1 << 20;
    let file = bytes(24 * MIB);
    let sizes = [4 * MIB; 6];
    let pieces = cut(&file, &sizes);
    let store = TestStore::new();
    let uid = send_with_digest(&store, &pieces, &[0, 1, 2, 3, 4, 5], &sha256(b"wrong"));
    let records = |call: &dyn Fn()| {
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        test_hooks::set_hook(Some(Rc::new(move |step| {
            count.set(count.get() + u32::from(step == "hash:recorded"));
            Ok(())
        })));
        call();
        test_hooks::set_hook(None);
        seen.get()
    };
    die_in("hash:recorded", 3, || drop(store.get(&uid)));
    let get = || assert_eq!(store.get(&uid).unwrap_err().kind(), ErrorKind::ChecksumMismatch);
    // Where nothing is trusted, it begins again each time.
    let left = |count| if crate::common::volume_is_told() { count } else { 6 };
    assert_eq!(records(&get), left(2), "four of six were done");
    assert_eq!(records(&get), left(0), "all of it");
    store.send_piece(&uid, &pieces, 5).unwrap();
    assert_eq!(records(&get), left(0), "a repeat changes nothing");
    let other = seeded_bytes(4 * MIB, 9);
    let mut changed = pieces.clone();
    changed[3] = &other;
    store.send_piece(&uid, &changed, 3).unwrap();
    assert_eq!(records(&get), 6, "it begins again");
}

/// A digest that was begun over old bytes never passes, whichever chunk is replaced and whenever the call dies.
#[test]
fn no_death_lets_a_wrong_file_pass() {
    let file = bytes(350);
    let other = seeded_bytes(350, 7);
    for sizes in CUTS {
        let (pieces, wrong) = (cut(&file, sizes), cut(&other, sizes));
        for step in 0.. {
            let store = TestStore::new();
            let uid = send_with_digest(&store, &pieces, &[3, 0, 1, 2], &sha256(&file));
            // The call dies while completing. Then a chunk is replaced, and that call dies, too.
            dies_at(step / 8, |_| {}, || drop(store.get(&uid)));
            let replaced = dies_at(step % 8, |_| {}, || drop(store.send_piece(&uid, &wrong, 1)));
            match store.get(&uid) {
                Ok(finished) => assert_eq!(std::fs::read(finished.path).unwrap(), file),
                Err(error) => {
                    let kinds = [ErrorKind::ChecksumMismatch, ErrorKind::Incomplete];
                    assert!(kinds.contains(&error.kind()), "{error}");
                    store.send_piece(&uid, &pieces, 1).unwrap();
                    assert_eq!(store.content(&uid), file);
                }
            }
            if step == 207 {
                assert!(!replaced, "both calls get through now");
                break;
            }
        }
    }
}

/// Changes one byte of a stored file, without the engine.
fn damage(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn verify_names_damaged_chunks_and_asks_for_them_again() {
    for durability in [Durability::Process, Durability::Chunk] {
        let store = TestStore::with(Options { durability, ..Options::default() });
        let file = bytes(350);
        let pieces = cut(&file, CUTS[0]);
        let uid = store.send_pieces(&pieces, &[2, 0, 3]);
        let good = store.verify(&uid).unwrap();
        assert_eq!((good.phase, good.checked_count, good.damaged_count), (Phase::Receiving, 3, 0));
        damage(&store.path(&uid, "data"), 250);
        damage(&store.path(&uid, "data"), 349);
        let bad = store.verify(&uid).unwrap();
        assert_eq!((bad.checked_count, bad.damaged_count, &bad.damaged[..]), (3, 2, &[2..4][..]));
        let seen = store.inspect(&uid, 0).unwrap();
        assert_eq!((&seen.missing[..], seen.received_count), (&[1..4][..], 1), "they are missing now");
        for number in [1, 2] {
            assert!(!store.send_piece(&uid, &pieces, number).unwrap().received_all);
        }
        assert!(store.send_piece(&uid, &pieces, 3).unwrap().received_all);
        assert_eq!(store.content(&uid), file);
    }
}

#[test]
fn verify_only_reports_on_a_finished_file() {
    // Where nothing is trusted, `get` would find the damage, too.
    test_hooks::set_trust_tag(Some(Some(100)));
    let store = TestStore::new();
    let file = bytes(350);
    let uid = store.send_pieces(&cut(&file, CUTS[1]), &[3, 2, 1, 0]);
    let path = store.finished(&uid).path;
    let good = store.verify(&uid).unwrap();
    assert_eq!((good.phase, good.checked_count, good.damaged_count), (Phase::Complete, 4, 0));
    damage(&path, 95);
    let changed = std::fs::read(&path).unwrap();
    let bad = store.verify(&uid).unwrap();
    assert_eq!((bad.damaged_count, &bad.damaged[..]), (1, &[1..2][..]), "90 + 5");
    assert_eq!(std::fs::read(&path).unwrap(), changed);
    assert_eq!(store.get(&uid).unwrap().path, path, "what to do is its owner's to decide");
    std::fs::write(&path, &file[..100]).unwrap();
    assert_eq!(store.verify(&uid).unwrap().damaged, [1..4]);
    std::fs::write(&path, [&file[..], b"more"].concat()).unwrap();
    assert_eq!(store.verify(&uid).unwrap().damaged, [3..4]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(store.verify(&uid).unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(store.verify("unknown").unwrap_err().kind(), ErrorKind::NotFound);
}

/// Chunks come in, and the upload is completed, while it is being verified.
#[test]
fn verify_stands_beside_senders_and_completers() {
    for round in 0..20 {
        let store = TestStore::new();
        let file = seeded_bytes(64 * 100, round);
        let pieces = cut(&file, &[100; 64]);
        let uid = store.first(&file, 100, 0);
        std::thread::scope(|scope| {
            let verifier = scope.spawn(|| {
                loop {
                    let verified = store.verify(&uid).unwrap();
                    assert_eq!(verified.damaged_count, 0);
                    if verified.phase == Phase::Complete {
                        return verified.checked_count;
                    }
                }
            });
            for number in 1..64 {
                store.send_piece(&uid, &pieces, number).unwrap();
            }
            assert_eq!(std::fs::read(store.get(&uid).unwrap().path).unwrap(), file);
            assert_eq!(verifier.join().unwrap(), 64);
        });
    }
}
