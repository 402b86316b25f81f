//! The header page of a fragment.
//!
//! Every fragment describes itself: whose it is, which part of which segment in which generation, and the CRC32C of each 4 KiB
//! block of its payload, so that a read of one block verifies one block.
//! Invariant: any change of any bit of the page or the payload is found: the last word covers the whole page, padding
//! included, and the page's CRCs cover the payload, padding included.
//! Page of 4096 bytes, little-endian, version 1:
//!   0 magic "CFSF" | 4 version u16 | 6 page bytes u16 | 8 cluster id 16 | 24 segment id u64 | 32 generation u32
//!   36 index u8 | 37 k u8 | 38 m u8 | 39 matrix u8 (1: Cauchy) | 40 fragment bytes u32 | 44 segment bytes u32
//!   48 table bytes u32 | 52 block count u32 | 56 zero 8 | 64 BLAKE3 of the segment's chunk table 32 | 96 zero 32
//!   128 block count x CRC32C u32 | … zero … | 4092 CRC32C of bytes 0 to 4091
//! The table's hash names the contents, because the table holds every chunk's hash: fragments of two encodings of one segment
//! id can never be taken for each other.

use crate::error::Error;
use cfs_erasure::{DATA_COUNT_MAX, PARITY_COUNT_MAX, crc32c};

pub const HEADER_BYTES: usize = 4096;
pub const BLOCK_BYTES: usize = 4096;
/// Where the block CRCs begin in the page.
pub const CRCS_OFFSET: usize = 128;
/// Blocks of the longest fragment (2.5 MiB): a segment of 2 MiB with its padding and its table, when k is 1.
pub const BLOCKS_MAX: usize = 640;
const MAGIC: &[u8; 4] = b"CFSF";
const VERSION: u16 = 1;
const MATRIX_CAUCHY: u8 = 1;
const PAGE_CRC_OFFSET: usize = HEADER_BYTES - 4;
/// Segment ids are safe integers in TypeScript.
const SEGMENT_ID_MAX: u64 = (1 << 53) - 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentHeader {
    pub cluster_id: [u8; 16],
    pub segment_id: u64,
    pub generation: u32,
    /// 0 to k-1 hold data, k to k+m-1 parity.
    pub index: u8,
    pub data_count: u8,
    pub parity_count: u8,
    /// Payload of each fragment, a multiple of BLOCK_BYTES.
    pub fragment_bytes: u32,
    /// Chunks and table; the rest of k * fragment_bytes is zero.
    pub segment_bytes: u32,
    /// The chunk table is the last `table_bytes` of `segment_bytes`.
    pub table_bytes: u32,
    pub table_hash: [u8; 32],
}

impl FragmentHeader {
    pub fn block_count(&self) -> usize {
        self.fragment_bytes as usize / BLOCK_BYTES
    }

