//! The claim: the destination of a finished file, and how a later call recognises the file there.

use std::ffi::OsString;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::api::error::{Error, Result, errno};
use crate::local::files::directory::Directory;
use crate::local::files::sys;
use crate::local::home::Home;
use crate::rules::crc::{Crc32c, crc32c};
use crate::rules::format::bytes::{u32_at, u64_at};
use crate::rules::format::layout::{CLAIM, NEW_CLAIM};
use crate::rules::tag::Tag;

/// The record of a finished upload's destination.
pub(crate) struct Claim {
    pub destination: PathBuf,
    /// The inode number of the file that appears at the destination.
    pub inode: u64,
    pub way: Way,
}

/// How the file gets to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `file` itself is renamed.
    Renamed(Birth),
    /// A copy grows: `copied` bytes were written under `tag`.
    Copying { copied: u64, tag: Tag },
    /// The copy is whole, and appears next. If the part is missing from the directory whose hash is `place`, the copy
    /// has appeared.
    Whole { birth: Birth, place: u32 },
}

/// Distinguishes a file from a later one with the same inode number, because file systems reuse the numbers of removed
/// files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Birth {
    /// An earlier version of this library wrote the claim.
    Unknown,
    /// Nanoseconds since 1970.
    At(u64),
    /// The device. It is compared only if the file system records no times of birth, because it can change with a
    /// reboot.
    On(u64),
}

impl Birth {
    pub(crate) fn of(file: &Metadata) -> Birth {
        match file.created() {
            Ok(time) => Birth::At(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)),
            Err(_) => Birth::On(file.dev()),
        }
    }

    fn is_of(self, file: &Metadata) -> bool {
        self == Birth::Unknown || self == Birth::of(file)
    }

    fn number(self) -> (u8, u64) {
        match self {
            Birth::Unknown => (0, 0),
            Birth::At(time) => (1, time),
            Birth::On(device) => (2, device),
        }
    }

    fn from_number(kind: u8, number: u64) -> Birth {
        match kind {
            1 => Birth::At(number),
            2 => Birth::On(number),
            _ => Birth::Unknown,
        }
    }
}

/// The inode number before the copy is made. No file has it.
pub(crate) const NOT_MADE_YET: u64 = 0;

/// The size before the path: inode; birth, or bytes copied; tag or place; way; kind of birth; the path's checksum; the
/// checksum of all these. An earlier version reads a whole copy as a copy whose progress it cannot use.
const FIXED: usize = 32;

