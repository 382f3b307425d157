//! One upload, opened for one call: its directory, its `state`, and the tags that are trusted in it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::api::error::{Error, Result};
use crate::api::uid::Uid;
use crate::local::files::directory::Directory;
use crate::local::files::root::{Root, is_foreign};
use crate::local::files::{sys, test_hooks};
use crate::local::home::Home;
use crate::local::upload::read_head::{READ_AT_ONCE, damaged, read_records};
use crate::rules::format::head::StateHead;
use crate::rules::format::header::Header;
use crate::rules::format::layout::{DATA, FILE, ORDERED, STATE};
use crate::rules::format::records::{Stage, StageRecord};
use crate::rules::tag::Trust;
use crate::rules::verdict::{Verdict, verdict};

pub(crate) struct Upload<'a> {
    pub home: &'a Home,
    pub uid: Uid,
    pub dir: Directory,
    pub state: File,
    pub header: Header,
    pub trust: Trust,
    /// The records as they were when the upload was opened.
    pub opened: StateHead,
}

impl<'a> Upload<'a> {
    /// Opens an upload that this handle's owner may see. An unknown upload and another owner's upload give one error,
    /// and nothing is changed.
    pub(crate) fn open(home: &'a Home, uid: Uid) -> Result<Upload<'a>> {
        match home.examine_root()? {
            Some(root) => Upload::open_at(home, root, uid),
            None => Err(Error::NotFound { uid: uid.shown() }),
        }
    }

    /// Opens an upload in the store's directory that this call has examined.
    pub(crate) fn open_at(home: &'a Home, root: Root, uid: Uid) -> Result<Upload<'a>> {
        let not_found = || Error::NotFound { uid: uid.shown() };
        let path = home.directory(uid);
        let opened =
            root.open(path.clone()).and_then(|dir| dir.map_or(Ok(None), |dir| Upload::open_in(home, uid, dir)));
        let upload = match opened {
            // The upload belongs to another user of this machine. If the caller's own upload cannot be opened, that is
            // a fault of the machine.
            Err(error) if error.os_errno() == Some(libc::EACCES) && is_foreign(&path, STATE) => return Err(not_found()),
            result => result?.ok_or_else(not_found)?,
        };
        let there = upload.opened.stage().is_none_or(|record| record.stage.is_upload());
        if there && home.admits(uid, upload.header.owner.as_ref()) { Ok(upload) } else { Err(not_found()) }
    }

    /// The upload in this directory, at any stage and of any owner; `None` if there is none.
    pub(crate) fn open_in(home: &'a Home, uid: Uid, dir: Directory) -> Result<Option<Upload<'a>>> {
        let Some(state) = dir.open_file(STATE)? else { return Ok(None) };
        let status = sys::status(&state).map_err(|error| dir.error("cannot examine", STATE, error))?;
        if status.size == 0 {
            return Ok(None); // nothing was written yet, or power loss lost it
        }
        let opened = read_records(&dir, &state, READ_AT_ONCE)?;
        let head = opened.head();
        if head.iter().all(|&byte| byte == 0) {
            return Ok(None); // power loss lost the content and kept the size
        }
        let header = Header::decode(&head).map_err(|what| damaged(&dir, what))?;
        let trust = home.trust_in(&state, &status).map_err(|error| dir.error("cannot examine", STATE, error))?;
        let trust = trust.of_resident(|| sys::resident(&state));
        if header.state_size() != Some(status.size) {
            let receiving = opened.stage().filter(|record| record.stage == Stage::Receiving);
            if header.state_size() > Some(status.size)
                && receiving.is_some_and(|record| !trust.is_of_this_boot(record.tag))
            {
                return Ok(None); // power loss cut it
            }
            return Err(damaged(&dir, "its size does not fit its header"));
        }
        let upload = Upload { home, uid, dir, state, header, trust, opened };
        Ok(if upload.has_lost_its_name()? { None } else { Some(upload) })
    }

    /// The file name is in another sector than the header, so power loss can keep the header and lose the name. Then
    /// this is no upload, and the client begins again. Exception: a finished upload whose file was taken stays `gone`.
    fn has_lost_its_name(&self) -> Result<bool> {
        let record = self.opened.stage();
        if record.is_some_and(|record| self.trust.is_of_this_boot(record.tag) || record.stage == Stage::Gone)
            || self.read_file_name()?.is_some()
        {
            return Ok(false);
        }
        let complete = record.is_some_and(|record| record.stage == Stage::Complete);
        Ok(!complete || self.dir.has(FILE)? || self.dir.has(ORDERED)? || self.dir.has(DATA)?)
    }

    pub(crate) fn chunk_count(&self) -> u64 {
        self.header.shape.chunk_count
    }

    pub(crate) fn not_found(&self) -> Error {
        Error::NotFound { uid: self.uid.shown() }
    }

    /// The error when neither `data` nor `file` is there: the owner took the file, or the upload was removed.
    pub(crate) fn vanished(&self) -> Error {
        match sys::status(&self.state) {
            Ok(status) if status.links > 0 => Error::Gone { uid: self.uid.shown() },
            _ => self.not_found(),
        }
    }

    /// The verdict on this record and the files that are there now.
    pub(crate) fn verdict(&self, record: StageRecord) -> Result<Verdict> {
        verdict(record, self.trust, |name| self.dir.has(name))
    }

    /// An error that concerns `state`.
    pub(crate) fn state_error(&self, action: &str, error: std::io::Error) -> Error {
        self.dir.error(action, STATE, error)
    }

    pub(crate) fn file_name(&self) -> Result<String> {
        let name = self.read_file_name()?;
        // The file was taken, and power loss lost the name: see `has_lost_its_name`.
        let lost =
            || self.opened.stage().is_some_and(|record| !self.trust.is_of_this_boot(record.tag)).then(String::new);
        name.or_else(lost).ok_or_else(|| damaged(&self.dir, "its file name fails its checksum"))
    }

    /// The file name; `None` if it fails its checksum.
    pub(crate) fn read_file_name(&self) -> Result<Option<String>> {
        let bytes = match self.opened.name(&self.header) {
            Some(bytes) => bytes.to_vec(),
            None => {
                let mut bytes = vec![0; self.header.name_length as usize];
                self.state
                    .read_exact_at(&mut bytes, self.header.name_at())
                    .map_err(|error| self.state_error("cannot read", error))?;
                bytes
            }
        };
        let whole = crate::rules::crc::crc32c(&bytes) == self.header.name_crc;
        Ok(whole.then(|| String::from_utf8(bytes).ok()).flatten())
    }

    /// A named step, for tests.
    pub(crate) fn reach(&self, step: &'static str) -> Result<()> {
        test_hooks::reach(step).map_err(|error| self.state_error(step, error))
    }
}
