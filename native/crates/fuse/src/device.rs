//! Requests in and replies out, on one /dev/fuse descriptor.
//!
//! Invariant: a request is read whole into its own slot or not at all; a reply is one writev. Neither call ever blocks: the
//! descriptor is O_NONBLOCK, and the kernel takes a reply at once or refuses it with an errno that is kept for the caller.

use crate::error::{FuseError, last_errno};
use crate::region::Region;
use libc::{c_int, iovec};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Words of a reply descriptor: offset of the head, its length, how many parts follow it, result (0 or errno, written here).
pub const REPLY_WORDS: usize = 4;
/// UIO_MAXIOV less one for the head.
const PARTS_MAX: usize = 1023;
/// A batch ends once it holds this much, so that a burst of large writes touches few slots.
const BATCH_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    pub count: usize,
    /// 0: nothing waits any more. EAGAIN is never reported. Otherwise the errno that ended the batch: ENODEV after an unmount.
    pub errno: c_int,
    /// More requests may wait.
    pub more: bool,
}

/// The data that follows a reply's head, gathered by the caller; it must stay valid during `write_reply`.
pub struct Reply<'a> {
    pub head_offset: usize,
    pub head_length: usize,
    pub parts: &'a [(*const u8, usize)],
}

pub struct Device {
    fd: Fd,
    region: Arc<Region>,
    vectors: Vec<iovec>,
}

/// Owned descriptors close with the device; borrowed ones stay open for whoever holds them (a supervisor).
enum Fd {
    Owned(OwnedFd),
    Borrowed(RawFd),
}

impl Device {
    pub fn new(fd: RawFd, owns: bool, region: Arc<Region>) -> Result<Self, FuseError> {
        set_nonblocking(fd)?;
        // SAFETY: the caller says that the descriptor is open (fcntl above agrees) and that it is ours when `owns`.
        let fd = if owns { Fd::Owned(unsafe { OwnedFd::from_raw_fd(fd) }) } else { Fd::Borrowed(fd) };
        Ok(Self { fd, region, vectors: Vec::with_capacity(PARTS_MAX + 1) })
    }

    pub fn raw_fd(&self) -> RawFd {
        match &self.fd {
            Fd::Owned(fd) => fd.as_raw_fd(),
            Fd::Borrowed(fd) => *fd,
        }
    }

    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Reads what waits into the slots from 0 on, and each length into the lengths table.
    pub fn read_batch(&self) -> Batch {
        let layout = self.region.layout;
        let mut total = 0;
        let mut count = 0;
        while count < layout.slot_count && total < BATCH_BYTES_MAX {
            match self.read_request(count) {
                Ok(length) => {
                    total += length;
                    count += 1;
                }
                Err(libc::EAGAIN) => return Batch { count, errno: 0, more: false },
                Err(errno) => return Batch { count, errno, more: false },
            }
        }
        Batch { count, errno: 0, more: true }
    }

    fn read_request(&self, slot: usize) -> Result<usize, c_int> {
        let layout = self.region.layout;
        let address = self.region.at(layout.request_offset(slot), layout.request_bytes()).ok_or(libc::EFAULT)?;
        loop {
            // SAFETY: `at` proved that the bytes are inside the region, which lives as long as self.
            let length = unsafe { libc::read(self.raw_fd(), address.cast(), layout.request_bytes()) };
            if length >= 0 {
                let length = length as usize;
                // A read of 0 happens only on what is not a FUSE device, such as a socket whose peer is gone.
                if length == 0 {
                    return Err(libc::ENODEV);
                }
                self.region.write_word(slot * 4, length as u32).ok_or(libc::EFAULT)?;
                return Ok(length);
            }
            match last_errno() {
                // ENOENT: the request was interrupted before it was read; the next one may be there.
                libc::EINTR | libc::ENOENT => {}
                errno => return Err(errno),
            }
        }
    }

