//! File systems that a test makes for itself.

use std::path::{Path, PathBuf};

use super::skip;

/// Unmounts a file system. Repeats it for a moment, because a program that another test is starting has our files open
/// until it runs.
pub fn unmount(mountpoint: &Path) -> bool {
    (0..20).any(|attempt| {
        std::thread::sleep(std::time::Duration::from_millis(10 * attempt));
        succeeds("umount", &[mountpoint.to_str().unwrap()])
    })
}

/// Changes the options of a mount. Repeats it for a moment, for the same reason.
fn remount(mountpoint: &Path, options: &str) {
    let options = format!("remount,{options}");
    let done = (0..20).any(|attempt| {
        std::thread::sleep(std::time::Duration::from_millis(10 * attempt));
        succeeds("mount", &["-o", &options, mountpoint.to_str().unwrap()])
    });
    assert!(done, "{options}");
}

/// A file system in a file, mounted while this lives.
pub struct Image {
    dir: tempfile::TempDir,
}

pub fn succeeds(command: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(command).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Whether these programs are installed. If not, the test is skipped.
pub fn have(programs: &[&str]) -> bool {
    let lacking =
        programs.iter().find(|program| std::process::Command::new(program).arg("--version").output().is_err());
    if let Some(program) = lacking {
        skip(&format!("no {program} here"));
    }
    lacking.is_none()
}

impl Image {
    /// Makes an image of this kind (`ext4`, `xfs`, `btrfs`), as small as possible, because tests fill it. `None`, with
    /// a message, where it cannot be made or mounted.
    pub fn make(kind: &str) -> Option<Image> {
        let mebibytes = match kind {
            "xfs" => 320,
            "btrfs" => 128,
            _ => 64,
        };
        Image::sized(&std::env::temp_dir(), kind, mebibytes)
    }

    /// Makes an image of this size, in a file in `place`.
    pub fn sized(place: &Path, kind: &str, mebibytes: u64) -> Option<Image> {
        Image::made_with(place, kind, mebibytes, &[])
    }

    /// Makes an image with more arguments for `mkfs`.
    pub fn made_with(place: &Path, kind: &str, mebibytes: u64, arguments: &[&str]) -> Option<Image> {
        let image = Image { dir: tempfile::tempdir_in(place).unwrap() };
        std::fs::File::create(image.file()).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir(image.mountpoint()).unwrap();
        let file = image.file();
        let arguments = [&["-q"], arguments, &[file.to_str().unwrap()]].concat();
        if succeeds(&format!("mkfs.{kind}"), &arguments) && image.mount() {
            return Some(image);
        }
        skip(&format!("no {kind} can be made or mounted here, with mkfs.{kind} and mount"));
        None
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    pub fn mount(&self) -> bool {
        succeeds("mount", &["-o", "loop", self.file().to_str().unwrap(), self.mountpoint().to_str().unwrap()])
    }

    pub fn remount(&self, options: &str) {
        remount(&self.mountpoint(), options);
    }

    pub fn unmount(&self) -> bool {
        unmount(&self.mountpoint())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        succeeds("umount", &[self.mountpoint().to_str().unwrap()]);
    }
}

/// The ranges of the image that are allocated to `file` but were never written: start and length.
pub fn unwritten(file: &Path) -> Vec<(String, String)> {
    let listed = std::process::Command::new("filefrag").args(["-v", "-b1"]).arg(file).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let unwritten = listed.lines().filter(|line| line.contains("unwritten"));
    let fields = unwritten.map(|line| line.split(':').map(str::trim).collect::<Vec<_>>());
    fields.map(|fields| (fields[2].split("..").next().unwrap().to_owned(), fields[3].to_owned())).collect()
}

/// A small file system in memory, mounted while this lives.
pub struct Memory(tempfile::TempDir);

impl Memory {
    /// Mounts one with these options. `None`, with a message, where it cannot be mounted.
    pub fn mount(options: &str) -> Option<Memory> {
        let dir = tempfile::tempdir().unwrap();
        if succeeds("mount", &["-t", "tmpfs", "-o", options, "tmpfs", dir.path().to_str().unwrap()]) {
            return Some(Memory(dir));
        }
        skip("no tmpfs can be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn remount(&self, options: &str) {
        remount(self.path(), options);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        unmount(self.path());
    }
}

/// An overlayfs whose files lie in a directory of another file system, mounted while this lives.
pub struct Overlay {
    dir: tempfile::TempDir,
    upper: PathBuf,
    layers: String,
}

impl Overlay {
    /// Mounts one whose layers all lie in `below`. `None`, with a message, where it cannot be mounted.
    pub fn on(below: &Path) -> Option<Overlay> {
        let lower = below.join("lower");
        std::fs::create_dir(&lower).unwrap();
        Overlay::over(&lower, below, "rw")
    }

    /// Mounts one with these options, whose lower layer is another directory.
    pub fn over(lower: &Path, below: &Path, options: &str) -> Option<Overlay> {
        let (upper, work) = (below.join("upper"), below.join("work"));
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&work).unwrap();
        let [lower, above, work] = [lower, &upper, &work].map(Path::display);
        let layers = format!("{options},lowerdir={lower},upperdir={above},workdir={work}");
        let overlay = Overlay { dir: tempfile::tempdir().unwrap(), upper, layers };
        if overlay.mount() {
            return Some(overlay);
        }
        skip("no overlayfs can be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory in which its files lie.
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    pub fn mount(&self) -> bool {
        succeeds("mount", &["-t", "overlay", "-o", &self.layers, "overlay", self.path().to_str().unwrap()])
    }

    pub fn unmount(&self) -> bool {
        unmount(self.path())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // A test may have unmounted it, and trying again takes time.
        if succeeds("mountpoint", &["-q", self.path().to_str().unwrap()]) {
            self.unmount();
        }
    }
}
