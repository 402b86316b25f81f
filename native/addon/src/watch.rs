//! A descriptor watched by the event loop of one Node environment (the main thread's or a worker's), and the JavaScript function it calls.
//!
//! States: watching ⇄ paused → closed. Closed is final.
//! Invariant: the uv handle keeps one strong reference to its owner from `adopt` until libuv's close callback; so neither a garbage
//! collection, nor close() from inside the JavaScript callback, nor the end of a worker can leave libuv a dangling pointer.
//! The end of an environment runs the async clean-up hook, which closes and holds the loop open until libuv let go.

use crate::uv::{self, UvPoll};
use napi::{Error, Result, Status, sys};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;

const ENOMEM: c_int = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Paused,
    Watching,
    Closed,
}

/// What has a watch.
pub trait Watched {
    fn watch(&self) -> &Watch;
    /// The descriptor is ready for some of `events`, or has failed, which the next call on it tells.
    fn ready(&self, events: c_int);
    /// Ends it; called also when the environment ends. Must call `Watch::close` before it lets go of the descriptor.
    fn close(&self);
}

pub struct Watch {
    env: sys::napi_env,
    handle: *mut UvPoll,
    callback: Cell<sys::napi_ref>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    state: Cell<State>,
}

pub fn check(status: sys::napi_status, what: &str) -> Result<()> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(Error::new(Status::from(status), what.to_owned())) }
}

impl Watch {
    /// `callback` must live in an open handle scope. To be adopted at once.
    pub fn new(env: sys::napi_env, fd: RawFd, callback: sys::napi_value) -> Result<Self> {
        let mut event_loop = ptr::null_mut();
        // SAFETY: env is the live environment of the calling constructor.
        check(unsafe { sys::napi_get_uv_event_loop(env, &mut event_loop) }, "no event loop")?;
        let mut reference = ptr::null_mut();
        // SAFETY: the callback lives in the caller's scope.
        check(unsafe { sys::napi_create_reference(env, callback, 1, &mut reference) }, "cannot hold the callback")?;
        let handle = uv::allocate();
        // SAFETY: loop and handle are valid; the loop belongs to this thread.
        let failed = if handle.is_null() { -ENOMEM } else { unsafe { uv::uv_poll_init(event_loop, handle, fd) } };
        if failed != 0 {
            // SAFETY: the handle was not initialised, so libuv does not know it; the reference is deleted once.
            unsafe {
                if !handle.is_null() {
                    uv::free(handle);
                }
                sys::napi_delete_reference(env, reference);
            }
            return Err(Error::new(Status::GenericFailure, format!("errno {}: the event loop cannot watch the descriptor", -failed)));
        }
        Ok(Self { env, handle, callback: Cell::new(reference), hook: Cell::new(ptr::null_mut()), state: Cell::new(State::Paused) })
    }

    /// Gives the handle its strong reference. Where that fails the owner is closed.
    pub fn adopt(owner: Rc<dyn Watched>) -> Result<()> {
        let watch = owner.watch();
        let strong = Box::into_raw(Box::new(Rc::clone(&owner))).cast::<c_void>();
        let mut hook = ptr::null_mut();
        // SAFETY: the handle is initialised; `strong` stays valid until on_closed.
        let hooked = unsafe {
            uv::uv_handle_set_data(watch.handle, strong);
            sys::napi_add_async_cleanup_hook(watch.env, Some(on_environment_end), strong, &mut hook)
        };
        watch.hook.set(hook);
        check(hooked, "no clean-up hook").inspect_err(|_| owner.close())
    }

    pub fn is_watching(&self) -> bool {
        self.state.get() == State::Watching
    }

    /// Begins, or goes on with other events. False once closed.
    pub fn start(&self, events: c_int) -> bool {
        if self.state.get() == State::Closed {
            return false;
        }
        // SAFETY: the handle is initialised and not closing.
        let failed = unsafe { uv::uv_poll_start(self.handle, events, on_ready) };
        if failed == 0 {
            self.state.set(State::Watching);
        }
        failed == 0
    }

    pub fn pause(&self) {
        if self.is_watching() {
            // SAFETY: as in `start`.
            unsafe { uv::uv_poll_stop(self.handle) };
            self.state.set(State::Paused);
        }
    }

