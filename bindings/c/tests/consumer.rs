//! The installed library, used as others use it: staged with `make install`, moved elsewhere, found by pkg-config and by
//! CMake, linked as shared library and as archive, and run.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{library, root, run};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Installs under `stage`, as a packager does.
fn install(stage: &Path, variables: &[&str]) {
    let target = library().shared.parent().unwrap().parent().unwrap();
    run(Command::new("make")
        .current_dir(root())
        .arg("install")
        .arg(format!("DESTDIR={}", stage.display()))
        .arg(format!("CARGO_TARGET_DIR={}", target.display()))
        .args(variables)
        // From outside, when `make` runs this test.
        .env_remove("MAKEFLAGS"));
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
