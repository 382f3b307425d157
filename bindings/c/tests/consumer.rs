//! The installed library, used as others use it: staged with `make install`, moved elsewhere, found by pkg-config and
//! by CMake, linked as shared library and as archive, and run.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use common::{cc, library, root, run, told, try_run};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `make TARGET` for a staged tree, as a packager runs it.
fn make(target: &str, stage: &Path, variables: &[&str]) -> Command {
    let mut make = Command::new("make");
    // From outside, when `make` runs this test.
    make.current_dir(root()).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    make.arg(target).arg(format!("DESTDIR={}", stage.display())).args(variables);
    make
}

/// Where cargo put the library, for `make`; with the archive that is installed, in `static`.
fn release() -> &'static str {
    static RELEASE: OnceLock<String> = OnceLock::new();
    RELEASE.get_or_init(|| {
        let release = format!("RELEASE={}", library().shared.parent().unwrap().display());
        run(&mut make(archive().to_str().unwrap(), Path::new("/"), &[&release]));
        release
    })
}

fn archive() -> PathBuf {
    library().archive.with_file_name("static").join("libchunked_upload.a")
}

fn install(stage: &Path, variables: &[&str]) {
    run(make("install", stage, variables).arg(release()));
}

/// The installed tree, not where it was meant to be.
fn moved(dir: &Path) -> PathBuf {
    let (stage, moved) = (dir.join("stage"), dir.join("moved"));
    install(&stage, &["PREFIX=/opt/uploads"]);
    fs::rename(stage.join("opt/uploads"), &moved).unwrap();
    moved
}

/// A program that has to be on the path.
fn tool(name: &str) -> Command {
    let found = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found, "{name} is not on the PATH: `make test` brings it, from requirements-dev.txt");
    Command::new(name)
}

fn pkg_config(libdir: &Path, arguments: &[&str]) -> String {
    let mut command = tool("pkg-config");
    let output = run(command.args(arguments).arg("chunked_upload").env("PKG_CONFIG_LIBDIR", libdir.join("pkgconfig")));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The shared libraries that a program wants.
fn needed(program: &Path) -> String {
    let dynamic = run(Command::new("readelf").arg("-dW").arg(program));
    String::from_utf8(dynamic.stdout).unwrap().lines().filter(|line| line.contains("(NEEDED)")).collect()
}

fn files_below(dir: &Path, name: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir.join(name)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files_below(dir, &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

#[test]
fn just_these_files_are_installed() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = vec![];
    files_below(&moved(dir.path()), "", &mut found);
    found.sort();
    let expected = [
        "include/chunked_upload.h",
        "include/chunked_upload.hpp",
        "lib/cmake/chunked_upload/chunked_upload-config-version.cmake",
        "lib/cmake/chunked_upload/chunked_upload-config.cmake",
        "lib/libchunked_upload.a",
        "lib/libchunked_upload.so",
        "lib/libchunked_upload.so.0",
        &format!("lib/libchunked_upload.so.{VERSION}"),
        "lib/pkgconfig/chunked_upload.pc",
        "share/chunked_upload/abi.json",
    ];
    assert_eq!(found, expected);
    let link = |name: &str| fs::read_link(dir.path().join("moved/lib").join(name)).unwrap();
    assert_eq!(link("libchunked_upload.so"), Path::new("libchunked_upload.so.0"));
    assert_eq!(link("libchunked_upload.so.0"), Path::new(&format!("libchunked_upload.so.{VERSION}")));
}

#[test]
fn pkg_config_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let libdir = moved(dir.path()).join("lib");
    assert_eq!(pkg_config(&libdir, &["--modversion"]), VERSION);
    for (kind, variable) in
        [("shared", None), ("static", Some("STATIC=1")), ("entirely static", Some("STATIC=-static"))]
    {
        let out = dir.path().join(kind.replace(' ', "_"));
        fs::create_dir(&out).unwrap();
        drop(tool("pkg-config"));
        run(Command::new("make")
            .arg("--directory")
            .arg(root().join("tests/consumer/pkg-config"))
            .arg(format!("OUT={}", out.display()))
            .args(variable)
            .env_remove("MAKEFLAGS")
            .env("PKG_CONFIG_LIBDIR", libdir.join("pkgconfig")));
        let program = out.join("consumer");
        assert_eq!(needed(&program).contains("[libchunked_upload.so.0]"), kind == "shared");
        let mut consumer = Command::new(&program);
        if kind == "shared" {
            consumer.env("LD_LIBRARY_PATH", &libdir);
        }
        run(consumer.arg(out.join("uploads")));
    }
}

#[test]
fn cmake_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let build = dir.path().join("build");
    run(tool("cmake")
        .arg("-S")
        .arg(root().join("tests/consumer/cmake"))
        .arg("-B")
        .arg(&build)
        .args(["-G", "Unix Makefiles"])
        .arg(format!("-DCMAKE_PREFIX_PATH={}", moved(dir.path()).display())));
    run(tool("cmake").arg("--build").arg(&build).env_remove("MAKEFLAGS"));
    run(tool("ctest").arg("--output-on-failure").arg("--no-tests=error").arg("--test-dir").arg(&build));
    for language in ["c", "cpp"] {
        assert!(needed(&build.join(format!("{language}_chunked_upload"))).contains("[libchunked_upload.so.0]"));
        assert!(!needed(&build.join(format!("{language}_static"))).contains("chunked_upload"));
    }
}

