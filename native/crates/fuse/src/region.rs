//! The one block of memory that native code and JavaScript share: lengths, reply descriptors, reply arena and request slots.
//!
//! ```text
//! | lengths: u32 per slot, to a page | descriptors: 4 u32 per reply, to a page | arena | slot 0 | slot 1 | …
//! slot: | head page: the request ends its fixed part at the page's end | max_write bytes of payload, page aligned |
//! ```
//!
//! Invariant: the address never changes and the memory lives as long as the last `Arc<Region>`; JavaScript's ArrayBuffer holds one.
//! The mapping is reserved, not resident: only slots that a burst has used cost memory.

use crate::error::FuseError;
use std::ptr::NonNull;

/// fuse_in_header (40) and fuse_write_in (40): a request is read at this distance before the payload's page.
pub const HEAD_BYTES: usize = 80;
const PAGE_BYTES: usize = 4096;

/// Where each part begins, in bytes from the start of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub slot_count: usize,
    pub slot_bytes: usize,
    pub slots_offset: usize,
    pub reply_count: usize,
    pub descriptors_offset: usize,
    pub arena_offset: usize,
    pub arena_bytes: usize,
    pub total_bytes: usize,
}

impl Layout {
    /// `max_write_bytes` and `arena_bytes` are rounded up to pages. None when the sizes leave the range that is addressable by u32.
    pub fn new(slot_count: usize, max_write_bytes: usize, reply_count: usize, arena_bytes: usize) -> Option<Self> {
        if slot_count == 0 || reply_count == 0 || max_write_bytes < PAGE_BYTES || arena_bytes < PAGE_BYTES {
            return None;
        }
        let pages = |bytes: usize| bytes.checked_next_multiple_of(PAGE_BYTES);
        let descriptors_offset = pages(slot_count.checked_mul(4)?)?;
        let arena_offset = descriptors_offset.checked_add(pages(reply_count.checked_mul(4 * crate::REPLY_WORDS)?)?)?;
        let arena_bytes = pages(arena_bytes)?;
        let slots_offset = arena_offset.checked_add(arena_bytes)?;
        let slot_bytes = PAGE_BYTES.checked_add(pages(max_write_bytes)?)?;
        let total_bytes = slots_offset.checked_add(slot_bytes.checked_mul(slot_count)?)?;
        if u32::try_from(total_bytes).is_err() {
            return None;
        }
        Some(Self { slot_count, slot_bytes, slots_offset, reply_count, descriptors_offset, arena_offset, arena_bytes, total_bytes })
    }

    /// Where a request of this slot begins.
    pub fn request_offset(&self, slot: usize) -> usize {
        self.slots_offset + slot * self.slot_bytes + PAGE_BYTES - HEAD_BYTES
    }

    /// The longest request that a slot takes.
    pub fn request_bytes(&self) -> usize {
        self.slot_bytes - PAGE_BYTES + HEAD_BYTES
    }
}

#[derive(Debug)]
pub struct Region {
    pointer: NonNull<u8>,
    pub layout: Layout,
}

// SAFETY: Region is only an address and sizes; who may touch the bytes when is the owner's rule (one JavaScript thread).
unsafe impl Send for Region {}
// SAFETY: as above; no method gives out references to the bytes.
unsafe impl Sync for Region {}

impl Region {
    pub fn new(layout: Layout) -> Result<Self, FuseError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), layout.total_bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(FuseError::last(format_args!("mmap of {} bytes for FUSE requests", layout.total_bytes)));
        }
        let pointer = NonNull::new(address.cast::<u8>()).ok_or_else(|| FuseError::new(libc::ENOMEM, "mmap gave address 0"))?;
        Ok(Self { pointer, layout })
    }

    pub fn pointer(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    /// The address of `length` bytes at `offset`, or None when they are not all inside.
    pub fn at(&self, offset: usize, length: usize) -> Option<*mut u8> {
        let end = offset.checked_add(length)?;
        if end > self.layout.total_bytes {
            return None;
        }
        // SAFETY: offset <= total_bytes, so the address stays inside (or one past) the mapping.
        Some(unsafe { self.pointer.as_ptr().add(offset) })
    }

    pub fn read_word(&self, offset: usize) -> Option<u32> {
        let address = self.at(offset, 4)?;
        // SAFETY: the four bytes are inside the mapping; unaligned reads are allowed by read_unaligned.
        Some(unsafe { address.cast::<u32>().read_unaligned() })
    }

    pub fn write_word(&self, offset: usize, value: u32) -> Option<()> {
        let address = self.at(offset, 4)?;
        // SAFETY: the four bytes are inside the mapping.
        unsafe { address.cast::<u32>().write_unaligned(value) };
        Some(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the mapping made in `new`, unmapped once; nobody holds an Arc any more.
        unsafe { libc::munmap(self.pointer.as_ptr().cast(), self.layout.total_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_of_a_write_is_page_aligned() {
        let layout = Layout::new(64, 1 << 20, 256, 1 << 20).expect("fits");
        for slot in [0, 1, 63] {
            assert_eq!((layout.request_offset(slot) + HEAD_BYTES) % PAGE_BYTES, 0);
        }
        assert_eq!(layout.request_bytes(), (1 << 20) + HEAD_BYTES);
        assert_eq!(layout.request_offset(63) + layout.request_bytes(), layout.total_bytes);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert_eq!(Layout::new(0, 1 << 20, 1, 4096), None);
        assert_eq!(Layout::new(1, 1, 1, 4096), None);
        assert_eq!(Layout::new(8192, 1 << 20, 1, 4096), None);
        assert_eq!(Layout::new(usize::MAX, 1 << 20, 1, 4096), None);
    }

    #[test]
    fn access_outside_is_none() {
        let region = Region::new(Layout::new(1, 4096, 1, 4096).expect("fits")).expect("mapped");
        let total = region.layout.total_bytes;
        assert!(region.write_word(total - 4, 7).is_some());
        assert_eq!(region.read_word(total - 4), Some(7));
        assert_eq!(region.read_word(total - 3), None);
        assert!(region.at(usize::MAX, 2).is_none());
    }
}
