//! Binding of cfs-uring: one driver per object, its descriptor watched by libuv in the loop that made it.
//!
//! Requests and completions cross as words in the memory that `memory()` shows once (layout: cfs-uring's arena). When some
//! finished, `on_completions(count)` is called in a turn of its own, with ticks and microtasks run after it.
//!
//! Invariants: everything happens on the loop's thread. The driver goes away, after waiting for what is in flight, before
//! the environment does, be it by `close`, at the end of a worker, or at the end of the process. The loop stays alive only
//! while something is in flight. No borrow of the driver is held while JavaScript runs.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use cfs_uring::{Choice, Driver, ForeignView, Options};
use napi::bindgen_prelude::{Array, ArrayBuffer, FnArgs, Function, JsValue, Uint8ArraySlice};
use napi::{Env, Error, Result, Status, sys};
use napi_derive::napi;

use crate::uv::{self, UvPoll};

const STATUS_CLOSED: &str = "the ring is closed";

type UvHandle = *mut UvPoll;

/// How to open a ring; the TypeScript wrapper documents the fields.
#[napi(object)]
pub struct RingOptions {
    pub engine: String,
    pub slots: u32,
    pub pool_bytes: f64,
    pub submission_words: u32,
    pub thread_count: u32,
}

/// Lives until both the object and the libuv handle let go of it.
struct Watch {
    env: sys::napi_env,
    handle: Cell<UvHandle>,
    handle_memory: RefCell<Vec<u64>>,
    driver: RefCell<Option<Driver>>,
    callback: Cell<sys::napi_ref>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl Watch {
    /// Waits for what is in flight, then gives everything back. Safe to call again.
    fn shut_down(&self) {
        let callback = self.callback.replace(ptr::null_mut());
        if !callback.is_null() {
            // SAFETY: our reference, deleted once.
            unsafe { sys::napi_delete_reference(self.env, callback) };
        }
        let handle = self.handle.replace(ptr::null_mut());
        if !handle.is_null() {
            // SAFETY: an initialised handle of this thread's loop, closed once; `on_closed` drops its share of the watch.
            unsafe { uv::uv_close(handle, on_closed) };
        }
        drop(self.driver.take()); // After the handle, which must not watch a descriptor that is gone.
    }

    /// The loop waits for requests in flight and for nothing else.
    fn adjust_keep_alive(&self) {
        let handle = self.handle.get();
        if handle.is_null() {
            return;
        }
        let is_busy = self.driver.borrow().as_ref().is_some_and(|driver| driver.in_flight() > 0);
        // SAFETY: an open handle of this thread's loop; both calls are idempotent.
        unsafe { if is_busy { uv::uv_ref(handle) } else { uv::uv_unref(handle) } };
    }

    /// Calls `on_completions(count)`; an exception in it is an uncaught one.
    fn call_back(&self, count: i32) {
        let env = self.env;
        let (mut scope, mut function, mut global, mut argument) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: on the environment's thread, outside any JavaScript; every value lives in the scope opened here.
        unsafe {
            if sys::napi_open_handle_scope(env, &raw mut scope) != sys::Status::napi_ok {
                return; // The environment is being torn down.
            }
            sys::napi_get_reference_value(env, self.callback.get(), &raw mut function);
            sys::napi_get_global(env, &raw mut global);
            sys::napi_create_int32(env, count, &raw mut argument);
            let status = sys::napi_make_callback(env, ptr::null_mut(), global, function, 1, &raw const argument, ptr::null_mut());
            if status == sys::Status::napi_pending_exception {
                let mut exception = ptr::null_mut();
                sys::napi_get_and_clear_last_exception(env, &raw mut exception);
                sys::napi_fatal_exception(env, exception);
            }
            sys::napi_close_handle_scope(env, scope);
        }
    }
}

/// A share of the watch for the time of a callback.
fn watch_of(handle: UvHandle) -> Rc<Watch> {
    // SAFETY: the data is the share that `open` leaked; it is dropped in `on_closed` only.
    unsafe {
        let data = uv::uv_handle_get_data(handle).cast_const().cast::<Watch>();
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    }
}

unsafe extern "C" fn on_readable(handle: UvHandle, _status: c_int, _events: c_int) {
    let watch = watch_of(handle);
    let reaped = match watch.driver.borrow_mut().as_mut() {
        Some(driver) => driver.reap(),
        None => return,
    };
    watch.adjust_keep_alive();
    match reaped {
        Ok(0) => {}
        Ok(count) => watch.call_back(count as i32),
        Err(error) => watch.call_back(-error.raw_os_error().unwrap_or(5)),
    }
}

unsafe extern "C" fn on_closed(handle: UvHandle) {
    // SAFETY: the share that `open` leaked, taken back once; libuv is done with the handle, whose memory the watch owns.
    let watch = unsafe { Rc::from_raw(uv::uv_handle_get_data(handle).cast_const().cast::<Watch>()) };
    let hook = watch.hook.replace(ptr::null_mut());
    if !hook.is_null() {
        // SAFETY: our hook, removed once; the environment waits for this at its end.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

unsafe extern "C" fn on_environment_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the handle's share keeps the watch alive until `on_closed`, which removes this hook.
    unsafe { &*data.cast_const().cast::<Watch>() }.shut_down();
}

#[napi]
pub struct NativeRing {
    watch: Rc<Watch>,
    arena: Arc<cfs_uring::Arena>,
    memory_shown: Cell<bool>,
    kind: &'static str,
}

fn choice(engine: &str) -> Result<Choice> {
    match engine {
        "automatic" => Ok(Choice::Automatic),
        "io_uring" => Ok(Choice::Ring),
        "threads" => Ok(Choice::Threads),
        _ => Err(Error::new(Status::InvalidArg, format!("unknown engine {engine}"))),
    }
}

fn check(status: sys::napi_status, what: &str) -> Result<()> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(Error::new(Status::from(status), format!("{what} failed"))) }
}

