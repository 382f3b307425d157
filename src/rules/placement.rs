//! The place of a chunk's bytes in `data`: the protocol's rule, without any file.

use std::ops::Range;

use crate::rules::tag::Tag;

/// The largest window, in bytes.
const MAX_WINDOW: u64 = 64 << 20;
/// The most chunks in a window: a request can reserve only in proportion to its bytes.
const CHUNKS_PER_WINDOW: u64 = 64;

/// The sizes that the first chunk declared, and the grid that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub total_size: u64,
    pub chunk_count: u64,
    /// The size of every chunk except the last, as the first chunk suggests it; 0 if there is no grid.
    pub grid: u64,
}

/// The record of one chunk.
///
/// A cleared slot has the tag `Tag::MISSING`, and keeps its place. So the chunk goes there when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slot {
    /// Where the chunk's place in `data` begins.
    pub offset: u64,
    /// The number of bytes of the chunk.
    pub length: u64,
    /// The size of the place, in bytes.
    pub capacity: u64,
    pub crc32c: u32,
    /// See `rules::tag`.
    pub tag: Tag,
}

impl Slot {
    pub(crate) fn received(&self) -> bool {
        self.tag != Tag::MISSING
    }

    /// A slot with this place and without bytes.
    pub(crate) fn cleared(&self) -> Slot {
        self.cleared_for(self)
    }

    /// A slot for this chunk with the place `to` and without bytes. Its checksum field records whether the disk may
    /// hold this slot as synced, or with a place that the chunk gives up.
    pub(crate) fn cleared_for(&self, to: &Slot) -> Slot {
        let gives_up = to.capacity == 0 && self.capacity > 0;
        let crc32c = if self.may_be_synced_on_disk() || gives_up { Tag::SYNCED.number() } else { 0 };
        Slot { offset: to.offset, capacity: to.capacity, crc32c, ..Slot::default() }
    }

    /// Whether the disk may hold a record of this chunk that is trusted after power loss. Then `state` is synced
    /// before the chunk's bytes are touched. If a call is killed before it syncs, the next call does so.
    pub(crate) fn may_be_synced_on_disk(&self) -> bool {
        self.tag == Tag::SYNCED || (self.tag == Tag::MISSING && self.crc32c == Tag::SYNCED.number())
    }

    /// The end of the place; saturates on garbage.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.capacity)
    }
}

/// The place for a chunk's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At an offset of this chunk's own, with enough room. The chunk gives up the rest of its place.
    Own { offset: u64 },
    /// At the tail of `data`.
    Tail,
}

impl Shape {
    /// The shape of an upload whose first chunk is this one.
    ///
    /// A grid is a chunk size s with (n-1)·s <= total < (n+1)·s. All chunks have this size except the last. The last
    /// takes what remains, and may be smaller or larger (Resumable.js makes it larger).
    pub(crate) fn of_first_chunk(total_size: u64, chunk_count: u64, number: u64, size: u64) -> Shape {
        let others = chunk_count - 1;
        let candidate = match total_size.checked_sub(size) {
            _ if number < others || others == 0 => size,
            Some(rest) if rest % others == 0 => rest / others,
            _ => 0,
        };
        let (total, step) = (u128::from(total_size), u128::from(candidate));
        let fits = u128::from(others) * step <= total && total < (u128::from(chunk_count) + 1) * step;
        let shape = Shape { total_size, chunk_count, grid: if fits { candidate } else { 0 } };
        debug_assert!(shape.grid == 0 || shape.grid_size(number) == size);
        shape
    }

    /// The size of this chunk on the grid.
    fn grid_size(&self, number: u64) -> u64 {
        let last = self.chunk_count - 1;
        if number < last { self.grid } else { self.total_size - last * self.grid }
    }

    /// The place for `size` bytes of a chunk whose record is `slot`.
    pub(crate) fn place(&self, slot: &Slot, number: u64, size: u64) -> Place {
        if self.grid != 0 && size <= self.grid_size(number) {
            // No other chunk uses this chunk's place on the grid. If the chunk has exactly the grid's size, this place
            // is final, and completing the upload moves nothing.
            Place::Own { offset: number * self.grid }
        } else if size <= slot.capacity {
            Place::Own { offset: slot.offset }
        } else {
            Place::Tail
        }
    }

    /// The start of the tail of `data`: after the grid.
    pub(crate) fn tail_start(&self) -> u64 {
        if self.grid == 0 { 0 } else { self.total_size }
    }

    /// The window to reserve before `size` bytes are written at `offset`. Only a chunk that covers the window's first
    /// byte, and does not fill the window, reserves it. Only a chunk of the grid's full size reserves: otherwise one
    /// byte would claim a whole window.
    ///
    /// A file grows faster within reserved room, and a full disk is noticed early. Reserving the whole file at once
    /// would let one small request claim the disk.
    pub(crate) fn window(&self, offset: u64, size: u64) -> Option<Range<u64>> {
        if self.grid == 0 || size < self.grid || offset >= self.total_size {
            return None;
        }
        let window = self.grid.saturating_mul(CHUNKS_PER_WINDOW).min(MAX_WINDOW);
        let (start, chunk_end) = (offset.next_multiple_of(window), offset + size);
        let end = chunk_end.next_multiple_of(window).min(self.total_size);
        (start < chunk_end && chunk_end < end).then_some(start..end)
    }

