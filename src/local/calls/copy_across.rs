//! Moves a finished file to another file system: a copy grows in the destination's directory, and appears when it is
//! whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::api::error::{Result, errno};
use crate::local::calls::claim_record::{
    Birth, Claim, NOT_MADE_YET, Way, discard, part_path, place_of, remove_if_there,
};
use crate::local::calls::moving::{Moving, sync_directory_of};
use crate::local::files::directory::Directory;
use crate::local::files::{read, sys};
use crate::rules::tag::{Tag, Trust};

impl Moving<'_> {
    /// Moves the file to another file system. Continues a copy that was begun.
    pub(crate) fn copy(&self, begun: Option<Claim>) -> Result<()> {
        let source = self.source()?;
        let result = self.copy_to_part(&source, begun).and_then(|(part, claim)| self.part_appears(&part, claim));
        if let Err(error) = result {
            // After this the upload is as it was before.
            discard(&self.upload.dir)?;
            return Err(error);
        }
        self.reach("move:appeared")?;
        self.finish(self.destination)
    }

    fn copy_to_part(&self, source: &File, begun: Option<Claim>) -> Result<(File, Claim)> {
        /// The bytes that are copied between two records of the progress.
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
            read::copy(source, &part, copied..end).map_err(failed)?;
            claim.way = Way::Copying { copied: end, tag };
            claim.update(&self.upload.dir, false)?;
            self.reach("move:copied")?;
        }
        part.set_len(total).map_err(failed)?;
        Ok((part, claim))
    }

    /// Makes a whole part appear at the destination. All that can be done before the mark *whole* is done before it.
    fn part_appears(&self, part: &File, mut claim: Claim) -> Result<()> {
        let failed = |error| self.failed(error);
        if self.durable {
            // The kernel reports a failure only once, and the call may be killed then. Without the mark, the next call
            // makes the copy again.
            sys::mark_resident(part, false);
            part.sync_all().inspect_err(|_| drop(self.reach("failed:sync"))).map_err(failed)?;
            sys::mark_resident(part, true);
            // The part's name is synced as well. If power loss lost the name, the part would seem to have appeared.
            sync_directory_of(self.destination)?;
        }
        let parent = Directory::open(self.destination.parent().unwrap_or(Path::new("/")).to_owned())?;
        let parent = parent.ok_or_else(|| failed(errno(libc::ENOENT)))?;
        let birth = Birth::of(&part.metadata().map_err(failed)?);
        let place = place_of(self.destination, self.upload.home, self.durable).unwrap_or(0);
        claim.way = Way::Whole { birth, place };
        claim.update(&self.upload.dir, self.durable)?;
        self.reach("move:whole")?;
        let name = part_path(self.destination, &self.upload.dir);
        self.appear(&parent, name.file_name().unwrap_or_default().as_bytes()).map_err(failed)
    }

    /// Opens the part that an earlier call began, if the claim about it is trusted.
    fn open_part(&self, claim: &Claim) -> Option<File> {
        let part = part_path(self.destination, &self.upload.dir);
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(part).ok()?;
        let there = file.metadata().ok()?;
        let trusted = match claim.way {
            Way::Renamed(_) => false,
            Way::Whole { place, .. } => {
                claim.is_of(&there, self.upload.header.shape.total_size) && self.is_in_place(self.destination, place)
            }
            Way::Copying { copied, tag } => {
                there.is_file()
                    && there.ino() == claim.inode
                    && there.len() >= copied
                    && self.trust_in(&file).ok()?.trusts(tag)
            }
        };
        let whole = !self.durable || sys::resident(&file) != Some(false);
        (trusted && whole).then_some(file)
    }

    fn trust_in(&self, part: &File) -> io::Result<Trust> {
        let trust = self.upload.home.trust_in(part, &sys::status(part)?)?;
        Ok(trust.of_resident(|| sys::resident(part)))
    }

    /// Makes the part. The claim is written first, because a part that no claim names would stay for ever.
    fn create_part(&self, source: &File) -> Result<(File, Claim)> {
        let unwritten = Way::Copying { copied: 0, tag: Tag::UNKNOWN };
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
