//! What any program may do to the library: get the answers that the header promises. Never a panic, a hang, a write
//! where none belongs, or a wrong file.
//!
//! [`calls`] is one input of a fuzzer (`make fuzz`); `tests/protocol/hostile.rs` runs it over what is in
//! `tests/corpus/c_calls`. What a caller may not do it does not do either: no handle is used after it was freed, and
//! every pointer that is not NULL points to what the declaration says.

mod calls;
mod input;
mod memory;
mod model;
mod objects;
mod upkeep;

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::{Duration, Instant};

use chunked_upload_c::error::upload_error;
use chunked_upload_c::options::upload_options;
use chunked_upload_c::result::{upload_result, upload_result_name};
use chunked_upload_c::store::{upload_store, upload_store_free};

use input::{Bytes, Input, Text};
use memory::Block;
use model::{Place, Upload};
use objects::Object;

/// Runs the program in `input`. Small letters set what the calls pass, or make a call; see [`Program::step`].
pub fn calls(input: &[u8]) {
    const STEPS: usize = 100;
    let began = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::new(dir.path());
    let mut input = Input::new(input);
    for _ in 0..STEPS {
        if !input.more() {
            break;
        }
        program.step(&mut input);
    }
    let size = size_on_disk(dir.path());
    assert!(size < 16 << 20, "{size} bytes");
    program.free_everything();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// A store, and what matters of its options.
#[derive(Clone)]
struct Opened {
    raw: *mut upload_store,
    place: Place,
    owner: Option<Vec<u8>>,
    settings: Settings,
}

#[derive(Clone, Default)]
struct Settings {
    prefix: Vec<u8>,
    all_owners: bool,
    max_chunk_count: u64,
}

struct Program<'a> {
    dir: &'a Path,
    /// What is passed for options, and what they are.
    options: *mut upload_options,
    settings: Settings,
    stores: Vec<Opened>,
    /// Which is passed; `None` for NULL.
    store: Option<usize>,
    // The members of a chunk.
    uid: Text,
    file_name: Text,
    total_size: u64,
    chunk_count: u64,
    key: Bytes,
    checksum: Text,
    file_digest: Text,
    /// The `struct_size` of a chunk, of all else, and what is in the unknown part.
    chunk_size: usize,
    other_size: usize,
    fill: u8,
    unaligned: bool,
    wants_errors: bool,
    receipt: Block,
    /// Objects that are not freed yet.
    kept: Vec<Object>,
    known: Vec<String>,
    uploads: BTreeMap<(Place, String), Upload>,
    /// Whose file was put where.
    moved: BTreeMap<PathBuf, (Place, String)>,
    /// The program put a file into a store, where none belongs.
    tampered: bool,
}

/// The `struct_size` of each as this version has it.
const CHUNK: usize = 96;
const RECEIPT: usize = 80;
/// Where the uid lies in a receipt.
const UID: std::ops::Range<usize> = 8..72;

