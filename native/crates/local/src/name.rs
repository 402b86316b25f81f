//! Sockets by abstract name. Every descriptor made here is non-blocking and closes on exec.
//!
//! A connect completes at once or fails: ECONNREFUSED where nobody listens, EAGAIN where nobody accepts what waits.

use libc::{c_int, sa_family_t, sockaddr_un, socklen_t};
use std::io::Error;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Connections that wait to be accepted.
const BACKLOG: c_int = 512;
/// What the kernel holds of one direction before a write finds no room: a whole large message, so that the sender can go on.
const BUFFER_BYTES: c_int = 4 << 20;

fn last_errno() -> c_int {
    Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

fn open() -> Result<OwnedFd, c_int> {
    // SAFETY: a plain system call; the descriptor is owned at once.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: as above.
    if fd < 0 { Err(last_errno()) } else { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) }
}

/// Address and its length; EINVAL when the name is empty or does not fit.
fn address(name: &[u8]) -> Result<(sockaddr_un, socklen_t), c_int> {
    // SAFETY: all zeros is a valid sockaddr_un.
    let mut address: sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as sa_family_t;
    // The first byte stays 0: an abstract name.
    let room = address.sun_path.get_mut(1..=name.len()).filter(|room| !room.is_empty()).ok_or(libc::EINVAL)?;
    for (to, from) in room.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    Ok((address, (offset_of!(sockaddr_un, sun_path) + 1 + name.len()) as socklen_t))
}

pub fn listen(name: &[u8]) -> Result<OwnedFd, c_int> {
    let (address, length) = address(name)?;
    let socket = open()?;
    let fd = socket.as_raw_fd();
    // SAFETY: the address is valid for its length and outlives the calls.
    let listens = unsafe { libc::bind(fd, (&raw const address).cast(), length) == 0 && libc::listen(fd, BACKLOG) == 0 };
    if listens { Ok(socket) } else { Err(last_errno()) }
}

pub fn connect(name: &[u8]) -> Result<OwnedFd, c_int> {
    let (address, length) = address(name)?;
    let socket = open()?;
    // SAFETY: as in `listen`.
    if unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
        return Err(last_errno());
    }
    widen(&socket);
    Ok(socket)
}

/// The next connection that waits; None when none does.
pub fn accept(listener: RawFd) -> Result<Option<OwnedFd>, c_int> {
    loop {
        // SAFETY: no address is asked for; a new descriptor is owned at once.
        let fd = unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) };
        if fd >= 0 {
            // SAFETY: as above.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            widen(&socket);
            return Ok(Some(socket));
        }
        match last_errno() {
            libc::EAGAIN => return Ok(None),
            libc::EINTR | libc::ECONNABORTED => {}
            errno => return Err(errno),
        }
    }
}

/// Root may go past net.core.wmem_max; others get what it allows, which is slower and right as well.
fn widen(socket: &OwnedFd) {
    let fd = socket.as_raw_fd();
    let bytes = BUFFER_BYTES;
    let size = (&raw const bytes).cast();
    let length = size_of::<c_int>() as socklen_t;
    // SAFETY: the option's value is an int that outlives the calls.
    unsafe {
        if libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size, length) != 0 {
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, size, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(tag: &str) -> Vec<u8> {
        format!("cfs-test-{}-{tag}", std::process::id()).into_bytes()
    }

    #[test]
    fn a_name_belongs_to_one_listener_and_goes_with_it() {
        let name = unique("one");
        assert_eq!(connect(&name).map(|_| ()), Err(libc::ECONNREFUSED));
        let listener = listen(&name).expect("free");
        assert_eq!(listen(&name).map(|_| ()), Err(libc::EADDRINUSE));
        assert!(accept(listener.as_raw_fd()).expect("listens").is_none());
        let _client = connect(&name).expect("somebody listens");
        assert!(accept(listener.as_raw_fd()).expect("listens").is_some());
        drop(listener);
        drop(listen(&name).expect("free again"));
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert_eq!(listen(b"").map(|_| ()), Err(libc::EINVAL));
        assert_eq!(connect(&[b'x'; 108]).map(|_| ()), Err(libc::EINVAL));
        drop(listen(&[b'x'; 107]).expect("the longest name fits"));
    }
}
