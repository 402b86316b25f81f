//! A failed system call: its errno, and what was being done to which object.

use std::{error, fmt, io};

#[derive(Debug)]
pub struct FuseError {
    /// A positive errno; EIO where the failure has none of its own.
    pub errno: i32,
    pub message: String,
}

impl FuseError {
    pub fn new(errno: i32, what: impl fmt::Display) -> Self {
        let cause = io::Error::from_raw_os_error(errno);
        Self { errno, message: format!("{what}: {cause}") }
    }

    /// The errno that the last failed libc call of this thread left.
    pub fn last(what: impl fmt::Display) -> Self {
        Self::new(last_errno(), what)
    }

    /// A failure told in words by another program.
    pub fn told(errno: i32, message: String) -> Self {
        Self { errno, message }
    }
}

impl fmt::Display for FuseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl error::Error for FuseError {}

pub fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
