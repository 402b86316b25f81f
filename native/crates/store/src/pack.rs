//! From pieces of files to the fragments of one segment, in one pass that leaves bytes in the caches as it goes.
//!
//! Steps: gather pieces that lie in several views; cut, hash and compress chunk by chunk; give places; fill, code and sum the
//! payloads (stripe.rs); write the header pages.
//! Invariant: `out` holds fragment i at i * (4096 + F), header page first, every byte of it written, whatever was there before.
//! A raw chunk is copied once, from the caller's memory to its place.

use crate::error::Error;
use crate::header::{BLOCK_BYTES, FragmentHeader, HEADER_BYTES};
use crate::layout::{Class, ORIGIN_MAX_BYTES, PIECES_MAX, SEGMENT_RAW_MAX_BYTES, fragment_bytes, place, segment_bytes_max};
use crate::stripe::{Extent, Fragment, split_fragments, write_payloads};
use crate::table::{ChunkEntry, PieceEntry, SegmentTable};
use cfs_erasure::Code;
use cfs_reduce::{CHUNK_MAX_BYTES, Codec, Compressor, Preference, compress_bound, hash, next_chunk_bytes};
use std::ops::Range;

/// One contiguous range of a file.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// The range's bytes, in order.
    pub views: Vec<&'a [u8]>,
    /// File offset of the first byte modulo 4096.
    pub phase: usize,
    /// What the caller wants to find in the table when nothing else is left; at most ORIGIN_MAX_BYTES.
    pub origin: &'a [u8],
}

#[derive(Debug, Clone)]
pub struct PackOptions {
    pub data_count: usize,
    pub parity_count: usize,
    pub cluster_id: [u8; 16],
    pub segment_id: u64,
    pub generation: u32,
    pub codec: Preference,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub fragment_bytes: usize,
    pub segment_bytes: usize,
    pub table_bytes: usize,
    /// Chunks in piece order.
    pub table: SegmentTable,
}

/// The room in `out` that is always enough for pieces of this many raw bytes.
pub fn output_bytes_max(raw_bytes: usize, piece_count: usize, origin_bytes: usize, data_count: usize, parity_count: usize) -> usize {
    let payload = fragment_bytes(segment_bytes_max(raw_bytes, piece_count, origin_bytes), data_count.max(1));
    (data_count + parity_count) * (HEADER_BYTES + payload)
}

/// Scratch memory that is kept from segment to segment; one per thread that packs at the same time.
#[derive(Default)]
pub struct Packer {
    compressor: Compressor,
    gathered: Vec<u8>,
    compressed: Vec<u8>,
}

/// A chunk before it has a place.
struct Planned<'a> {
    source: Source<'a>,
    class: Class,
    phase: usize,
    entry: ChunkEntry,
}

enum Source<'a> {
    Raw(&'a [u8]),
    Compressed(Range<usize>),
}

