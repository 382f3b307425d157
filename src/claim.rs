//! Handing the finished file over: to its permanent place, once.
//!
//! Under all slots. What is about to happen is written into the file `claim` first: the destination, and the inode that will
//! appear there. So whoever comes after a crash can tell whether it did:
//!
//! | `file` | at the destination | what happened | what follows |
//! |---|---|---|---|
//! | there | not that inode | killed before the file was moved, or while it was copied | any destination; the same one goes on copying |
//! | there | that inode | a copy appeared, and the original was not dropped yet | drop it: gone |
//! | none | that inode | done | the same destination succeeds again, others are gone |
//! | none | something else | moved on, or taken by other means | gone |
//!
//! Across file systems the copy grows in a hidden file beside the destination and appears by a rename, when it is whole.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::crc::crc32c;
use crate::directory::{CLAIM, Directory, FILE};
use crate::error::{Error, Result, errno};
use crate::format::{Phase, PhaseRecord};
use crate::trust::Trust;
use crate::upload::Upload;
use crate::{Durability, Finished, budget, complete, list, pieces, sys};

/// Moves the finished file to `destination`, an absolute path.
pub(crate) fn move_to(upload: &Upload<'_>, destination: &Path, overwrite: bool) -> Result<Finished> {
    let place = resolve(upload, destination)?;
    {
        let _all = upload.lock_all()?;
        claim(upload, &place, overwrite)?;
    }
    // Without the upload's locks, and again by whoever repeats this call: the first may have died here.
    budget::release(upload.store, &upload.state, upload.header.shape.total_size)?;
    let crc32c = upload.phase_of(&upload.records()?)?.crc32c;
    complete::finished(upload, destination.to_owned(), crc32c)
}

/// The same place, however the path to it is spelled. Refuses what can never be a file's place.
fn resolve(upload: &Upload<'_>, destination: &Path) -> Result<PathBuf> {
    let refuse = |what: &str| Err(Error::InvalidArgument(format!("the destination {what}")));
    if destination.as_os_str().as_bytes().contains(&0) {
        return refuse("contains NUL");
    }
    let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
        return refuse("has no file name");
    };
    if destination.as_os_str().as_bytes().ends_with(b"/") {
        return refuse("is a directory");
    }
    let examine = |error| Error::os("cannot examine", parent, error);
    let parent = parent.canonicalize().map_err(examine)?;
    // There it could be taken for an upload, or for one of the store's own records.
    let inode = |directory: &Path| directory.metadata().map(|there| (there.dev(), there.ino()));
    let root = inode(upload.store.root()).map_err(examine)?;
    let there = inode(&parent).map_err(examine)?;
    let in_upload = parent.parent().is_some_and(|above| inode(above).is_ok_and(|above| above == root))
        && list::names_upload(upload.store, parent.file_name().unwrap_or_default().as_bytes());
    // Its own may be known by other names, too.
    let own = upload.dir.handle.metadata().map(|own| (own.dev(), own.ino())).map_err(examine)?;
    if there == root || there == own || in_upload {
        return refuse("is in the store itself, or in the directory of an upload");
    }
    Ok(parent.join(name))
}

fn claim(upload: &Upload<'_>, destination: &Path, overwrite: bool) -> Result<()> {
    let earlier = Claim::read(&upload.dir)?;
    let durable = upload.level(&upload.records()?) >= Durability::Complete;
    let record = match (complete::complete(upload), &earlier) {
        (Err(Error::Gone { .. }), Some(claim)) if claim.destination == destination && claim.has_appeared() => {
            // Whoever moved it may have died before it was on disk.
            return if durable { sync_move(upload, destination) } else { Ok(()) };
        }
        (Err(Error::Gone { .. }), Some(claim)) if !claim.has_appeared() && upload.dir.has(FILE)? => {
            // Power loss took the renaming, but not the mark.
            let record = PhaseRecord { phase: Phase::Complete, ..upload.phase_of(&upload.records()?)? };
            upload.write_phase(record)?;
            complete::complete(upload)?
        }
        (result, _) => result?,
    };
    let moving = Moving { upload, record, destination, overwrite, durable };
    match earlier {
        Some(claim) if claim.copy && claim.has_appeared() && moving.is_whole_at(&claim.destination) => {
            moving.finish()?;
            if claim.destination == destination { Ok(()) } else { Err(upload.vanished()) }
        }
        Some(claim) if claim.copy && claim.destination == destination => moving.copy(Some(claim)),
        _ => {
            discard(&upload.dir)?;
            moving.rename()
        }
    }
}

