//! The programs in `examples/` do what they say.

use std::process::{Command, Output};

fn run(example: &str, arguments: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--locked", "--example", example, "--"]).args(arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

#[test]
fn a_file_is_received_and_an_unfinished_one_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
    for content in [&content[..], &[]] {
        std::fs::write(path("source"), content).unwrap();
        let done = run("receive", &[&path("source"), &path("taken")]);
        assert!(done.status.success(), "{done:?}");
        assert_eq!(std::fs::read(path("taken")).unwrap(), content);
        assert!(!dir.path().join("taken.uploads").exists());
        std::fs::remove_file(path("taken")).unwrap();
    }

    let store = chunked_upload::Store::open(path("store"), chunked_upload::Options::default()).unwrap();
    let chunk =
        chunked_upload::Chunk { total_size: 5, chunk_count: 5, chunk_number: 2, content: b"c", ..Default::default() };
    let uid = store.handle_chunk(&chunk).unwrap().upload_uid;
    let said = |arguments: &[&str]| String::from_utf8(run("resume", arguments).stdout).unwrap();
    assert_eq!(said(&[&path("store")]), format!("{uid} receiving 5 bytes \"\"\n"));
    assert_eq!(said(&[&path("store"), uid.as_str()]), "send chunks 0 to 1\nsend chunks 3 to 4\n");
}
