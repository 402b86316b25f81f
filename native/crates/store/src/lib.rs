//! Segments and fragments as bytes: packing pieces of files into the k+m fragments of one segment, and checking what comes back.
//!
//! Formats: docs/internals/fragments.md, drawn again in header.rs and table.rs. Safe Rust; nothing here does I/O or knows Node-API.
#![forbid(unsafe_code)]

mod error;
mod header;
mod layout;
mod pack;
mod stripe;
mod table;
mod verify;

pub use error::Error;
pub use header::{BLOCK_BYTES, BLOCKS_MAX, CRCS_OFFSET, FragmentHeader, HEADER_BYTES, seal_fragment};
pub use layout::{ORIGIN_MAX_BYTES, PIECES_MAX, SEGMENT_RAW_MAX_BYTES, fragment_bytes};
pub use pack::{PackOptions, Packed, Packer, Piece, output_bytes_max};
pub use table::{ChunkEntry, PieceEntry, SegmentTable};
pub use verify::{ALL_GOOD, Job, first_bad_block, verify_jobs};
