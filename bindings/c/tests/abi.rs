//! Released versions and this one together: programs compiled with an older header run with this library, an older
//! library refuses what it does not know, and no type changed but as is written down. docs/abi.md has the rules.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{cc, link_library_into, root, run, try_run};

/// What is kept of the first release.
fn first_release() -> PathBuf {
    root().join("bindings/c/abi/v0.1")
}

/// A program compiled with the header in `include`, in a directory of its own.
fn compile(source: &Path, include: &Path, libraries: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    let mut compiler = cc();
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-pthread", "-I"]).arg(include).arg(source);
    run(compiler.arg("-o").arg(&program).arg("-L").arg(libraries).arg("-lchunked_upload"));
    (dir, program)
}

/// Runs a program with the library in `libraries`, in a directory.
fn run_in(program: &Path, libraries: &Path, directory: &Path) -> std::process::Output {
    try_run(Command::new("timeout").arg("120").arg(program).arg(directory).env("LD_LIBRARY_PATH", libraries))
}

fn compile_and_run(source: &Path, include: &Path, libraries: &Path) {
    let (_dir, program) = compile(source, include, libraries);
    let empty = tempfile::tempdir().unwrap();
    let output = run_in(&program, libraries, empty.path());
    assert!(output.status.success(), "{}: {output:?}", source.display());
}

#[test]
fn programs_of_the_first_release_run_with_this_library() {
    let libraries = tempfile::tempdir().unwrap();
    link_library_into(libraries.path());
    let programs = fs::read_dir(first_release().join("programs")).unwrap().map(|entry| entry.unwrap().path());
    let programs: Vec<PathBuf> = programs.filter(|path| path.extension().is_some_and(|kind| kind == "c")).collect();
    assert!(programs.len() >= 6);
    for program in programs {
        compile_and_run(&program, &first_release(), libraries.path());
    }
}

/// The library of the first release, built from its source, with the debugging information that ABI checkers want.
fn first_library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Beside this test program, so that it is built once.
        let base = std::env::current_exe().unwrap().parent().unwrap().join("abi-v0.1");
        let source = base.join("source");
        fs::create_dir_all(&source).unwrap();
        run(Command::new("tar").arg("-C").arg(&source).arg("-xzf").arg(first_release().join("source.tar.gz")));
        build_with_types(&source, &base.join("target"))
    })
}

/// Builds the C library in `source` as released, but with all debugging information.
fn build_with_types(source: &Path, target: &Path) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(source).env("CARGO_TARGET_DIR", target);
    command.args(["build", "--quiet", "--locked", "--package=chunked-upload-c", "--profile=abi"]);
    for setting in ["inherits='release'", "debug=2", "strip='none'"] {
        command.arg("--config").arg(format!("profile.abi.{setting}"));
    }
    run(&mut command);
    target.join("abi/libchunked_upload.so")
}

/// A directory in which linker and loader find the library of the first release.
fn first_libraries() -> tempfile::TempDir {
    let libraries = tempfile::tempdir().unwrap();
    for name in ["libchunked_upload.so", "libchunked_upload.so.0"] {
        std::os::unix::fs::symlink(first_library(), libraries.path().join(name)).unwrap();
    }
    libraries
}

/// An upload that the first release began is finished by this one. The other way round it is refused, and stays.
#[test]
fn uploads_of_the_first_release_are_finished() {
    let (old, new) = (first_libraries(), tempfile::tempdir().unwrap());
    link_library_into(new.path());
    let source = root().join("bindings/c/tests/abi/half.c");
    let (_dir, program) = compile(&source, &first_release(), old.path());
    let forth = tempfile::tempdir().unwrap();
    for libraries in [&old, &new] {
        let output = run_in(&program, libraries.path(), forth.path());
        assert!(output.status.success(), "{output:?}");
    }
    let back = tempfile::tempdir().unwrap();
    assert!(run_in(&program, new.path(), back.path()).status.success());
    assert!(!run_in(&program, old.path(), back.path()).status.success(), "0.1 does not know the format");
    assert!(run_in(&program, new.path(), back.path()).status.success(), "and left it as it was");
}

