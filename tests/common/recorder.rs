//! The possible disks if the power failed. Every change to a tree of files is recorded when it is made, by system call,
//! with the syncs between the changes.
//!
//! A change is durable when its target was synced: the bytes of a file by a sync of the file, a name by a sync of its
//! directory. Of the other changes any subset may have reached the disk, as in Pillai et al., "All File Systems Are Not
//! Created Equal" (OSDI 2014). One rule limits this: a sector is written whole, so it has its content from one moment.
//! A write to several sectors is as many changes, and may be torn.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::shim::Shim;

/// An inode: its device and its number.
type Inode = (u64, u64);
type Names = BTreeMap<String, Inode>;

/// A change by one system call, numbered in the order of the calls.
struct Change<T> {
    serial: usize,
    what: T,
}

/// A change to a file.
enum Changed {
    Size(usize),
    /// The new content of a sector, and the file's new size.
    Sector(usize, Vec<u8>, usize),
}

const SECTOR: usize = 512;

/// The synced content, the changes since then, and the present content.
struct History<T, C> {
    synced: T,
    pending: Vec<Change<C>>,
    now: T,
}

impl<T: Default, C> Default for History<T, C> {
    fn default() -> History<T, C> {
        History { synced: T::default(), pending: Vec::new(), now: T::default() }
    }
}

impl<T: Clone, C> History<T, C> {
    fn sync(&mut self) {
        self.synced = self.now.clone();
        self.pending.clear();
    }

    /// The synced content with the changes that `kept` names.
    fn with(&self, kept: &BTreeSet<usize>, apply: impl Fn(&mut T, &C)) -> T {
        let mut state = self.synced.clone();
        for change in self.pending.iter().filter(|change| kept.contains(&change.serial)) {
            apply(&mut state, &change.what);
        }
        state
    }
}

