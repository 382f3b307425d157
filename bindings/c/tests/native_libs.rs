//! What a static link needs besides the archive: `Libs.private` of the pkg-config file, which the CMake package
//! repeats, is what rustc says, but for libgcc_s: the C compiler adds what it has of that by itself, and there is no
//! static one.

mod common;

use std::fs;
use std::process::Command;

use common::{root, run};

#[test]
fn the_packages_list_what_rustc_lists() {
    // In a directory of its own: this build must not take turns with the one that other tests use.
    let said = run(Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(root())
        .args(["rustc", "--locked", "--package=chunked-upload-c", "--crate-type=staticlib", "--target-dir"])
        .arg(concat!(env!("CARGO_TARGET_TMPDIR"), "/native-libs"))
        .args(["--", "--print=native-static-libs"]));
    let said = String::from_utf8(said.stderr).unwrap();
    let libs = said.lines().find_map(|line| line.strip_prefix("note: native-static-libs: "));
    let libs = libs.unwrap_or_else(|| panic!("rustc names the libraries in\n{said}")).trim().replace("-lgcc_s ", "");

    let pkg = root().join("bindings/c/pkg");
    let pc = fs::read_to_string(pkg.join("chunked_upload.pc.in")).unwrap();
    assert_eq!(pc.lines().find_map(|line| line.strip_prefix("Libs.private: ")), Some(libs.as_str()));
    let cmake = fs::read_to_string(pkg.join("chunked_upload-config.cmake.in")).unwrap();
    let names: Vec<&str> = libs.split(' ').map(|flag| flag.strip_prefix("-l").unwrap()).collect();
    let list = format!("INTERFACE_LINK_LIBRARIES \"{}\"", names.join(";"));
    assert!(cmake.contains(&list), "{list} in the CMake package");
}