#[napi]
impl NativeRing {
    /// Throws a message that ends in "(os error N)" where the machine says no.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, options: RingOptions, on_completions: Function<FnArgs<(i32,)>, ()>) -> Result<Self> {
        let driver = Driver::open(Options {
            engine: choice(&options.engine)?,
            slots: options.slots,
            pool_bytes: options.pool_bytes as usize,
            submission_words: options.submission_words as usize,
            thread_count: options.thread_count as usize,
        })
        .map_err(|error| Error::new(Status::GenericFailure, error.to_string()))?;
        let (arena, kind, fd) = (Arc::clone(driver.arena()), driver.kind(), driver.poll_fd());
        let mut callback = ptr::null_mut();
        // SAFETY: a live function of this environment.
        check(unsafe { sys::napi_create_reference(env.raw(), on_completions.raw(), 1, &raw mut callback) }, "napi_create_reference")?;
        // SAFETY: no argument but the constant of uv.h.
        let words = unsafe { uv::uv_handle_size(uv::KIND_POLL) }.div_ceil(size_of::<u64>());
        let watch = Rc::new(Watch {
            env: env.raw(),
            handle: Cell::new(ptr::null_mut()),
            handle_memory: RefCell::new(vec![0; words]),
            driver: RefCell::new(Some(driver)),
            callback: Cell::new(callback),
            hook: Cell::new(ptr::null_mut()),
        });
        if let Err(error) = open(&env, &watch, fd) {
            watch.shut_down();
            return Err(error);
        }
        Ok(Self { watch, arena, memory_shown: Cell::new(false), kind })
    }

    /// The pool and, after it, the words of both directions; can be asked for once.
    #[napi(catch_unwind)]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<ArrayBuffer<'env>> {
        if self.memory_shown.replace(true) {
            return Err(Error::new(Status::GenericFailure, "the ring's memory was shown before"));
        }
        let arena = Arc::clone(&self.arena);
        // SAFETY: the mapping lives as long as this share of it, which goes when the ArrayBuffer is collected.
        unsafe { ArrayBuffer::from_external(env, arena.start(), arena.total_bytes(), arena, |_, arena| drop(arena)) }
    }

    /// `io_uring` or `threads`.
    #[napi(getter, catch_unwind)]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// For people.
    #[napi(getter, catch_unwind)]
    pub fn description(&self) -> String {
        self.watch.driver.borrow().as_ref().map_or_else(|| STATUS_CLOSED.to_owned(), Driver::description)
    }

    /// Bytes of pool memory at the start of `memory()`.
    #[napi(getter, catch_unwind)]
    pub fn pool_bytes(&self) -> f64 {
        self.arena.pool_bytes() as f64
    }

    /// Starts the requests in the first `word_count` submission words. The caller keeps `foreign` alive until they were reported.
    #[napi(catch_unwind)]
    pub fn submit(&self, word_count: u32, foreign: Option<Array>) -> Result<()> {
        let mut views = Vec::new();
        for index in 0..foreign.as_ref().map_or(0, Array::len) {
            let view: Option<Uint8ArraySlice> = foreign.as_ref().map(|array| array.get(index)).transpose()?.flatten();
            let view = view.ok_or_else(|| Error::new(Status::InvalidArg, format!("foreign view {index} is no Uint8Array")))?;
            views.push(ForeignView { address: view.as_ptr().cast_mut(), length: view.len() });
        }
        let outcome = {
            let mut driver = self.watch.driver.borrow_mut();
            let driver = driver.as_mut().ok_or_else(|| Error::new(Status::GenericFailure, STATUS_CLOSED))?;
            // SAFETY: the arena outlives the driver; the wrapper keeps foreign views until their slots were reported.
            unsafe { driver.submit(word_count as usize, &views) }
        };
        self.watch.adjust_keep_alive();
        outcome.map_err(|message| Error::new(Status::InvalidArg, message))
    }

    /// Waits for what is in flight (the wrapper closes when nothing is) and gives the descriptors back. May be called again.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.watch.shut_down();
    }
}

impl Drop for NativeRing {
    fn drop(&mut self) {
        self.watch.shut_down();
    }
}

/// Initialises the libuv handle and the end-of-environment hook; from then on the handle holds a share of the watch.
fn open(env: &Env, watch: &Rc<Watch>, fd: c_int) -> Result<()> {
    let uv_loop = env.get_uv_event_loop()?;
    let handle: UvHandle = watch.handle_memory.borrow_mut().as_mut_ptr().cast();
    // SAFETY: the memory has the size that libuv asked for and stays in place until `on_closed`; this is the loop's thread.
    unsafe {
        let code = uv::uv_poll_init(uv_loop.cast(), handle, fd);
        if code != 0 {
            return Err(Error::new(Status::GenericFailure, format!("uv_poll_init failed (os error {})", -code)));
        }
        watch.handle.set(handle);
        uv::uv_handle_set_data(handle, Rc::into_raw(Rc::clone(watch)).cast_mut().cast());
        let code = uv::uv_poll_start(handle, uv::READABLE, on_readable);
        if code != 0 {
            return Err(Error::new(Status::GenericFailure, format!("uv_poll_start failed (os error {})", -code)));
        }
        uv::uv_unref(handle);
        let mut hook = ptr::null_mut();
        let status =
            sys::napi_add_async_cleanup_hook(env.raw(), Some(on_environment_end), Rc::as_ptr(watch).cast_mut().cast(), &raw mut hook);
        check(status, "napi_add_async_cleanup_hook")?;
        watch.hook.set(hook);
    }
    Ok(())
}
