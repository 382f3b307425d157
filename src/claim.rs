//! Handing the finished file over: to its permanent place, once.
//!
//! Under all slots. The file `claim` is written first (`claim_record`). It has the destination, and the inode that will
//! appear there. So a call after a crash can tell what happened:
//!
//! | the claim says | `file` | at the destination | what happened | what follows |
//! |---|---|---|---|---|
//! | renamed | there | | killed before the file was moved | any destination |
//! | copying | there | not that file | killed while it was copied | any destination; the same one goes on copying |
//! | copying | there | that file, every byte | power loss took the next mark; or an earlier version was killed | drop `file`: gone |
//! | whole | there | not that file, and the part is there | killed before the copy appeared | as while copying |
//! | whole | there | the part is missing | the copy appeared, and may have been taken | drop `file`: gone |
//! | any | none | that file | done | the same destination succeeds again, others are gone |
//! | any | none | something else | moved on, or taken by other means | gone |
//!
//! Across file systems the copy grows in a hidden file beside the destination, the part. When it is whole, it is
//! renamed to the destination. A missing part proves this only in the directory in which it was, and only if power loss
//! cannot have taken it: it was synced, or boot and mount are the same. Otherwise `file` is delivered, perhaps a second
//! time, because losing it would be worse. Before a part is removed for another reason, the claim says *copying* again.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::claim_record::{Birth, Claim, NOT_MADE_YET, Way, part_path, place_of, remove_if_there};
use crate::directory::{CLAIM, Directory, FILE, NEW_CLAIM};
use crate::error::{Error, Result, errno};
use crate::format::{Phase, PhaseRecord};
use crate::trust::{self, Trust};
use crate::upload::Upload;
use crate::{Durability, Finished, budget, complete, list, pieces, sys};

