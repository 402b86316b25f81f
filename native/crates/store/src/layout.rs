//! Where chunks lie in a segment, and how long things can get.
//!
//! Order: raw chunks of pieces that begin and end on 4 KiB boundaries of their file, other raw chunks, compressed chunks, table.
//! Why: a chunk that is stored raw can be read in part. It is placed so that its stored offset and its file offset agree
//! modulo 4096; then an aligned 4 KiB read of the file touches exactly one block of one fragment, across chunk borders too.
//! Neighbouring chunks of one piece agree for free; elsewhere a gap is made when it costs at most a sixteenth of the chunk.
//! Compressed chunks are always read whole, so they only begin on multiples of 8.

use crate::header::BLOCK_BYTES;
use crate::table::table_bytes;
use cfs_reduce::CHUNK_MIN_BYTES;

/// Raw bytes of one segment.
pub const SEGMENT_RAW_MAX_BYTES: usize = 2 << 20;
/// Pieces of one segment: keeps the table below a tenth of it. Smaller writes than 2 KiB belong in the next segment.
pub const PIECES_MAX: usize = 1024;
pub const ORIGIN_MAX_BYTES: usize = 64;
const ALIGN_BYTES: usize = 8;
const GAP_FRACTION: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    RawAligned,
    Raw,
    Compressed,
}

/// Gives each chunk its place; called in the order of classes, so that offsets only grow.
pub(crate) fn place(end: usize, class: Class, phase: usize, stored_bytes: usize) -> usize {
    let gap = (phase + BLOCK_BYTES - end % BLOCK_BYTES) % BLOCK_BYTES;
    if class != Class::Compressed && gap * GAP_FRACTION <= stored_bytes {
        return end + gap;
    }
    end.next_multiple_of(ALIGN_BYTES)
}

/// Payload of each of the k data fragments, and so of each parity fragment.
pub fn fragment_bytes(segment_bytes: usize, data_count: usize) -> usize {
    segment_bytes.div_ceil(data_count).next_multiple_of(BLOCK_BYTES)
}

/// The longest segment that these pieces can make, whatever they hold.
pub(crate) fn segment_bytes_max(raw_bytes: usize, piece_count: usize, origin_bytes: usize) -> usize {
    let chunk_count = piece_count + raw_bytes / CHUNK_MIN_BYTES;
    let data = raw_bytes + raw_bytes / GAP_FRACTION + ALIGN_BYTES * (chunk_count + 1);
    data + table_bytes(piece_count, chunk_count, origin_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::BLOCKS_MAX;

    #[test]
    fn the_longest_segment_fits_one_fragment() {
        let longest = segment_bytes_max(SEGMENT_RAW_MAX_BYTES, PIECES_MAX, PIECES_MAX * ORIGIN_MAX_BYTES);
        assert!(fragment_bytes(longest, 1) <= BLOCKS_MAX * BLOCK_BYTES, "{longest}");
        const { assert!(crate::header::CRCS_OFFSET + 4 * BLOCKS_MAX + 4 <= crate::header::HEADER_BYTES) };
    }

    #[test]
    fn raw_chunks_agree_with_their_file_when_it_is_cheap() {
        assert_eq!(place(0, Class::RawAligned, 0, 4096), 0);
        assert_eq!(place(70_001, Class::Raw, 70_001 % 4096, 100), 70_001);
        assert_eq!(place(10, Class::Raw, 5, 65_536), 4096 + 5);
        assert_eq!(place(10, Class::Raw, 5, 4096), 16);
        assert_eq!(place(4095, Class::Raw, 0, 16), 4096);
        assert_eq!(place(4001, Class::Compressed, 0, 65_536), 4008);
    }
}