/// A file on its way to its place.
struct Moving<'a> {
    upload: &'a Upload<'a>,
    record: PhaseRecord,
    destination: &'a Path,
    overwrite: bool,
    /// Whether the file is to survive power loss where it goes.
    durable: bool,
}

impl Moving<'_> {
    fn failed(&self, error: io::Error) -> Error {
        Error::os("cannot move an upload to", self.destination, error)
    }

    fn reach(&self, step: &'static str) -> Result<()> {
        self.upload.reach(step)
    }

    fn source(&self) -> Result<File> {
        self.upload.dir.open_file(FILE)?.ok_or_else(|| self.upload.vanished())
    }

    /// Whether the file's copy stands there: its inode may be another's by now, and the original is dropped next.
    fn is_whole_at(&self, destination: &Path) -> bool {
        let total = self.upload.header.shape.total_size;
        let open = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(destination);
        open.is_ok_and(|copy| {
            copy.metadata().is_ok_and(|there| there.len() == total)
                && pieces::checksum(&copy, 0, total, &mut Vec::new(), |_| Ok(()))
                    .is_ok_and(|crc32c| crc32c == Some(self.record.crc32c))
        })
    }

    /// Within one file system.
    fn rename(&self) -> Result<()> {
        let inode = self.source()?.metadata().map_err(|error| self.failed(error))?.ino();
        let claim = Claim { destination: self.destination.to_owned(), inode, copy: false, copied: 0, tag: 0 };
        self.write_claim(&claim)?;
        match self.appear(&self.upload.dir, FILE.to_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => self.copy(None),
            Err(error) => {
                discard(&self.upload.dir)?;
                Err(self.failed(error))
            }
            Ok(()) => {
                self.reach("move:renamed")?;
                self.finish()
            }
        }
    }

    fn write_claim(&self, claim: &Claim) -> Result<()> {
        let file = claim.write(&self.upload.dir, self.upload.store.options().state_mode())?;
        if self.durable {
            self.upload.dir.sync_file(CLAIM, &file)?;
            self.upload.dir.sync_names()?;
        }
        self.reach("move:claimed")
    }

    /// Renames `name` in `dir` to the destination.
    fn appear(&self, dir: &Directory, name: &[u8]) -> io::Result<()> {
        let (from, to) = (CString::new(name)?, CString::new(self.destination.as_os_str().as_bytes())?);
        if self.overwrite {
            return sys::rename_to(&dir.handle, &from, &to);
        }
        let from_path = dir.path.join(OsStr::from_bytes(name));
        let inode = |path: &Path| std::fs::symlink_metadata(path).map(|there| (there.dev(), there.ino())).ok();
        match sys::rename_to_new(&dir.handle, &from, &to) {
            // A file system that cannot do this; a link never replaces anything either.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                match std::fs::hard_link(&from_path, self.destination) {
                    // The link of a call that was killed behind it.
                    Err(error)
                        if error.raw_os_error() == Some(libc::EEXIST)
                            && inode(&from_path) == inode(self.destination) => {}
                    result => result?,
                }
                sys::unlink_at(&dir.handle, &from)
            }
            result => result,
        }
    }

    /// The file is at its place: the upload is gone.
    fn finish(&self) -> Result<()> {
        if self.durable {
            sync_directory_of(self.destination)?;
        }
        // Of a copy the original is left.
        self.upload.dir.remove(FILE)?;
        self.reach("move:dropped")?;
        self.upload.write_phase(PhaseRecord { phase: Phase::Gone, ..self.record })?;
        if self.durable {
            self.upload.sync_state()?;
            self.upload.dir.sync_names()?;
        }
        self.reach("move:marked")
    }

    /// Across file systems. Goes on with a copy that was begun.
    fn copy(&self, begun: Option<Claim>) -> Result<()> {
        let source = self.source()?;
        let result = self.copy_to_part(&source, begun).and_then(|()| {
            let part = part_path(self.destination, &self.upload.dir);
            let parent = Directory::open(self.destination.parent().unwrap_or(Path::new("/")).to_owned())?;
            let parent = parent.ok_or_else(|| self.failed(errno(libc::ENOENT)))?;
            let name = part.file_name().unwrap_or_default().as_bytes();
            self.appear(&parent, name).map_err(|error| self.failed(error))
        });
        if let Err(error) = result {
            // Nothing of it stays in the way; the upload is what it was.
            discard(&self.upload.dir)?;
            return Err(error);
        }
        self.reach("move:appeared")?;
        self.finish()
    }

    fn copy_to_part(&self, source: &File, begun: Option<Claim>) -> Result<()> {
        /// How much is copied between two records of the progress.
        const PIECE: u64 = 64 << 20;
        let total = self.upload.header.shape.total_size;
        let failed = |error| self.failed(error);
        let (part, mut claim) = match begun.and_then(|claim| Some((self.open_part(&claim)?, claim))) {
            Some(begun) => begun,
            None => self.create_part(source)?,
        };
        while claim.copied < total {
            let end = claim.copied + PIECE.min(total - claim.copied);
            pieces::copy(source, &part, claim.copied..end).map_err(failed)?;
            claim.copied = end;
            claim.write_progress(&self.upload.dir)?;
            self.reach("move:copied")?;
        }
        part.set_len(total).map_err(failed)?;
        if self.durable {
            part.sync_all().map_err(failed)?;
        }
        Ok(())
    }

    /// The copy that a call began, if what is on record of it can be believed.
    fn open_part(&self, claim: &Claim) -> Option<File> {
        let part = part_path(self.destination, &self.upload.dir);
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(part).ok()?;
        let there = file.metadata().ok()?;
        let believed = self.trust_in(&file).ok()?.believes(claim.tag);
        (believed && there.is_file() && there.ino() == claim.inode && there.len() >= claim.copied).then_some(file)
    }

    fn trust_in(&self, part: &File) -> io::Result<Trust> {
        sys::status(part).map(|status| Trust::now(&self.upload.store.boot, status.mount))
    }

    /// The claim comes first: a part to which no claim leads would stay for ever.
    fn create_part(&self, source: &File) -> Result<(File, Claim)> {
        let destination = self.destination.to_owned();
        let mut claim = Claim { destination, inode: NOT_MADE_YET, copy: true, copied: 0, tag: 0 };
        let record = claim.write(&self.upload.dir, self.upload.store.options().state_mode())?;
        self.reach("move:announced")?;
        let path = part_path(self.destination, &self.upload.dir);
        remove_if_there(&path)?;
        let mut create = || -> io::Result<File> {
            let part = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            part.set_permissions(std::fs::Permissions::from_mode(source.metadata()?.mode() & 0o777))?;
            (claim.inode, claim.tag) = (part.metadata()?.ino(), self.trust_in(&part)?.tag());
            Ok(part)
        };
        let part = create().map_err(|error| self.failed(error))?;
        self.reach("move:created")?;
        claim.write_progress(&self.upload.dir)?;
        if self.durable {
            self.upload.dir.sync_file(CLAIM, &record)?;
            self.upload.dir.sync_names()?;
        }
        Ok((part, claim))
    }
}

