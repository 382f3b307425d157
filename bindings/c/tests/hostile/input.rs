//! Bytes as a program: letters for what is to be done, and operands. Any bytes are one; those that mean something can
//! be read, and written by hand.

use std::ffi::{OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Input<'a> {
        Input { rest }
    }

    /// Whether there is more than white space left.
    pub(super) fn more(&mut self) -> bool {
        self.rest = self.rest.trim_ascii_start();
        !self.rest.is_empty()
    }

    /// One of these letters; the first at the end. Whatever other byte is there means one of them, too.
    pub(super) fn letter(&mut self, letters: &[u8]) -> u8 {
        self.rest = self.rest.trim_ascii_start();
        let Some((&byte, rest)) = self.rest.split_first() else { return letters[0] };
        self.rest = rest;
        if letters.contains(&byte) { byte } else { letters[usize::from(byte) % letters.len()] }
    }

    /// A digit for a small number, a letter for one at some edge, `#` before any other.
    pub(super) fn number(&mut self) -> u64 {
        match self.letter(b"0123456789abcdefghijk#") {
            digit @ b'0'..=b'9' => u64::from(digit - b'0'),
            b'a' => 10,
            b'b' => 64,
            b'c' => 96,
            b'd' => 1000,
            b'e' => 4096,
            b'f' => 1 << 20,
            b'g' => 1 << 32,
            b'h' => 1 << 58,
            b'i' => i64::MAX as u64,
            b'j' => 1 << 63,
            b'k' => u64::MAX,
            _ => {
                let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (digits, rest) = self.rest.split_at(digits);
                self.rest = rest.strip_prefix(b".").unwrap_or(rest);
                let more = |number: u64, &digit: &u8| number.saturating_mul(10).saturating_add((digit - b'0').into());
                digits.iter().fold(0, more)
            }
        }
    }

    /// Up to the next quotation mark.
    fn literal(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| byte == b'"').unwrap_or(self.rest.len());
        let (literal, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        literal
    }

    pub(super) fn text(&mut self) -> Text {
        match self.letter(b"r-e\"uwbxc") {
            b'r' => Text::Receipt,
            b'-' => Text::Null,
            b'e' => Text::of(b""),
            b'u' => Text::Known(self.number() as usize, 0),
            b'w' => Text::Known(self.number() as usize, self.letter(b"123A~") ^ b'0'),
            b'b' => Text::of(b"a\xff\xfe"),
            b'x' => Text::of(&vec![b'x'; self.number().min(5000) as usize]),
            b'c' => Text::Checksum,
            _ => Text::of(self.literal()),
        }
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        match self.letter(b"-\"x0zh") {
            b'-' => Bytes { content: [].into(), size: 0, null: true },
            b'x' => Bytes::of(&vec![b'x'; self.number().min(2000) as usize]),
            // Nothing is read of these.
            b'0' => Bytes { content: [].into(), size: self.number() as usize, null: true },
            b'z' => Bytes { content: [].into(), size: 0, null: false },
            b'h' => Bytes { content: [].into(), size: self.number() as usize | 1 << 63, null: false },
            _ => Bytes::of(self.literal()),
        }
    }

    /// A path in this directory, and never out of it.
    pub(super) fn path(&mut self, dir: &Path) -> Option<PathBuf> {
        let within = |name: &[u8]| Some(dir.join(OsStr::from_bytes(name)));
        match self.letter(b"12-ebnx\"") {
            b'1' => within(b"uploads"),
            b'2' => within(b"others"),
            b'-' => None,
            b'e' => Some(PathBuf::new()),
            b'b' => within(b"a\xff\xfe"),
            b'n' => within(b"no/such/directory"),
            b'x' => within(&vec![b'x'; self.number().min(5000) as usize]),
            _ => {
                let harmless = |&byte: &u8| if matches!(byte, b'.' | 0) { b'_' } else { byte };
                let name: Vec<u8> = self.literal().iter().map(harmless).skip_while(|&byte| byte == b'/').collect();
                within(if name.is_empty() { b"_" } else { &name })
            }
        }
    }
}

/// A C string, of no more memory than it needs.
#[derive(Clone)]
pub(super) enum Text {
    Null,
    /// The uid in the receipt, where it lies.
    Receipt,
    /// A uid that was received, with this change to its last byte.
    Known(usize, u8),
    /// That of the content.
    Checksum,
    Bytes(Box<[u8]>),
}

impl Text {
    pub(super) fn of(bytes: &[u8]) -> Text {
        let bytes = bytes.iter().copied().filter(|&byte| byte != 0).chain([0]);
        Text::Bytes(bytes.collect::<Vec<u8>>().into_boxed_slice())
    }
}

/// A pointer and a size.
pub(super) struct Bytes {
    content: Box<[u8]>,
    pub(super) size: usize,
    null: bool,
}

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Bytes {
        Bytes { content: bytes.into(), size: bytes.len(), null: false }
    }

    pub(super) fn start(&self) -> *const c_void {
        if self.null { ptr::null() } else { self.content.as_ptr().cast() }
    }

    /// What lies there; `None` if no size is right.
    pub(super) fn value(&self) -> Option<&[u8]> {
        (self.size == self.content.len()).then_some(&*self.content)
    }
}

/// A path that a call gave.
pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A path as a C string.
pub(super) fn c_path(path: Option<&Path>) -> Option<Box<[u8]>> {
    let bytes = path?.as_os_str().as_bytes().iter().copied().chain([0]);
    Some(bytes.collect::<Vec<u8>>().into_boxed_slice())
}

/// Where a C string begins.
pub(super) fn start(text: Option<&[u8]>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr().cast())
}
