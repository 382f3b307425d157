//! Gives the shared library its soname, which cargo does not: without one, whoever links it records a path.

/// The ABI epoch: raised when a program built against an older header would break, and only then.
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libchunked_upload.so.{ABI}");
}