    /// Writes the whole page. `crcs` has one CRC32C per block of the payload.
    pub fn encode(&self, crcs: &[u32], page: &mut [u8]) -> Result<(), Error> {
        if page.len() != HEADER_BYTES || crcs.len() != self.block_count() {
            return Err(Error::Invalid(format!(
                "a header page of {} bytes with {} CRCs for {} blocks",
                page.len(),
                crcs.len(),
                self.block_count()
            )));
        }
        self.check().map_err(Error::Invalid)?;
        page.fill(0);
        page[0..4].copy_from_slice(MAGIC);
        page[4..6].copy_from_slice(&VERSION.to_le_bytes());
        page[6..8].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        page[8..24].copy_from_slice(&self.cluster_id);
        page[24..32].copy_from_slice(&self.segment_id.to_le_bytes());
        page[32..36].copy_from_slice(&self.generation.to_le_bytes());
        page[36..40].copy_from_slice(&[self.index, self.data_count, self.parity_count, MATRIX_CAUCHY]);
        page[40..44].copy_from_slice(&self.fragment_bytes.to_le_bytes());
        page[44..48].copy_from_slice(&self.segment_bytes.to_le_bytes());
        page[48..52].copy_from_slice(&self.table_bytes.to_le_bytes());
        page[52..56].copy_from_slice(&(crcs.len() as u32).to_le_bytes());
        page[64..96].copy_from_slice(&self.table_hash);
        for (target, crc) in page[CRCS_OFFSET..].chunks_exact_mut(4).zip(crcs) {
            target.copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32c(&page[..PAGE_CRC_OFFSET]);
        page[PAGE_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        Ok(())
    }

    /// Reads and checks a page; the CRCs stay in it, from CRCS_OFFSET.
    pub fn decode(page: &[u8]) -> Result<FragmentHeader, Error> {
        if page.len() != HEADER_BYTES {
            return Err(Error::Corrupt(format!("a fragment header of {} bytes", page.len())));
        }
        if &page[0..4] != MAGIC {
            return Err(Error::Corrupt("a fragment header does not begin with its magic".into()));
        }
        let (stored, actual) = (u32_at(page, PAGE_CRC_OFFSET), crc32c(&page[..PAGE_CRC_OFFSET]));
        if stored != actual {
            return Err(Error::Corrupt(format!("a fragment header has CRC {stored:08x} and contents {actual:08x}")));
        }
        let version = u16::from_le_bytes([page[4], page[5]]);
        if version != VERSION || page[39] != MATRIX_CAUCHY {
            return Err(Error::Unsupported(format!("fragment format {version} with matrix {}", page[39])));
        }
        let header = FragmentHeader {
            cluster_id: array_at(page, 8),
            segment_id: u64::from_le_bytes(array_at(page, 24)),
            generation: u32_at(page, 32),
            index: page[36],
            data_count: page[37],
            parity_count: page[38],
            fragment_bytes: u32_at(page, 40),
            segment_bytes: u32_at(page, 44),
            table_bytes: u32_at(page, 48),
            table_hash: array_at(page, 64),
        };
        header.check().map_err(Error::Corrupt)?;
        let crcs_end = CRCS_OFFSET + 4 * header.block_count();
        let fixed = [&page[56..64], &page[96..CRCS_OFFSET], &page[crcs_end..PAGE_CRC_OFFSET]];
        let sizes = (u16::from_le_bytes([page[6], page[7]]) as usize, u32_at(page, 52) as usize);
        if sizes != (HEADER_BYTES, header.block_count()) || fixed.iter().any(|part| part.iter().any(|byte| *byte != 0)) {
            return Err(Error::Corrupt("a fragment header holds bytes that version 1 does not write".into()));
        }
        Ok(header)
    }

    fn check(&self) -> Result<(), String> {
        let (k, m) = (self.data_count as usize, self.parity_count as usize);
        if k == 0 || k > DATA_COUNT_MAX || m > PARITY_COUNT_MAX || self.index as usize >= k + m {
            return Err(format!("fragment {} of {k}+{m}", self.index));
        }
        if self.segment_id == 0 || self.segment_id > SEGMENT_ID_MAX {
            return Err(format!("segment id {}", self.segment_id));
        }
        let blocks = self.block_count();
        if blocks == 0 || blocks > BLOCKS_MAX || blocks * BLOCK_BYTES != self.fragment_bytes as usize {
            return Err(format!("fragments of {} bytes", self.fragment_bytes));
        }
        if self.table_bytes > self.segment_bytes || self.segment_bytes as usize > k * self.fragment_bytes as usize {
            return Err(format!(
                "a table of {} and a segment of {} bytes in {k} fragments of {}",
                self.table_bytes, self.segment_bytes, self.fragment_bytes
            ));
        }
        Ok(())
    }
}

/// Writes the header page of a payload that was rebuilt or received without one.
pub fn seal_fragment(header: &FragmentHeader, payload: &[u8], page: &mut [u8]) -> Result<(), Error> {
    if payload.len() != header.fragment_bytes as usize {
        return Err(Error::Invalid(format!("a payload of {} bytes for a fragment of {}", payload.len(), header.fragment_bytes)));
    }
    let crcs: Vec<u32> = payload.chunks_exact(BLOCK_BYTES).map(crc32c).collect();
    header.encode(&crcs, page)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FragmentHeader {
        FragmentHeader {
            cluster_id: *b"0123456789abcdef",
            segment_id: SEGMENT_ID_MAX,
            generation: 7,
            index: 5,
            data_count: 4,
            parity_count: 2,
            fragment_bytes: 8192,
            segment_bytes: 30_000,
            table_bytes: 300,
            table_hash: [0x5a; 32],
        }
    }

    fn page() -> Vec<u8> {
        let mut page = vec![0xff; HEADER_BYTES];
        header().encode(&[0x0102_0304, 0xdead_beef], &mut page).unwrap();
        page
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(FragmentHeader::decode(&page()).unwrap(), header());
    }

    #[test]
    fn every_flipped_bit_of_the_page_is_found() {
        let page = page();
        for bit in 0..HEADER_BYTES * 8 {
            let mut broken = page.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(FragmentHeader::decode(&broken), Err(Error::Corrupt(_))), "bit {bit}");
        }
        assert!(FragmentHeader::decode(&page[1..]).is_err());
        assert!(FragmentHeader::decode(&vec![0; HEADER_BYTES]).is_err());
    }

    /// A page whose checksum is right but whose fields are not: written by a bug or by somebody else.
    #[test]
    fn intact_but_impossible_headers_are_refused() {
        let resealed = |at: usize, bytes: &[u8]| {
            let mut page = page();
            page[at..at + bytes.len()].copy_from_slice(bytes);
            let crc = crc32c(&page[..PAGE_CRC_OFFSET]);
            page[PAGE_CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
            FragmentHeader::decode(&page)
        };
        assert!(matches!(resealed(4, &[2]), Err(Error::Unsupported(_))));
        assert!(matches!(resealed(39, &[2]), Err(Error::Unsupported(_))));
        for (at, bytes) in [
            (7, &[0u8][..]),
            (24, &[0xff; 8]),
            (24, &[0; 8]),
            (36, &[6]),
            (37, &[0]),
            (37, &[33]),
            (38, &[9]),
            (40, &[1]),
            (40, &[0, 0]),
            (43, &[9]),
        ] {
            assert!(matches!(resealed(at, bytes), Err(Error::Corrupt(_))), "at {at}");
        }
        for (at, bytes) in
            [(46, &[9u8][..]), (50, &[9]), (52, &[3]), (60, &[1]), (100, &[1]), (CRCS_OFFSET + 8, &[1]), (PAGE_CRC_OFFSET - 1, &[1])]
        {
            assert!(matches!(resealed(at, bytes), Err(Error::Corrupt(_))), "at {at}");
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert!(header().encode(&[1], &mut [0; HEADER_BYTES]).is_err());
        assert!(header().encode(&[1, 2], &mut [0; 100]).is_err());
        assert!(seal_fragment(&header(), &[0; 4096], &mut [0; HEADER_BYTES]).is_err());
        assert!(seal_fragment(&header(), &[0; 8192], &mut [0; HEADER_BYTES]).is_ok());
    }
}
