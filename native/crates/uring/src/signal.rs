//! An eventfd: one descriptor that an event loop can watch.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub struct Signal(OwnedFd);

impl Signal {
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd makes a new descriptor, which is ours alone.
        let raw = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub fn raise(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes are read from a local; a full counter (EAGAIN) is readable already, which is all that is wanted.
        unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable. Look for what it announced afterwards, not before.
    pub fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight bytes into a local; EAGAIN means that it was clear.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
    }
}
