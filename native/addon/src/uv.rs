//! The few libuv functions that the addon uses. The node binary exports them; they are bound when the addon is loaded.
//!
//! Source: uv.h of libuv 1.x, whose ABI is stable within the major version (docs.libuv.org, "uv_poll_t").

use napi::sys;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{c_int, c_void};

/// uv_loop_t under the name that Node-API gives it.
pub type UvLoop = sys::uv_loop_s;

/// uv_poll_t, and uv_handle_t that it begins with. Opaque: its size is asked from libuv.
#[repr(C)]
pub struct UvPoll {
    _private: [u8; 0],
}

pub type PollCallback = unsafe extern "C" fn(handle: *mut UvPoll, status: c_int, events: c_int);
pub type CloseCallback = unsafe extern "C" fn(handle: *mut UvPoll);

pub const READABLE: c_int = 1;
pub const WRITABLE: c_int = 2;
/// uv_handle_type UV_POLL.
pub const KIND_POLL: c_int = 8;

unsafe extern "C" {
    pub fn uv_poll_init(event_loop: *mut UvLoop, handle: *mut UvPoll, fd: c_int) -> c_int;
    pub fn uv_poll_start(handle: *mut UvPoll, events: c_int, callback: PollCallback) -> c_int;
    pub fn uv_poll_stop(handle: *mut UvPoll) -> c_int;
    pub fn uv_close(handle: *mut UvPoll, callback: CloseCallback);
    pub fn uv_handle_get_data(handle: *const UvPoll) -> *mut c_void;
    pub fn uv_handle_set_data(handle: *mut UvPoll, data: *mut c_void);
    pub fn uv_ref(handle: *mut UvPoll);
    pub fn uv_unref(handle: *mut UvPoll);
    pub fn uv_handle_size(kind: c_int) -> usize;
}

fn layout() -> Option<Layout> {
    // SAFETY: a pure function of its argument.
    let size = unsafe { uv_handle_size(KIND_POLL) };
    Layout::from_size_align(size, 16).ok().filter(|_| size > 0 && size < 4096)
}

/// Memory for one handle, or null.
pub fn allocate() -> *mut UvPoll {
    match layout() {
        // SAFETY: the layout has a size above 0.
        Some(layout) => unsafe { alloc_zeroed(layout).cast() },
        None => std::ptr::null_mut(),
    }
}

/// # Safety
/// The handle came from `allocate` and libuv does not know it (never initialised, or its close callback ran).
pub unsafe fn free(handle: *mut UvPoll) {
    if let Some(layout) = layout() {
        // SAFETY: same layout as in `allocate`; the caller promises that nobody uses it.
        unsafe { dealloc(handle.cast(), layout) };
    }
}
