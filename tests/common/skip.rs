//! A test that cannot run on a machine is listed, and does not count as passed.

use std::io::Write;

/// Records in the file `UPLOAD_SKIPPED` that the calling test does not run here. `make test` prints that file at its
/// end. With `UPLOAD_SKIP_NOTHING=1` the test fails.
pub fn skip(why: &str) {
    let program = std::env::current_exe().unwrap();
    // Cargo appends a hash to the name.
    let program = program.file_name().unwrap().to_str().unwrap().rsplit_once('-').unwrap().0;
    // The test harness names each test's thread after the test.
    let skipped = format!("{program}: {}: {why}", std::thread::current().name().unwrap_or("?"));
    if let Some(list) = std::env::var_os("UPLOAD_SKIPPED") {
        // This is one write, because other tests append at the same time.
        let mut list = std::fs::File::options().append(true).create(true).open(list).unwrap();
        list.write_all(format!("{skipped}\n").as_bytes()).unwrap();
    }
    assert!(std::env::var_os("UPLOAD_SKIP_NOTHING").is_none(), "skipped: {skipped}");
    eprintln!("skipped: {skipped}");
}
