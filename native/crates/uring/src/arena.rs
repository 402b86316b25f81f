//! One page-aligned anonymous mapping: the pool memory that requests point into, then the words that cross the border.
//!
//! Invariant: the mapping lives until the last `Arc<Arena>` is dropped, so that neither the kernel nor JavaScript can hold
//! an address that is gone.
//!
//! Memory is backed region by region, one region ahead of use, by a helper thread: the first touch of 4 MiB that the host
//! has not backed takes 9 ms, which the event loop must not spend. Untouched regions cost nothing.
//!
//! Layout: | pool, whole regions of 4 MiB | submission words (f64) | completion words (f64) |

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The arena is registered with the ring in regions of this size, each on its first use. No pool buffer is larger.
pub const REGION_BYTES: usize = 4 << 20;
const HUGE_PAGE_BYTES: usize = 2 << 20;
const UNTOUCHED: u8 = 0;
const ASKED: u8 = 1;
const BACKED: u8 = 2;
const WORD_BYTES: usize = size_of::<f64>();

/// See the module.
#[derive(Debug)]
pub struct Arena {
    mapping: NonNull<u8>,
    mapping_bytes: usize,
    start: NonNull<u8>,
    pool_bytes: usize,
    submission_words: usize,
    completion_words: usize,
    backing: Box<[AtomicU8]>,
}