    /// Writes one reply. `Err` is the kernel's errno: ENOENT when nobody waits for it any more, ENODEV after an unmount.
    ///
    /// # Safety
    /// Every part must point at that many readable bytes.
    pub unsafe fn write_reply(&mut self, reply: &Reply<'_>) -> Result<(), c_int> {
        if reply.parts.len() > PARTS_MAX {
            return Err(libc::EINVAL);
        }
        let head = self.region.at(reply.head_offset, reply.head_length).ok_or(libc::EFAULT)?;
        if reply.parts.is_empty() {
            // SAFETY: `at` proved that the head is inside the region.
            return retry(|| unsafe { libc::write(self.raw_fd(), head.cast(), reply.head_length) });
        }
        self.vectors.clear();
        self.vectors.push(iovec { iov_base: head.cast(), iov_len: reply.head_length });
        for &(address, length) in reply.parts {
            self.vectors.push(iovec { iov_base: address.cast_mut().cast(), iov_len: length });
        }
        let (pointer, count) = (self.vectors.as_ptr(), self.vectors.len() as c_int);
        // SAFETY: the vectors describe the head (inside the region) and the parts (the caller's promise); writev only reads.
        retry(|| unsafe { libc::writev(self.raw_fd(), pointer, count) })
    }

    /// A second descriptor of the same open device, for messages written on another thread.
    pub fn notifier(&self) -> Result<Notifier, FuseError> {
        // SAFETY: the descriptor is open as long as self; the copy is owned at once.
        let copy = unsafe { libc::fcntl(self.raw_fd(), libc::F_DUPFD_CLOEXEC, 0) };
        if copy < 0 {
            return Err(FuseError::last("a second descriptor for FUSE notifications"));
        }
        // SAFETY: as above.
        Ok(Notifier { fd: unsafe { OwnedFd::from_raw_fd(copy) } })
    }
}

/// Writes notifications. A write may wait for page and inode locks that only a reply to another request frees: it must run on
/// a thread that answers no requests.
pub struct Notifier {
    fd: OwnedFd,
}

impl Notifier {
    /// `messages` is a sequence of messages that each begin with their length (u32). Gives 0 or the errno of each.
    pub fn write_all(&self, messages: &[u8]) -> Vec<c_int> {
        let mut results = Vec::new();
        let mut rest = messages;
        while let Some(head) = rest.first_chunk::<4>() {
            let length = u32::from_ne_bytes(*head) as usize;
            if length < 16 || length > rest.len() {
                results.push(libc::EINVAL);
                break;
            }
            let (message, after) = rest.split_at(length);
            // SAFETY: the slice is readable for its length.
            let result = retry(|| unsafe { libc::write(self.fd.as_raw_fd(), message.as_ptr().cast(), message.len()) });
            results.push(result.err().unwrap_or(0));
            rest = after;
        }
        results
    }
}

/// Repeats a write that was interrupted or that found no memory; both are rare, and the kernel took nothing of it.
fn retry(mut write: impl FnMut() -> isize) -> Result<(), c_int> {
    for _ in 0..100 {
        if write() >= 0 {
            return Ok(());
        }
        match last_errno() {
            libc::EINTR | libc::ENOMEM => {}
            errno => return Err(errno),
        }
    }
    Err(libc::ENOMEM)
}

