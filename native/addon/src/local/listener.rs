//! A listening socket watched by the event loop.

use crate::uv;
use crate::watch::{Watch, Watched};
use napi::{Result, sys};
use std::cell::RefCell;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;

/// Connections accepted before others get their turn.
const BURST: usize = 64;

pub struct LocalListener {
    watch: Watch,
    /// None once closed.
    fd: RefCell<Option<OwnedFd>>,
}

impl LocalListener {
    pub fn open(env: sys::napi_env, fd: OwnedFd, on_accept: sys::napi_value) -> Result<Rc<Self>> {
        let listener = Rc::new(Self { watch: Watch::new(env, fd.as_raw_fd(), on_accept)?, fd: RefCell::new(Some(fd)) });
        let owner: Rc<dyn Watched> = Rc::<Self>::clone(&listener);
        Watch::adopt(owner)?;
        Ok(listener)
    }

    pub fn start(&self) -> bool {
        self.watch.start(uv::READABLE)
    }

    fn accept(&self) -> std::result::Result<Option<OwnedFd>, c_int> {
        self.fd.borrow().as_ref().map_or(Ok(None), |fd| cfs_local::accept(fd.as_raw_fd()))
    }
}

impl Watched for LocalListener {
    fn watch(&self) -> &Watch {
        &self.watch
    }

    fn ready(&self, _events: c_int) {
        for _ in 0..BURST {
            let number = match self.accept() {
                Ok(None) => return,
                Ok(Some(fd)) => fd.into_raw_fd(),
                Err(errno) => {
                    // Such as EMFILE: the connection still waits, and the loop would spin.
                    self.watch.pause();
                    -errno
                }
            };
            if !self.watch.call([number]) {
                self.close();
            }
            if !self.watch.is_watching() {
                return;
            }
        }
    }

    fn close(&self) {
        if self.watch.close() {
            drop(self.fd.borrow_mut().take());
        }
    }
}
