//! One connected stream socket: scattered reads and gathered writes that never block.
//!
//! Invariant: a call moves as many bytes as the kernel takes or has now, and says how many; EAGAIN is 0 bytes to write, None to read.

use libc::{c_int, iovec};
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// UIO_MAXIOV: what does not fit into one call waits for the next.
pub const VIEWS_MAX: usize = 1024;

pub struct Stream {
    fd: OwnedFd,
    vectors: Vec<iovec>,
}

impl Stream {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, vectors: Vec::new() }
    }

    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Fills `first`, then `second`. Some(0): the peer ended its direction. None: nothing is there now.
    ///
    /// # Safety
    /// Both must point at that many writable bytes.
    pub unsafe fn read(&self, first: (*mut u8, usize), second: (*mut u8, usize)) -> Result<Option<usize>, c_int> {
        let vectors = [iovec { iov_base: first.0.cast(), iov_len: first.1 }, iovec { iov_base: second.0.cast(), iov_len: second.1 }];
        let used = if first.1 == 0 { &vectors[1..] } else { &vectors[..] };
        loop {
            // SAFETY: the vectors describe writable memory (the caller's promise).
            let count = unsafe { libc::readv(self.raw_fd(), used.as_ptr(), used.len() as c_int) };
            if count >= 0 {
                return Ok(Some(count as usize));
            }
            match Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::EINTR => {}
                libc::EAGAIN => return Ok(None),
                errno => return Err(errno),
            }
        }
    }

    /// Writes the views from byte `skip` of them on; returns how many bytes were taken.
    ///
    /// # Safety
    /// Every view must point at that many readable bytes.
    pub unsafe fn write(&mut self, views: impl Iterator<Item = (*const u8, usize)>, mut skip: usize) -> Result<usize, c_int> {
        self.vectors.clear();
        for (address, length) in views {
            let skipped = skip.min(length);
            skip -= skipped;
            if length > skipped && self.vectors.len() < VIEWS_MAX {
                // SAFETY: skipped is less than the view's length.
                let begin = unsafe { address.add(skipped) };
                self.vectors.push(iovec { iov_base: begin.cast_mut().cast(), iov_len: length - skipped });
            }
        }
        // SAFETY: all zeros is a valid msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = self.vectors.as_mut_ptr();
        message.msg_iovlen = self.vectors.len() as _;
        loop {
            // SAFETY: the message describes readable memory (the caller's promise); sendmsg only reads it.
            let count = unsafe { libc::sendmsg(self.raw_fd(), &message, libc::MSG_NOSIGNAL) };
            if count >= 0 {
                return Ok(count as usize);
            }
            match Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) {
                libc::EINTR => {}
                libc::EAGAIN => return Ok(0),
                errno => return Err(errno),
            }
        }
    }

    /// Ends our direction; the peer reads what is on its way and then the end.
    pub fn shutdown(&self) {
        // SAFETY: a plain system call. It fails only where the peer is gone already.
        unsafe { libc::shutdown(self.raw_fd(), libc::SHUT_WR) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accept, connect, listen};

    fn pair(tag: &str) -> (Stream, Stream) {
        let name = format!("cfs-test-{}-{tag}", std::process::id()).into_bytes();
        let listener = listen(&name).expect("free");
        let near = connect(&name).expect("somebody listens");
        let far = accept(listener.as_raw_fd()).expect("listens").expect("one waits");
        (Stream::new(near), Stream::new(far))
    }

    fn write(stream: &mut Stream, views: &[&[u8]], skip: usize) -> Result<usize, c_int> {
        // SAFETY: slices are readable.
        unsafe { stream.write(views.iter().map(|view| (view.as_ptr(), view.len())), skip) }
    }

    fn read(stream: &Stream, first: &mut [u8], second: &mut [u8]) -> Result<Option<usize>, c_int> {
        // SAFETY: slices are writable.
        unsafe { stream.read((first.as_mut_ptr(), first.len()), (second.as_mut_ptr(), second.len())) }
    }

    #[test]
    fn bytes_are_gathered_and_scattered() {
        let (mut near, far) = pair("gather");
        let (mut first, mut second) = ([0; 4], [0; 16]);
        assert_eq!(read(&far, &mut first, &mut second), Ok(None));
        assert_eq!(write(&mut near, &[b"abc", b"", b"defgh", b"i"], 2), Ok(7));
        assert_eq!(read(&far, &mut first, &mut second), Ok(Some(7)));
        assert_eq!((&first, &second[..3]), (b"cdef", &b"ghi"[..]));
        near.shutdown();
        assert_eq!(read(&far, &mut [], &mut second), Ok(Some(0)));
    }

    #[test]
    fn a_full_socket_takes_nothing_and_a_lost_peer_is_an_error() {
        let (mut near, far) = pair("full");
        let block = vec![7; 1 << 20];
        let mut total = 0;
        loop {
            match write(&mut near, &[&block], 0) {
                Ok(0) => break,
                Ok(count) => total += count,
                Err(errno) => panic!("errno {errno}"),
            }
        }
        assert!(total > 100_000);
        drop(far);
        assert_eq!(write(&mut near, &[&block], 0), Err(libc::EPIPE));
    }
}