impl Packer {
    pub fn pack(&mut self, pieces: &[Piece<'_>], options: &PackOptions, out: &mut [u8]) -> Result<Packed, Error> {
        let code = Code::new(options.data_count, options.parity_count)?;
        check_pieces(pieces)?;
        let Packer { compressor, gathered, compressed } = self;
        gather(pieces, gathered);
        let mut reducer = Reducer { compressor, compressed, used: 0, codec: options.codec };
        let mut planned = Vec::new();
        let mut entries = Vec::with_capacity(pieces.len());
        let mut gathered_at = 0;
        for piece in pieces {
            let raw = match piece.views.as_slice() {
                [only] => only,
                views => {
                    let begin = gathered_at;
                    gathered_at += views.iter().map(|view| view.len()).sum::<usize>();
                    &gathered[begin..gathered_at]
                }
            };
            let before = planned.len();
            reducer.reduce(raw, piece.phase, &mut planned)?;
            entries.push(PieceEntry {
                raw_bytes: raw.len() as u32,
                chunk_count: (planned.len() - before) as u16,
                origin: piece.origin.to_vec(),
            });
        }
        let (order, data_bytes) = lay_out(&mut planned);
        let table = SegmentTable {
            segment_id: options.segment_id,
            data_bytes: data_bytes as u32,
            pieces: entries,
            chunks: planned.iter().map(|chunk| chunk.entry.clone()).collect(),
        };
        let encoded = table.encode();
        let segment_bytes = data_bytes + encoded.len();
        let fragment_bytes = fragment_bytes(segment_bytes, options.data_count);
        let mut fragments = split_fragments(out, fragment_bytes, code.fragment_count())?;
        let mut extents: Vec<Extent<'_>> = Vec::with_capacity(order.len() + 1);
        for chunk in order.iter().map(|index| &planned[*index]) {
            let bytes = match &chunk.source {
                Source::Raw(bytes) => bytes,
                Source::Compressed(range) => &compressed[range.clone()],
            };
            extents.push(Extent { offset: chunk.entry.stored_offset as usize, bytes });
        }
        extents.push(Extent { offset: data_bytes, bytes: &encoded });
        let sums = write_payloads(&code, &extents, &mut fragments)?;
        let packed = Packed { fragment_bytes, segment_bytes, table_bytes: encoded.len(), table };
        write_headers(options, &packed, hash(&encoded), &sums, &mut fragments)?;
        Ok(packed)
    }
}

fn check_pieces(pieces: &[Piece<'_>]) -> Result<(), Error> {
    if pieces.is_empty() || pieces.len() > PIECES_MAX {
        return Err(Error::Invalid(format!("{} pieces in a segment; 1 to {PIECES_MAX} fit", pieces.len())));
    }
    let mut total = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let raw_bytes: usize = piece.views.iter().map(|view| view.len()).sum();
        total += raw_bytes;
        if raw_bytes == 0 || piece.phase >= BLOCK_BYTES || piece.origin.len() > ORIGIN_MAX_BYTES {
            return Err(Error::Invalid(format!(
                "piece {index} of {raw_bytes} bytes at phase {} with an origin of {}",
                piece.phase,
                piece.origin.len()
            )));
        }
    }
    if total > SEGMENT_RAW_MAX_BYTES {
        return Err(Error::Invalid(format!("{total} bytes in a segment of {SEGMENT_RAW_MAX_BYTES}")));
    }
    Ok(())
}

/// Pieces that lie in several views are put together, one after another; the others are read where they are.
fn gather(pieces: &[Piece<'_>], gathered: &mut Vec<u8>) {
    gathered.clear();
    for piece in pieces.iter().filter(|piece| piece.views.len() != 1) {
        piece.views.iter().for_each(|view| gathered.extend_from_slice(view));
    }
}

struct Reducer<'a> {
    compressor: &'a mut Compressor,
    /// Compressed chunks, one after another up to `used`.
    compressed: &'a mut Vec<u8>,
    used: usize,
    codec: Preference,
}

impl Reducer<'_> {
    fn reduce<'a>(&mut self, raw: &'a [u8], piece_phase: usize, planned: &mut Vec<Planned<'a>>) -> Result<(), Error> {
        let raw_class = if piece_phase == 0 && raw.len().is_multiple_of(BLOCK_BYTES) { Class::RawAligned } else { Class::Raw };
        let mut at = 0;
        while at < raw.len() {
            let chunk = &raw[at..at + next_chunk_bytes(&raw[at..])];
            let phase = (piece_phase + at) % BLOCK_BYTES;
            at += chunk.len();
            let room = self.used + compress_bound(CHUNK_MAX_BYTES);
            if self.compressed.len() < room {
                self.compressed.resize(room, 0);
            }
            let smaller = self.compressor.compress(self.codec, chunk, &mut self.compressed[self.used..])?;
            let (codec, stored_bytes) = smaller.unwrap_or((Codec::None, chunk.len()));
            let entry = ChunkEntry {
                hash: hash(chunk),
                stored_offset: 0,
                stored_bytes: stored_bytes as u32,
                raw_bytes: chunk.len() as u32,
                codec: codec as u8,
                flags: 0,
                key_id: 0,
                nonce: [0; 12],
            };
            let (source, class) = match codec {
                Codec::None => (Source::Raw(chunk), raw_class),
                _ => (Source::Compressed(self.used..self.used + stored_bytes), Class::Compressed),
            };
            if let Source::Compressed(range) = &source {
                self.used = range.end;
            }
            planned.push(Planned { source, class, phase, entry });
        }
        Ok(())
    }
}

/// Gives every chunk its offset. Returns the chunks in the order of their places, and where the table begins.
fn lay_out(planned: &mut [Planned<'_>]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..planned.len()).collect();
    order.sort_by_key(|index| planned[*index].class);
    let mut end = 0;
    for index in &order {
        let chunk = &mut planned[*index];
        let stored_bytes = chunk.entry.stored_bytes as usize;
        let offset = place(end, chunk.class, chunk.phase, stored_bytes);
        chunk.entry.stored_offset = offset as u32;
        end = offset + stored_bytes;
    }
    (order, end.next_multiple_of(8))
}

/// Header pages around the payloads' sums.
fn write_headers(
    options: &PackOptions,
    packed: &Packed,
    table_hash: [u8; 32],
    sums: &[Vec<u32>],
    fragments: &mut [Fragment<'_>],
) -> Result<(), Error> {
    for (index, (fragment, sums)) in fragments.iter_mut().zip(sums).enumerate() {
        let header = FragmentHeader {
            cluster_id: options.cluster_id,
            segment_id: options.segment_id,
            generation: options.generation,
            index: index as u8,
            data_count: options.data_count as u8,
            parity_count: options.parity_count as u8,
            fragment_bytes: packed.fragment_bytes as u32,
            segment_bytes: packed.segment_bytes as u32,
            table_bytes: packed.table_bytes as u32,
            table_hash,
        };
        header.encode(sums, fragment.page)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