    /// The largest size of `data`. Chunks off the grid lie after it, so `data` may be twice the file.
    pub(crate) fn data_limit(&self) -> u64 {
        self.total_size.saturating_mul(2)
    }

    /// The largest size of `data` if the chunks at the tail are together no longer than the file. Such chunks can
    /// always be moved together within twice the file, after the grid.
    pub(crate) fn repair_limit(&self) -> u64 {
        self.tail_start().saturating_add(self.total_size.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(total: u64, count: u64, number: u64, size: u64) -> u64 {
        Shape::of_first_chunk(total, count, number, size).grid
    }

    #[test]
    fn the_first_chunk_fixes_the_grid() {
        assert_eq!(grid(10, 3, 0, 4), 4, "last smaller");
        assert_eq!(grid(10, 3, 1, 3), 3, "last larger");
        assert_eq!(grid(8, 3, 0, 4), 4, "last empty");
        assert_eq!(grid(10, 2, 0, 4), 4, "last larger, of two");
        assert_eq!(grid(5, 1, 0, 5), 5, "only one");
    }

    #[test]
    fn the_last_chunk_coming_first_fixes_it_too() {
        assert_eq!(grid(10, 3, 2, 2), 4);
        assert_eq!(grid(10, 3, 2, 4), 3);
        assert_eq!(grid(8, 3, 2, 0), 4);
        assert_eq!(grid(10, 3, 2, 3), 0, "7 bytes do not divide by 2");
        assert_eq!(grid(10, 3, 2, 8), 0, "the last would be over twice the others");
    }

    #[test]
    fn without_a_fitting_size_there_is_no_grid() {
        assert_eq!(grid(10, 3, 0, 6), 0, "two of 6 are over 10");
        assert_eq!(grid(10, 3, 0, 2), 0, "the last would have 6");
        assert_eq!(grid(10, 3, 0, 0), 0);
        assert_eq!(grid(0, 1, 0, 0), 0);
        assert_eq!(grid(0, 3, 2, 0), 0);
        let largest = i64::MAX as u64;
        assert_eq!(grid(largest, largest, 0, largest), 0, "no overflow");
        assert_eq!(grid(largest, largest, 0, 1), 1);
    }

    #[test]
    fn a_window_is_reserved_once_and_ends_with_the_file() {
        let mib = 1 << 20;
        let shape = Shape { total_size: 100 * mib, chunk_count: 100, grid: mib };
        assert_eq!(shape.window(0, mib), Some(0..64 * mib));
        assert_eq!(shape.window(mib, mib), None, "not at a window's first byte");
        assert_eq!(shape.window(64 * mib, mib), Some(64 * mib..100 * mib));
        assert_eq!(shape.window(100 * mib, mib), None, "off the grid");
        assert_eq!(shape.window(0, mib - 1), None, "smaller than the grid");
        let tiny = Shape { total_size: 1 << 40, chunk_count: 1 << 37, grid: 8 };
        assert_eq!(tiny.window(0, 8), Some(0..512), "a tiny chunk reserves little");
        let one = Shape { total_size: mib, chunk_count: 1, grid: mib };
        assert_eq!(one.window(0, mib), None, "writing does the same");
    }

    #[test]
    fn chunks_off_the_grid_keep_their_place_or_go_to_the_tail() {
        let shape = Shape { total_size: 10, chunk_count: 3, grid: 4 };
        let empty = Slot::default();
        assert_eq!(shape.place(&empty, 1, 4), Place::Own { offset: 4 });
        assert_eq!(shape.place(&empty, 2, 2), Place::Own { offset: 8 });
        assert_eq!(shape.place(&empty, 1, 3), Place::Own { offset: 4 }, "smaller");
        assert_eq!(shape.place(&empty, 1, 5), Place::Tail);
        let held = Slot { offset: 12, length: 5, capacity: 5, ..empty };
        assert_eq!(shape.place(&held, 1, 3), Place::Own { offset: 4 }, "back to the grid");
        assert_eq!(shape.place(&held, 1, 4), Place::Own { offset: 4 }, "back to the grid");
        assert_eq!(shape.place(&held, 1, 6), Place::Tail);
        let void = Shape { grid: 0, ..shape };
        assert_eq!(void.place(&empty, 1, 3), Place::Tail);
        assert_eq!(void.place(&held, 1, 4), Place::Own { offset: 12 });
        assert_eq!(void.place(&empty, 1, 0), Place::Own { offset: 0 }, "an empty chunk needs no room");
    }
}
