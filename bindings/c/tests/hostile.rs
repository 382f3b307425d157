//! The fuzzer's programs that are kept, and random ones: see `hostile/mod.rs`.

#[path = "hostile/mod.rs"]
mod hostile;

use std::path::{Path, PathBuf};

/// The programs that are kept.
fn kept() -> Vec<(PathBuf, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/c_calls");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn programs_that_were_kept() {
    let kept = kept();
    assert!(!kept.is_empty());
    for (path, program) in kept {
        println!("{}", path.display());
        hostile::calls(&program);
    }
}

/// Mostly kept ones with changes.
#[test]
fn random_programs() {
    let kept = kept();
    for seed in 1_u64..300 {
        println!("seed {seed}");
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 20) as usize % limit
        };
        let mut program = kept[below(kept.len())].1.clone();
        for _ in 0..below(12) {
            let at = below(program.len() + 1);
            match below(3) {
                0 => drop(program.drain(at..program.len().min(at + 1 + below(8)))),
                1 => program.insert(at, below(256) as u8),
                _ => {
                    let from = &kept[below(kept.len())].1;
                    let start = below(from.len());
                    let piece = &from[start..from.len().min(start + 1 + below(60))];
                    program.splice(at..at, piece.iter().copied());
                }
            }
        }
        hostile::calls(&program);
    }
}
