//! One upload on each kind of file system: ext4, xfs, btrfs, tmpfs, overlayfs. Each is unmounted during the upload and
//! mounted again. A FUSE file system is refused. Skipped, with a message, where a file system cannot be made or
//! mounted.

use std::path::Path;

use crate::common::{CUTS, Image, Memory, Overlay, bytes, chunk_count, cut, entries, send, succeeds};
use chunked_upload::{Durability, ErrorKind, Options, Phase, Store};

const LEVELS: [Durability; 3] = [Durability::Process, Durability::Complete, Durability::Chunk];

/// A file system that was mounted for a test.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        succeeds("umount", &[self.0.to_str().unwrap()]);
    }
}

fn store_at(place: &Path, durability: Durability) -> Store {
    let options = Options { durability, min_free_space: 0, ..Options::default() };
    Store::open(place.join("uploads"), options).unwrap()
}

/// Two whole uploads at each level, one on the grid and one off it, with `pause` in the middle.
fn live(place: &Path, pause: &dyn Fn()) {
    LEVELS.into_iter().for_each(|durability| live_at(place, durability, pause));
}

fn live_at(place: &Path, durability: Durability, pause: &dyn Fn()) {
    let store = store_at(place, durability);
    let file = bytes(1 << 20);
    let on_grid = send(&store, "", &file, 100_000, 2).unwrap().upload_uid.to_string();
    for number in [0, 10, 5] {
        send(&store, &on_grid, &file, 100_000, number).unwrap();
    }
    let small = bytes(350);
    let pieces = cut(&small, CUTS[1]);
    let piece = |uid: &str, number: usize| {
        let chunk = chunked_upload::Chunk {
            upload_uid: uid,
            total_size: 350,
            chunk_number: number as u64,
            chunk_count: 4,
            content: pieces[number],
            ..Default::default()
        };
        store.handle_chunk(&chunk).unwrap().upload_uid.to_string()
    };
    let off_grid = piece("", 3);
    piece(&off_grid, 1);
    pause();
    // An orderly unmount writes everything. The received chunks are read again, and are there.
    assert_eq!(store.inspect(&on_grid, 0).unwrap().received_count, 4);
    assert_eq!(store.verify(&on_grid).unwrap().damaged_count, 0);
    for number in 0..chunk_count(&file, 100_000) {
        send(&store, &on_grid, &file, 100_000, number).unwrap();
    }
    for number in [0, 2] {
        piece(&off_grid, number);
    }
    assert_eq!(std::fs::read(store.get(&off_grid).unwrap().path).unwrap(), small);
    pause();
    assert_eq!(std::fs::read(store.get(&on_grid).unwrap().path).unwrap(), file);
    let destination = place.join(format!("moved at level {}", durability.name()));
    assert_eq!(std::fs::read(store.move_to(&on_grid, &destination, false).unwrap().path).unwrap(), file);
    assert_eq!(store.inspect(&on_grid, 0).unwrap().phase, Phase::Gone);
    // From one kind of file system to another.
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = store.move_to(&off_grid, elsewhere.path().join("moved"), false).unwrap();
    assert_eq!(std::fs::read(moved.path).unwrap(), small);
    assert_eq!(store.get(&off_grid).unwrap_err().kind(), ErrorKind::Gone);
    for uid in [on_grid, off_grid] {
        store.remove(&uid).unwrap();
    }
    assert_eq!(entries(store.root()), [""; 0]);
}

fn on_image(kind: &str) {
    let Some(image) = Image::make(kind) else { return };
    live(&image.mountpoint(), &|| assert!(image.unmount() && image.mount()));
}

#[test]
fn on_ext4() {
    on_image("ext4");
}

#[test]
fn on_xfs() {
    on_image("xfs");
}

#[test]
fn on_btrfs() {
    on_image("btrfs");
}

#[test]
fn on_tmpfs() {
    let Some(memory) = Memory::mount("size=16m") else { return };
    live(memory.path(), &|| ());
}

/// The `/tmp` of a container is often an overlayfs. Its layers are on a tmpfs here, because overlayfs does not accept
/// another overlayfs.
#[test]
fn on_overlayfs() {
    let Some(memory) = Memory::mount("size=32m") else { return };
    let Some(overlay) = Overlay::on(memory.path()) else { return };
    live(overlay.path(), &|| assert!(overlay.unmount() && overlay.mount()));
}

