//! One FUSE device watched by the event loop (watch.rs): batches of requests in, replies out.

use crate::uv;
use crate::views::bytes_of;
use crate::watch::{Watch, Watched};
use cfs_fuse::{Batch, Device, Notifier, Patience, REPLY_WORDS, Region, Reply};
use napi::{Error, Result, Status, sys};
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

const EBADF: c_int = 9;

pub struct Poll {
    watch: Watch,
    /// None once closed: dropping it closes an owned descriptor.
    device: RefCell<Option<Device>>,
    region: Arc<Region>,
    patience: RefCell<Patience>,
    /// Replies of the batch that JavaScript has before it.
    answered: Cell<u32>,
    /// Scratch of `flush`: addresses and lengths of one reply's parts.
    parts: RefCell<Vec<(*const u8, usize)>>,
}

impl Poll {
    pub fn open(env: sys::napi_env, device: Device, on_batch: sys::napi_value) -> Result<Rc<Self>> {
        let poll = Rc::new(Self {
            watch: Watch::new(env, device.raw_fd(), on_batch)?,
            region: Arc::clone(device.region()),
            device: RefCell::new(Some(device)),
            patience: RefCell::new(Patience::new(std::thread::available_parallelism().map_or(1, usize::from))),
            answered: Cell::new(0),
            parts: RefCell::new(Vec::new()),
        });
        let owner: Rc<dyn Watched> = Rc::<Self>::clone(&poll);
        Watch::adopt(owner)?;
        Ok(poll)
    }

    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    pub fn start(&self) -> bool {
        self.watch.is_watching() || self.watch.start(uv::READABLE)
    }

    pub fn pause(&self) {
        self.watch.pause();
    }

    /// What writes notifications on another thread; EBADF once closed.
    pub fn notifier(&self) -> std::result::Result<Notifier, c_int> {
        match self.device.borrow().as_ref() {
            Some(device) => device.notifier().map_err(|error| error.errno),
            None => Err(EBADF),
        }
    }

    pub fn flush(&self, env: sys::napi_env, count: u32, array: sys::napi_value) -> Result<u32> {
        self.answered.set(self.answered.get() + count);
        let layout = self.region.layout;
        if count as usize > layout.reply_count {
            return Err(Error::new(Status::InvalidArg, format!("{count} replies do not fit {} descriptors", layout.reply_count)));
        }
        let mut device = self.device.borrow_mut();
        let mut parts = self.parts.borrow_mut();
        let mut part_next = 0;
        let mut failures = 0;
        for index in 0..count as usize {
            let at = layout.descriptors_offset + index * 4 * REPLY_WORDS;
            let word = |number: usize| self.region.read_word(at + 4 * number).unwrap_or(0);
            parts.clear();
            for _ in 0..word(2) {
                parts.push(bytes_of(env, array, part_next)?);
                part_next += 1;
            }
            let reply = Reply { head_offset: word(0) as usize, head_length: word(1) as usize, parts: &parts };
            // SAFETY: each part is a live Uint8Array that the array, an argument of this call, keeps alive.
            let result = device.as_mut().map_or(Err(EBADF), |device| unsafe { device.write_reply(&reply) });
            let errno = result.err().unwrap_or(0);
            failures += u32::from(errno != 0);
            self.region.write_word(at + 12, errno as u32);
        }
        Ok(failures)
    }

    /// Reads and answers until nothing comes, the time is used up, or JavaScript paused or closed.
    fn serve(&self) {
        let until = self.patience.borrow().serve_until();
        let mut may_look = false;
        loop {
            let batch = self.read(may_look);
            if batch.errno != 0 {
                // Nothing will ever come again; watching on would spin.
                self.pause();
            }
            self.answered.set(0);
            if (batch.count != 0 || batch.errno != 0) && !self.watch.call([batch.count as i32, batch.errno]) {
                // The environment is ending and these requests will never be answered. Node may be waiting for a file system call of
                // its own on this very mount, so the connection must not outlive the answers.
                self.close();
                return;
            }
            if batch.count == 0 || batch.errno != 0 || !self.watch.is_watching() || Instant::now() > until {
                return;
            }
            // Who waits for an answer from elsewhere sends nothing meanwhile, and that answer comes through the event loop.
            may_look = self.answered.get() as usize >= batch.count;
        }
    }

    /// The requests that wait; with `may_look` also those that come within the device's patience.
    fn read(&self, may_look: bool) -> Batch {
        let nothing = Batch { count: 0, errno: 0, more: false };
        let device = self.device.borrow();
        let Some(device) = device.as_ref() else { return nothing };
        let first = device.read_batch();
        if !may_look || first.count != 0 || first.errno != 0 {
            return first;
        }
        let mut patience = self.patience.borrow_mut();
        let Some(until) = patience.look_until() else { return nothing };
        loop {
            std::thread::yield_now();
            let batch = device.read_batch();
            let found = batch.count != 0 || batch.errno != 0;
            if found || Instant::now() > until {
                patience.looked(found);
                return batch;
            }
        }
    }
}

impl Watched for Poll {
    fn watch(&self) -> &Watch {
        &self.watch
    }

    fn ready(&self, _events: c_int) {
        self.serve();
    }

    fn close(&self) {
        if self.watch.close() {
            drop(self.device.borrow_mut().take());
        }
    }
}