fn set_nonblocking(fd: RawFd) -> Result<(), FuseError> {
    // SAFETY: fcntl on a number is safe; a bad descriptor gives EBADF.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    if flags < 0 {
        return Err(FuseError::last(format_args!("FUSE device on descriptor {fd}")));
    }
    // SAFETY: as above.
    if flags & libc::O_NONBLOCK == 0 && unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(FuseError::last(format_args!("O_NONBLOCK on descriptor {fd}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! A SOCK_SEQPACKET pair stands for the device: one message is one request or one reply, as on /dev/fuse.
    use super::*;
    use crate::region::{HEAD_BYTES, Layout};

    fn pair() -> (OwnedFd, OwnedFd) {
        let mut fds = [0; 2];
        // SAFETY: fds has room for two descriptors, which become owned at once.
        unsafe {
            assert_eq!(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()), 0);
            (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
        }
    }

    fn device(fd: RawFd, slots: usize) -> Device {
        let region = Region::new(Layout::new(slots, 1 << 16, 8, 1 << 16).expect("fits")).expect("mapped");
        Device::new(fd, false, Arc::new(region)).expect("opens")
    }

    fn send(fd: &OwnedFd, bytes: &[u8]) {
        // SAFETY: the slice is readable for its length.
        assert_eq!(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) }, bytes.len() as isize);
    }

    #[test]
    fn a_batch_takes_what_waits() {
        let (kernel, user) = pair();
        let device = device(user.as_raw_fd(), 4);
        assert_eq!(device.read_batch(), Batch { count: 0, errno: 0, more: false });
        send(&kernel, &[1; 50]);
        send(&kernel, &[2; HEAD_BYTES + 4096]);
        assert_eq!(device.read_batch(), Batch { count: 2, errno: 0, more: false });
        let region = device.region();
        assert_eq!(region.read_word(0), Some(50));
        assert_eq!(region.read_word(4), Some(HEAD_BYTES as u32 + 4096));
        assert_eq!(region.read_word(region.layout.request_offset(1) + HEAD_BYTES), Some(0x0202_0202));
    }

    #[test]
    fn a_batch_ends_with_the_slots() {
        let (kernel, user) = pair();
        let device = device(user.as_raw_fd(), 2);
        for _ in 0..3 {
            send(&kernel, &[0; 40]);
        }
        assert_eq!(device.read_batch(), Batch { count: 2, errno: 0, more: true });
        assert_eq!(device.read_batch(), Batch { count: 1, errno: 0, more: false });
    }

    #[test]
    fn a_reply_is_one_message_of_head_and_parts() {
        let (kernel, user) = pair();
        let mut device = device(user.as_raw_fd(), 1);
        let head_offset = device.region().layout.arena_offset;
        device.region().write_word(head_offset, 0x0403_0201);
        let parts = [(b"ab".as_ptr(), 2), (b"cde".as_ptr(), 3)];
        // SAFETY: the parts are string literals.
        unsafe { device.write_reply(&Reply { head_offset, head_length: 4, parts: &parts }) }.expect("written");
        let mut received = [0u8; 32];
        // SAFETY: the buffer has room for 32 bytes.
        let length = unsafe { libc::read(kernel.as_raw_fd(), received.as_mut_ptr().cast(), 32) };
        assert_eq!(&received[..length as usize], b"\x01\x02\x03\x04abcde");
    }

    #[test]
    fn notifications_are_separate_messages() {
        let (kernel, user) = pair();
        let notifier = device(user.as_raw_fd(), 1).notifier().expect("copied");
        let mut messages = vec![0u8; 36];
        messages[0] = 16;
        messages[16] = 20;
        assert_eq!(notifier.write_all(&messages), [0, 0]);
        let mut received = [0u8; 64];
        for length in [16, 20] {
            // SAFETY: the buffer has room for 64 bytes.
            assert_eq!(unsafe { libc::read(kernel.as_raw_fd(), received.as_mut_ptr().cast(), 64) }, length);
        }
        messages[0] = 99;
        assert_eq!(notifier.write_all(&messages), [libc::EINVAL]);
    }

    #[test]
    fn errors_are_numbers() {
        let (kernel, user) = pair();
        let mut device = device(user.as_raw_fd(), 1);
        let outside = Reply { head_offset: usize::MAX, head_length: 4, parts: &[] };
        // SAFETY: there are no parts.
        assert_eq!(unsafe { device.write_reply(&outside) }, Err(libc::EFAULT));
        drop(kernel);
        assert_eq!(device.read_batch(), Batch { count: 0, errno: libc::ENODEV, more: false });
        let region = Region::new(Layout::new(1, 4096, 1, 4096).expect("fits")).expect("mapped");
        assert_eq!(Device::new(-1, false, Arc::new(region)).map(|_| ()).map_err(|error| error.errno), Err(libc::EBADF));
    }
}
