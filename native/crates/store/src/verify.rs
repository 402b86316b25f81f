//! Checking payload blocks against the CRCs of their header page: the hot path of every read.

use crate::error::Error;
use crate::header::BLOCK_BYTES;
use cfs_erasure::crc32c;

/// What `verify_jobs` writes for a job without a bad block.
pub const ALL_GOOD: i32 = -1;

/// One run of blocks inside a slab.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub offset_bytes: usize,
    /// Which CRC, counted in words, belongs to the first block.
    pub first_crc: usize,
    pub block_count: usize,
}

/// The first of `count` blocks whose CRC is wrong, counted from the run's begin. `crcs` are little-endian words, as in the page;
/// word `first` belongs to the block at the beginning of `bytes`.
pub fn first_bad_block(bytes: &[u8], crcs: &[u8], first: usize, count: usize) -> Result<Option<usize>, Error> {
    let words = first.checked_add(count).and_then(|end| Some(first.checked_mul(4)?..end.checked_mul(4)?)).and_then(|range| crcs.get(range));
    let blocks = count.checked_mul(BLOCK_BYTES).and_then(|end| bytes.get(..end));
    let (Some(words), Some(blocks)) = (words, blocks) else {
        return Err(Error::Invalid(format!("{count} blocks from {first} in {} bytes with {} CRCs", bytes.len(), crcs.len() / 4)));
    };
    Ok(blocks.chunks_exact(BLOCK_BYTES).zip(words.chunks_exact(4)).position(|(block, word)| crc32c(block).to_le_bytes() != word))
}

/// Checks many runs of one slab; `results` gets the first bad block of each, or ALL_GOOD. Returns how many are bad.
pub fn verify_jobs(slab: &[u8], crcs: &[u8], jobs: impl ExactSizeIterator<Item = Job>, results: &mut [i32]) -> Result<usize, Error> {
    if results.len() < jobs.len() {
        return Err(Error::Invalid(format!("{} results for {} jobs", results.len(), jobs.len())));
    }
    let mut bad = 0;
    for (job, result) in jobs.zip(results) {
        let Some(bytes) = slab.get(job.offset_bytes..) else {
            return Err(Error::Invalid(format!("a run at {} of a slab of {} bytes", job.offset_bytes, slab.len())));
        };
        let found = first_bad_block(bytes, crcs, job.first_crc, job.block_count)?;
        bad += usize::from(found.is_some());
        *result = found.map_or(ALL_GOOD, |block| block as i32);
    }
    Ok(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_payload_is_found() {
        let payload: Vec<u8> = (0..2 * BLOCK_BYTES).map(|at| (at * 31 + at / 256) as u8).collect();
        let crcs: Vec<u8> = payload.chunks(BLOCK_BYTES).flat_map(|block| crc32c(block).to_le_bytes()).collect();
        assert_eq!(first_bad_block(&payload, &crcs, 0, 2), Ok(None));
        assert_eq!(first_bad_block(&payload[BLOCK_BYTES..], &crcs, 1, 1), Ok(None));
        let mut broken = payload.clone();
        for bit in 0..payload.len() * 8 {
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(first_bad_block(&broken, &crcs, 0, 2), Ok(Some(bit / 8 / BLOCK_BYTES)));
            broken[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn runs_outside_their_buffers_are_refused() {
        let (bytes, crcs) = ([0; BLOCK_BYTES], [0; 4]);
        for (first, count) in [(0, 2), (1, 1), (usize::MAX, 1), (1, usize::MAX), (usize::MAX / 2, 2)] {
            assert!(first_bad_block(&bytes, &crcs, first, count).is_err());
        }
        let job = |offset_bytes| Job { offset_bytes, first_crc: 0, block_count: 1 };
        assert!(verify_jobs(&bytes, &crcs, [job(1)].into_iter(), &mut [0]).is_err());
        assert!(verify_jobs(&bytes, &crcs, [job(usize::MAX)].into_iter(), &mut [0]).is_err());
        assert!(verify_jobs(&bytes, &crcs, [job(0)].into_iter(), &mut []).is_err());
        let mut results = [0];
        assert_eq!(verify_jobs(&bytes, &crc32c(&bytes).to_le_bytes(), [job(0)].into_iter(), &mut results), Ok(0));
        assert_eq!(results, [ALL_GOOD]);
    }
}
