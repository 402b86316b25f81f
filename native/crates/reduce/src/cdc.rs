//! Content-defined chunking: FastCDC with normalised chunking, level 2.
//!
//! Why: a cut depends only on the 64 bytes before it, so an insertion into a file moves one or two chunks and leaves the
//! names of the others as they were, which is what deduplication and clones live on.
//! Invariants: every chunk but the last of a piece has CHUNK_MIN_BYTES to CHUNK_MAX_BYTES; the same bytes give the same cuts
//! in every version of cfs (the gear table and the masks below are part of the meaning of stored data: changing them costs
//! deduplication against what is stored, though never correctness).
//! Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems" (2020):
//! gear hash, skipped minimum, two masks; its two bytes per step are four here.

pub const CHUNK_MIN_BYTES: usize = 16 * 1024;
pub const CHUNK_AVERAGE_BYTES: usize = 64 * 1024;
pub const CHUNK_MAX_BYTES: usize = 256 * 1024;

/// The hash only looks at the last 64 bytes, so it starts this far before the first place where a cut is allowed.
const WINDOW_BYTES: usize = 64;
/// Length of each of the two ranges that are hashed side by side.
const LANE_BYTES: usize = 4096;

/// 18 bits before the average, 14 after it. The top three bits stay out:
/// a step of four bytes shifts them away. High bits see most of the window.
const MASK_EARLY: u64 = ((1 << 18) - 1) << 43;
const MASK_LATE: u64 = ((1 << 14) - 1) << 47;

/// One random word per byte value, from SplitMix64 with a fixed seed, four times: shifted by 3, 2, 1 and 0 bits for the four bytes
/// of a step. One table, so that the loop needs one register for it.
static GEARS: [u64; 1024] = gear_tables(0x6366_7320_6765_6172);
/// Where the words that are not shifted begin.
const PLAIN: usize = 768;

const fn gear_tables(seed: u64) -> [u64; 1024] {
    let mut tables = [0; 1024];
    let mut state = seed;
    let mut at = 0;
    while at < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        tables[at] = word << 3;
        tables[at + 256] = word << 2;
        tables[at + 512] = word << 1;
        tables[at + PLAIN] = word;
        at += 1;
    }
    tables
}

/// The hash after one more byte.
fn gear(hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(GEARS[PLAIN + usize::from(byte)])
}

/// How many bytes of `bytes` make the next chunk. `bytes` is the rest of the piece, not a part of it: the answer may be its length.
pub fn next_chunk_bytes(bytes: &[u8]) -> usize {
    let end = bytes.len().min(CHUNK_MAX_BYTES);
    let normal = end.min(CHUNK_AVERAGE_BYTES);
    find_cut(bytes, CHUNK_MIN_BYTES.min(end), normal, MASK_EARLY).or_else(|| find_cut(bytes, normal, end, MASK_LATE)).unwrap_or(end)
}

/// The first cut in `begin..end` where the masked hash is zero. A cut lies behind the byte that made it.
fn find_cut(bytes: &[u8], mut begin: usize, end: usize, mask: u64) -> Option<usize> {
    while end - begin >= 2 * LANE_BYTES {
        let middle = begin + LANE_BYTES;
        let low = Lane { hash: warm_up(bytes, begin), bytes: bytes[begin..middle].as_chunks().0 };
        let high = Lane { hash: warm_up(bytes, middle), bytes: bytes[middle..middle + LANE_BYTES].as_chunks().0 };
        if let Some(cut) = two_lanes(low, high, mask) {
            return Some(begin + cut);
        }
        begin += 2 * LANE_BYTES;
    }
    let mut hash = warm_up(bytes, begin);
    for (index, byte) in bytes[begin..end].iter().enumerate() {
        hash = gear(hash, *byte);
        if hash & mask == 0 {
            return Some(begin + index + 1);
        }
    }
    None
}

/// The hash before the byte at `at`: of the 64 bytes before it, as older bytes are shifted out.
fn warm_up(bytes: &[u8], at: usize) -> u64 {
    bytes[at.saturating_sub(WINDOW_BYTES)..at].iter().fold(0, |hash, byte| gear(hash, *byte))
}

/// One of two neighbouring ranges that are hashed in step, because each hash waits for the one before it.
struct Lane<'a> {
    hash: u64,
    bytes: &'a [[u8; 4]],
}

