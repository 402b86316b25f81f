//! Reduction of file data: where to cut it into chunks, what to call a chunk, and how to store it in fewer bytes.
//!
//! Safe Rust only. Nothing here knows about segments, drives or Node-API.
#![forbid(unsafe_code)]

mod cdc;
mod codec;
mod error;

pub use cdc::{CHUNK_AVERAGE_BYTES, CHUNK_MAX_BYTES, CHUNK_MIN_BYTES, next_chunk_bytes};
pub use codec::{Codec, Compressor, Preference, compress_bound, decompress};
pub use error::Error;

/// The name of a chunk: the BLAKE3 hash of its bytes before compression.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}
