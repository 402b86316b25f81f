//! Reed-Solomon coding over GF(2^8) and CRC32C, both by ISA-L.
//!
//! `unsafe` lives in isal.rs alone; the code above it checks every length before it gets there.

mod code;
#[allow(unsafe_code)]
mod isal;

pub use code::{Code, DATA_COUNT_MAX, PARITY_COUNT_MAX};
pub use isal::crc32c;

use std::fmt;

/// The caller broke the contract: a wrong count, length or index. Nothing was read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
