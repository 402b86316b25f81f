//! What can go wrong with bytes that come from a drive or from a caller.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The caller broke the contract; nothing was read or written.
    Invalid(String),
    /// Stored bytes are not what cfs wrote.
    Corrupt(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(text) | Error::Corrupt(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
