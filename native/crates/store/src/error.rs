//! The errors of this crate; the binding gives each kind its code.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// INVALID: the caller broke the contract.
    Invalid(String),
    /// CORRUPT: stored bytes are not what cfs wrote.
    Corrupt(String),
    /// NOT_SUPPORTED: intact, but written by a newer version.
    Unsupported(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid(text) | Error::Corrupt(text) | Error::Unsupported(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<cfs_reduce::Error> for Error {
    fn from(error: cfs_reduce::Error) -> Error {
        match error {
            cfs_reduce::Error::Invalid(text) => Error::Invalid(text),
            cfs_reduce::Error::Corrupt(text) => Error::Corrupt(text),
        }
    }
}

impl From<cfs_erasure::Error> for Error {
    fn from(error: cfs_erasure::Error) -> Error {
        Error::Invalid(error.0)
    }
}
