//! Compression of single chunks.
//!
//! Invariant: `decompress` gives exactly the bytes that `Compressor::compress` was given, or Corrupt; it never reads or writes
//! outside its slices, whatever the stored bytes are. A chunk is stored compressed only when that saves at least a sixteenth.
//! Codec numbers are part of the stored format and never get another meaning.

use crate::error::Error;
use std::cell::RefCell;

/// How one chunk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    None = 0,
    /// LZ4 block format, without a length before it.
    Lz4 = 1,
    /// One zstd frame.
    Zstd = 2,
}

impl TryFrom<u8> for Codec {
    type Error = Error;
    fn try_from(number: u8) -> Result<Codec, Error> {
        match number {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Lz4),
            2 => Ok(Codec::Zstd),
            _ => Err(Error::Corrupt(format!("codec {number} is not known"))),
        }
    }
}

/// What the caller wants tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    None,
    Lz4,
    Zstd1,
}

/// Chunks below this gain too little to be worth a codec.
const COMPRESS_MIN_BYTES: usize = 64;
/// The probe compresses this much of a large chunk, taken from three places, before the whole is tried with zstd.
const PROBE_BYTES: usize = 4096;
const PROBE_CHUNK_MIN_BYTES: usize = 8 * PROBE_BYTES;
const ZSTD_LEVEL: i32 = 1;

/// Room that `Compressor::compress` needs for a chunk of `raw_bytes`, whatever the codec.
pub const fn compress_bound(raw_bytes: usize) -> usize {
    raw_bytes + raw_bytes / 8 + 1024
}

/// Compression state that is reused from chunk to chunk: fresh tables would cost more than small chunks do.
pub struct Compressor {
    lz4: lz4_flex::block::CompressTable,
    zstd: Option<zstd_safe::CCtx<'static>>,
    probe: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor { lz4: lz4_flex::block::CompressTable::large(), zstd: None, probe: Vec::new() }
    }
}

impl Compressor {
    /// Writes the compressed chunk to the beginning of `out` and returns its length, or None when the chunk is better stored as it is.
    /// `out` has at least `compress_bound(raw.len())` bytes.
    pub fn compress(&mut self, preference: Preference, raw: &[u8], out: &mut [u8]) -> Result<Option<(Codec, usize)>, Error> {
        if raw.len() < COMPRESS_MIN_BYTES || preference == Preference::None {
            return Ok(None);
        }
        if out.len() < compress_bound(raw.len()) {
            return Err(Error::Invalid(format!("{} bytes of room for a chunk of {}", out.len(), raw.len())));
        }
        let tried = match preference {
            Preference::Zstd1 if self.looks_random(raw)? => None,
            Preference::Zstd1 => Some((Codec::Zstd, self.zstd(raw, out)?)),
            // LZ4 strides over incompressible bytes so fast that it is its own probe.
            _ => Some((Codec::Lz4, self.lz4(raw, out)?)),
        };
        Ok(tried.filter(|(_, stored)| *stored <= raw.len() - raw.len().div_ceil(16)))
    }

    fn lz4(&mut self, raw: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        lz4_flex::block::compress_into_with_table(raw, out, &mut self.lz4).map_err(|error| Error::Invalid(format!("lz4: {error}")))
    }

    fn zstd(&mut self, raw: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let context = match &mut self.zstd {
            Some(context) => context,
            empty => empty.insert(zstd_safe::CCtx::try_create().ok_or_else(|| Error::Invalid("no memory for zstd".into()))?),
        };
        context.compress(out, raw, ZSTD_LEVEL).map_err(|code| Error::Invalid(format!("zstd: {}", zstd_safe::get_error_name(code))))
    }

    /// True when three samples of a large chunk do not shrink: entropy coding is tried on the samples too, so base64 passes.
    fn looks_random(&mut self, raw: &[u8]) -> Result<bool, Error> {
        if raw.len() < PROBE_CHUNK_MIN_BYTES {
            return Ok(false);
        }
        let mut probe = std::mem::take(&mut self.probe);
        probe.resize(compress_bound(PROBE_BYTES), 0);
        let mut stored = 0;
        for sixth in [1, 3, 5] {
            let at = raw.len() / 6 * sixth - PROBE_BYTES / 2;
            stored += self.zstd(&raw[at..at + PROBE_BYTES], &mut probe)?;
        }
        self.probe = probe;
        Ok(stored >= 3 * PROBE_BYTES - PROBE_BYTES / 16)
    }
}

thread_local! {
    static ZSTD: RefCell<Option<zstd_safe::DCtx<'static>>> = const { RefCell::new(None) };
}

