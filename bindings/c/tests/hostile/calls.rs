//! The calls in the life of an upload.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::ptr;

use chunked_upload_c::chunk::{UPLOAD_UID_SIZE, upload_handle_chunk, upload_receipt};
use chunked_upload_c::finished::*;
use chunked_upload_c::inspection::*;
use chunked_upload_c::key::upload_uid_for_key;
use chunked_upload_c::result::upload_result::{self, *};

use super::input::{Bytes, Input, Text, as_path, c_path};
use super::memory::Block;
use super::model::{self, Upload};
use super::objects::{self, Object, is_uid};
use super::{CHUNK, Program, RECEIPT, UID, c_text, content, place};

/// What `upload_get` may answer.
const GET: &[upload_result] = &[
    UPLOAD_INVALID_ARGUMENT,
    UPLOAD_CHECKSUM_MISMATCH,
    UPLOAD_NOT_FOUND,
    UPLOAD_INCOMPLETE,
    UPLOAD_SIZE_MISMATCH,
    UPLOAD_GONE,
    UPLOAD_IO,
    UPLOAD_NO_SPACE,
];

const HANDLE_CHUNK: &[upload_result] = &[
    UPLOAD_INVALID_ARGUMENT,
    UPLOAD_LIMIT_EXCEEDED,
    UPLOAD_CHECKSUM_MISMATCH,
    UPLOAD_NOT_FOUND,
    UPLOAD_CONFLICT,
    UPLOAD_GONE,
    UPLOAD_IO,
    UPLOAD_NO_SPACE,
];

/// The part of a struct that the library may know, and whether it has to be refused.
fn is_refused(struct_size: usize, least: usize, known: usize, fill: u8) -> bool {
    let within = struct_size < known && !struct_size.is_multiple_of(8);
    struct_size < least || struct_size > 4096 || within || (struct_size > known && fill != 0)
}

