//! The chunk table at the end of a segment: what lies where, and what it is of, readable without any metadata.
//!
//! Invariant: a decoded table's chunks lie inside the segment's data, and its pieces' lengths are the sums of their chunks'.
//! Little-endian, version 1; a table is `table_bytes` long and ends where the segment ends:
//!   header 32:  magic "CFST" | version u16 | chunk record bytes u16 | segment id u64 | piece count u32 | chunk count u32
//!               | origin bytes u32 | data bytes u32 (what precedes the table)
//!   piece 8:    raw bytes u32 | chunk count u16 | origin bytes u16                              one per piece
//!   chunk 64:   BLAKE3 of the raw bytes 32 | stored offset u32 | stored bytes u32 | raw bytes u32 | codec u8 | flags u8
//!               | zero 2 | key id u32 | nonce 12                                                one per chunk, in piece order
//!   origins:    the bytes that the caller gave with each piece, one after another
//!   tail 4:     CRC32C of everything before it
//! Key id 0 is "not encrypted". Flags, key id and nonce are zero in version 1; who reads a chunk refuses one that has any.

use crate::error::Error;
use crate::header::{array_at, u32_at};
use cfs_erasure::crc32c;

const MAGIC: &[u8; 4] = b"CFST";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 32;
const PIECE_BYTES: usize = 8;
const CHUNK_BYTES: usize = 64;
const TAIL_BYTES: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceEntry {
    pub raw_bytes: u32,
    pub chunk_count: u16,
    pub origin: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkEntry {
    pub hash: [u8; 32],
    pub stored_offset: u32,
    pub stored_bytes: u32,
    pub raw_bytes: u32,
    pub codec: u8,
    pub flags: u8,
    pub key_id: u32,
    pub nonce: [u8; 12],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentTable {
    pub segment_id: u64,
    pub data_bytes: u32,
    pub pieces: Vec<PieceEntry>,
    pub chunks: Vec<ChunkEntry>,
}

/// Length of a table.
pub fn table_bytes(piece_count: usize, chunk_count: usize, origin_bytes: usize) -> usize {
    HEADER_BYTES + PIECE_BYTES * piece_count + CHUNK_BYTES * chunk_count + origin_bytes + TAIL_BYTES
}

impl SegmentTable {
    pub fn encode(&self) -> Vec<u8> {
        let origin_bytes: usize = self.pieces.iter().map(|piece| piece.origin.len()).sum();
        let mut out = Vec::with_capacity(table_bytes(self.pieces.len(), self.chunks.len(), origin_bytes));
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend((CHUNK_BYTES as u16).to_le_bytes());
        out.extend(self.segment_id.to_le_bytes());
        for word in [self.pieces.len() as u32, self.chunks.len() as u32, origin_bytes as u32, self.data_bytes] {
            out.extend(word.to_le_bytes());
        }
        for piece in &self.pieces {
            out.extend(piece.raw_bytes.to_le_bytes());
            out.extend(piece.chunk_count.to_le_bytes());
            out.extend((piece.origin.len() as u16).to_le_bytes());
        }
        for chunk in &self.chunks {
            out.extend(chunk.hash);
            for word in [chunk.stored_offset, chunk.stored_bytes, chunk.raw_bytes] {
                out.extend(word.to_le_bytes());
            }
            out.extend([chunk.codec, chunk.flags, 0, 0]);
            out.extend(chunk.key_id.to_le_bytes());
            out.extend(chunk.nonce);
        }
        for piece in &self.pieces {
            out.extend(&piece.origin);
        }
        out.extend(crc32c(&out).to_le_bytes());
        out
    }

    /// `bytes` is the whole table, as long as the fragment header says.
    pub fn decode(bytes: &[u8]) -> Result<SegmentTable, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("a chunk table of {} bytes {what}", bytes.len()));
        if bytes.len() < HEADER_BYTES + TAIL_BYTES || &bytes[0..4] != MAGIC {
            return Err(corrupt("does not begin as one"));
        }
        let tail = bytes.len() - TAIL_BYTES;
        if u32_at(bytes, tail) != crc32c(&bytes[..tail]) {
            return Err(corrupt("does not have its CRC"));
        }
        if bytes[4..8] != [VERSION as u8, 0, CHUNK_BYTES as u8, 0] {
            return Err(Error::Unsupported(format!("chunk table format {}", u16::from_le_bytes([bytes[4], bytes[5]]))));
        }
        let counts = [16, 20, 24].map(|at| u32_at(bytes, at) as usize);
        if counts.iter().any(|count| *count > bytes.len()) || table_bytes(counts[0], counts[1], counts[2]) != bytes.len() {
            return Err(corrupt("has other counts"));
        }
        let (pieces_end, chunks_end) =
            (HEADER_BYTES + PIECE_BYTES * counts[0], HEADER_BYTES + PIECE_BYTES * counts[0] + CHUNK_BYTES * counts[1]);
        let mut origins = &bytes[chunks_end..tail];
        let mut pieces = Vec::with_capacity(counts[0]);
        for record in bytes[HEADER_BYTES..pieces_end].chunks_exact(PIECE_BYTES) {
            let origin_bytes = u16::from_le_bytes([record[6], record[7]]);
            let (origin, rest) = origins.split_at_checked(origin_bytes.into()).ok_or_else(|| corrupt("ends inside an origin"))?;
            origins = rest;
            pieces.push(PieceEntry {
                raw_bytes: u32_at(record, 0),
                chunk_count: u16::from_le_bytes([record[4], record[5]]),
                origin: origin.to_vec(),
            });
        }
        let chunks = bytes[pieces_end..chunks_end].chunks_exact(CHUNK_BYTES).map(chunk_entry).collect();
        let table = SegmentTable { segment_id: u64::from_le_bytes(array_at(bytes, 8)), data_bytes: u32_at(bytes, 28), pieces, chunks };
        if !origins.is_empty() || !table.is_consistent() {
            return Err(corrupt("contradicts itself"));
        }
        Ok(table)
    }

    /// Chunks inside the data, pieces as long as their chunks together.
    fn is_consistent(&self) -> bool {
        let mut chunks = self.chunks.iter();
        let lengths = self.pieces.iter().all(|piece| {
            let sum: u64 = chunks.by_ref().take(piece.chunk_count.into()).map(|chunk| u64::from(chunk.raw_bytes)).sum();
            sum == piece.raw_bytes.into()
        });
        let inside = |chunk: &ChunkEntry| {
            u64::from(chunk.stored_offset) + u64::from(chunk.stored_bytes) <= self.data_bytes.into() && chunk.raw_bytes > 0
        };
        let count: usize = self.pieces.iter().map(|piece| usize::from(piece.chunk_count)).sum();
        lengths && count == self.chunks.len() && self.chunks.iter().all(inside)
    }
}

