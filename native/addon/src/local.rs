//! Binding of cfs-local: sockets between processes of one machine, watched by the event loop.
//!
//! Failures are negative errnos; native/src/local.ts turns them into CfsErrors.

// The registration that uses everything here is left out of test builds.
#![cfg_attr(test, allow(dead_code))]

mod listener;
mod stream;

use crate::watch::Watched;
use cfs_local::Stream;
use listener::LocalListener;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use stream::LocalStream;

/// A connected descriptor, which the caller owns, or a negative errno.
#[napi]
pub fn local_connect(name: &[u8]) -> i32 {
    cfs_local::connect(name).map_or_else(|errno| -errno, IntoRawFd::into_raw_fd)
}

/// A listening descriptor, which the caller owns, or a negative errno.
#[napi]
pub fn local_listen(name: &[u8]) -> i32 {
    cfs_local::listen(name).map_or_else(|errno| -errno, IntoRawFd::into_raw_fd)
}

/// A listening descriptor in the event loop of the thread that made this.
#[napi]
pub struct LocalListenerBinding {
    listener: Rc<LocalListener>,
}

#[napi]
impl LocalListenerBinding {
    /// Takes the descriptor. `on_accept` gets descriptors, which it owns, or negative errnos: then the listener is paused.
    #[napi(constructor)]
    pub fn new(env: Env, fd: i32, on_accept: Function<'_, FnArgs<(i32,)>, ()>) -> Result<Self> {
        // SAFETY: the caller gives the descriptor away.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { listener: LocalListener::open(env.raw(), fd, on_accept.raw())? })
    }

    /// False once closed.
    #[napi]
    pub fn start(&self) -> bool {
        self.listener.start()
    }

    #[napi]
    pub fn close(&self) {
        Watched::close(&*self.listener);
    }
}

/// A connected descriptor in the event loop of the thread that made this.
#[napi]
pub struct LocalStreamBinding {
    stream: Rc<LocalStream>,
}

#[napi]
impl LocalStreamBinding {
    /// Takes the descriptor. `scratch` must stay alive, attached and in place as long as this is open.
    /// `on_event(kind, a, b)`: 0 bytes came, `a` of them in the target and `b` in the scratch; 1 there is room to write; 2 the end, `a` is its errno or 0.
    #[napi(constructor)]
    pub fn new(env: Env, fd: i32, scratch: Unknown<'_>, on_event: Function<'_, FnArgs<(i32, i32, i32)>, ()>) -> Result<Self> {
        // SAFETY: the caller gives the descriptor away.
        let stream = Stream::new(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self { stream: LocalStream::open(env.raw(), stream, scratch.raw(), on_event.raw())? })
    }

    /// Begins, or goes on, to deliver what comes.
    #[napi]
    pub fn resume(&self) {
        self.stream.read_on();
    }

    /// What comes waits in the kernel.
    #[napi]
    pub fn pause(&self) {
        self.stream.pause();
    }

    /// Where the next bytes go before the scratch; for one read. As `scratch`, until then.
    #[napi]
    pub fn target(&self, env: Env, target: Unknown<'_>) -> Result<()> {
        self.stream.aim(env.raw(), target.raw())
    }

    /// Writes `views` from their byte `skip` on: how many bytes the kernel took, or a negative errno. When they are fewer than all,
    /// event 1 tells when there is room again.
    #[napi]
    pub fn write(&self, env: Env, views: Array<'_>, skip: u32) -> Result<i32> {
        self.stream.write(env.raw(), views.raw(), views.len(), skip as usize)
    }

    /// Ends our direction.
    #[napi]
    pub fn shutdown(&self) {
        self.stream.shutdown();
    }

    /// Ends both. Safe to call twice, and from inside `on_event`.
    #[napi]
    pub fn close(&self) {
        Watched::close(&*self.stream);
    }
}
