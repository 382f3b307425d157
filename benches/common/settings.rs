//! The settings of the benches, from the environment.
//!
//! | variable | |
//! |---|---|
//! | `BENCH_SMOKE=1` | sizes and rounds so small that only mistakes are found, not figures |
//! | `ROUNDS`, `MIB` | rounds, and MiB of the uploads that are not small by nature |
//! | `GIB` | GiB of the largest file that is asked for on disk: 4, or 8 |
//! | `DIRECTORY` | where to write, in place of cargo's directory for tests and, if there, `/dev/shm` |

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;

pub fn smoke() -> bool {
    std::env::var_os("BENCH_SMOKE").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The number of rounds, without the one that warms up.
pub fn rounds(usual: usize) -> usize {
    if smoke() { 1 } else { number("ROUNDS").map_or(usual, |rounds| rounds.max(1) as usize) }
}

/// The bytes of an upload. `MIB` replaces the 1,024 MiB of the largest, and scales the others.
pub fn total(usual_mib: u64) -> u64 {
    let mib = if smoke() { 16 } else { number("MIB").map_or(usual_mib, |most| usual_mib * most / 1024) };
    mib.max(1) * MIB
}

/// The largest file on disk, in GiB.
pub fn gib(usual: u64) -> u64 {
    number("GIB").unwrap_or(usual)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// An empty directory on a file system, which is removed at the end.
pub struct Place {
    /// The file system's name.
    pub name: String,
    dir: TempDir,
}

impl Place {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The places to measure.
pub fn places() -> Vec<Place> {
    let place = |root: PathBuf| {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&root);
        Place { name: file_system(&root), dir: dir.unwrap_or_else(|error| panic!("{}: {error}", root.display())) }
    };
    if let Some(directory) = std::env::var_os("DIRECTORY").filter(|value| !value.is_empty()) {
        return vec![place(directory.into())];
    }
    let mut places = vec![place(env!("CARGO_TARGET_TMPDIR").into())];
    let memory = Path::new("/dev/shm");
    if memory.is_dir() && file_system(memory) == "tmpfs" && places[0].name != "tmpfs" {
        places.push(place(memory.into()));
    }
    // The engine refuses the higher levels on an ext4 without a journal. `DIRECTORY` can name a disk with a journal.
    places.retain(|place| {
        let options = chunked_upload::Options { durability: chunked_upload::Durability::Chunk, ..Default::default() };
        chunked_upload::Store::open(place.path(), options).inspect_err(|error| println!("left out: {error}")).is_ok()
    });
    assert!(!places.is_empty(), "DIRECTORY must name a place that can hold a store");
    places
}

/// Magic numbers from statfs(2).
fn file_system(path: &Path) -> String {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: all zeros is a valid statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with NUL, and `found` has room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), &mut found) } != 0 {
        return "unknown".into();
    }
    match found.f_type {
        0xef53 => "ext4".into(),
        0x0102_1994 => "tmpfs".into(),
        0x5846_5342 => "xfs".into(),
        0x9123_683e => "btrfs".into(),
        0x794c_7630 => "overlay".into(),
        magic => format!("{magic:#x}"),
    }
}
