//! One request from its words to its result, whatever engine carries it.
//!
//! Words (f64, all of them safe integers), one request after the other:
//! | slot | operation | fd | offset | length | flags | view count | then per view: address, length |
//! An address of 0 or more is an offset into the arena's pool; a negative one, -1 - index, names a foreign view.
//! Flags: 1 = the file is open with O_DIRECT.

use crate::arena::Arena;

/// Words before the views.
pub const HEADER_WORDS: usize = 7;
/// Words per view.
pub const VIEW_WORDS: usize = 2;
const FLAG_DIRECT: f64 = 1.0;
/// A transfer that the kernel interrupts this often in a row is reported as interrupted.
const INTERRUPTIONS_MAX: u8 = 16;
/// IOV_MAX of Linux.
const VIEWS_MAX: usize = 1024;
const BLOCK_BYTES: u64 = 4096;

/// What a request asks for. The numbers are part of the border with TypeScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// preadv
    Read = 0,
    /// pwritev
    Write = 1,
    /// fdatasync
    SyncData = 2,
    /// fallocate, extending the size
    Allocate = 3,
    /// fallocate with PUNCH_HOLE and KEEP_SIZE
    Punch = 4,
}

impl Operation {
    fn from_word(word: f64) -> Result<Self, String> {
        [Self::Read, Self::Write, Self::SyncData, Self::Allocate, Self::Punch]
            .into_iter()
            .find(|operation| f64::from(*operation as u8) == word)
            .ok_or_else(|| format!("unknown operation {word}"))
    }

    /// Whether views take part.
    #[must_use]
    pub fn moves_bytes(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }

    /// The mode of fallocate(2).
    #[must_use]
    pub fn allocate_mode(self) -> i32 {
        if self == Self::Punch { libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE } else { 0 }
    }
}

/// Memory outside the arena that the caller keeps alive and in place until the slot is reported.
#[derive(Clone, Copy, Debug)]
pub struct ForeignView {
    /// First byte.
    pub address: *mut u8,
    /// Bytes from there.
    pub length: usize,
}

/// What to do after a result.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The rest is to be started anew.
    Again,
    /// Bytes moved, 0 for operations that move none, or -errno.
    Finished(i64),
}

/// A request that has a slot. Its vector of views keeps its capacity from one request to the next.
#[derive(Debug)]
pub struct Flight {
    active: bool,
    /// What is asked.
    pub operation: Operation,
    /// The file.
    pub fd: i32,
    offset: u64,
    length: u64,
    direct: bool,
    views: Vec<libc::iovec>,
    first: usize,
    done: u64,
    interruptions: u8,
}

// SAFETY: the addresses belong to memory that the submitter keeps until the slot is reported; only one thread at a time uses them.
unsafe impl Send for Flight {}

impl Default for Flight {
    fn default() -> Self {
        Self {
            active: false,
            operation: Operation::Read,
            fd: -1,
            offset: 0,
            length: 0,
            direct: false,
            views: Vec::new(),
            first: 0,
            done: 0,
            interruptions: 0,
        }
    }
}

fn integer(word: f64, what: &str) -> Result<u64, String> {
    if (0.0..=9_007_199_254_740_991.0).contains(&word) && word.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a safe integer")]
        return Ok(word as u64);
    }
    Err(format!("{what} is {word}, which is not a safe integer"))
}

