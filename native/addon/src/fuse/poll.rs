//! One FUSE device watched by the event loop of one Node environment (the main thread's or a worker's).
//!
//! States: watching ⇄ paused → closed. Closed is final.
//! Invariant: the uv handle keeps one strong reference to Poll from `open` until libuv's close callback; so neither a garbage
//! collection, nor close() from inside the JavaScript callback, nor the end of a worker can leave libuv a dangling pointer.
//! The end of an environment runs the async clean-up hook, which closes and holds the loop open until libuv let go.

use crate::uv::{self, UvPoll};
use cfs_fuse::{Batch, Device, Notifier, Patience, REPLY_WORDS, Region, Reply};
use napi::{Error, Result, Status, sys};
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

const EBADF: c_int = 9;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Paused,
    Watching,
    Closed,
}

pub struct Poll {
    env: sys::napi_env,
    /// None once closed: dropping it closes an owned descriptor.
    device: RefCell<Option<Device>>,
    region: Arc<Region>,
    handle: *mut UvPoll,
    callback: Cell<sys::napi_ref>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    state: Cell<State>,
    patience: RefCell<Patience>,
    /// Replies of the batch that JavaScript has before it.
    answered: Cell<u32>,
    /// Scratch of `flush`: addresses and lengths of one reply's parts.
    parts: RefCell<Vec<(*const u8, usize)>>,
}

fn check(status: sys::napi_status, what: &str) -> Result<()> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(Error::new(Status::from(status), what.to_owned())) }
}

impl Poll {
    pub fn open(env: sys::napi_env, device: Device, on_batch: sys::napi_value) -> Result<Rc<Self>> {
        let mut event_loop = ptr::null_mut();
        // SAFETY: env is the live environment of the calling constructor.
        check(unsafe { sys::napi_get_uv_event_loop(env, &mut event_loop) }, "no event loop")?;
        let handle = uv::allocate();
        if handle.is_null() {
            return Err(Error::new(Status::GenericFailure, "no memory for a poll handle".to_owned()));
        }
        // SAFETY: loop and handle are valid; the loop belongs to this thread.
        let failed = unsafe { uv::uv_poll_init(event_loop, handle, device.raw_fd()) };
        if failed != 0 {
            // SAFETY: the handle was not initialised, so libuv does not know it.
            unsafe { uv::free(handle) };
            return Err(Error::new(Status::GenericFailure, format!("errno {}: the event loop cannot watch the descriptor", -failed)));
        }
        let poll = Rc::new(Self {
            env,
            region: Arc::clone(device.region()),
            device: RefCell::new(Some(device)),
            handle,
            callback: Cell::new(ptr::null_mut()),
            hook: Cell::new(ptr::null_mut()),
            state: Cell::new(State::Paused),
            patience: RefCell::new(Patience::new(std::thread::available_parallelism().map_or(1, usize::from))),
            answered: Cell::new(0),
            parts: RefCell::new(Vec::new()),
        });
        let strong = Rc::into_raw(Rc::clone(&poll)).cast_mut().cast::<c_void>();
        let mut callback = ptr::null_mut();
        let mut hook = ptr::null_mut();
        // SAFETY: the handle is initialised; on_batch lives in the constructor's scope; `strong` stays valid until on_closed.
        let made = unsafe {
            uv::uv_handle_set_data(handle, strong);
            check(sys::napi_create_reference(env, on_batch, 1, &mut callback), "cannot hold the callback").and_then(|()| {
                check(sys::napi_add_async_cleanup_hook(env, Some(on_environment_end), strong, &mut hook), "no clean-up hook")
            })
        };
        poll.callback.set(callback);
        poll.hook.set(hook);
        if let Err(error) = made {
            poll.close();
            return Err(error);
        }
        Ok(poll)
    }

    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    pub fn start(&self) -> bool {
        match self.state.get() {
            State::Closed => return false,
            State::Watching => return true,
            State::Paused => {}
        }
        // SAFETY: the handle is initialised and not closing.
        let failed = unsafe { uv::uv_poll_start(self.handle, uv::READABLE, on_readable) };
        if failed == 0 {
            self.state.set(State::Watching);
        }
        failed == 0
    }

    pub fn pause(&self) {
        if self.state.get() == State::Watching {
            // SAFETY: as in `start`.
            unsafe { uv::uv_poll_stop(self.handle) };
            self.state.set(State::Paused);
        }
    }

