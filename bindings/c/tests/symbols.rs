//! What the shared library shows to the loader: its name, what it exports, what it needs, and that loading it runs
//! nothing of ours.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{library, root, run};

fn output(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap()
}

#[test]
fn header_ledger_and_library_have_the_same_functions() {
    let abi_dir = root().join("bindings/c/abi");
    let abi: serde_json::Value = serde_json::from_str(&fs::read_to_string(abi_dir.join("abi.json")).unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    // tests/header.rs proves that abi.json has the functions of the header.
    let declared: BTreeMap<String, String> =
        abi["functions"].as_array().unwrap().iter().map(|f| (text(&f["name"]), text(&f["since"]))).collect();

    let ledger = fs::read_to_string(abi_dir.join("symbols.txt")).unwrap();
    let lines = ledger.lines().filter(|line| !line.starts_with('#'));
    let ledger: BTreeMap<String, String> =
        lines.map(|line| line.split_once(' ').map(|(name, since)| (name.into(), since.into())).unwrap()).collect();
    assert_eq!(declared, ledger, "include/chunked_upload.h (left) and bindings/c/abi/symbols.txt (right)");

    let nm = output(Command::new("nm").args(["-D", "--defined-only", "--format=just-symbols"]).arg(&library().shared));
    let exported: Vec<&str> = nm.lines().collect();
    let mut named: Vec<&str> = ledger.keys().map(String::as_str).collect();
    named.sort_unstable();
    let mut sorted = exported.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, named, "exports of the library (left) and bindings/c/abi/symbols.txt (right)");
}

#[test]
fn the_soname_is_that_of_the_abi_epoch() {
    assert_eq!(common::soname(), "libchunked_upload.so.0");
}

#[test]
fn only_the_c_library_is_needed() {
    let dynamic = output(Command::new("readelf").arg("-dW").arg(&library().shared));
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        let known = ["libc.so.6", "libgcc_s.so.1", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
        assert!(known.iter().any(|name| line.contains(&format!("[{name}]"))), "{line}");
    }
    let undefined = output(Command::new("nm").args(["-D", "--undefined-only"]).arg(&library().shared));
    for line in undefined.lines() {
        let weak = line.trim_start().starts_with("w ");
        assert!(weak || line.contains("@GLIBC_") || line.contains("@GCC_"), "who defines {line}?");
    }
}

/// A program linked against the directory cargo builds into runs there: what it asks the loader for is in it.
#[test]
fn the_build_directory_has_the_soname() {
    let link = library().shared.with_file_name("libchunked_upload.so.0");
    assert_eq!(fs::read_link(link).unwrap(), Path::new("libchunked_upload.so"));
}

/// The steps at which the engine's tests stop and kill calls are compiled into test builds only.
#[test]
fn the_library_has_no_seams() {
    let code = fs::read(&library().shared).unwrap();
    let holds = |text: &[u8]| code.windows(text.len()).any(|window| window == text);
    assert!(holds(b"max_total_size"), "texts can be found");
    for step in [&b"receive:cleared"[..], b"rewrite:recorded", b"space:nfs"] {
        assert!(!holds(step), "{}", String::from_utf8_lossy(step));
    }
}

/// The start-up code of Rust's own library, and of the C compiler, runs in every shared library.
#[test]
fn loading_runs_no_more_than_in_any_rust_library() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("any.rs");
    fs::write(&source, "#[unsafe(no_mangle)] pub extern \"C\" fn any() { println!(\"{:?}\", std::env::args()); }")
        .unwrap();
    let any = dir.path().join("libany.so");
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    run(Command::new(rustc)
        .args(["--crate-type=cdylib", "--edition=2024", "-O", "-Clto=fat", "-o"])
        .arg(&any)
        .arg(&source));
    for section in [".init_array", ".ctors", ".preinit_array"] {
        assert_eq!(section_size(&library().shared, section), section_size(&any, section), "{section}");
    }
    assert!(section_size(&any, ".init_array") > 0, "readelf's output was understood");
}

fn section_size(library: &Path, section: &str) -> u64 {
    let sections = output(Command::new("readelf").arg("-SW").arg(library));
    sections.lines().find_map(|line| line.split_once(&format!(" {section} "))).map_or(0, |(_, rest)| {
        // Type, address, offset, size.
        u64::from_str_radix(rest.split_whitespace().nth(3).unwrap(), 16).unwrap()
    })
}