impl Flight {
    /// Whether the slot is taken.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// File offset of what is still to move.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset + self.done
    }

    /// Bytes still to move, or the length of the range to allocate or punch.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.length - self.done
    }

    /// The views still to fill or to write.
    #[must_use]
    pub fn views(&self) -> &[libc::iovec] {
        &self.views[self.first..]
    }

    /// Reads one request from the arena's words at `at`; returns where the next one begins.
    pub(crate) fn load(&mut self, arena: &Arena, at: usize, end: usize, foreign: &[ForeignView]) -> Result<usize, String> {
        if at + HEADER_WORDS > end {
            return Err(format!("a request at word {at} ends past word {end}"));
        }
        let word = |index: usize| arena.word(at + index);
        let view_count = integer(word(6), "view count")? as usize;
        let next = at + HEADER_WORDS + view_count * VIEW_WORDS;
        if view_count > VIEWS_MAX || next > end {
            return Err(format!("{view_count} views at word {at} end past word {end} or are too many"));
        }
        self.operation = Operation::from_word(word(1))?;
        self.fd = i32::try_from(integer(word(2), "file descriptor")?).map_err(|_| "file descriptor is too large")?;
        self.offset = integer(word(3), "offset")?;
        self.length = integer(word(4), "length")?;
        self.direct = word(5) == FLAG_DIRECT;
        self.first = 0;
        self.done = 0;
        self.interruptions = 0;
        self.views.clear();
        for index in 0..view_count {
            let view = at + HEADER_WORDS + index * VIEW_WORDS;
            self.views.push(resolve(arena, arena.word(view), arena.word(view + 1), foreign)?);
        }
        let sum: u64 = self.views.iter().map(|view| view.iov_len as u64).sum();
        if self.operation.moves_bytes() && (sum != self.length || sum == 0) {
            return Err(format!("views hold {sum} bytes and the request {}", self.length));
        }
        self.active = true;
        Ok(next)
    }

    /// Takes the result of one system call and says how the request stands.
    pub(crate) fn advance(&mut self, result: i32) -> Step {
        if result == -libc::EINTR || result == -libc::EAGAIN {
            self.interruptions += 1;
            return if self.interruptions < INTERRUPTIONS_MAX { Step::Again } else { Step::Finished(i64::from(result)) };
        }
        if result < 0 || !self.operation.moves_bytes() {
            return Step::Finished(i64::from(result));
        }
        let moved = u64::from(result.unsigned_abs());
        self.done += moved;
        self.interruptions = 0;
        if self.done >= self.length || self.is_end_of_file(moved) {
            return Step::Finished(self.done.cast_signed());
        }
        if moved == 0 {
            return Step::Finished(i64::from(-libc::EIO)); // A write that makes no progress would be retried for ever.
        }
        self.skip(moved as usize);
        Step::Again
    }

    /// A read of nothing is the end; a direct read that stops between blocks is too, and could not be continued there.
    fn is_end_of_file(&self, moved: u64) -> bool {
        self.operation == Operation::Read && (moved == 0 || (self.direct && !self.offset().is_multiple_of(BLOCK_BYTES)))
    }

    fn skip(&mut self, mut moved: usize) {
        while moved > 0 {
            let view = &mut self.views[self.first];
            if moved < view.iov_len {
                view.iov_base = view.iov_base.wrapping_byte_add(moved);
                view.iov_len -= moved;
                return;
            }
            moved -= view.iov_len;
            self.first += 1;
        }
    }

    pub(crate) fn release(&mut self) {
        self.active = false;
        self.views.clear();
    }
}