/// Fills `out`, whose length is the chunk's raw length, from the stored bytes.
pub fn decompress(codec: Codec, stored: &[u8], out: &mut [u8]) -> Result<(), Error> {
    let got = match codec {
        Codec::None => {
            if stored.len() == out.len() {
                out.copy_from_slice(stored);
            }
            stored.len()
        }
        Codec::Lz4 => lz4_flex::block::decompress_into(stored, out)
            .map_err(|error| Error::Corrupt(format!("lz4 chunk of {} bytes: {error}", stored.len())))?,
        Codec::Zstd => ZSTD.with_borrow_mut(|kept| {
            let context = match kept {
                Some(context) => context,
                empty => empty.insert(zstd_safe::DCtx::try_create().ok_or_else(|| Error::Invalid("no memory for zstd".into()))?),
            };
            context
                .decompress(out, stored)
                .map_err(|code| Error::Corrupt(format!("zstd chunk of {} bytes: {}", stored.len(), zstd_safe::get_error_name(code))))
        })?,
    };
    if got == out.len() {
        return Ok(());
    }
    Err(Error::Corrupt(format!("a chunk of {} raw bytes gave {got}", out.len())))
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

    fn text(count: usize) -> Vec<u8> {
        (0..)
            .flat_map(|line: u32| {
                format!("line {line} of a file, user {} wrote {}\n", line % 17, line.wrapping_mul(2_654_435_761)).into_bytes()
            })
            .take(count)
            .collect()
    }

    fn compressed(preference: Preference, raw: &[u8]) -> Option<(Codec, Vec<u8>)> {
        let mut out = vec![0xee; compress_bound(raw.len())];
        let done = Compressor::default().compress(preference, raw, &mut out).unwrap();
        done.map(|(codec, stored)| (codec, out[..stored].to_vec()))
    }

    #[test]
    fn text_shrinks_and_comes_back() {
        for preference in [Preference::Lz4, Preference::Zstd1] {
            for count in [64, 65, 1000, 16_384, 65_537, 262_144] {
                let raw = if count < 1000 { vec![7; count] } else { text(count) };
                let (codec, stored) = compressed(preference, &raw).expect("text is compressible");
                assert!(stored.len() <= raw.len() - raw.len() / 16);
                let mut back = vec![0; raw.len()];
                decompress(codec, &stored, &mut back).unwrap();
                assert_eq!(back, raw);
            }
        }
    }

    #[test]
    fn one_compressor_serves_many_chunks() {
        let mut compressor = Compressor::default();
        for (index, count) in [70_000, 300, 200_000, 65_536, 5_000, 65_537].into_iter().enumerate() {
            let raw: Vec<u8> = text(count + index * 13)[index * 13..].to_vec();
            let mut out = vec![0; compress_bound(raw.len())];
            let (codec, stored) = compressor.compress(Preference::Lz4, &raw, &mut out).unwrap().expect("compressible");
            let mut back = vec![0; raw.len()];
            decompress(codec, &out[..stored], &mut back).unwrap();
            assert_eq!(back, raw);
        }
    }

    #[test]
    fn noise_and_tiny_chunks_are_kept_as_they_are() {
        for preference in [Preference::None, Preference::Lz4, Preference::Zstd1] {
            assert_eq!(compressed(preference, &noise(100_000, 1)), None);
            assert_eq!(compressed(preference, &[0; COMPRESS_MIN_BYTES - 1]), None);
        }
        assert_eq!(compressed(Preference::None, &text(10_000)), None);
    }

    #[test]
    fn entropy_without_repeats_passes_the_probe() {
        let base64: Vec<u8> = noise(100_000, 2).into_iter().map(|byte| b'0' + (byte & 63)).collect();
        assert!(matches!(compressed(Preference::Zstd1, &base64), Some((Codec::Zstd, _))));
    }

    #[test]
    fn malformed_chunks_are_corrupt_and_stay_inside_their_buffer() {
        for preference in [Preference::Lz4, Preference::Zstd1] {
            let raw = text(5_000);
            let (codec, stored) = compressed(preference, &raw).unwrap();
            for at in 0..stored.len() {
                let mut broken = stored.clone();
                broken[at] ^= 1 << (at % 8);
                let mut out = vec![0; raw.len()];
                // A flip may still decode to other bytes of the right length: the hash is what finds that. Nothing may panic.
                let _ = decompress(codec, &broken, &mut out);
                assert!(decompress(codec, &stored[..at], &mut out).is_err(), "cut at {at}");
            }
            for wrong in [0, 1, raw.len() - 1, raw.len() + 1] {
                assert!(matches!(decompress(codec, &stored, &mut vec![0; wrong]), Err(Error::Corrupt(_))));
            }
            for seed in 0..2_000 {
                let _ = decompress(codec, &noise(1 + (seed % 300) as usize, seed), &mut [0; 4096]);
            }
        }
        assert!(Codec::try_from(3).is_err());
        assert!(matches!(decompress(Codec::None, &[1, 2], &mut [0; 3]), Err(Error::Corrupt(_))));
    }
}
