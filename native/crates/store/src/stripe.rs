//! The fragments' payloads: data put in its places, parity and block sums computed, strip by strip.
//!
//! Why strips: the same 16 KiB of each fragment are filled, coded and summed while they lie in the second-level cache, so that the
//! output goes to memory once.
//! Invariant: every byte of every payload is written, whatever was there before; what no extent covers is zero.

use crate::error::Error;
use crate::header::{BLOCK_BYTES, HEADER_BYTES};
use cfs_erasure::{Code, crc32c};

const STRIP_BYTES: usize = 4 * BLOCK_BYTES;

pub(crate) struct Fragment<'a> {
    pub(crate) page: &'a mut [u8],
    pub(crate) payload: &'a mut [u8],
}

/// The first `count` fragments of an output, header page first in each.
pub(crate) fn split_fragments(out: &mut [u8], fragment_bytes: usize, count: usize) -> Result<Vec<Fragment<'_>>, Error> {
    let size = HEADER_BYTES + fragment_bytes;
    if out.len() < count * size {
        return Err(Error::Invalid(format!("an output of {} bytes for {count} fragments of {size}", out.len())));
    }
    let whole = out.chunks_exact_mut(size).take(count);
    Ok(whole.map(|fragment| fragment.split_at_mut(HEADER_BYTES)).map(|(page, payload)| Fragment { page, payload }).collect())
}

/// Bytes and their place in the segment.
pub(crate) struct Extent<'a> {
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
}

/// Reads the segment forward from some offset. Extents are in order and do not overlap.
struct Reader<'a> {
    extents: &'a [Extent<'a>],
    at: usize,
}

impl Reader<'_> {
    fn fill(&mut self, mut target: &mut [u8]) {
        while !target.is_empty() {
            while self.extents.first().is_some_and(|extent| extent.offset + extent.bytes.len() <= self.at) {
                self.extents = &self.extents[1..];
            }
            let count = match self.extents.first() {
                Some(extent) if extent.offset <= self.at => {
                    let rest = &extent.bytes[self.at - extent.offset..];
                    let count = rest.len().min(target.len());
                    target[..count].copy_from_slice(&rest[..count]);
                    count
                }
                next => {
                    let count = next.map_or(target.len(), |extent| target.len().min(extent.offset - self.at));
                    target[..count].fill(0);
                    count
                }
            };
            self.at += count;
            target = &mut target[count..];
        }
    }
}

/// Fills all payloads; returns the block sums of each fragment.
pub(crate) fn write_payloads(code: &Code, extents: &[Extent<'_>], fragments: &mut [Fragment<'_>]) -> Result<Vec<Vec<u32>>, Error> {
    let fragment_bytes = fragments.first().map_or(0, |fragment| fragment.payload.len());
    let mut readers: Vec<Reader<'_>> = (0..code.data_count()).map(|index| Reader { extents, at: index * fragment_bytes }).collect();
    let mut sums: Vec<Vec<u32>> = fragments.iter().map(|_| Vec::with_capacity(fragment_bytes / BLOCK_BYTES)).collect();
    for begin in (0..fragment_bytes).step_by(STRIP_BYTES) {
        let strip = begin..fragment_bytes.min(begin + STRIP_BYTES);
        let (data, parity) = fragments.split_at_mut(code.data_count());
        for (reader, fragment) in readers.iter_mut().zip(data.iter_mut()) {
            reader.fill(&mut fragment.payload[strip.clone()]);
        }
        let inputs: Vec<&[u8]> = data.iter().map(|fragment| &fragment.payload[strip.clone()]).collect();
        let mut outputs: Vec<&mut [u8]> = parity.iter_mut().map(|fragment| &mut fragment.payload[strip.clone()]).collect();
        code.encode(&inputs, &mut outputs)?;
        for (fragment, sums) in fragments.iter().zip(&mut sums) {
            sums.extend(fragment.payload[strip.clone()].chunks_exact(BLOCK_BYTES).map(crc32c));
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_zero_and_extents_cross_fragments() {
        let bytes: Vec<u8> = (0..9_000).map(|at| (at % 251) as u8 + 1).collect();
        let extents = [
            Extent { offset: 10, bytes: &bytes[..100] },
            Extent { offset: 110, bytes: &bytes[100..110] },
            Extent { offset: 4_000, bytes: &bytes[..8_200] },
        ];
        let mut expected = vec![0; 3 * 8192];
        for extent in &extents {
            expected[extent.offset..extent.offset + extent.bytes.len()].copy_from_slice(extent.bytes);
        }
        let code = Code::new(3, 1).unwrap();
        let mut out = vec![0xee; 4 * (HEADER_BYTES + 8192)];
        let mut fragments = split_fragments(&mut out, 8192, 4).unwrap();
        let sums = write_payloads(&code, &extents, &mut fragments).unwrap();
        let data: Vec<u8> = fragments[..3].iter().flat_map(|fragment| fragment.payload.iter().copied()).collect();
        assert!(data == expected);
        assert_eq!(sums[1], [crc32c(&expected[8192..12_288]), crc32c(&expected[12_288..16_384])]);
        assert_eq!(sums[3].len(), 2);
    }
}
