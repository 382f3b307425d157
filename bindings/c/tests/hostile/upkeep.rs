//! The calls around uploads: options and stores, lists, and their end.

use std::path::PathBuf;
use std::ptr;

use chunked_upload_c::expiry::{UPLOAD_ANY_AGE, upload_cleaned, upload_cleanup, upload_expiry, upload_remove};
use chunked_upload_c::finished::upload_finished_path;
use chunked_upload_c::list::*;
use chunked_upload_c::options::*;
use chunked_upload_c::result::upload_result::{self, *};
use chunked_upload_c::store::{upload_store_for_owner, upload_store_open};
use chunked_upload_c::verification::*;

use super::input::{Input, as_path, c_path};
use super::memory::Block;
use super::model::Place;
use super::objects::{self, Object, is_uid};
use super::{Opened, Program, Settings, c_text, content, place};

const INVALID_OR_IO: &[upload_result] = &[UPLOAD_INVALID_ARGUMENT, UPLOAD_IO];

/// `struct_size` of each as this version has it.
const EXPIRY: usize = 48;
const CLEANED: usize = 56;

impl Program<'_> {
    pub(super) fn new_options(&mut self) {
        let before = std::mem::replace(&mut self.options, upload_options_new());
        assert!(!self.options.is_null());
        self.keep(Object::Options(before));
        self.settings = Settings { max_chunk_count: 1_000_000, ..Settings::default() };
    }

    /// `p`, which option, and its value; `P` passes NULL for the options.
    pub(super) fn set_option(&mut self, input: &mut Input<'_>, there: bool) {
        let options = if there { self.options } else { ptr::null_mut() };
        let before = self.settings.clone();
        let letter = input.letter(b"tcmsadpDFu");
        let text = if letter == b'p' { Some(input.text()) } else { None };
        let text = text.and_then(|text| self.text(&text, b""));
        let number = if letter == b'p' { 0 } else { input.number() };
        // SAFETY: the options are NULL or alive, the text NULL or a C string.
        let result = unsafe {
            match letter {
                b't' => upload_options_set_max_total_size(options, number),
                b'c' => {
                    self.settings.max_chunk_count = number;
                    upload_options_set_max_chunk_count(options, number)
                }
                b'm' => upload_options_set_min_free_space(options, number),
                b's' => upload_options_set_max_store_size(options, number),
                b'u' => upload_options_set_max_uploads(options, number),
                b'a' => {
                    self.settings.all_owners = number == 1;
                    upload_options_set_all_owners(options, number as i32)
                }
                b'd' => upload_options_set_durability(options, number as i32),
                b'p' => {
                    self.settings.prefix = content(&text).to_vec();
                    upload_options_set_prefix(options, c_text(&text))
                }
                b'D' => upload_options_set_dir_mode(options, number as u32),
                _ => upload_options_set_file_mode(options, number as u32),
            }
        };
        assert!(matches!(result, UPLOAD_OK | UPLOAD_INVALID_ARGUMENT), "{result:?}");
        assert!(!options.is_null() || result == UPLOAD_INVALID_ARGUMENT);
        // SAFETY: the options are NULL or alive.
        let again = self.call(&[UPLOAD_INVALID_ARGUMENT], |error| unsafe { upload_options_last_error(options, error) });
        assert_eq!(again, result);
        if result != UPLOAD_OK {
            self.settings = before;
        } else if letter == b'a' {
            self.settings.all_owners = number as i32 == 1;
        }
    }

    /// Opens a store, which is the one to be passed from then on.
    pub(super) fn open(&mut self, path: Option<PathBuf>, with_options: bool, wanted: bool) {
        let options = if with_options { self.options } else { ptr::null_mut() };
        let text = c_path(path.as_deref());
        let mut slot = ptr::null_mut();
        let out = place(wanted, &mut slot);
        // SAFETY: the path is NULL or a C string, the options NULL or alive, `slot` there to be written.
        let result = self.call(INVALID_OR_IO, |error| unsafe { upload_store_open(c_text(&text), options, out, error) });
        let missing = content(&text).is_empty() || !wanted;
        assert!(!missing || result == UPLOAD_INVALID_ARGUMENT, "{result:?}");
        if let Some(raw) = Self::given(result, wanted, slot) {
            let defaults = Settings { max_chunk_count: 1_000_000, ..Settings::default() };
            let settings = if options.is_null() { defaults } else { self.settings.clone() };
            let place = Place { root: path.expect("it was opened"), prefix: settings.prefix.clone() };
            self.opened_another(Opened { raw, place, owner: None, settings });
        }
    }

    fn opened_another(&mut self, opened: Opened) {
        const MOST: usize = 8;
        self.stores.push(opened);
        if self.stores.len() > MOST {
            self.free_store(0);
        }
        self.store = Some(self.stores.len() - 1);
    }

    /// `V`, an owner, and whether the answer is wanted.
    pub(super) fn view(&mut self, input: &mut Input<'_>) {
        let (owner, wanted) = (input.bytes(), input.letter(b"1-") == b'1');
        let (store, start, size, mut slot) = (self.store(), owner.start(), owner.size, ptr::null_mut());
        let out = place(wanted, &mut slot);
        let documented = [UPLOAD_INVALID_ARGUMENT];
        // SAFETY: the store is NULL or alive, the owner as large as it says or refused, `slot` there to be written.
        let call = |error| unsafe { upload_store_for_owner(store, start, size, out, error) };
        let result = self.call(&documented, call);
        let good = owner.value().is_some_and(|owner| (1..=1024).contains(&owner.len()));
        assert_eq!(result == UPLOAD_OK, !store.is_null() && good && wanted, "{result:?}");
        if let Some(raw) = Self::given(result, wanted, slot) {
            let owner = owner.value().map(<[u8]>::to_vec);
            self.opened_another(Opened { raw, owner, ..self.opened().expect("not NULL").clone() });
        }
    }

    /// `v` and whether the answer is wanted.
    pub(super) fn verify(&mut self, input: &mut Input<'_>) {
        let (uid, wanted) = (self.called_uid(), input.letter(b"1-") == b'1');
        let (store, mut slot) = (self.store(), ptr::null_mut());
        let out = place(wanted, &mut slot);
        let documented = [UPLOAD_INVALID_ARGUMENT, UPLOAD_NOT_FOUND, UPLOAD_GONE, UPLOAD_IO];
        // SAFETY: the store is NULL or alive, the uid NULL or a C string, `slot` there to be written.
        let result = self.call(&documented, |error| unsafe { upload_verify(store, c_text(&uid), out, error) });
        assert_eq!(result == UPLOAD_INVALID_ARGUMENT, store.is_null() || uid.is_none() || !wanted, "{result:?}");
        let Some(verified) = Self::given(result, wanted, slot) else { return };
        // SAFETY: it is alive.
        let damaged = unsafe { upload_verification_damaged_count(verified) };
        assert!(damaged == 0 || self.tampered, "{damaged} chunks damaged by nobody");
        self.keep(Object::Verification(verified));
    }

    pub(super) fn remove(&mut self) {
        let (uid, store) = (self.called_uid(), self.store());
        let documented = [UPLOAD_INVALID_ARGUMENT, UPLOAD_NOT_FOUND, UPLOAD_IO];
        // SAFETY: the store is NULL or alive, the uid NULL or a C string.
        let result = self.call(&documented, |error| unsafe { upload_remove(store, c_text(&uid), error) });
        assert_eq!(result == UPLOAD_INVALID_ARGUMENT, store.is_null() || uid.is_none(), "{result:?}");
        if result == UPLOAD_NOT_FOUND || result == UPLOAD_INVALID_ARGUMENT {
            return;
        }
        let place = self.opened().expect("not NULL").place.clone();
        let key = (place, String::from_utf8(content(&uid).to_vec()).unwrap());
        if result == UPLOAD_OK {
            self.uploads.remove(&key).expect("it was received");
        } else if let Some(upload) = self.uploads.get_mut(&key) {
            // It may have come half-way.
            (upload.expired, upload.unsure) = (true, true);
        }
    }

    /// `w`, the five numbers of an expiry, and where the answer goes.
    pub(super) fn cleanup(&mut self, input: &mut Input<'_>) {
        let expiry_size = match input.letter(b"=#") {
            b'=' => EXPIRY,
            _ => input.number() as usize,
        };
        let mut expiry = Block::new(expiry_size, self.fill, self.unaligned);
        for member in 1..5 {
            let any_age = |number| if number == 0 && member < 4 { UPLOAD_ANY_AGE } else { number };
            expiry.put(8 * member, any_age(input.number()));
        }
        let dry_run = input.number() as i32;
        expiry.put(40, dry_run);
        expiry.put(44, 0);
        let wanted = input.letter(b"1-") == b'1';
        let mut cleaned = Block::new(self.other_size, 0xa5, self.unaligned);
        let (store, expiry_at) = (self.store(), expiry.start::<upload_expiry>());
        let cleaned_at = cleaned.start::<upload_cleaned>();
        let cleaned_at = if wanted { cleaned_at } else { ptr::null_mut() };
        // SAFETY: the store is NULL or alive, and the structs are as large as they say or larger than what the library
        // reads of any.
        let call = |error| unsafe { upload_cleanup(store, expiry_at, cleaned_at, error) };
        let result = self.call(INVALID_OR_IO, call);
        expiry.check(false, 0..0);
        cleaned.check(wanted && result == UPLOAD_OK, 8..52);
        let small = wanted && self.other_size < CLEANED;
        let refused = !(EXPIRY..=4096).contains(&expiry_size) || (expiry_size > EXPIRY && self.fill != 0);
        if store.is_null() || small || refused || !(0..=1).contains(&dry_run) {
            assert_eq!(result, UPLOAD_INVALID_ARGUMENT);
        }
        if result == UPLOAD_INVALID_ARGUMENT {
            return;
        }
        if wanted && result == UPLOAD_OK {
            assert!((0..=1).contains(&cleaned.number(48)));
        }
        if dry_run == 0 {
            let place = self.opened().expect("not NULL").place.clone();
            self.uploads.iter_mut().filter(|((at, _), _)| *at == place).for_each(|(_, upload)| {
                upload.expired = true;
                (upload.finished, upload.taken) = (false, false);
            });
        }
    }

    /// `l` and whether the answer is wanted.
    pub(super) fn list(&mut self, input: &mut Input<'_>) {
        let wanted = input.letter(b"1-") == b'1';
        let (store, mut slot) = (self.store(), ptr::null_mut());
        let out = place(wanted, &mut slot);
        // SAFETY: the store is NULL or alive, `slot` there to be written.
        let result = self.call(INVALID_OR_IO, |error| unsafe { upload_list_open(store, out, error) });
        assert_eq!(result == UPLOAD_INVALID_ARGUMENT, store.is_null() || !wanted, "{result:?}");
        if let Some(list) = Self::given(result, wanted, slot) {
            self.keep(Object::List(list));
        }
    }

    /// `L`, which of the lists, whether to the end, and whether the answer is wanted.
    pub(super) fn list_next(&mut self, input: &mut Input<'_>) {
        let lists = self.kept.iter().filter_map(|object| match object {
            Object::List(list) => Some(*list),
            _ => None,
        });
        let lists: Vec<*mut upload_list> = lists.chain([ptr::null_mut()]).collect();
        let list = lists[input.number() as usize % lists.len()];
        let (many, wanted) = (input.letter(b"*1") == b'*', input.letter(b"1-") == b'1');
        for _ in 0..if many { 100 } else { 1 } {
            let mut slot = ptr::null_mut();
            let out = place(wanted, &mut slot);
            // SAFETY: the list is NULL or alive, `slot` there to be written.
            let result = self.call(INVALID_OR_IO, |error| unsafe { upload_list_next(list, out, error) });
            assert_eq!(result == UPLOAD_INVALID_ARGUMENT, list.is_null() || !wanted, "{result:?}");
            if result == UPLOAD_INVALID_ARGUMENT {
                return;
            }
            if slot.is_null() {
                assert!(matches!(result, UPLOAD_OK | UPLOAD_IO));
                if result == UPLOAD_OK {
                    return;
                }
                continue;
            }
            assert_eq!(result, UPLOAD_OK);
            let listed = Object::Listed(slot);
            // SAFETY: it is alive, and its uid a C string.
            let uid = unsafe { objects::read(upload_listed_uid(slot)) }.unwrap();
            let uid = String::from_utf8(uid).unwrap();
            assert!(is_uid(&uid) && self.known.contains(&uid), "an upload that nobody made");
            // The list itself has to stay.
            listed.ask();
            listed.free();
        }
    }

    /// `T` and which finished file is taken away, as a program may.
    pub(super) fn take(&mut self, input: &mut Input<'_>) {
        let finished: Vec<_> = self
            .kept
            .iter()
            .filter_map(|object| match object {
                Object::Finished(finished) => Some(*finished),
                _ => None,
            })
            .collect();
        let Some(index) = input.number().checked_rem(finished.len() as u64) else { return };
        let finished = finished[index as usize];
        // SAFETY: it is alive, and its texts are C strings.
        let (path, uid) = unsafe {
            (
                objects::read(upload_finished_path(finished)).unwrap(),
                objects::read(chunked_upload_c::finished::upload_finished_uid(finished)).unwrap(),
            )
        };
        let path = as_path(&path);
        assert!(path.starts_with(self.dir));
        if std::fs::remove_file(path).is_ok() {
            // The same key may have made several in other places.
            let of_uid = self.uploads.iter_mut().filter(|((_, known), _)| known.as_bytes() == uid);
            of_uid.for_each(|(_, upload)| upload.taken = true);
        }
    }
}
