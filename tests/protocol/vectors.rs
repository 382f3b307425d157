//! Replays the transcripts in `tests/vectors` through the Rust API.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use crate::common::{TestStore, entries};
use chunked_upload::{
    Chunk, Cleaned, Durability, Error, Expiry, Finished, Inspection, Options, Phase, Receipt, Result, Store,
    Verification,
};
use serde_json::Value;

#[test]
fn every_transcript_holds() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut replayed = 0;
    for name in entries(&vectors).iter().filter(|name| name.ends_with(".json")) {
        let text = std::fs::read_to_string(vectors.join(name)).unwrap();
        replay(name, &serde_json::from_str(&text).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0);
}

fn replay(name: &str, transcript: &Value) {
    let base = TestStore::with(options(&transcript["options"]));
    let mut saved: HashMap<String, String> = HashMap::new();
    let steps = transcript["steps"].as_array().unwrap();
    for (number, step) in steps.iter().enumerate() {
        let what = format!("{name}, step {number}: {step}");
        let uid_of = |member: &str| {
            let text = step[member].as_str().unwrap_or("");
            text.strip_prefix('$').map_or_else(|| text.to_owned(), |variable| saved[variable].clone())
        };
        let store = match step["owner"].as_str() {
            Some(owner) => &base.for_owner(owner.as_bytes()).expect(&what),
            None => &base.store,
        };
        let (expect, uid) = (&step["expect"], uid_of("uid"));
        match step["call"].as_str().unwrap() {
            "handle_chunk" => {
                let answer = store.handle_chunk(&Chunk {
                    upload_uid: &uid_of("upload_uid"),
                    file_name: step["file_name"].as_str().unwrap_or(""),
                    total_size: step["total_size"].as_u64().unwrap(),
                    chunk_number: step["chunk_number"].as_u64().unwrap(),
                    chunk_count: step["chunk_count"].as_u64().unwrap(),
                    content: &content(&step["content"]),
                    upload_key: step["upload_key"].as_str().unwrap_or("").as_bytes(),
                    checksum: step["checksum"].as_str().unwrap_or(""),
                    file_digest: step["file_digest"].as_str().unwrap_or(""),
                });
                check(&what, expect, &answer, receipt_fact);
                if let (Ok(receipt), Some(variable)) = (answer, step["save_uid"].as_str()) {
                    saved.insert(variable.into(), receipt.upload_uid.to_string());
                }
            }
            "uid_for_key" => {
                let answer = store.uid_for_key(step["upload_key"].as_str().unwrap().as_bytes());
                check(&what, expect, &answer, |_, other, _| panic!("a uid has no {other}"));
                if let (Ok(uid), Some(variable)) = (answer, step["save_uid"].as_str()) {
                    saved.insert(variable.into(), uid.to_string());
                }
            }
            "same" => assert_eq!(uid, uid_of("other"), "{what}"),
            "get" => check(&what, expect, &store.get(&uid), finished_fact),
            "inspect" => {
                let from_chunk = step["from_chunk"].as_u64().unwrap_or(0);
                check(&what, expect, &store.inspect(&uid, from_chunk), inspection_fact);
            }
            "verify" => check(&what, expect, &store.verify(&uid), verification_fact),
            "damage" => {
                let path = base.path(&uid, step["name"].as_str().unwrap());
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[step["at"].as_u64().unwrap() as usize] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
            "move_to" => {
                let destination = base.dir.path().join(step["destination"].as_str().unwrap());
                let overwrite = step["overwrite"].as_bool().unwrap_or(false);
                check(&what, expect, &store.move_to(&uid, destination, overwrite), finished_fact);
            }
            "remove" => check(&what, expect, &store.remove(&uid), |(), other, _| panic!("nothing has no {other}")),
            "cleanup" => {
                let dry_run = step["dry_run"].as_bool().unwrap_or(false);
                let expiry = Expiry { dry_run, ..Expiry::older_than(Duration::ZERO) };
                check(&what, expect, &store.cleanup(&expiry), cleaned_fact);
            }
            "list" => {
                let uploads = store.list().unwrap().map(Result::unwrap).count();
                assert_eq!(expect["uploads"].as_u64().unwrap_or(uploads as u64), uploads as u64, "{what}");
                if let Some(expected) = expect["entries"].as_u64() {
                    assert_eq!(expected, entries(store.root()).len() as u64, "{what}");
                }
            }
            "take" => {
                // `get` is not called for a finished file: it would find the damage where the kernel does not tell the
                // volume.
                let path = base.path(&uid, "file");
                if !path.exists() {
                    store.get(&uid).expect(&what);
                }
                std::fs::rename(path, base.dir.path().join(format!("taken{number}"))).unwrap();
            }
            other => panic!("{what}: no call {other}"),
        }
    }
}

fn options(given: &Value) -> Options {
    let mut options = Options::default();
    for (name, value) in given.as_object().into_iter().flatten() {
        let number = value.as_u64().unwrap_or(0);
        let text = value.as_str().unwrap_or("");
        match name.as_str() {
            "max_total_size" => options.max_total_size = number,
            "max_chunk_count" => options.max_chunk_count = number,
            "max_store_size" => options.max_store_size = number,
            "max_uploads" => options.max_uploads = number,
            "all_owners" => options.all_owners = value.as_bool().unwrap(),
            "min_free_space" => options.min_free_space = number,
            "durability" => options.durability = Durability::from_name(text).unwrap(),
            "prefix" => options.prefix = text.into(),
            "dir_mode" => options.dir_mode = number as u32,
            "file_mode" => options.file_mode = number as u32,
            other => panic!("no option {other}"),
        }
    }
    options
}

fn content(given: &Value) -> Vec<u8> {
    let hex = given["hex"].as_str().or(given["repeat"].as_str()).expect("hex or repeat");
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    match given["size"].as_u64() {
        Some(size) => bytes.iter().copied().cycle().take(size as usize).collect(),
        None => bytes,
    }
}

fn check<T>(what: &str, expect: &Value, answer: &Result<T>, fact: fn(&T, &str, &Value) -> Value) {
    let result = answer.as_ref().map_or_else(|error| error.kind().name(), |_| "ok");
    assert_eq!(expect["result"], result, "{what}");
    for (name, expected) in expect.as_object().unwrap() {
        let found = match (name.as_str(), answer) {
            ("result", _) => continue,
            (_, Ok(answer)) => fact(answer, name, expected),
            (_, Err(error)) => error_fact(error, name),
        };
        assert_eq!(&found, expected, "{name} in {what}");
    }
}

fn receipt_fact(receipt: &Receipt, name: &str, _: &Value) -> Value {
    match name {
        "received_all" => receipt.received_all.into(),
        other => panic!("a receipt has no {other}"),
    }
}

fn finished_fact(finished: &Finished, name: &str, expected: &Value) -> Value {
    match name {
        "file_name" => finished.file_name.as_str().into(),
        "total_size" => finished.total_size.into(),
        "crc32c" => finished.crc32c.into(),
        "content" => {
            assert!(std::fs::read(&finished.path).unwrap() == content(expected), "the bytes of {finished:?}");
            expected.clone()
        }
        other => panic!("a finished upload has no {other}"),
    }
}

fn ranges(ranges: &[Range<u64>]) -> Value {
    ranges.iter().map(|range| serde_json::json!([range.start, range.end - range.start])).collect()
}

fn inspection_fact(seen: &Inspection, name: &str, _: &Value) -> Value {
    match name {
        "file_name" => seen.file_name.as_str().into(),
        "total_size" => seen.total_size.into(),
        "chunk_count" => seen.chunk_count.into(),
        "received_size" => seen.received_size.into(),
        "received_count" => seen.received_count.into(),
        "phase" => seen.phase.name().into(),
        "missing" => ranges(&seen.missing),
        "next_chunk" => seen.next_chunk.unwrap_or(0).into(),
        other => panic!("an inspection has no {other}"),
    }
}

fn verification_fact(verified: &Verification, name: &str, _: &Value) -> Value {
    match name {
        "phase" => verified.phase.name().into(),
        "checked_count" => verified.checked_count.into(),
        "damaged_count" => verified.damaged_count.into(),
        "damaged" => ranges(&verified.damaged),
        other => panic!("a verification has no {other}"),
    }
}

fn cleaned_fact(cleaned: &Cleaned, name: &str, _: &Value) -> Value {
    let count = |phase| cleaned.removed.iter().filter(|removed| removed.phase == phase).count().into();
    match name {
        "unfinished" => count(Some(Phase::Receiving)),
        "finished" => count(Some(Phase::Complete)),
        "gone" => count(Some(Phase::Gone)),
        "leftovers" => count(None),
        other => panic!("a cleanup has no {other}"),
    }
}

fn error_fact(error: &Error, name: &str) -> Value {
    match (name, error) {
        ("missing_count", Error::Incomplete { missing_count, .. }) => (*missing_count).into(),
        ("first_missing", Error::Incomplete { first_missing, .. }) => (*first_missing).into(),
        ("limit", Error::LimitExceeded { limit, .. }) => (*limit).into(),
        ("limit_value", Error::LimitExceeded { value, .. }) => (*value).into(),
        ("received_size", Error::SizeMismatch { received_size, .. }) => (*received_size).into(),
        ("declared_size", Error::SizeMismatch { declared_size, .. }) => (*declared_size).into(),
        (other, error) => panic!("{error:?} has no {other}"),
    }
}

/// A transcript that expects a wrong answer fails, so the comparison can fail.
#[test]
#[should_panic(expected = "missing_count")]
fn a_wrong_expectation_is_noticed() {
    let text = r#"{"steps": [
        {"call": "handle_chunk", "total_size": 2, "chunk_number": 0, "chunk_count": 2, "content": {"hex": "61"},
         "expect": {"result": "ok"}, "save_uid": "a"},
        {"call": "get", "uid": "$a", "expect": {"result": "incomplete", "missing_count": 2}}]}"#;
    replay("wrong", &serde_json::from_str(text).unwrap());
}

#[allow(dead_code)]
fn the_store_is_shared_between_threads(store: Store) -> impl Send + Sync {
    store
}
