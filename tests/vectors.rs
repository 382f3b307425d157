//! Replays the transcripts in `tests/vectors` through the Rust face.

mod common;

use std::collections::HashMap;
use std::path::Path;

use chunked_upload::{Chunk, Durability, Error, Finished, Options, Receipt, Result, Store};
use common::{TestStore, entries};
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
    let store = TestStore::with(options(&transcript["options"]));
    let mut saved: HashMap<String, String> = HashMap::new();
    let steps = transcript["steps"].as_array().unwrap();
    for (number, step) in steps.iter().enumerate() {
        let what = format!("{name}, step {number}: {step}");
        let uid_of = |member: &str| {
            let text = step[member].as_str().unwrap_or("");
            text.strip_prefix('$').map_or_else(|| text.to_owned(), |variable| saved[variable].clone())
        };
        match step["call"].as_str().unwrap() {
            "handle_chunk" => {
                let answer = store.handle_chunk(&Chunk {
                    upload_uid: &uid_of("upload_uid"),
                    file_name: step["file_name"].as_str().unwrap_or(""),
                    total_size: step["total_size"].as_u64().unwrap(),
                    chunk_number: step["chunk_number"].as_u64().unwrap(),
                    chunk_count: step["chunk_count"].as_u64().unwrap(),
                    content: &content(&step["content"]),
                });
                check(&what, &step["expect"], &answer, receipt_fact);
                if let (Ok(receipt), Some(variable)) = (answer, step["save_uid"].as_str()) {
                    saved.insert(variable.into(), receipt.upload_uid.to_string());
                }
            }
            "get" => check(&what, &step["expect"], &store.get(&uid_of("uid")), finished_fact),
            "take" => {
                let path = store.get(&uid_of("uid")).expect(&what).path;
                std::fs::rename(path, store.dir.path().join(format!("taken{number}"))).unwrap();
            }
            "list" => assert_eq!(step["expect"]["entries"], entries(store.root()).len(), "{what}"),
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

/// A transcript that expects the wrong thing fails: the comparison can.
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