/// The inode of a copy that was announced: no file has it.
const NOT_MADE_YET: u64 = 0;

/// Puts on disk which files there are where the file went.
fn sync_directory_of(destination: &Path) -> Result<()> {
    let parent = destination.parent().unwrap_or(Path::new("/"));
    match File::open(parent).and_then(|dir| dir.sync_all()) {
        // A directory that may be written and not read cannot be opened to sync it.
        Err(error) if error.raw_os_error() != Some(libc::EACCES) => Err(Error::os("cannot sync", parent, error)),
        _ => Ok(()),
    }
}

/// Puts on disk that a file was moved.
fn sync_move(upload: &Upload<'_>, destination: &Path) -> Result<()> {
    sync_directory_of(destination)?;
    upload.sync_state()?;
    upload.dir.sync_names()
}

/// What is on record of a file's way to its place.
struct Claim {
    destination: PathBuf,
    /// Of what will appear there.
    inode: u64,
    /// Whether that is a copy.
    copy: bool,
    /// How many bytes of it are there.
    copied: u64,
    /// Under which they were written.
    tag: u32,
}

/// Inode, bytes copied, tag, kind, the path's checksum and the checksum of all these; the path follows.
const FIXED: usize = 32;

impl Claim {
    fn encode(&self) -> [u8; FIXED] {
        let mut bytes = [0; FIXED];
        bytes[0..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.copied.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.tag.to_le_bytes());
        bytes[20] = self.copy.into();
        bytes[24..28].copy_from_slice(&crc32c(self.destination.as_os_str().as_bytes()).to_le_bytes());
        let check = crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Claim> {
        let (fixed, path) = bytes.split_at_checked(FIXED)?;
        let number = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("eight bytes"));
        let small = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("four bytes"));
        let destination = PathBuf::from(OsString::from_vec(path.to_vec()));
        let claim = Claim { destination, inode: number(0), copied: number(8), tag: small(16), copy: fixed[20] != 0 };
        (small(28) == crc32c(&fixed[..28]) && small(24) == crc32c(path)).then_some(claim)
    }

    /// `None` if there is none, or the call that wrote it was killed while it did, and had done nothing else.
    fn read(dir: &Directory) -> Result<Option<Claim>> {
        const LONGEST: u64 = FIXED as u64 + libc::PATH_MAX as u64;
        let Some(file) = dir.open_file(CLAIM)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(|error| dir.error("cannot read", CLAIM, error))?;
        Ok(Claim::decode(&bytes))
    }

    fn write(&self, dir: &Directory, mode: u32) -> Result<File> {
        dir.remove(CLAIM)?;
        let file = dir.create_file(CLAIM, mode)?;
        let bytes = [&self.encode()[..], self.destination.as_os_str().as_bytes()].concat();
        file.write_all_at(&bytes, 0).map_err(|error| dir.error("cannot write", CLAIM, error))?;
        Ok(file)
    }

    fn write_progress(&self, dir: &Directory) -> Result<()> {
        let file = dir.open_file(CLAIM)?.ok_or_else(|| dir.error("cannot open", CLAIM, errno(libc::ENOENT)))?;
        file.write_all_at(&self.encode(), 0).map_err(|error| dir.error("cannot write", CLAIM, error))
    }

    /// Whether the inode is at the destination.
    fn has_appeared(&self) -> bool {
        std::fs::symlink_metadata(&self.destination).is_ok_and(|there| there.is_file() && there.ino() == self.inode)
    }
}

/// Forgets a claim, and removes the copy that did not appear. Under all slots, or when the upload is marked as removed.
pub(crate) fn discard(dir: &Directory) -> Result<()> {
    if let Some(claim) = Claim::read(dir)?
        && claim.copy
    {
        let part = part_path(&claim.destination, dir);
        // Only what is certainly ours: the inode, or what has not even got its first byte under our name.
        let ours = |there: &Metadata| match claim.inode {
            NOT_MADE_YET => there.is_file() && there.len() == 0,
            inode => there.ino() == inode,
        };
        if std::fs::symlink_metadata(&part).is_ok_and(|there| ours(&there)) {
            remove_if_there(&part)?;
        }
    }
    dir.remove(CLAIM)
}

/// Where a copy grows: hidden beside the destination, under a name that does not tell the uid.
fn part_path(destination: &Path, dir: &Directory) -> PathBuf {
    use sha2::Digest;
    let name = dir.path.file_name().unwrap_or_default().as_bytes();
    let hash = u64::from_be_bytes(sha2::Sha256::digest(name).as_chunks::<8>().0[0]);
    destination.with_file_name(format!(".upload-{hash:016x}.part"))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::os("cannot remove", path, error)),
        _ => Ok(()),
    }
}