/// The first cut in two lanes, counted from the beginning of the low one: a cut in the high lane counts when the low has none.
#[inline]
fn two_lanes(mut low: Lane, mut high: Lane, mask: u64) -> Option<usize> {
    for (index, (low_step, high_step)) in low.bytes.iter().zip(high.bytes).enumerate() {
        if let Some(place) = step(&mut low.hash, low_step, mask) {
            return Some(index * 4 + place);
        }
        if let Some(place) = step(&mut high.hash, high_step, mask) {
            let rest = low.bytes.iter().enumerate().skip(index + 1);
            let earlier = rest.filter_map(|(later, bytes)| step(&mut low.hash, bytes, mask).map(|place| later * 4 + place)).next();
            return earlier.or(Some(LANE_BYTES + index * 4 + place));
        }
    }
    None
}

/// Takes four bytes into the hash; Some(1 to 4) tells behind which of them the masked hash was zero first.
#[inline(always)]
fn step(hash: &mut u64, bytes: &[u8; 4], mask: u64) -> Option<usize> {
    let mut sum = *hash << 4;
    sum = sum.wrapping_add(GEARS[usize::from(bytes[0])]);
    if sum & (mask << 3) == 0 {
        return Some(1);
    }
    sum = sum.wrapping_add(GEARS[256 + usize::from(bytes[1])]);
    if sum & (mask << 2) == 0 {
        return Some(2);
    }
    sum = sum.wrapping_add(GEARS[512 + usize::from(bytes[2])]);
    if sum & (mask << 1) == 0 {
        return Some(3);
    }
    sum = sum.wrapping_add(GEARS[PLAIN + usize::from(bytes[3])]);
    *hash = sum;
    (sum & mask == 0).then_some(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, mut state: u64) -> Vec<u8> {
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    }

    fn cuts(bytes: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut found = Vec::new();
        while at < bytes.len() {
            at += next_chunk_bytes(&bytes[at..]);
            found.push(at);
        }
        found
    }

    /// One byte per step, straight from the paper's definition.
    fn naive(bytes: &[u8]) -> usize {
        let end = bytes.len().min(CHUNK_MAX_BYTES);
        let mut hash = 0u64;
        for (at, byte) in bytes[..end].iter().enumerate() {
            hash = gear(hash, *byte);
            let mask = if at < CHUNK_AVERAGE_BYTES { MASK_EARLY } else { MASK_LATE };
            if at >= CHUNK_MIN_BYTES && hash & mask == 0 {
                return at + 1;
            }
        }
        end
    }

    #[test]
    fn agrees_with_one_byte_per_step() {
        let bytes = noise(3_000_001, 1);
        let mut at = 0;
        while at < bytes.len() {
            let cut = next_chunk_bytes(&bytes[at..]);
            assert_eq!(cut, naive(&bytes[at..]), "at {at}");
            at += cut;
        }
    }

    #[test]
    fn chunk_sizes_keep_their_limits_and_average() {
        let bytes = noise(32 << 20, 2);
        let ends = cuts(&bytes);
        let mut before = 0;
        for (index, end) in ends.iter().enumerate() {
            let size = end - before;
            assert!(size <= CHUNK_MAX_BYTES);
            assert!(size >= CHUNK_MIN_BYTES || index + 1 == ends.len());
            before = *end;
        }
        let average = bytes.len() / ends.len();
        assert!((48 * 1024..96 * 1024).contains(&average), "average {average}");
    }

    #[test]
    fn short_pieces_are_one_chunk_and_monotone_bytes_reach_the_maximum() {
        for count in [1, 2, 100, CHUNK_MIN_BYTES - 1, CHUNK_MIN_BYTES] {
            assert_eq!(next_chunk_bytes(&noise(count, 3)), count);
        }
        assert_eq!(next_chunk_bytes(&vec![0; 1 << 20]), CHUNK_MAX_BYTES);
    }

    #[test]
    fn an_insertion_moves_few_cuts() {
        let bytes = noise(4 << 20, 4);
        let before: std::collections::HashSet<usize> = cuts(&bytes).into_iter().collect();
        for at in [10, 100_000, 2_000_000] {
            let mut changed = bytes.clone();
            changed.splice(at..at, noise(77, 5));
            let kept = cuts(&changed)
                .into_iter()
                .filter(|cut| if *cut <= at { before.contains(cut) } else { before.contains(&cut.saturating_sub(77)) })
                .count();
            assert!(kept + 8 >= before.len(), "inserting at {at} kept {kept} of {}", before.len());
        }
    }
}