fn write(content: &mut Vec<u8>, changed: &Changed) {
    match changed {
        Changed::Size(size) => content.resize(*size, 0),
        Changed::Sector(sector, bytes, size) => {
            let start = sector * SECTOR;
            content.resize(*size, 0);
            content[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn rename(names: &mut Names, changed: &BTreeMap<String, Option<Inode>>) {
    for (name, inode) in changed {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

/// A possible tree on the disk: for each path below a top directory its inode and its content, or `None` for a
/// directory.
pub type Image = BTreeMap<PathBuf, (Inode, Option<Vec<u8>>)>;

/// The recorded trees. Beside each is a directory `kept` with a link to every file that the tree ever had. So a file
/// can come back with its inode, which the engine remembers of files that it moves.
pub struct Recorder {
    tops: Vec<PathBuf>,
    files: HashMap<Inode, History<Vec<u8>, Changed>>,
    directories: HashMap<Inode, History<Names, BTreeMap<String, Option<Inode>>>>,
    serial: usize,
    /// The serial of the changes to names that the present look finds.
    look: usize,
    /// The changes to names that are on the disk. A rename is one change to two directories: if one is synced, so is
    /// the other.
    durable: BTreeSet<usize>,
    /// The kept link to each file.
    kept: HashMap<Inode, PathBuf>,
    /// The number of recorded system calls.
    pub calls: usize,
    pub syncs: usize,
    images: Vec<Image>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

extern "C" fn before_call(synced_fd: i32) {
    RECORDER.with_borrow_mut(|recorder| recorder.as_mut().expect("recording").before_call(synced_fd));
}

fn inode(path: &Path) -> Inode {
    let metadata = path.symlink_metadata().unwrap();
    (metadata.dev(), metadata.ino())
}

impl Recorder {
    /// Records the trees below these directories. Their present content counts as synced.
    pub fn new(tops: &[&Path]) -> Recorder {
        let mut recorder = Recorder {
            tops: tops.iter().map(|top| top.to_path_buf()).collect(),
            files: HashMap::new(),
            directories: HashMap::new(),
            serial: 0,
            look: 0,
            durable: BTreeSet::new(),
            kept: HashMap::new(),
            calls: 0,
            syncs: 0,
            images: Vec::new(),
        };
        for top in tops {
            std::fs::create_dir_all(top.with_file_name("kept")).unwrap();
            recorder.observe(top);
        }
        recorder.files.values_mut().for_each(History::sync);
        recorder.directories.values_mut().for_each(History::sync);
        recorder
    }

    /// Makes a call. Also returns the possible disks if the power failed before any of the call's system calls, and
    /// those if it failed after the last.
    pub fn record<T>(&mut self, shim: Shim, call: impl FnOnce() -> T) -> (T, Vec<Image>, Vec<Image>) {
        let nothing = Recorder::new(&[]);
        RECORDER.set(Some(std::mem::replace(self, nothing)));
        let answer = shim.watched(before_call, call);
        *self = RECORDER.take().unwrap();
        let during = std::mem::take(&mut self.images);
        self.take_images();
        (answer, during, std::mem::take(&mut self.images))
    }

    fn before_call(&mut self, synced_fd: i32) {
        self.calls += 1;
        self.take_images();
        if synced_fd >= 0 {
            self.syncs += 1;
            let synced = inode(&std::fs::canonicalize(format!("/proc/self/fd/{synced_fd}")).unwrap());
            if let Some(file) = self.files.get_mut(&synced) {
                file.sync();
            } else if let Some(directory) = self.directories.get_mut(&synced) {
                self.durable.extend(directory.pending.iter().map(|change| change.serial));
                directory.sync();
            } else {
                assert!(self.tops.iter().any(|top| inode(top.parent().unwrap()) == synced), "something else is synced");
            }
        }
    }

    /// Records the changes since the last look.
    fn observe(&mut self, path: &Path) -> Inode {
        let inode = inode(path);
        if path.is_dir() {
            let names: Names =
                super::entries(path).into_iter().map(|name| (name.clone(), self.observe(&path.join(name)))).collect();
            let known = self.directories.entry(inode).or_default();
            if known.now != names {
                let mut changed: BTreeMap<_, _> =
                    known.now.keys().filter(|name| !names.contains_key(*name)).map(|n| (n.clone(), None)).collect();
                let new = names.iter().filter(|(name, inode)| known.now.get(*name) != Some(inode));
                changed.extend(new.map(|(name, inode)| (name.clone(), Some(*inode))));
                // All changes that one look finds were made by one call.
                known.pending.push(Change { serial: self.look, what: changed });
                known.now = names;
            }
        } else {
            let content = std::fs::read(path).unwrap();
            let known = self.files.entry(inode).or_default();
            if known.now.len() != content.len() {
                self.serial += 1;
                known.pending.push(Change { serial: self.serial, what: Changed::Size(content.len()) });
                known.now.resize(content.len(), 0);
            }
            for (sector, bytes) in content.chunks(SECTOR).enumerate() {
                let held = &mut known.now[sector * SECTOR..][..bytes.len()];
                if held != bytes {
                    held.copy_from_slice(bytes);
                    self.serial += 1;
                    let what = Changed::Sector(sector, bytes.to_vec(), content.len());
                    known.pending.push(Change { serial: self.serial, what });
                }
            }
            self.kept.entry(inode).or_insert_with(|| {
                let top = self.tops.iter().find(|top| path.starts_with(top)).unwrap();
                let kept = top.with_file_name("kept").join(inode.1.to_string());
                // An earlier recorder may have kept the file: then no other file has its inode.
                if !kept.exists() {
                    std::fs::hard_link(path, &kept).unwrap();
                }
                kept
            });
        }
        inode
    }

    fn take_images(&mut self) {
        self.serial += 1;
        self.look = self.serial;
        for top in self.tops.clone() {
            self.observe(&top);
        }
        let mut serials: Vec<usize> = self.files.values().flat_map(|f| f.pending.iter().map(|c| c.serial)).collect();
        serials.extend(self.directories.values().flat_map(|d| d.pending.iter().map(|c| c.serial)));
        serials.sort_unstable();
        serials.dedup();
        serials.retain(|serial| !self.durable.contains(serial));
        for mut kept in subsets(&serials) {
            kept.extend(&self.durable);
            let mut image = Image::new();
            for top in &self.tops {
                self.fill(&mut image, top, inode(top), &kept);
            }
            self.images.push(image);
        }
    }

    fn fill(&self, image: &mut Image, path: &Path, inode: Inode, kept: &BTreeSet<usize>) {
        if let Some(file) = self.files.get(&inode) {
            image.insert(path.to_owned(), (inode, Some(file.with(kept, write))));
        } else {
            image.insert(path.to_owned(), (inode, None));
            for (name, inode) in self.directories[&inode].with(kept, rename) {
                self.fill(image, &path.join(name), inode, kept);
            }
        }
    }

    /// Replaces the trees by those of the disk `image`.
    pub fn restore(&self, image: &Image) {
        for top in &self.tops {
            for name in super::entries(top) {
                let path = top.join(name);
                if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
            }
        }
        for (path, (inode, content)) in image {
            match content {
                None if self.tops.contains(path) => {}
                None => std::fs::create_dir(path).unwrap(),
                Some(content) => {
                    std::fs::write(&self.kept[inode], content).unwrap();
                    std::fs::hard_link(&self.kept[inode], path).unwrap();
                }
            }
        }
    }
}

/// All subsets of up to 7 changes. Of more changes: every prefix, all but one, one alone, and some random subsets.
/// `UPLOAD_ROUNDS` sets their number.
fn subsets(serials: &[usize]) -> Vec<BTreeSet<usize>> {
    let chosen = |is_kept: &dyn Fn(usize) -> bool| -> BTreeSet<usize> {
        (0..serials.len()).filter(|&at| is_kept(at)).map(|at| serials[at]).collect()
    };
    let count = serials.len();
    if count <= 7 {
        return (0..1_usize << count).map(|mask| chosen(&|at| mask >> at & 1 == 1)).collect();
    }
    let mut found: BTreeSet<_> = (0..=count).map(|length| chosen(&|at| at < length)).collect();
    for one in 0..count {
        found.extend([chosen(&|at| at == one), chosen(&|at| at != one)]);
    }
    for round in 0..100 * super::rounds() {
        let bits = super::seeded_bytes(count, (serials[0] << 20) as u64 + round);
        found.insert(chosen(&|at| bits[at] & 1 == 1));
    }
    found.into_iter().collect()
}