// SAFETY: the struct only holds addresses of a mapping that it owns; whoever dereferences them answers for races.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps `pool_bytes` (rounded up to whole regions) and room for the words of both directions.
    pub fn new(pool_bytes: usize, submission_words: usize, completion_words: usize) -> io::Result<Self> {
        let pool_bytes = pool_bytes.div_ceil(REGION_BYTES) * REGION_BYTES;
        let total = pool_bytes + (submission_words + completion_words) * WORD_BYTES;
        let mapping_bytes = total + HUGE_PAGE_BYTES;
        // SAFETY: an anonymous mapping at an address that the kernel chooses touches nothing that exists.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapping_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = NonNull::new(address.cast::<u8>()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        let skip = mapping.as_ptr().align_offset(HUGE_PAGE_BYTES);
        // SAFETY: `skip` is below HUGE_PAGE_BYTES, which the mapping is longer by.
        let start = unsafe { mapping.add(skip) };
        // Huge pages make the first touch and the pinning of a region several times cheaper; a refusal costs only speed.
        // SAFETY: the range lies in our mapping.
        unsafe { libc::madvise(start.as_ptr().cast(), pool_bytes, libc::MADV_HUGEPAGE) };
        // A forked child must not keep pages that a device writes to.
        // SAFETY: as above.
        unsafe { libc::madvise(start.as_ptr().cast(), total, libc::MADV_DONTFORK) };
        let backing = (0..pool_bytes / REGION_BYTES).map(|_| AtomicU8::new(UNTOUCHED)).collect();
        Ok(Self { mapping, mapping_bytes, start, pool_bytes, submission_words, completion_words, backing })
    }

    /// Address of the first byte.
    #[must_use]
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Bytes of pool memory, from the start.
    #[must_use]
    pub fn pool_bytes(&self) -> usize {
        self.pool_bytes
    }

    /// Bytes of everything: pool and words.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.pool_bytes + (self.submission_words + self.completion_words) * WORD_BYTES
    }

    /// Number of registrable regions in the pool.
    #[must_use]
    pub fn region_count(&self) -> usize {
        self.pool_bytes / REGION_BYTES
    }

    /// Words that the caller may fill before a submit.
    #[must_use]
    pub fn submission_words(&self) -> usize {
        self.submission_words
    }

    /// Words that a reap may fill.
    #[must_use]
    pub fn completion_words(&self) -> usize {
        self.completion_words
    }

    /// A copy of submission word `index`. JavaScript may change words at any time, so there is never a Rust reference to them.
    #[must_use]
    pub fn word(&self, index: usize) -> f64 {
        assert!(index < self.submission_words, "a submission word is inside the arena");
        // SAFETY: in range by the assertion, aligned because the pool is whole regions.
        unsafe { self.start.add(self.pool_bytes).cast::<f64>().add(index).read_volatile() }
    }

    /// Stores completion word `index`.
    pub fn store(&self, index: usize, value: f64) {
        assert!(index < self.completion_words, "a completion word is inside the arena");
        // SAFETY: in range by the assertion, aligned because the pool is whole regions.
        unsafe { self.start.add(self.pool_bytes).cast::<f64>().add(self.submission_words + index).write_volatile(value) }
    }

    /// For tests: stores submission word `index`, as JavaScript does.
    pub fn store_submission(&self, index: usize, value: f64) {
        assert!(index < self.submission_words, "a submission word is inside the arena");
        // SAFETY: as in `word`.
        unsafe { self.start.add(self.pool_bytes).cast::<f64>().add(index).write_volatile(value) }
    }

    /// A copy of completion word `index`.
    #[must_use]
    pub fn completion(&self, index: usize) -> f64 {
        assert!(index < self.completion_words, "a completion word is inside the arena");
        // SAFETY: as in `store`.
        unsafe { self.start.add(self.pool_bytes).cast::<f64>().add(self.submission_words + index).read_volatile() }
    }

    /// The region that wholly contains the range, if one does.
    #[must_use]
    pub fn region_of(&self, address: *const u8, length: usize) -> Option<usize> {
        let offset = (address as usize).checked_sub(self.start() as usize)?;
        let end = offset.checked_add(length)?;
        if length == 0 || end > self.pool_bytes {
            return None;
        }
        let region = offset / REGION_BYTES;
        ((end - 1) / REGION_BYTES == region).then_some(region)
    }

    /// Whether the region's pages are in place; asks a helper thread for them if they are not. Past the end: true.
    #[must_use]
    pub fn is_backed(self: &Arc<Self>, index: usize) -> bool {
        let Some(state) = self.backing.get(index) else { return true };
        if state.compare_exchange(UNTOUCHED, ASKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let arena = Arc::clone(self);
            let helper = std::thread::Builder::new().name("cfs-arena".to_owned()).spawn(move || arena.back(index));
            if helper.is_err() {
                self.back(index); // No thread to be had: the wait is the lesser evil.
            }
        }
        state.load(Ordering::Acquire) == BACKED
    }

    /// Faults the pages in. Where the kernel (before 5.14) or memory refuses, they come in one by one as they are touched.
    fn back(&self, index: usize) {
        let region = self.region(index);
        // SAFETY: the range is a region of our mapping; populating changes no content, whoever uses it meanwhile.
        unsafe { libc::madvise(region.iov_base, region.iov_len, libc::MADV_POPULATE_WRITE) };
        self.backing[index].store(BACKED, Ordering::Release);
    }

    /// The memory of region `index`.
    #[must_use]
    pub fn region(&self, index: usize) -> libc::iovec {
        assert!(index < self.region_count(), "a region is inside the arena");
        // SAFETY: in range by the assertion.
        let base = unsafe { self.start.add(index * REGION_BYTES) };
        libc::iovec { iov_base: base.as_ptr().cast(), iov_len: REGION_BYTES }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the last owner is going away.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapping_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_found_only_when_they_contain_the_whole_range() {
        let arena = Arena::new(2 * REGION_BYTES - 1, 16, 16).expect("mapping");
        assert_eq!(arena.region_count(), 2);
        let start = arena.start();
        assert_eq!(arena.region_of(start, 4096), Some(0));
        assert_eq!(arena.region_of(start.wrapping_add(REGION_BYTES - 4096), 4096), Some(0));
        assert_eq!(arena.region_of(start.wrapping_add(REGION_BYTES - 4096), 8192), None);
        assert_eq!(arena.region_of(start.wrapping_add(REGION_BYTES), REGION_BYTES), Some(1));
        assert_eq!(arena.region_of(start.wrapping_add(2 * REGION_BYTES), 1), None);
        assert_eq!(arena.region_of(start.wrapping_sub(1), 1), None);
    }
}