impl<'a> Program<'a> {
    fn new(dir: &'a Path) -> Program<'a> {
        let mut program = Program {
            dir,
            options: ptr::null_mut(),
            settings: Settings::default(),
            stores: Vec::new(),
            store: None,
            uid: Text::Receipt,
            file_name: Text::Null,
            total_size: 10,
            chunk_count: 2,
            key: Bytes::of(b""),
            checksum: Text::Null,
            file_digest: Text::Null,
            chunk_size: CHUNK,
            other_size: RECEIPT,
            fill: 0,
            unaligned: false,
            wants_errors: true,
            receipt: Block::new(RECEIPT, 0, false),
            kept: Vec::new(),
            known: Vec::new(),
            uploads: BTreeMap::new(),
            moved: BTreeMap::new(),
            tampered: false,
        };
        // With the first byte of most programs there is something to call.
        program.open(Some(dir.join("uploads")), false, true);
        program
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.letter(b"cgimvxlewutnkfsdzyaqroOpPVSACFGLNT") {
            // Calls. Of those that take a uid, it is the one that is set.
            b'c' => self.chunk(input),
            b'g' => self.get(input),
            b'i' => self.inspect(input),
            b'm' => self.move_to(input),
            b'v' => self.verify(input),
            b'x' => self.remove(),
            b'l' => self.list(input),
            b'e' => self.uid_for_key(input),
            b'w' => self.cleanup(input),
            // What chunks have.
            b'u' => self.uid = input.text(),
            b't' => self.total_size = input.number(),
            b'n' => self.chunk_count = input.number(),
            b'k' => self.key = input.bytes(),
            b'f' => self.file_name = input.text(),
            b's' => self.checksum = input.text(),
            b'd' => self.file_digest = input.text(),
            // How structs are, and whether errors are asked for.
            b'z' => self.chunk_size = input.number() as usize,
            b'r' => self.other_size = input.number() as usize,
            b'y' => self.fill = input.letter(b"01") - b'0',
            b'a' => self.unaligned = input.letter(b"01") == b'1',
            b'q' => self.wants_errors = input.letter(b"10") == b'1',
            // Options and stores.
            b'o' => self.new_options(),
            b'p' => self.set_option(input, true),
            b'P' => self.set_option(input, false),
            b'O' => {
                let path = input.path(self.dir);
                let (with_options, wanted) = (input.letter(b"o-") == b'o', input.letter(b"1-") == b'1');
                self.open(path, with_options, wanted);
            }
            b'V' => self.view(input),
            b'S' => self.store = input.number().checked_rem(self.stores.len() as u64).map(|index| index as usize),
            b'C' => self.store = None,
            // Objects.
            b'A' => self.kept.iter().for_each(Object::ask),
            b'F' => {
                let index = input.number();
                if let Some(index) = index.checked_rem(self.kept.len() as u64) {
                    self.kept.remove(index as usize).free();
                }
            }
            b'G' => self.free_store(input.number() as usize),
            b'L' => self.list_next(input),
            b'N' => objects::ask_null(),
            _ => self.take(input),
        }
    }

    /// The store that is passed.
    fn store(&self) -> *const upload_store {
        self.opened().map_or(ptr::null(), |opened| opened.raw.cast_const())
    }

    fn opened(&self) -> Option<&Opened> {
        self.store.map(|index| &self.stores[index])
    }

    /// A text as it is passed, and its bytes without the NUL. Both are `None` for NULL.
    fn text(&mut self, text: &Text, content: &[u8]) -> Option<Box<[u8]>> {
        let changed = |uid: &String, change: u8| {
            let mut uid = uid.clone().into_bytes();
            *uid.last_mut().unwrap() ^= change;
            Text::of(&uid)
        };
        let made = match text {
            Text::Null => return None,
            Text::Receipt => Text::of(self.receipt_uid().as_bytes()),
            Text::Known(index, change) => match index.checked_rem(self.known.len()) {
                Some(index) => changed(&self.known[index], *change),
                None => Text::of(b""),
            },
            Text::Checksum => Text::of(model::checksum(content).as_bytes()),
            Text::Bytes(_) => text.clone(),
        };
        match made {
            Text::Bytes(bytes) => Some(bytes),
            _ => unreachable!("it was made"),
        }
    }

    /// The uid in the receipt; "" at first.
    fn receipt_uid(&self) -> String {
        self.receipt.text(UID).to_owned()
    }

    /// Makes a call, and judges what is the same for all: the result is one of those that are documented for this call,
    /// and tells the same as the error.
    fn call(
        &mut self,
        documented: &[upload_result],
        call: impl FnOnce(*mut *mut upload_error) -> upload_result,
    ) -> upload_result {
        let mut error = ptr::dangling_mut();
        let result = call(if self.wants_errors { &raw mut error } else { ptr::null_mut() });
        // SAFETY: the names are static C strings.
        let name = unsafe { objects::read(upload_result_name(result as i32)) }.unwrap();
        assert_ne!(name, b"unknown");
        assert!(result == upload_result::UPLOAD_OK || documented.contains(&result), "{result:?}");
        if self.wants_errors {
            assert_eq!(error.is_null(), result == upload_result::UPLOAD_OK, "{result:?}");
            if !error.is_null() {
                self.keep(Object::Error(error, result));
            }
        }
        result
    }

    /// What a call gave through a `**` parameter, which held `before`.
    fn given<T>(result: upload_result, wanted: bool, given: *mut T) -> Option<*mut T> {
        if !wanted {
            assert_eq!(given, ptr::dangling_mut(), "nowhere to write to");
            return None;
        }
        assert_eq!(given.is_null(), result != upload_result::UPLOAD_OK, "{result:?}");
        (!given.is_null()).then_some(given)
    }

    fn keep(&mut self, object: Object) {
        const MOST: usize = 12;
        object.ask();
        self.kept.push(object);
        if self.kept.len() > MOST {
            self.kept.remove(0).free();
        }
    }

    fn free_store(&mut self, index: usize) {
        if let Some(index) = index.checked_rem(self.stores.len()) {
            let opened = self.stores.remove(index);
            // SAFETY: it is alive, and not used again.
            unsafe { upload_store_free(opened.raw) };
            self.store = self.stores.len().checked_sub(1);
        }
    }

    /// In an order that depends on the program.
    fn free_everything(mut self) {
        let stores_first = self.kept.len().is_multiple_of(2);
        if stores_first {
            (0..self.stores.len()).for_each(|index| self.free_store(index));
        }
        self.kept.drain(..).for_each(|object| {
            object.ask();
            object.free();
        });
        Object::Options(self.options).free();
        while !self.stores.is_empty() {
            self.free_store(0);
        }
    }
}

/// Where `wanted` a place to write to, which holds rubbish.
fn place<T>(wanted: bool, slot: &mut *mut T) -> *mut *mut T {
    *slot = ptr::dangling_mut();
    if wanted { slot } else { ptr::null_mut() }
}

/// For a text that may be NULL.
fn c_text(text: &Option<Box<[u8]>>) -> *const c_char {
    input::start(text.as_deref())
}

/// A text without its NUL; NULL is the empty one.
fn content(text: &Option<Box<[u8]>>) -> &[u8] {
    text.as_deref().map_or(&[], |text| &text[..text.len() - 1])
}

fn size_on_disk(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let sizes = entries.map(|entry| {
        let status = entry.metadata().unwrap();
        status.blocks() * 512 + if status.is_dir() { size_on_disk(&entry.path()) } else { 0 }
    });
    sizes.sum()
}
