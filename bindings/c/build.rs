//! Gives the shared library its soname, which cargo does not: without one, whoever links it records a path.

use std::os::unix::fs::symlink;
use std::path::Path;

/// The ABI epoch: raised when a program built against an older header would break, and only then.
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libchunked_upload.so.{ABI}");

    // A program linked against the library where cargo leaves it asks for the soname there. Where cargo puts things
    // elsewhere the link is of no use and no harm.
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    if let Some(target) = Path::new(&out).ancestors().nth(3) {
        let _ = symlink("libchunked_upload.so", target.join(format!("libchunked_upload.so.{ABI}")));
    }
}
