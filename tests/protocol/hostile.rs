//! Runs the kept inputs of the fuzzers, and random ones: see `tests/common/hostile.rs`.

use crate::common::{entries, hostile, seeded_bytes};

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let kept = entries(&corpus);
    assert!(!kept.is_empty());
    for name in kept {
        println!("{name}");
        run(&std::fs::read(corpus.join(name)).unwrap());
    }
}

#[test]
fn states_that_were_kept() {
    replay("state", hostile::state);
}

#[test]
fn requests_that_were_kept() {
    replay("request", hostile::request);
}

#[test]
fn texts_that_were_kept() {
    replay("texts", hostile::texts);
}

/// Changes each byte of each text to some other bytes, and tries random texts.
#[test]
fn changed_texts() {
    let kinds = [0, 1, 2, 3, 6, 7, 0x42, 0x43];
    for (index, at) in (0..8).flat_map(|index| (0..80).map(move |at| (index, at))) {
        println!("kind {} at {at}", kinds[index]);
        let value = b"=:,A Z/\xff"[usize::from(at) % 8];
        hostile::texts(&[kinds[index], at, at, value]);
    }
    for seed in 1..1000 {
        println!("seed {seed}");
        hostile::texts(&seeded_bytes(1 + seed as usize % 10, seed));
    }
}

#[test]
fn random_states() {
    for seed in 1..2000 {
        let mut input = seeded_bytes(1 + seed as usize % 40, seed);
        // Most inputs are changes to a right one.
        if seed % 8 != 0 {
            input[0] &= !8;
        }
        println!("seed {seed}");
        hostile::state(&input);
    }
}