/// A FUSE file system may be served by another host (sshfs, GlusterFS, cloud storage). Like a network file system, it
/// is refused by name, and nothing is made there. `bindfs` shows a directory of this machine through FUSE.
#[test]
fn on_fuse() {
    let (below, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [from, to] = [&below, &place].map(|dir| dir.path().to_str().unwrap());
    if !succeeds("bindfs", &[from, to]) {
        crate::common::skip("no FUSE file system can be mounted here with bindfs");
        return;
    }
    let _mounted = Mounted(place.path());
    for path in [place.path().to_owned(), place.path().join("a/b")] {
        let error = Store::open(path, Options::default()).unwrap_err();
        assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EOPNOTSUPP)), "{error}");
        assert!(error.to_string().contains("of type fuse"), "{error}");
    }
    // A store that was opened before the file system was mounted there.
    let root = below.path().join("uploads");
    let before = Store::open(&root, Options::default()).unwrap();
    std::fs::create_dir(&root).unwrap();
    assert!(succeeds("bindfs", &[from, root.to_str().unwrap()]));
    let _over = Mounted(&root);
    let error = send(&before, "", &bytes(10), 10, 0).unwrap_err();
    assert_eq!(error.os_errno(), Some(libc::EOPNOTSUPP), "{error}");
    assert_eq!(entries(below.path()), ["uploads"], "nothing is made there");
}

/// Without a journal, power loss can undo a removal on which the engine relies. Level `process` promises nothing then.
#[test]
fn without_a_journal() {
    for (kind, arguments, name) in
        [("ext4", &["-O", "^has_journal"][..], "ext4"), ("ext2", &[], "ext2"), ("ext3", &[], "")]
    {
        let Some(image) = Image::made_with(&std::env::temp_dir(), kind, 64, arguments) else { continue };
        let place = image.mountpoint();
        if name.is_empty() {
            live(&place, &|| ());
            continue;
        }
        for durability in [Durability::Complete, Durability::Chunk] {
            let options = Options { durability, ..Options::default() };
            for path in [place.clone(), place.join("a/b")] {
                let error = Store::open(path, options.clone()).unwrap_err();
                assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EOPNOTSUPP)), "{error}");
                let says = [durability.name(), &format!("of type {name} "), "needs a journal", "level process"];
                assert!(says.iter().all(|word| error.to_string().contains(word)), "{error}");
            }
            // A store that was opened before the file system was mounted there.
            let Some(memory) = Memory::mount("size=16m") else { continue };
            let before = Store::open(memory.path().join("uploads"), options).unwrap();
            assert!(succeeds("mount", &["--bind", place.to_str().unwrap(), memory.path().to_str().unwrap()]));
            let _over = Mounted(memory.path());
            let error = send(&before, "", &bytes(10), 10, 0).unwrap_err();
            assert_eq!(error.os_errno(), Some(libc::EOPNOTSUPP), "{error}");
            assert!(!place.join("uploads").exists(), "nothing is made there");
        }
        live_at(&place, Durability::Process, &|| assert!(image.unmount() && image.mount()));
    }
}

/// File systems that show the kernel's own data cannot keep files.
#[test]
fn in_the_kernel_s_own_file_systems() {
    for (path, name) in [("/proc", "proc"), ("/proc/uploads", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts")] {
        let error = Store::open(path, Options::default()).unwrap_err();
        assert_eq!((error.kind(), error.os_errno()), (ErrorKind::Io, Some(libc::EOPNOTSUPP)), "{error}");
        assert!(error.to_string().contains(&format!("of type {name} ")), "{error}");
    }
    let memory = tempfile::tempdir().unwrap();
    let before = Store::open(memory.path(), Options::default()).unwrap();
    if !succeeds("mount", &["-t", "proc", "proc", memory.path().to_str().unwrap()]) {
        return crate::common::skip("proc cannot be mounted here");
    }
    let _mounted = Mounted(memory.path());
    assert_eq!(send(&before, "", &bytes(10), 10, 0).unwrap_err().os_errno(), Some(libc::EOPNOTSUPP));
}