fn resolve(arena: &Arena, address: f64, length: f64, foreign: &[ForeignView]) -> Result<libc::iovec, String> {
    let length = integer(length, "view length")? as usize;
    if address >= 0.0 {
        let offset = integer(address, "view address")? as usize;
        if offset.checked_add(length).is_none_or(|end| end > arena.pool_bytes()) {
            return Err(format!("a view of {length} bytes at {offset} leaves the arena"));
        }
        return Ok(libc::iovec { iov_base: arena.start().wrapping_add(offset).cast(), iov_len: length });
    }
    let index = integer(-1.0 - address, "foreign view index")? as usize;
    let view = foreign.get(index).ok_or_else(|| format!("foreign view {index} of {} is asked for", foreign.len()))?;
    if view.length != length {
        return Err(format!("foreign view {index} has {} bytes, not {length}", view.length));
    }
    Ok(libc::iovec { iov_base: view.address.cast(), iov_len: length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(operation: Operation, direct: bool, lengths: &[usize]) -> Flight {
        let views = lengths.iter().map(|&iov_len| libc::iovec { iov_base: std::ptr::null_mut(), iov_len }).collect();
        Flight { active: true, operation, direct, length: lengths.iter().sum::<usize>() as u64, views, ..Flight::default() }
    }

    #[test]
    fn a_short_write_goes_on_inside_the_view_where_it_stopped() {
        let mut flight = flight(Operation::Write, false, &[100, 50, 25]);
        assert_eq!(flight.advance(120), Step::Again);
        assert_eq!(flight.views().iter().map(|view| view.iov_len).collect::<Vec<_>>(), [30, 25]);
        assert_eq!((flight.offset(), flight.remaining()), (120, 55));
        assert_eq!(flight.advance(30), Step::Again);
        assert_eq!(flight.advance(25), Step::Finished(175));
    }

    #[test]
    fn a_write_without_progress_is_an_error() {
        assert_eq!(flight(Operation::Write, false, &[8]).advance(0), Step::Finished(i64::from(-libc::EIO)));
    }

    #[test]
    fn reads_end_with_the_file() {
        let mut buffered = flight(Operation::Read, false, &[100]);
        assert_eq!(buffered.advance(60), Step::Again);
        assert_eq!(buffered.advance(0), Step::Finished(60));
        assert_eq!(flight(Operation::Read, true, &[8192]).advance(5000), Step::Finished(5000));
        assert_eq!(flight(Operation::Read, true, &[8192]).advance(4096), Step::Again);
    }

    #[test]
    fn interruptions_are_retried_and_bounded() {
        let mut flight = flight(Operation::Write, false, &[8]);
        for _ in 1..INTERRUPTIONS_MAX {
            assert_eq!(flight.advance(-libc::EINTR), Step::Again);
        }
        assert_eq!(flight.advance(-libc::EINTR), Step::Finished(i64::from(-libc::EINTR)));
    }

    #[test]
    fn words_that_make_no_sense_are_refused() {
        let arena = Arena::new(1, 64, 16).expect("mapping");
        let load = |words: &[f64]| {
            for (index, &word) in words.iter().enumerate() {
                arena.store_submission(index, word);
            }
            Flight::default().load(&arena, 0, words.len(), &[])
        };
        assert_eq!(load(&[0.0, 1.0, 5.0, 4096.0, 8.0, 0.0, 1.0, 4096.0, 8.0]), Ok(9));
        let pool = arena.pool_bytes() as f64;
        for bad in [
            vec![0.0, 1.0, 5.0],
            vec![0.0, 9.0, 5.0, 0.0, 8.0, 0.0, 1.0, 0.0, 8.0],
            vec![0.0, 1.0, 5.0, -1.0, 8.0, 0.0, 1.0, 0.0, 8.0],
            vec![0.0, 1.0, 5.0, 0.5, 8.0, 0.0, 1.0, 0.0, 8.0],
            vec![0.0, 1.0, 5.0, f64::NAN, 8.0, 0.0, 1.0, 0.0, 8.0],
            vec![0.0, 1.0, 5.0, 0.0, 9.0, 0.0, 1.0, 0.0, 8.0],
            vec![0.0, 1.0, 5.0, 0.0, 8.0, 0.0, 1.0, pool - 7.0, 8.0],
            vec![0.0, 1.0, 5.0, 0.0, 8.0, 0.0, 1.0, -1.0, 8.0],
            vec![0.0, 1.0, 5.0, 0.0, 0.0, 0.0, 0.0],
            vec![0.0, 1.0, 5.0, 0.0, 8.0, 0.0, 2.0, 0.0, 8.0],
        ] {
            assert!(load(&bad).is_err(), "{bad:?} is refused");
        }
    }
}
