//! A binding that is made from `abi.json` alone: tests/ctypes/from_abi.py. What the file says is true, and enough to
//! call the library.

mod common;

use std::fs;
use std::process::{Command, Output};

use common::{library, root, told, try_run};

/// Makes the binding from this text and calls the library through it.
fn check(abi: &str) -> (Command, Output) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("abi.json");
    fs::write(&file, abi).unwrap();
    let mut python = Command::new("python3");
    python.arg(root().join("tests/ctypes/check_abi.py")).arg(&library().shared).arg(file).arg(dir.path());
    let output = try_run(&mut python);
    (python, output)
}

fn abi_json() -> String {
    fs::read_to_string(root().join("bindings/c/abi/abi.json")).unwrap()
}

#[test]
fn a_binding_made_from_abi_json_works() {
    let (command, output) = check(&abi_json());
    assert!(output.status.success(), "{}", told(&command, &output));
}

#[test]
fn what_is_wrong_in_abi_json_is_noticed() {
    let right = abi_json();
    for (fact, wrong) in [
        // The initial age of uploads.
        ("\"initial\": 18446744073709551615", "\"initial\": 18446744073709551614"),
        ("\"length\": \"content_size\"", "\"length\": \"total_size\""),
        ("\"offset\": 88", "\"offset\": 80"),
        ("\"free\": \"upload_finished_free\"", "\"free\": \"upload_store_free\""),
        (
            "\"name\": \"path\", \"type\": \"const char *\", \"direction\": \"in\", \"nullable\": false",
            "\"name\": \"path\", \"type\": \"const char *\", \"direction\": \"in\", \"nullable\": true",
        ),
        (
            "\"name\": \"cleaned\", \"type\": \"upload_cleaned *\", \"direction\": \"inout\", \"nullable\": true",
            "\"name\": \"cleaned\", \"type\": \"upload_cleaned *\", \"direction\": \"inout\", \"nullable\": false",
        ),
    ] {
        assert!(right.contains(fact), "{fact}");
        let (_, output) = check(&right.replace(fact, wrong));
        assert!(!output.status.success(), "accepted: {wrong}");
    }
}
