//! Structs as a caller may have them: of another size, unaligned, with anything where this version knows nothing.

use std::ffi::CStr;
use std::ops::Range;
use std::ptr;

/// A block of memory that begins with its `struct_size`, and is as large as that says.
pub(super) struct Block {
    bytes: Box<[u8]>,
    at: usize,
    before: Vec<u8>,
}

/// Larger ones do not exist here. The library promises to read no further than half of it.
const LARGEST: usize = 8192;

impl Block {
    pub(super) fn new(struct_size: usize, fill: u8, unaligned: bool) -> Block {
        // At least the size itself has to be there.
        let size = struct_size.clamp(size_of::<usize>(), LARGEST);
        let at = usize::from(unaligned);
        let mut block = Block { bytes: vec![fill; at + size].into_boxed_slice(), at, before: Vec::new() };
        block.put(0, struct_size);
        block
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Sets a member, a number or a pointer, as far as it is there.
    pub(super) fn put<T: Copy>(&mut self, offset: usize, value: T) {
        let room = self.bytes.get_mut(self.at + offset..).unwrap_or_default();
        let size = size_of::<T>().min(room.len());
        // SAFETY: both have so many bytes, and are apart.
        unsafe { ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), room.as_mut_ptr(), size) };
    }

    /// Where it begins, from now on for the library to write to.
    pub(super) fn start<T>(&mut self) -> *mut T {
        self.before = self.bytes.to_vec();
        // SAFETY: `at` is within the block, or the end of it.
        unsafe { self.bytes.as_mut_ptr().add(self.at) }.cast()
    }

    /// What the library left there: anything in `members` if it `wrote`, and elsewhere what was there before.
    pub(super) fn check(&self, wrote: bool, members: Range<usize>) {
        for (index, (before, after)) in self.before.iter().zip(&self.bytes).enumerate() {
            let may = wrote && index >= self.at && members.contains(&(index - self.at));
            assert!(may || before == after, "byte {index} of {} was changed", self.bytes.len());
        }
    }

    pub(super) fn number(&self, offset: usize) -> i32 {
        let bytes = &self.bytes[self.at + offset..][..size_of::<i32>()];
        // SAFETY: so many bytes are there, and any are a number.
        unsafe { bytes.as_ptr().cast::<i32>().read_unaligned() }
    }

    /// A text that ends with NUL within this room.
    pub(super) fn text(&self, room: Range<usize>) -> &str {
        let room = &self.bytes[self.at..][room];
        CStr::from_bytes_until_nul(room).expect("it ends with NUL").to_str().expect("UTF-8")
    }
}