/// Moves the finished file to `destination`, an absolute path.
pub(crate) fn move_to(upload: &Upload<'_>, destination: &Path, overwrite: bool) -> Result<Finished> {
    let place = resolve(upload, destination)?;
    let claimed = {
        let _all = upload.lock_all()?;
        claim(upload, &place, overwrite)
    };
    if matches!(claimed, Ok(()) | Err(Error::Gone { .. })) {
        // Without the upload's locks, and again when this call is repeated: the first may have died here.
        budget::release(upload.store, &upload.state, upload.header.size_on_disk())?;
    }
    claimed?;
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
    let total = upload.header.shape.total_size;
    let durable = upload.level(&upload.records()?) >= Durability::Complete;
    let record = match (complete::complete(upload), &earlier) {
        (Err(Error::Gone { .. }), Some(claim)) if claim.destination == destination && claim.has_appeared(total) => {
            // The call that moved it may have died before the move was on disk.
            return if durable { sync_move(upload, destination) } else { Ok(()) };
        }
        (Err(Error::Gone { .. }), Some(claim)) if !claim.has_appeared(total) && upload.dir.has(FILE)? => {
            // Power loss took the renaming, but not the mark.
            let record = PhaseRecord { phase: Phase::Complete, ..upload.phase_of(&upload.records()?)? };
            upload.write_phase(record)?;
            complete::complete(upload)?
        }
        (result, _) => result?,
    };
    let moving = Moving { upload, record, destination, overwrite, durable };
    match earlier {
        Some(claim) if moving.was_delivered(&claim) => {
            // A second link to it may be left, see `appear`.
            let _ = claim.remove_part(&upload.dir);
            // The call that was killed may have been of a lower level.
            if durable && let Ok(there) = open_unfollowed(&claim.destination) {
                moving.sync_delivered(&there, &claim.destination)?;
            }
            moving.finish(&claim.destination)?;
            let same = claim.destination == destination && claim.has_appeared(total);
            if same { Ok(()) } else { Err(upload.vanished()) }
        }
        Some(claim) if !matches!(claim.way, Way::Renamed(_)) && claim.destination == destination => {
            moving.copy(Some(claim))
        }
        earlier => {
            if let Some(mut claim) = earlier {
                claim.restart(&upload.dir)?;
                // If it cannot be removed, it stays: moving the file is more important.
                let _ = claim.remove_part(&upload.dir);
            }
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

    /// Whether the copy of the file is at this destination. Its inode may belong to another file by now, and the
    /// original is removed next.
    fn is_whole_at(&self, destination: &Path) -> bool {
        let total = self.upload.header.shape.total_size;
        open_unfollowed(destination).is_ok_and(|copy| {
            copy.metadata().is_ok_and(|there| there.len() == total)
                && pieces::checksum(&copy, 0, total, &mut Vec::new(), |_| Ok(()))
                    .is_ok_and(|crc32c| crc32c == Some(self.record.crc32c))
        })
    }

    /// Syncs a copy that has appeared, before the original is removed. If an earlier sync may have failed, the copy is
    /// read from the disk.
    fn sync_delivered(&self, copy: &File, destination: &Path) -> Result<()> {
        let failed = |error| Error::os("cannot sync", destination, error);
        let resident = sys::resident(copy) != Some(false);
        sys::mark_resident(copy, false);
        copy.sync_all().map_err(failed)?;
        if !resident {
            sys::drop_from_cache(copy, 0, self.upload.header.shape.total_size);
        }
        if resident || self.is_whole_at(destination) { Ok(()) } else { Err(failed(errno(libc::EIO))) }
    }

    /// Whether a copy has appeared, though `file` is still there.
    fn was_delivered(&self, claim: &Claim) -> bool {
        let has_appeared = || claim.has_appeared(self.upload.header.shape.total_size);
        match claim.way {
            Way::Renamed(_) => false,
            Way::Whole { place, .. } if self.is_in_place(&claim.destination, place) => {
                match std::fs::symlink_metadata(part_path(&claim.destination, &self.upload.dir)) {
                    // Both are there for a moment if a link is used instead of the rename.
                    Ok(_) => has_appeared(),
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                }
            }
            Way::Whole { .. } | Way::Copying { .. } => has_appeared() && self.is_whole_at(&claim.destination),
        }
    }

    fn is_in_place(&self, destination: &Path, place: u32) -> bool {
        [true, false].iter().any(|&synced| place_of(destination, &self.upload.store.boot, synced) == Some(place))
    }

    /// Within one file system.
    fn rename(&self) -> Result<()> {
        let file = self.source()?.metadata().map_err(|error| self.failed(error))?;
        self.write_claim(file.ino(), Way::Renamed(Birth::of(&file)), self.durable)?;
        self.reach("move:claimed")?;
        match self.appear(&self.upload.dir, FILE.to_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => self.copy(None),
            Err(error) => {
                discard(&self.upload.dir)?;
                Err(self.failed(error))
            }
            Ok(()) => {
                self.reach("move:renamed")?;
                if self.durable {
                    sync_directory_of(self.destination)?;
                }
                self.mark_gone()
            }
        }
    }

    fn write_claim(&self, inode: u64, way: Way, durable: bool) -> Result<Claim> {
        let claim = Claim { destination: self.destination.to_owned(), inode, way };
        claim.write(&self.upload.dir, self.upload.store.options().state_mode(), durable)?;
        Ok(claim)
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
                    // The link of a call that was killed after it had made the link.
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

    /// The copy is at its place, or was there: removes the original.
    fn finish(&self, destination: &Path) -> Result<()> {
        if self.durable {
            sync_directory_of(destination)?;
        }
        self.upload.dir.remove(FILE)?;
        self.reach("move:dropped")?;
        self.mark_gone()
    }

    fn mark_gone(&self) -> Result<()> {
        self.upload.write_phase(PhaseRecord { phase: Phase::Gone, ..self.record })?;
        if self.durable {
            self.upload.sync_state()?;
            self.upload.dir.sync_names()?;
        }
        self.reach("move:marked")
    }

    /// Across file systems. Continues a copy that was begun.
    fn copy(&self, begun: Option<Claim>) -> Result<()> {
        let source = self.source()?;
        let result = self.copy_to_part(&source, begun).and_then(|(part, claim)| self.part_appears(&part, claim));
        if let Err(error) = result {
            // The copy is removed, and the upload is as it was before.
            discard(&self.upload.dir)?;
            return Err(error);
        }
        self.reach("move:appeared")?;
        self.finish(self.destination)
    }

    fn copy_to_part(&self, source: &File, begun: Option<Claim>) -> Result<(File, Claim)> {
        /// How much is copied between two records of the progress.
        const PIECE: u64 = 64 << 20;
        let total = self.upload.header.shape.total_size;
        let failed = |error| self.failed(error);
        let (part, mut claim) = match begun {
            None => self.create_part(source)?,
            Some(mut claim) => match self.open_part(&claim) {
                Some(part) => (part, claim),
                None => {
                    claim.restart(&self.upload.dir)?;
                    claim.remove_part(&self.upload.dir)?;
                    self.create_part(source)?
                }
            },
        };
        while let Way::Copying { copied, tag } = claim.way
            && copied < total
        {
            let end = copied + PIECE.min(total - copied);
            pieces::copy(source, &part, copied..end).map_err(failed)?;
            claim.way = Way::Copying { copied: end, tag };
            claim.update(&self.upload.dir, false)?;
            self.reach("move:copied")?;
        }
        part.set_len(total).map_err(failed)?;
        Ok((part, claim))
    }

    /// The part is whole. Between the mark and the rename there is only what cannot be done earlier.
    fn part_appears(&self, part: &File, mut claim: Claim) -> Result<()> {
        let failed = |error| self.failed(error);
        if self.durable {
            // The call may be killed after a failure, which the kernel does not report again. Then the copy is made
            // again.
            sys::mark_resident(part, false);
            part.sync_all().inspect_err(|_| drop(self.reach("failed:sync"))).map_err(failed)?;
            sys::mark_resident(part, true);
            // The part's name as well: if power loss took the name, the part would seem to have appeared.
            sync_directory_of(self.destination)?;
        }
        let parent = Directory::open(self.destination.parent().unwrap_or(Path::new("/")).to_owned())?;
        let parent = parent.ok_or_else(|| failed(errno(libc::ENOENT)))?;
        let birth = Birth::of(&part.metadata().map_err(failed)?);
        let place = place_of(self.destination, &self.upload.store.boot, self.durable).unwrap_or(trust::MISSING);
        claim.way = Way::Whole { birth, place };
        claim.update(&self.upload.dir, self.durable)?;
        self.reach("move:whole")?;
        let name = part_path(self.destination, &self.upload.dir);
        self.appear(&parent, name.file_name().unwrap_or_default().as_bytes()).map_err(failed)
    }

    /// The copy that a call began, if the record of it is believed.
    fn open_part(&self, claim: &Claim) -> Option<File> {
        let part = part_path(self.destination, &self.upload.dir);
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(part).ok()?;
        let there = file.metadata().ok()?;
        let believed = match claim.way {
            Way::Renamed(_) => false,
            Way::Whole { place, .. } => {
                claim.is_of(&there, self.upload.header.shape.total_size) && self.is_in_place(self.destination, place)
            }
            Way::Copying { copied, tag } => {
                there.is_file()
                    && there.ino() == claim.inode
                    && there.len() >= copied
                    && self.trust_in(&file).ok()?.believes(tag)
            }
        };
        let whole = !self.durable || sys::resident(&file) != Some(false);
        (believed && whole).then_some(file)
    }

    fn trust_in(&self, part: &File) -> io::Result<Trust> {
        let store = self.upload.store;
        let volume = store.volumes.of(part, &sys::status(part)?)?;
        Ok(Trust::now(&store.boot, volume).of_resident(|| sys::resident(part)))
    }

    /// The claim is written first: a part that no claim names would stay for ever.
    fn create_part(&self, source: &File) -> Result<(File, Claim)> {
        let unwritten = Way::Copying { copied: 0, tag: trust::UNKNOWN };
        let mut claim = self.write_claim(NOT_MADE_YET, unwritten, false)?;
        self.reach("move:announced")?;
        let path = part_path(self.destination, &self.upload.dir);
        remove_if_there(&path)?;
        let mut create = || -> io::Result<File> {
            let part = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            sys::mark_resident(&part, true);
            part.set_permissions(std::fs::Permissions::from_mode(source.metadata()?.mode() & 0o777))?;
            claim.inode = part.metadata()?.ino();
            claim.way = Way::Copying { copied: 0, tag: self.trust_in(&part)?.tag() };
            Ok(part)
        };
        let part = create().map_err(|error| self.failed(error))?;
        self.reach("move:created")?;
        claim.update(&self.upload.dir, self.durable)?;
        if self.durable {
            self.upload.dir.sync_names()?;
        }
        Ok((part, claim))
    }
}

/// Opens the file at a destination. Another program may have put a link there by now, or a FIFO, on which opening would
/// wait.
fn open_unfollowed(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Puts the names in the destination's directory on disk.
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

/// Forgets a claim, and removes the copy that did not appear. If the copy stays, the claim stays, too, for the next
/// call. Under all slots.
pub(crate) fn discard(dir: &Directory) -> Result<()> {
    if let Some(mut claim) = Claim::read(dir)? {
        claim.restart(dir)?;
        if claim.remove_part(dir).is_err() {
            return Ok(());
        }
    }
    dir.remove(CLAIM)
}

/// The same for an upload that is marked as removed, and goes in any case. Answers why a part of a copy stays, if one does.
pub(crate) fn abandon(dir: &Directory) -> Result<Option<Error>> {
    let left = Claim::read(dir)?.and_then(|claim| claim.remove_part(dir).err());
    dir.remove(CLAIM)?;
    dir.remove(NEW_CLAIM)?;
    Ok(left)
}