fn chunk_entry(record: &[u8]) -> ChunkEntry {
    ChunkEntry {
        hash: array_at(record, 0),
        stored_offset: u32_at(record, 32),
        stored_bytes: u32_at(record, 36),
        raw_bytes: u32_at(record, 40),
        codec: record[44],
        flags: record[45],
        key_id: u32_at(record, 48),
        nonce: array_at(record, 52),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SegmentTable {
        let chunk = |stored_offset, raw_bytes| ChunkEntry {
            hash: [raw_bytes as u8; 32],
            stored_offset,
            stored_bytes: 10,
            raw_bytes,
            codec: 1,
            flags: 0,
            key_id: 0,
            nonce: [0; 12],
        };
        SegmentTable {
            segment_id: 99,
            data_bytes: 40,
            pieces: vec![
                PieceEntry { raw_bytes: 60, chunk_count: 2, origin: b"inode 7".to_vec() },
                PieceEntry { raw_bytes: 5, chunk_count: 1, origin: Vec::new() },
            ],
            chunks: vec![chunk(0, 20), chunk(30, 40), chunk(16, 5)],
        }
    }

    #[test]
    fn a_table_comes_back_and_every_flipped_bit_is_found() {
        let bytes = table().encode();
        assert_eq!(bytes.len(), table_bytes(2, 3, 7));
        assert_eq!(SegmentTable::decode(&bytes), Ok(table()));
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentTable::decode(&broken).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(SegmentTable::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn intact_but_impossible_tables_are_refused() {
        let broken = |change: fn(&mut SegmentTable)| {
            let mut table = table();
            change(&mut table);
            SegmentTable::decode(&table.encode())
        };
        assert!(broken(|table| table.data_bytes = 39).is_err());
        assert!(broken(|table| table.pieces[0].raw_bytes = 61).is_err());
        assert!(broken(|table| table.pieces[0].chunk_count = 3).is_err());
        assert!(broken(|table| table.chunks.truncate(2)).is_err());
        assert!(broken(|table| table.chunks[0].stored_offset = u32::MAX).is_err());
    }
}