#[test]
fn an_older_library_refuses_what_it_does_not_know() {
    let libraries = first_libraries();
    compile_and_run(&root().join("bindings/c/tests/abi/newer_program.c"), &root().join("include"), libraries.path());
}

// --- types ---

// Only `make abi` compares types: the tests compare the checker's words, which differ between its versions.

/// What the checker reads of a library.
fn types_of(library: &Path, to: &Path) -> String {
    run(Command::new("abidw").arg("--no-show-locs").arg("--out-file").arg(to).arg(library));
    fs::read_to_string(to).unwrap()
}

/// What the checker says of the differences, but for functions that were added.
fn changes(before: &Path, after: &Path) -> String {
    let output = try_run(Command::new("abidiff").arg("--no-added-syms").arg(before).arg(after));
    // 1 and 2 are its own errors; other bits say which changes there are.
    assert!(output.status.code().is_some_and(|code| code & 3 == 0), "{output:?}");
    // The summary counts additions, too, and how many depends on which functions the compiler merged.
    let said = String::from_utf8(output.stdout).unwrap();
    let lines = said.lines().filter(|line| !line.contains(" changes summary: "));
    lines.map(|line| format!("{line}\n")).collect::<String>().trim_start().to_owned()
}

#[test]
#[ignore = "runs with make abi"]
fn types_changed_since_the_first_release_only_as_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let target = std::env::current_exe().unwrap().parent().unwrap().join("abi-present");
    let present = build_with_types(&root(), &target);
    let (before, after) = (dir.path().join("before.abi"), dir.path().join("after.abi"));
    types_of(first_library(), &before);
    let text = types_of(&present, &after);
    // A library without debugging information has no types that could differ.
    assert!(text.contains("name='upload_key'") && text.contains("name='content_size'"), "no members are seen");
    let ledger = fs::read_to_string(root().join("bindings/c/abi/symbols.txt")).unwrap();
    for line in ledger.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(' ').next().unwrap();
        // Functions with the same code share an address: then one is an alias of the other.
        let seen =
            text.contains(&format!("elf-symbol name='{name}'")) && text.contains(&format!("mangled-name='{name}'"));
        let alias = text.lines().any(|line| line.contains("alias='") && line.contains(name));
        assert!(seen || alias, "the checker does not see {name}");
    }
    let known = first_release().join("changes.txt");
    let found = changes(&before, &after);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&known, &found).unwrap();
    }
    let known = fs::read_to_string(known).unwrap();
    assert!(found == known, "expected (BLESS=1 make abi takes what was found):\n{known}\nfound:\n{found}");
}

/// The checker can fail: whatever happens to a member or a function, it says so.
#[test]
#[ignore = "runs with make abi"]
fn the_check_of_types_bites() {
    let dir = tempfile::tempdir().unwrap();
    let library = |name: &str, members: &str| {
        let (source, library) = (dir.path().join(format!("{name}.c")), dir.path().join(format!("{name}.so")));
        let text = format!("struct chunk {{ {members} }};\nint call(struct chunk *of) {{ return of->size; }}\n");
        fs::write(&source, text).unwrap();
        run(cc().args(["-shared", "-fPIC", "-g", "-o"]).arg(&library).arg(&source));
        let types = dir.path().join(format!("{name}.abi"));
        types_of(&library, &types);
        types
    };
    let before = library("before", "int size; long number;");
    assert_eq!(changes(&before, &library("same", "int size; long number;")), "");
    for (name, members) in [
        ("appended", "int size; long number; long more;"),
        ("moved", "long number; int size;"),
        ("inserted", "int size; long more; long number;"),
        ("removed", "int size;"),
        ("retyped", "int size; long *number;"),
    ] {
        assert_ne!(changes(&before, &library(name, members)), "", "{name}");
    }
    assert_ne!(changes(&before, &empty_library(dir.path())), "", "a function that is gone");
}

fn empty_library(dir: &Path) -> PathBuf {
    let (source, library, types) = (dir.join("none.c"), dir.join("none.so"), dir.join("none.abi"));
    fs::write(&source, "int another(void) { return 0; }\n").unwrap();
    run(cc().args(["-shared", "-fPIC", "-g", "-o"]).arg(&library).arg(&source));
    types_of(&library, &types);
    types
}