/// Distributions put libraries into a directory for the architecture, at another depth.
#[test]
fn another_library_directory_works_too() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), &["PREFIX=/usr", "LIBDIR=/usr/lib/triplet"]);
    let libdir = dir.path().join("usr/lib/triplet");
    let include = pkg_config(&libdir, &["--variable=includedir"]);
    assert!(Path::new(&include).join("chunked_upload.h").exists(), "{include}");
    let lib = pkg_config(&libdir, &["--variable=libdir"]);
    assert!(Path::new(&lib).join("libchunked_upload.so.0").exists(), "{lib}");
    let config = fs::read_to_string(libdir.join("cmake/chunked_upload/chunked_upload-config.cmake")).unwrap();
    assert!(config.contains("/../../../.."), "from lib/triplet/cmake/chunked_upload up to the prefix");
    assert!(!config.contains('@'), "everything is filled in");
}

#[test]
fn uninstall_removes_what_install_wrote_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let variables = ["PREFIX=/usr", "LIBDIR=/usr/lib/triplet"];
    install(dir.path(), &variables);
    fs::write(dir.path().join("usr/share/chunked_upload/notes"), "made by another program").unwrap();
    for _ in 0..2 {
        run(&mut make("uninstall", dir.path(), &variables));
        let mut found = vec![];
        files_below(dir.path(), "", &mut found);
        assert_eq!(found, ["usr/share/chunked_upload/notes"]);
        assert!(!dir.path().join("usr/lib/triplet/cmake/chunked_upload").exists());
    }
}

/// Installs from a directory as cargo leaves it for another target, with the library in it, all but `without`.
fn install_for_a_target(dir: &Path, stage: &Path, without: &str) -> (Command, Output) {
    let release = dir.join("some-triple/release");
    fs::create_dir_all(&release).unwrap();
    for file in [&library().shared, &library().archive].into_iter().filter(|file| !file.ends_with(without)) {
        fs::copy(file, release.join(file.file_name().unwrap())).unwrap();
    }
    let dir = format!("CARGO_TARGET_DIR={}", dir.display());
    let mut command = make("install", stage, &["CARGO_BUILD_TARGET=some-triple", &dir]);
    let output = try_run(&mut command);
    (command, output)
}

#[test]
fn install_takes_what_was_built_for_another_target() {
    let dir = tempfile::tempdir().unwrap();
    let stage = dir.path().join("stage");
    let (command, output) = install_for_a_target(&dir.path().join("target"), &stage, "nothing");
    assert!(output.status.success(), "{}", told(&command, &output));
    assert!(stage.join("usr/local/lib/libchunked_upload.so.0").exists());
}

#[test]
fn install_writes_nothing_if_something_is_missing() {
    for missing in ["libchunked_upload.so", "libchunked_upload.a"] {
        let dir = tempfile::tempdir().unwrap();
        let stage = dir.path().join("stage");
        let (command, output) = install_for_a_target(&dir.path().join("target"), &stage, missing);
        let said = told(&command, &output);
        assert!(!output.status.success() && said.contains(missing), "{said}");
        assert!(!stage.exists(), "{said}");
    }
}

/// Each brings a Rust standard library of its own.
#[test]
fn another_rust_archive_fits_into_the_same_program() {
    let dir = tempfile::tempdir().unwrap();
    release();
    let (archive, other) = (&archive(), dir.path().join("libother.a"));
    let names = run(Command::new("nm").args(["-g", "--defined-only", "--format=just-symbols"]).arg(archive));
    let names = String::from_utf8(names.stdout).unwrap();
    let mut names = names.lines().filter(|line| !line.is_empty() && !line.ends_with(':')).peekable();
    assert!(names.peek().is_some() && names.all(|name| name.starts_with("upload_")), "{names:?}");
    let sections = String::from_utf8(run(Command::new("objdump").arg("-h").arg(archive)).stdout).unwrap();
    assert!(sections.contains(".text") && !sections.contains(".llvmbc"), "LLVM's bitcode is of no use to a linker");

    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let consumer = root().join("tests/consumer");
    run(Command::new(rustc)
        .args(["--crate-type=staticlib", "--edition=2024", "-o"])
        .arg(&other)
        .arg(consumer.join("other.rs")));
    let program = dir.path().join("both");
    for archives in [[archive, &other], [&other, archive]] {
        run(cc()
            .arg("-I")
            .arg(root().join("include"))
            .arg(consumer.join("both.c"))
            .args(archives)
            .args(["-lpthread", "-lm", "-ldl", "-o"])
            .arg(&program));
        run(Command::new(&program).arg(dir.path().join("uploads")));
    }
}
