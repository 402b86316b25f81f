//! Gives freed memory back to the kernel.
//!
//! glibc keeps what is freed in the middle of its arenas: after bursts of small buffers (state, LevelDB's batches) a hundred MiB, for ever.

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Result, Task};
use napi_derive::napi;

unsafe extern "C" {
    /// malloc_trim(3): 1 when memory was given back.
    fn malloc_trim(pad: usize) -> i32;
}

pub struct TrimTask;

impl Task for TrimTask {
    type Output = bool;
    type JsValue = bool;

    fn compute(&mut self) -> Result<bool> {
        // SAFETY: it touches free memory alone, under the allocator's own locks.
        Ok(unsafe { malloc_trim(0) } == 1)
    }

    fn resolve(&mut self, _env: Env, was_trimmed: bool) -> Result<bool> {
        Ok(was_trimmed)
    }
}

/// By a thread of the pool: it takes a millisecond for each few MiB.
#[napi(catch_unwind)]
pub fn trim_memory() -> AsyncTask<TrimTask> {
    AsyncTask::new(TrimTask)
}