    pub fn close(&self) {
        if self.state.replace(State::Closed) == State::Closed {
            return;
        }
        // SAFETY: initialised and not closing before; on_closed frees the handle later, from the loop.
        unsafe {
            uv::uv_poll_stop(self.handle);
            uv::uv_close(self.handle, on_closed);
        }
        // After uv_poll_stop the descriptor may be closed (docs of uv_poll_t).
        drop(self.device.borrow_mut().take());
        let callback = self.callback.replace(ptr::null_mut());
        if !callback.is_null() {
            // SAFETY: the reference was made in `open` and is deleted once; the environment still stands.
            unsafe { sys::napi_delete_reference(self.env, callback) };
        }
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
            if (batch.count != 0 || batch.errno != 0) && !self.call(&batch) {
                // The environment is ending and these requests will never be answered. Node may be waiting for a file system call of
                // its own on this very mount, so the connection must not outlive the answers.
                self.close();
                return;
            }
            if batch.count == 0 || batch.errno != 0 || self.state.get() != State::Watching || Instant::now() > until {
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

    /// Calls JavaScript. False when it cannot run any more.
    fn call(&self, batch: &Batch) -> bool {
        let mut scope = ptr::null_mut();
        // SAFETY: we are on the environment's thread, in a callback of its loop; every value is used inside the scope opened here.
        unsafe {
            if sys::napi_open_handle_scope(self.env, &mut scope) != sys::Status::napi_ok {
                return false;
            }
            let ran = self.call_in_scope(batch);
            sys::napi_close_handle_scope(self.env, scope);
            ran
        }
    }

    /// # Safety
    /// A handle scope is open on the environment's thread.
    unsafe fn call_in_scope(&self, batch: &Batch) -> bool {
        let mut function = ptr::null_mut();
        let mut receiver = ptr::null_mut();
        let mut arguments = [ptr::null_mut(); 2];
        let mut result = ptr::null_mut();
        // SAFETY: the caller's promise; out-pointers are locals, and the reference lives until close.
        unsafe {
            let ready = sys::napi_get_reference_value(self.env, self.callback.get(), &mut function) == sys::Status::napi_ok
                && sys::napi_get_global(self.env, &mut receiver) == sys::Status::napi_ok
                && sys::napi_create_uint32(self.env, batch.count as u32, &mut arguments[0]) == sys::Status::napi_ok
                && sys::napi_create_int32(self.env, batch.errno, &mut arguments[1]) == sys::Status::napi_ok;
            if !ready {
                return false;
            }
            let status = sys::napi_make_callback(self.env, ptr::null_mut(), receiver, function, 2, arguments.as_ptr(), &mut result);
            if status == sys::Status::napi_ok {
                return true;
            }
            // An exception nobody caught is reported as such; when even that fails, the environment is ending.
            let mut exception = ptr::null_mut();
            sys::napi_get_and_clear_last_exception(self.env, &mut exception) == sys::Status::napi_ok
                && sys::napi_fatal_exception(self.env, exception) == sys::Status::napi_ok
        }
    }
}

/// Address and length of element `index`, which must be a Uint8Array.
fn bytes_of(env: sys::napi_env, array: sys::napi_value, index: u32) -> Result<(*const u8, usize)> {
    let mut value = ptr::null_mut();
    let mut kind = -1;
    let mut length = 0;
    let mut data = ptr::null_mut();
    // SAFETY: array is an argument of the running call; out-pointers are locals.
    unsafe {
        check(sys::napi_get_element(env, array, index, &mut value), "a reply lacks a part")?;
        check(
            sys::napi_get_typedarray_info(env, value, &mut kind, &mut length, &mut data, ptr::null_mut(), ptr::null_mut()),
            "a reply's part is not a Uint8Array",
        )?;
    }
    if kind != sys::TypedarrayType::uint8_array {
        return Err(Error::new(Status::InvalidArg, "a reply's part is not a Uint8Array".to_owned()));
    }
    Ok((data.cast_const().cast(), length))
}

/// # Safety
/// Called by libuv with a handle whose data `open` set.
unsafe extern "C" fn on_readable(handle: *mut UvPoll, _status: c_int, _events: c_int) {
    // SAFETY: the handle owns a strong reference until on_closed; one more keeps Poll alive through a close() inside.
    // A status other than 0 (the device was aborted) shows again as the errno of the read.
    let poll = unsafe {
        let data = uv::uv_handle_get_data(handle).cast::<Poll>().cast_const();
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    };
    poll.serve();
}

/// # Safety
/// Called by libuv once, after uv_close.
unsafe extern "C" fn on_closed(handle: *mut UvPoll) {
    // SAFETY: takes back the strong reference that the handle owned; libuv does not touch the handle after this callback.
    let poll = unsafe {
        let data = uv::uv_handle_get_data(handle).cast::<Poll>().cast_const();
        uv::free(handle);
        Rc::from_raw(data)
    };
    let hook = poll.hook.replace(ptr::null_mut());
    if !hook.is_null() {
        // SAFETY: registered in `open`, removed once; this also tells an ending environment that it need not wait longer.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

/// # Safety
/// Called by Node once, on the environment's thread, while the handle (and so `data`) still stands.
unsafe extern "C" fn on_environment_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the hook is removed in on_closed before the strong reference behind `data` goes.
    let poll = unsafe {
        let data = data.cast::<Poll>().cast_const();
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    };
    poll.close();
}