impl Program<'_> {
    /// `c`, the number, the content, and where the receipt goes: to the one that is kept, nowhere, or to another.
    pub(super) fn chunk(&mut self, input: &mut Input<'_>) {
        let (number, bytes, receipt_letter) = (input.number(), input.bytes(), input.letter(b"r-o"));
        let data = bytes.value();
        let texts = [self.uid.clone(), self.file_name.clone(), self.checksum.clone(), self.file_digest.clone()];
        let [uid, file_name, checksum, file_digest] = texts.map(|text| self.text(&text, data.unwrap_or_default()));
        let count = self.bearable(self.chunk_count);
        let mut chunk = Block::new(self.chunk_size, self.fill, self.unaligned);
        let mut other = Block::new(self.other_size, 0xa5, self.unaligned);
        let kept = self.receipt.start::<upload_receipt>();
        let kept_uid = kept.cast::<c_char>().wrapping_add(8).cast_const();
        let uid_at = if matches!(self.uid, Text::Receipt) { kept_uid } else { c_text(&uid) };
        let key_size = self.key.size;
        chunk.put(8, uid_at);
        chunk.put(16, c_text(&file_name));
        chunk.put(24, self.total_size);
        chunk.put(32, number);
        chunk.put(40, count);
        chunk.put(48, bytes.start());
        chunk.put(56, bytes.size);
        chunk.put(64, self.key.start());
        chunk.put(72, key_size);
        chunk.put(80, c_text(&checksum));
        chunk.put(88, c_text(&file_digest));
        let (store, chunk_at) = (self.store(), chunk.start());
        let receipt_at = match receipt_letter {
            b'r' => kept,
            b'o' => other.start(),
            _ => ptr::null_mut(),
        };
        // SAFETY: the store is NULL or alive; the structs are as large as they say or larger than what the library
        // reads of any, and what they point to lives on.
        let result =
            self.call(HANDLE_CHUNK, |error| unsafe { upload_handle_chunk(store, chunk_at, receipt_at, error) });

        let accepted = result == UPLOAD_OK;
        chunk.check(false, 0..0);
        self.receipt.check(accepted && receipt_letter == b'r', 8..76);
        if receipt_letter == b'o' {
            other.check(accepted, 8..76);
        }
        let has = |end: usize| chunk.size() >= end;
        let text_is_bad = |text: &Option<Box<[u8]>>, end| has(end) && std::str::from_utf8(content(text)).is_err();
        let receipt_is_bad = receipt_letter == b'-' || (receipt_letter == b'o' && self.other_size < RECEIPT);
        if store.is_null()
            || receipt_is_bad
            || is_refused(self.chunk_size, 64, CHUNK, self.fill)
            || data.is_none()
            || (has(80) && self.key.value().is_none())
            || text_is_bad(&file_name, 24)
            || text_is_bad(&checksum, 88)
            || text_is_bad(&file_digest, 96)
        {
            assert_eq!(result, UPLOAD_INVALID_ARGUMENT);
        }
        if matches!(result, UPLOAD_IO | UPLOAD_NO_SPACE) {
            self.storage_failed();
        }
        if !accepted {
            return;
        }
        let receipt = if receipt_letter == b'r' { &self.receipt } else { &other };
        let received_all = receipt.number(72);
        let text = receipt.text(UID).to_owned();
        assert!(is_uid(&text) && (0..=1).contains(&received_all));
        let (data, uid) = (data.unwrap_or_default(), content(&uid));
        assert!(uid.is_empty() || uid == text.as_bytes(), "another upload");
        let checked = if has(88) { content(&checksum) } else { b"" };
        let right = model::checksum(data);
        assert!(
            checked.is_empty() || contains(checked, right.as_bytes()) || contains(checked, b"sha-256=:"),
            "accepted with a wrong checksum"
        );
        let opened = self.opened().expect("not NULL").clone();
        let upload = self.uploads.entry((opened.place.clone(), text.clone())).or_default();
        let shape = (self.total_size, count);
        // A key may begin a new one after a cleanup, and only then.
        if upload.chunk_count == 0 || (upload.expired && shape != (upload.total_size, upload.chunk_count)) {
            *upload = Upload {
                total_size: self.total_size,
                chunk_count: count,
                file_name: content(&file_name).to_vec(),
                owner: opened.owner,
                ..Upload::default()
            };
        }
        assert_eq!(shape, (upload.total_size, upload.chunk_count), "accepted with another shape");
        upload.declared |= has(96) && !content(&file_digest).is_empty();
        upload.accept(number, data);
        assert!(received_all == 0 || upload.unsure || upload.chunks.len() as u64 == count, "not all are there");
        if !self.known.contains(&text) {
            self.known.push(text);
        }
    }

    /// A count of chunks that takes no minutes to read through: the limit that keeps a client from that is an option,
    /// and the program may have switched it off. Those that no file can hold stay.
    fn bearable(&self, count: u64) -> u64 {
        const MOST: u64 = 10_000;
        let limit = self.opened().map_or(0, |opened| opened.settings.max_chunk_count);
        let let_in = limit == 0 || count <= limit;
        if let_in && (MOST..1 << 58).contains(&count) { MOST } else { count }
    }

    fn storage_failed(&mut self) {
        let Some(place) = self.opened().map(|opened| opened.place.clone()) else { return };
        self.uploads.iter_mut().filter(|((at, _), _)| *at == place).for_each(|(_, upload)| upload.unsure = true);
    }

    /// The uid as it is passed to the calls that are given one.
    pub(super) fn called_uid(&mut self) -> Option<Box<[u8]>> {
        let uid = self.uid.clone();
        self.text(&uid, b"")
    }

    /// The upload with this uid, where it is sure that the store sees it.
    fn visible(&mut self, uid: &Option<Box<[u8]>>) -> Option<&mut Upload> {
        let opened = self.opened()?.clone();
        let uid = String::from_utf8(content(uid).to_vec()).ok()?;
        let tampered = self.tampered;
        let upload = self.uploads.get_mut(&(opened.place, uid))?;
        (!tampered && !opened.settings.all_owners && upload.owner == opened.owner).then_some(upload)
    }

    /// `g` and whether the answer is wanted.
    pub(super) fn get(&mut self, input: &mut Input<'_>) {
        let (uid, wanted) = (self.called_uid(), input.letter(b"1-") == b'1');
        let (store, mut slot) = (self.store(), ptr::null_mut());
        let out = place(wanted, &mut slot);
        // SAFETY: the store is NULL or alive, the uid NULL or a C string, `slot` there to be written.
        let result = self.call(GET, |error| unsafe { upload_get(store, c_text(&uid), out, error) });
        let missing = store.is_null() || uid.is_none() || !wanted;
        assert_eq!(result == UPLOAD_INVALID_ARGUMENT, missing, "{result:?}");
        if !missing {
            self.judge(result, &uid);
        }
        if let Some(finished) = Self::given(result, wanted, slot) {
            self.check_finished(finished, &uid);
            self.keep(Object::Finished(finished));
        }
    }

    /// Whether asking for the file can have this result.
    fn judge(&mut self, result: upload_result, uid: &Option<Box<[u8]>>) {
        let Some(upload) = self.visible(uid).filter(|upload| !upload.expired && !upload.unsure) else { return };
        // A directory whose mode another store does not allow is refused by it; so is one in the place of a file.
        let can_be: &[upload_result] = match upload {
            Upload { taken: true, .. } => &[UPLOAD_GONE, UPLOAD_IO],
            _ if (upload.chunks.len() as u64) < upload.chunk_count => &[UPLOAD_INCOMPLETE, UPLOAD_IO],
            _ if upload.received_size() != upload.total_size => &[UPLOAD_SIZE_MISMATCH, UPLOAD_IO],
            Upload { declared: true, .. } => &[UPLOAD_OK, UPLOAD_CHECKSUM_MISMATCH, UPLOAD_IO],
            _ => &[UPLOAD_OK, UPLOAD_IO],
        };
        assert!(can_be.contains(&result), "{result:?} is none of {can_be:?}");
    }

    fn check_finished(&mut self, finished: *mut upload_finished, uid: &Option<Box<[u8]>>) {
        let place = self.opened().expect("not NULL").place.clone();
        // SAFETY: it is alive, and its texts are C strings.
        let (path, text, name, size, crc32c) = unsafe {
            (
                objects::read(upload_finished_path(finished)).unwrap(),
                objects::read(upload_finished_uid(finished)).unwrap(),
                objects::read(upload_finished_file_name(finished)).unwrap(),
                upload_finished_total_size(finished),
                upload_finished_crc32c(finished),
            )
        };
        assert_eq!(text, content(uid));
        let file = std::fs::read(as_path(&path)).unwrap();
        let key = (place, String::from_utf8(text).unwrap());
        let upload = self.uploads.get_mut(&key).expect("it was received");
        upload.finished = true;
        upload.check(&file, crc32c);
        assert_eq!(size, upload.total_size);
        assert!(upload.expired || name == upload.file_name);
    }

    /// `m`, the destination, `0` or `1` whether to overwrite, and whether the answer is wanted.
    pub(super) fn move_to(&mut self, input: &mut Input<'_>) {
        let uid = self.called_uid();
        let destination = match input.letter(b"pi") {
            b'p' => input.path(self.dir),
            // Into the upload's own directory.
            _ => Some(self.dir.join("uploads").join(self.receipt_uid()).join("moved")),
        };
        let overwrite = input.letter(b"01").wrapping_sub(b'0').into();
        self.move_there(uid, destination, overwrite, input.letter(b"1-") == b'1');
    }

    fn move_there(&mut self, uid: Option<Box<[u8]>>, destination: Option<PathBuf>, overwrite: i32, wanted: bool) {
        let path = c_path(destination.as_deref());
        let stood = destination.as_ref().is_some_and(|path| path.exists());
        let (store, mut slot) = (self.store(), ptr::null_mut());
        let out = place(wanted, &mut slot);
        // SAFETY: the store is NULL or alive, the texts NULL or C strings, `slot` there to be written.
        let call = |error| unsafe { upload_move_to(store, c_text(&uid), c_text(&path), overwrite, out, error) };
        let result = self.call(GET, call);
        let missing = store.is_null() || uid.is_none() || content(&path).is_empty() || !(0..=1).contains(&overwrite);
        assert!(!missing || result == UPLOAD_INVALID_ARGUMENT);
        if result == UPLOAD_OK {
            self.moved_there(&uid, destination.expect("it was there"), stood && overwrite == 0);
        } else if result != UPLOAD_INVALID_ARGUMENT {
            self.judge(result, &uid);
        }
        if let Some(finished) = Self::given(result, wanted, slot) {
            self.keep(Object::Finished(finished));
        }
    }

    fn moved_there(&mut self, uid: &Option<Box<[u8]>>, destination: PathBuf, in_the_way: bool) {
        let place = self.opened().expect("not NULL").place.clone();
        let key = (place, String::from_utf8(content(uid).to_vec()).unwrap());
        self.tampered |= self.stores.iter().any(|opened| destination.starts_with(&opened.place.root));
        let upload = self.uploads.get_mut(&key).expect("it was received");
        assert!(!in_the_way || upload.taken || upload.expired, "something was overwritten");
        // A call that is repeated answers for the file that is there, whosever it is by now.
        if !upload.taken {
            self.moved.insert(destination.clone(), key.clone());
        }
        if !upload.expired && self.moved.get(&destination) == Some(&key) {
            let file = std::fs::read(&destination).unwrap();
            upload.check(&file, model::crc32c(&file));
        }
        (upload.finished, upload.taken) = (true, true);
    }

    /// `i`, from which chunk on, and whether the answer is wanted.
    pub(super) fn inspect(&mut self, input: &mut Input<'_>) {
        let (uid, from, wanted) = (self.called_uid(), input.number(), input.letter(b"1-") == b'1');
        let (store, mut slot) = (self.store(), ptr::null_mut());
        let out = place(wanted, &mut slot);
        let documented = [UPLOAD_INVALID_ARGUMENT, UPLOAD_NOT_FOUND, UPLOAD_IO];
        // SAFETY: the store is NULL or alive, the uid NULL or a C string, `slot` there to be written.
        let call = |error| unsafe { upload_inspect(store, c_text(&uid), from, out, error) };
        let result = self.call(&documented, call);
        assert_eq!(result == UPLOAD_INVALID_ARGUMENT, store.is_null() || uid.is_none() || !wanted, "{result:?}");
        let Some(seen) = Self::given(result, wanted, slot) else {
            let there = self.visible(&uid).is_some_and(|upload| !upload.expired);
            assert!(!(there && result == UPLOAD_NOT_FOUND), "an upload that was accepted is not found");
            return;
        };
        // SAFETY: it is alive.
        let (phase, count, size) = unsafe {
            (
                upload_inspection_phase(seen),
                upload_inspection_received_count(seen),
                upload_inspection_received_size(seen),
            )
        };
        if let Some(upload) = self.visible(&uid).filter(|upload| !upload.expired && !upload.unsure) {
            let (all, bytes) = (upload.chunks.len() as u64, upload.received_size());
            assert!(phase != UPLOAD_PHASE_RECEIVING || (count, size) == (all, bytes), "{count} of {all} chunks");
            assert!(phase != UPLOAD_PHASE_GONE || upload.taken, "gone, and nobody took it");
        }
        self.keep(Object::Inspection(seen));
    }

    /// `e`, a key, and whether there is room for the answer.
    pub(super) fn uid_for_key(&mut self, input: &mut Input<'_>) {
        let (key, wanted): (Bytes, bool) = (input.bytes(), input.letter(b"1-") == b'1');
        let mut room = vec![0xa5_u8; UPLOAD_UID_SIZE].into_boxed_slice();
        let (store, start, size): (_, *const c_void, _) = (self.store(), key.start(), key.size);
        let out = if wanted { room.as_mut_ptr().cast::<c_char>() } else { ptr::null_mut() };
        let documented = [UPLOAD_INVALID_ARGUMENT, UPLOAD_IO, UPLOAD_NO_SPACE];
        // SAFETY: the store is NULL or alive, the key as large as it says or refused, the room UPLOAD_UID_SIZE bytes.
        let result = self.call(&documented, |error| unsafe { upload_uid_for_key(store, start, size, out, error) });
        let bad = key.value().is_none_or(|key| key.is_empty() || key.len() > 256);
        if store.is_null() || !wanted || bad {
            assert_eq!(result, UPLOAD_INVALID_ARGUMENT);
        }
        if result != UPLOAD_OK {
            assert!(room.iter().all(|&byte| byte == 0xa5), "written without success");
            return;
        }
        let uid = std::ffi::CStr::from_bytes_until_nul(&room).expect("a uid ends with NUL").to_str().unwrap();
        assert!(is_uid(uid));
        if !self.known.iter().any(|known| known == uid) {
            self.known.push(uid.to_owned());
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