    /// False when it was closed before. Afterwards the descriptor may be closed (docs of uv_poll_t).
    pub fn close(&self) -> bool {
        if self.state.replace(State::Closed) == State::Closed {
            return false;
        }
        // SAFETY: initialised and not closing before; on_closed frees the handle later, from the loop.
        unsafe {
            uv::uv_poll_stop(self.handle);
            uv::uv_close(self.handle, on_closed);
        }
        let callback = self.callback.replace(ptr::null_mut());
        if !callback.is_null() {
            // SAFETY: the reference was made in `new` and is deleted once; the environment still stands.
            unsafe { sys::napi_delete_reference(self.env, callback) };
        }
        true
    }

    /// Calls JavaScript with numbers. False when it cannot run any more.
    pub fn call<const COUNT: usize>(&self, numbers: [i32; COUNT]) -> bool {
        let mut scope = ptr::null_mut();
        // SAFETY: we are on the environment's thread, in a callback of its loop; every value is used inside the scope opened here.
        unsafe {
            if sys::napi_open_handle_scope(self.env, &mut scope) != sys::Status::napi_ok {
                return false;
            }
            let ran = self.call_in_scope(numbers);
            sys::napi_close_handle_scope(self.env, scope);
            ran
        }
    }

    /// # Safety
    /// A handle scope is open on the environment's thread.
    unsafe fn call_in_scope<const COUNT: usize>(&self, numbers: [i32; COUNT]) -> bool {
        let mut function = ptr::null_mut();
        let mut receiver = ptr::null_mut();
        let mut arguments = [ptr::null_mut(); COUNT];
        let mut result = ptr::null_mut();
        // SAFETY: the caller's promise; out-pointers are locals, and the reference lives until close.
        unsafe {
            let ready = sys::napi_get_reference_value(self.env, self.callback.get(), &mut function) == sys::Status::napi_ok
                && sys::napi_get_global(self.env, &mut receiver) == sys::Status::napi_ok
                && arguments
                    .iter_mut()
                    .zip(numbers)
                    .all(|(argument, number)| sys::napi_create_int32(self.env, number, argument) == sys::Status::napi_ok);
            if !ready {
                return false;
            }
            let status = sys::napi_make_callback(self.env, ptr::null_mut(), receiver, function, COUNT, arguments.as_ptr(), &mut result);
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

/// The owner behind a handle's data.
///
/// # Safety
/// `data` was set by `adopt`, and on_closed has not run.
unsafe fn owner_of(data: *mut c_void) -> Rc<dyn Watched> {
    // SAFETY: the caller's promise.
    Rc::clone(unsafe { &*data.cast::<Rc<dyn Watched>>() })
}

/// # Safety
/// Called by libuv with a handle whose data `adopt` set.
unsafe extern "C" fn on_ready(handle: *mut UvPoll, status: c_int, events: c_int) {
    // SAFETY: the handle owns a strong reference until on_closed; one more keeps the owner alive through a close() inside.
    let owner = unsafe { owner_of(uv::uv_handle_get_data(handle)) };
    // A failed poll shows again as the errno of the next read.
    owner.ready(if status == 0 { events } else { uv::READABLE });
}

/// # Safety
/// Called by libuv once, after uv_close.
unsafe extern "C" fn on_closed(handle: *mut UvPoll) {
    // SAFETY: takes back the strong reference that the handle owned; libuv does not touch the handle after this callback.
    let owner = unsafe {
        let data = uv::uv_handle_get_data(handle);
        uv::free(handle);
        Box::from_raw(data.cast::<Rc<dyn Watched>>())
    };
    let hook = owner.watch().hook.replace(ptr::null_mut());
    if !hook.is_null() {
        // SAFETY: registered in `adopt`, removed once; this also tells an ending environment that it need not wait longer.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

/// # Safety
/// Called by Node once, on the environment's thread, while the handle (and so `data`) still stands.
unsafe extern "C" fn on_environment_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the hook is removed in on_closed before the strong reference behind `data` goes.
    unsafe { owner_of(data) }.close();
}
