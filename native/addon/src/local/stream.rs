//! A connected socket watched by the event loop.
//!
//! What comes goes to the target first (memory that JavaScript named for a payload under way), then to the scratch, with one system call;
//! JavaScript is called after each and names the next target. The target is forgotten by every read.

use crate::uv;
use crate::views::{bytes_of, writable_bytes};
use crate::watch::{Watch, Watched};
use cfs_local::Stream;
use napi::{Result, sys};
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ptr;
use std::rc::Rc;

const EBADF: c_int = 9;

/// Kinds of events.
const CAME: i32 = 0;
const ROOM: i32 = 1;
const END: i32 = 2;

/// Reads before others of the event loop get their turn.
const BURST: usize = 8;

pub struct LocalStream {
    watch: Watch,
    /// None once closed.
    stream: RefCell<Option<Stream>>,
    scratch: (*mut u8, usize),
    target: Cell<(*mut u8, usize)>,
    is_reading: Cell<bool>,
    is_waiting_for_room: Cell<bool>,
    /// Scratch of `write`.
    views: RefCell<Vec<(*const u8, usize)>>,
}

impl LocalStream {
    pub fn open(env: sys::napi_env, stream: Stream, scratch: sys::napi_value, on_event: sys::napi_value) -> Result<Rc<Self>> {
        let opened = Rc::new(Self {
            watch: Watch::new(env, stream.raw_fd(), on_event)?,
            stream: RefCell::new(Some(stream)),
            scratch: writable_bytes(env, scratch)?,
            target: Cell::new((ptr::null_mut(), 0)),
            is_reading: Cell::new(false),
            is_waiting_for_room: Cell::new(false),
            views: RefCell::new(Vec::new()),
        });
        let owner: Rc<dyn Watched> = Rc::<Self>::clone(&opened);
        Watch::adopt(owner)?;
        Ok(opened)
    }

    pub fn read_on(&self) {
        if !self.is_reading.replace(true) {
            self.watch_for();
        }
    }

    pub fn pause(&self) {
        if self.is_reading.replace(false) {
            self.watch_for();
        }
    }

    pub fn aim(&self, env: sys::napi_env, target: sys::napi_value) -> Result<()> {
        self.target.set(writable_bytes(env, target)?);
        Ok(())
    }

    pub fn write(&self, env: sys::napi_env, views: sys::napi_value, count: u32, skip: usize) -> Result<i32> {
        let mut gathered = self.views.borrow_mut();
        gathered.clear();
        let mut total = 0;
        for index in 0..count {
            let view = bytes_of(env, views, index)?;
            total += view.1;
            gathered.push(view);
        }
        let mut stream = self.stream.borrow_mut();
        // SAFETY: each view is a live Uint8Array that the array, an argument of this call, keeps alive.
        let written = stream.as_mut().map_or(Err(EBADF), |stream| unsafe { stream.write(gathered.iter().copied(), skip) });
        drop(stream);
        if let Ok(bytes) = written {
            self.wait_for_room(skip + bytes < total);
        }
        Ok(written.map_or_else(|errno| -errno, |bytes| bytes as i32))
    }

    pub fn shutdown(&self) {
        if let Some(stream) = self.stream.borrow().as_ref() {
            stream.shutdown();
        }
    }

    fn wait_for_room(&self, is_needed: bool) {
        if self.is_waiting_for_room.replace(is_needed) != is_needed {
            self.watch_for();
        }
    }

    fn watch_for(&self) {
        let events = if self.is_reading.get() { uv::READABLE } else { 0 } | if self.is_waiting_for_room.get() { uv::WRITABLE } else { 0 };
        if events == 0 {
            self.watch.pause();
        } else {
            self.watch.start(events);
        }
    }

    /// One read: how many bytes went to the target and to the scratch, or the end (0 or an errno). None when nothing is there.
    fn read(&self) -> Option<std::result::Result<(usize, usize), c_int>> {
        let target = self.target.get();
        let stream = self.stream.borrow();
        // SAFETY: JavaScript keeps target and scratch alive, attached and in place (local.ts).
        let count = match unsafe { stream.as_ref()?.read(target, self.scratch) } {
            Ok(None) => return None,
            Ok(Some(count)) => count,
            Err(errno) => return Some(Err(errno)),
        };
        self.target.set((ptr::null_mut(), 0));
        let first = count.min(target.1);
        Some(if count == 0 { Err(0) } else { Ok((first, count - first)) })
    }

    fn call(&self, kind: i32, a: i32, b: i32) {
        if !self.watch.call([kind, a, b]) {
            self.close();
        }
    }
}

impl Watched for LocalStream {
    fn watch(&self) -> &Watch {
        &self.watch
    }

    fn ready(&self, events: c_int) {
        if events & uv::WRITABLE != 0 && self.is_waiting_for_room.get() {
            self.call(ROOM, 0, 0);
        }
        if events & uv::READABLE == 0 {
            return;
        }
        for _ in 0..BURST {
            if !self.is_reading.get() || !self.watch.is_watching() {
                return;
            }
            match self.read() {
                None => return,
                Some(Ok((first, second))) => {
                    self.call(CAME, first as i32, second as i32);
                    // What did not fill the scratch was all there was.
                    if second < self.scratch.1 {
                        return;
                    }
                }
                Some(Err(errno)) => {
                    self.pause();
                    self.call(END, errno, 0);
                    return;
                }
            }
        }
    }

    fn close(&self) {
        if self.watch.close() {
            drop(self.stream.borrow_mut().take());
        }
    }
}