impl Claim {
    fn encode(&self) -> [u8; FIXED] {
        let (way, (birth_kind, number), small) = match self.way {
            Way::Renamed(birth) => (0, birth.number(), 0),
            Way::Copying { copied, tag } => (1, (0, copied), tag.number()),
            Way::Whole { birth, place } => (2, birth.number(), place),
        };
        let mut bytes = [0; FIXED];
        bytes[0..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        bytes[16..20].copy_from_slice(&small.to_le_bytes());
        (bytes[20], bytes[21]) = (way, birth_kind);
        bytes[24..28].copy_from_slice(&crc32c(self.destination.as_os_str().as_bytes()).to_le_bytes());
        let check = crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Claim> {
        let (fixed, path) = bytes.split_at_checked(FIXED)?;
        let birth = Birth::from_number(fixed[21], u64_at(fixed, 8));
        let way = match fixed[20] {
            0 => Way::Renamed(birth),
            2 => Way::Whole { birth, place: u32_at(fixed, 16) },
            _ => Way::Copying { copied: u64_at(fixed, 8), tag: Tag::from_number(u32_at(fixed, 16)) },
        };
        let claim =
            Claim { destination: PathBuf::from(OsString::from_vec(path.to_vec())), inode: u64_at(fixed, 0), way };
        (u32_at(fixed, 28) == crc32c(&fixed[..28]) && u32_at(fixed, 24) == crc32c(path)).then_some(claim)
    }

    /// `None` if there is no claim, or power loss damaged it.
    pub(crate) fn read(dir: &Directory) -> Result<Option<Claim>> {
        const LONGEST: u64 = FIXED as u64 + libc::PATH_MAX as u64;
        let Some(file) = dir.open_file(CLAIM)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(|error| dir.error("cannot read", CLAIM, error))?;
        Ok(Claim::decode(&bytes))
    }

    /// Replaces the claim in one step, because a part that no claim names would stay for ever.
    pub(crate) fn write(&self, dir: &Directory, mode: u32, durable: bool) -> Result<()> {
        let file = match dir.create_file(NEW_CLAIM, mode) {
            // A killed call left the file.
            Err(error) if error.os_errno() == Some(libc::EEXIST) => {
                dir.remove(NEW_CLAIM)?;
                dir.create_file(NEW_CLAIM, mode)?
            }
            result => result?,
        };
        let bytes = [&self.encode()[..], self.destination.as_os_str().as_bytes()].concat();
        file.write_all_at(&bytes, 0).map_err(|error| dir.error("cannot write", NEW_CLAIM, error))?;
        if durable {
            dir.sync_file(NEW_CLAIM, &file)?;
        }
        dir.rename(NEW_CLAIM, CLAIM)?;
        if durable { dir.sync_names() } else { Ok(()) }
    }

    /// Records the progress of the copy. The destination stays, so this is one write within a sector.
    pub(crate) fn update(&self, dir: &Directory, durable: bool) -> Result<()> {
        let file = dir.open_file(CLAIM)?.ok_or_else(|| dir.error("cannot open", CLAIM, errno(libc::ENOENT)))?;
        file.write_all_at(&self.encode(), 0).map_err(|error| dir.error("cannot write", CLAIM, error))?;
        if durable { dir.sync_file(CLAIM, &file) } else { Ok(()) }
    }

    /// Whether the claim's file is at the destination. A file of another size counts as another file.
    pub(crate) fn has_appeared(&self, total_size: u64) -> bool {
        std::fs::symlink_metadata(&self.destination).is_ok_and(|there| self.is_of(&there, total_size))
    }

    pub(crate) fn is_of(&self, file: &Metadata, total_size: u64) -> bool {
        let born = match self.way {
            Way::Renamed(birth) | Way::Whole { birth, .. } => birth.is_of(file),
            Way::Copying { .. } => true,
        };
        born && file.is_file() && file.ino() == self.inode && file.len() == total_size
    }

    /// Records that the copy begins again: from here on a missing part has not appeared. If the copy was whole, this is
    /// synced at any level, before the part is removed.
    pub(crate) fn restart(&mut self, dir: &Directory) -> Result<()> {
        let whole = matches!(self.way, Way::Whole { .. });
        if !matches!(self.way, Way::Renamed(_)) {
            self.way = Way::Copying { copied: 0, tag: Tag::UNKNOWN };
            self.update(dir, whole)?;
        }
        Ok(())
    }

    /// Removes the part if this upload certainly made it.
    pub(crate) fn remove_part(&self, dir: &Directory) -> Result<()> {
        if let Way::Renamed(_) = self.way {
            return Ok(());
        }
        let part = part_path(&self.destination, dir);
        let there = match std::fs::symlink_metadata(&part) {
            Ok(there) => there,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
            // The part of a whole copy has most likely appeared.
            Err(_) if matches!(self.way, Way::Whole { .. }) => return Ok(()),
            Err(error) => return Err(Error::os("cannot examine", part, error)),
        };
        // The part has the claim's inode. Before the claim has an inode, an empty file with the part's name is taken
        // for the part.
        let ours = match self.inode {
            NOT_MADE_YET => there.is_file() && there.len() == 0,
            inode => there.ino() == inode,
        };
        if ours { remove_if_there(&part) } else { Ok(()) }
    }
}

/// The path of the part: a hidden file in the destination's directory, whose name does not reveal the uid.
pub(crate) fn part_path(destination: &Path, dir: &Directory) -> PathBuf {
    use sha2::Digest;
    let name = dir.path.file_name().unwrap_or_default().as_bytes();
    let hash = u64::from_be_bytes(sha2::Sha256::digest(name).as_chunks::<8>().0[0]);
    destination.with_file_name(format!(".upload-{hash:016x}.part"))
}

/// A hash of the directory of a part and, unless the part is synced, of boot and mount. `None` if these are not known.
pub(crate) fn place_of(destination: &Path, home: &Home, synced: bool) -> Option<u32> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(destination.parent()?)
        .ok()?;
    let metadata = directory.metadata().ok()?;
    let mut hash = Crc32c::new();
    hash.update(&metadata.ino().to_le_bytes());
    hash.update(&Birth::of(&metadata).number().1.to_le_bytes());
    if !synced {
        // Where the kernel does not tell the mount, the boot alone must do: power loss changes it.
        let mount = sys::status(&directory).ok()?.mount.unwrap_or(0);
        let tag = home.trust_on(Some(mount)).tag();
        hash.update(&Some(tag).filter(|tag| *tag != Tag::UNKNOWN)?.number().to_le_bytes());
    }
    // An earlier version reads this as a tag, and must not trust it.
    Some(hash.finish().max(Tag::SYNCED.number() + 1))
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::os("cannot remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes the claim and the part. If the part cannot be removed, the claim stays, too, for the next call. The caller
/// holds all slots.
pub(crate) fn discard(dir: &Directory) -> Result<()> {
    if let Some(mut claim) = Claim::read(dir)? {
        claim.restart(dir)?;
        if claim.remove_part(dir).is_err() {
            return Ok(());
        }
    }
    dir.remove(CLAIM)
}

/// Removes the claim and the part of an upload that is marked as removed. The claim is removed in any case. If the part
/// stays, returns the reason.
pub(crate) fn abandon(dir: &Directory) -> Result<Option<Error>> {
    let left = Claim::read(dir)?.and_then(|claim| claim.remove_part(dir).err());
    dir.remove(CLAIM)?;
    dir.remove(NEW_CLAIM)?;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim as 0.2 wrote it before claims had a birth: inode 7, `/x`.
    fn earlier(copied: u64, tag: u32, copy: u8) -> Vec<u8> {
        let mut bytes =
            [&7_u64.to_le_bytes()[..], &copied.to_le_bytes(), &tag.to_le_bytes(), &[copy, 0, 0, 0]].concat();
        bytes.extend(crc32c(b"/x").to_le_bytes());
        bytes.extend(crc32c(&bytes).to_le_bytes());
        bytes.extend(b"/x");
        bytes
    }

    #[test]
    fn a_claim_of_an_earlier_version_is_read() {
        let read = |bytes: &[u8]| Claim::decode(bytes).map(|claim| (claim.destination, claim.inode, claim.way));
        assert_eq!(read(&earlier(0, 0, 0)), Some(("/x".into(), 7, Way::Renamed(Birth::Unknown))));
        assert_eq!(
            read(&earlier(5, 9, 1)),
            Some(("/x".into(), 7, Way::Copying { copied: 5, tag: Tag::from_number(9) }))
        );
        assert_eq!(read(&earlier(5, 9, 1)[..33]), None);
    }

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        for birth in [Birth::Unknown, Birth::At(u64::MAX), Birth::On(3)] {
            for way in [
                Way::Renamed(birth),
                Way::Copying { copied: 5, tag: Tag::from_number(9) },
                Way::Whole { birth, place: 8 },
            ] {
                let claim = Claim { destination: "/x".into(), inode: 7, way };
                let read = Claim::decode(&[&claim.encode()[..], b"/x"].concat()).unwrap();
                assert_eq!((read.inode, read.way), (7, way));
            }
        }
        // An earlier version reads the same inode, and a copy whose progress it cannot use.
        let whole = Way::Whole { birth: Birth::At(1 << 60), place: 8 };
        let bytes = Claim { destination: "/x".into(), inode: 7, way: whole }.encode();
        assert_eq!((&bytes[..8], bytes[20] != 0), (&7_u64.to_le_bytes()[..], true));
    }
}
