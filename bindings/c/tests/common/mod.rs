//! What the tests of the C library share: the library itself, built as users get it, and running other programs.

#![allow(dead_code, unused_imports)] // no test needs all of it

#[path = "../../../../tests/common/skip.rs"]
mod skip;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub use skip::skip;

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The release library.
pub struct Library {
    pub shared: PathBuf,
    pub archive: PathBuf,
}

/// Builds the release library, wherever cargo puts it: `cargo test` alone does not build a crate that is no Rust
/// library.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let output = run(Command::new(env::var_os("CARGO").unwrap_or("cargo".into())).current_dir(root()).args([
            "build",
            "--release",
            "--locked",
            "--package=chunked-upload-c",
            "--message-format=json",
        ]));
        let files = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|message| message["target"]["name"] == "chunked_upload" && message["target"]["kind"][0] == "cdylib")
            .expect("cargo names the library it built")["filenames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| PathBuf::from(file.as_str().unwrap()))
            .collect::<Vec<_>>();
        let with = |extension: &str| files.iter().find(|file| file.extension().unwrap() == extension).unwrap().clone();
        Library { shared: with("so"), archive: with("a") }
    })
}

/// The soname, which is also the name of the file that a program loads.
pub fn soname() -> String {
    let dynamic = run(Command::new("readelf").arg("-dW").arg(&library().shared));
    let dynamic = String::from_utf8(dynamic.stdout).unwrap();
    let line = dynamic.lines().find(|line| line.contains("(SONAME)")).expect("the library has a soname");
    line[line.find('[').unwrap() + 1..line.find(']').unwrap()].to_owned()
}

/// Fills `dir` with the names under which linker and loader look for the shared library.
pub fn link_library_into(dir: &Path) {
    for name in ["libchunked_upload.so", &soname()] {
        std::os::unix::fs::symlink(&library().shared, dir.join(name)).unwrap();
    }
}

/// A C compiler, or `$CC`.
pub fn cc() -> Command {
    Command::new(env::var_os("CC").unwrap_or("cc".into()))
}

/// A C++ compiler, or `$CXX`.
pub fn cxx() -> Command {
    Command::new(env::var_os("CXX").unwrap_or("c++".into()))
}

/// Runs a program that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = try_run(command);
    assert!(output.status.success(), "{}", told(command, &output));
    output
}

/// Runs a program that must at least start.
pub fn try_run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a program said, for a failure's message.
pub fn told(command: &Command, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
