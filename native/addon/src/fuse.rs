//! Binding of cfs-fuse: mounting off the event loop, and the device watched by the event loop.
//!
//! Results that can fail carry `errno` (0 for success) and `message`; native/src/fuse.ts turns them into CfsErrors.

// The registration that uses everything here is left out of test builds.
#![cfg_attr(test, allow(dead_code))]

mod poll;

use crate::watch::Watched;
use cfs_fuse::{Device, FuseError, HEAD_BYTES, Layout, Method, MountOptions, Notifier, Region, UnmountOptions};
use napi::bindgen_prelude::*;
use napi::{Task, sys};
use napi_derive::napi;
use poll::Poll;
use std::rc::Rc;
use std::sync::Arc;

#[napi(object)]
pub struct FuseMountOptions {
    pub source: String,
    pub mountpoint: String,
    pub subtype: String,
    pub read_only: bool,
    pub allow_other: bool,
    pub default_permissions: bool,
    pub no_dev: bool,
    pub no_suid: bool,
    pub no_exec: bool,
    pub root_mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub max_read_bytes: u32,
    /// "automatic", "direct" or "helper".
    pub method: String,
}

#[napi(object)]
pub struct FuseUnmountOptions {
    pub mountpoint: String,
    pub lazy: bool,
    pub force: bool,
    pub method: String,
}

#[napi(object)]
pub struct FuseOutcome {
    /// The descriptor of a mount, -1 otherwise.
    pub fd: i32,
    pub errno: i32,
    pub message: String,
}

fn outcome(result: std::result::Result<i32, FuseError>) -> FuseOutcome {
    match result {
        Ok(fd) => FuseOutcome { fd, errno: 0, message: String::new() },
        Err(error) => FuseOutcome { fd: -1, errno: error.errno, message: error.message },
    }
}

fn method(name: &str) -> Result<Method> {
    match name {
        "automatic" => Ok(Method::Automatic),
        "direct" => Ok(Method::Direct),
        "helper" => Ok(Method::Helper),
        other => Err(Error::new(Status::InvalidArg, format!("unknown mount method {other}"))),
    }
}

pub struct MountTask(MountOptions);

impl Task for MountTask {
    type Output = std::result::Result<i32, FuseError>;
    type JsValue = FuseOutcome;

    fn compute(&mut self) -> Result<Self::Output> {
        Ok(cfs_fuse::mount(&self.0))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(outcome(output))
    }
}

pub struct UnmountTask(UnmountOptions);

impl Task for UnmountTask {
    type Output = std::result::Result<i32, FuseError>;
    type JsValue = FuseOutcome;

    fn compute(&mut self) -> Result<Self::Output> {
        Ok(cfs_fuse::unmount(&self.0).map(|()| -1))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(outcome(output))
    }
}

pub struct NotifyTask {
    notifier: std::result::Result<Notifier, i32>,
    messages: Vec<u8>,
}

impl Task for NotifyTask {
    type Output = Vec<i32>;
    type JsValue = Vec<i32>;

    fn compute(&mut self) -> Result<Self::Output> {
        Ok(match &self.notifier {
            Ok(notifier) => notifier.write_all(&self.messages),
            Err(errno) => vec![*errno],
        })
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(output)
    }
}

#[napi]
pub fn fuse_mount(options: FuseMountOptions) -> Result<AsyncTask<MountTask>> {
    let method = method(&options.method)?;
    Ok(AsyncTask::new(MountTask(MountOptions {
        source: options.source,
        mountpoint: options.mountpoint,
        subtype: options.subtype,
        read_only: options.read_only,
        allow_other: options.allow_other,
        default_permissions: options.default_permissions,
        no_dev: options.no_dev,
        no_suid: options.no_suid,
        no_exec: options.no_exec,
        root_mode: options.root_mode,
        uid: options.uid,
        gid: options.gid,
        max_read: options.max_read_bytes,
        method,
    })))
}

#[napi]
pub fn fuse_unmount(options: FuseUnmountOptions) -> Result<AsyncTask<UnmountTask>> {
    let method = method(&options.method)?;
    let FuseUnmountOptions { mountpoint, lazy, force, .. } = options;
    Ok(AsyncTask::new(UnmountTask(UnmountOptions { mountpoint, lazy, force, method })))
}

#[napi(object)]
pub struct FuseDeviceOptions {
    pub fd: i32,
    pub owns_fd: bool,
    pub slot_count: u32,
    pub max_write_bytes: u32,
    pub reply_count: u32,
    pub arena_bytes: u32,
}

#[napi(object)]
pub struct FuseLayout {
    /// Bytes from the start of the memory: the u32 length of each request of a batch.
    pub lengths_offset: u32,
    /// Four u32 per reply: head offset, head length, count of parts, result.
    pub descriptors_offset: u32,
    pub reply_count: u32,
    pub arena_offset: u32,
    pub arena_bytes: u32,
    pub slot_count: u32,
    pub slot_bytes: u32,
    /// Where the request of slot 0 begins; the others follow at `slot_bytes`.
    pub requests_offset: u32,
    pub request_bytes_max: u32,
    pub head_bytes: u32,
}

/// A /dev/fuse descriptor in the event loop of the thread that made it.
#[napi]
pub struct FuseDeviceBinding {
    poll: Rc<Poll>,
}

#[napi]
impl FuseDeviceBinding {
    /// `on_batch(count, errno)` is called with the requests that were read; a non-zero errno ends the device.
    #[napi(constructor)]
    pub fn new(env: Env, options: FuseDeviceOptions, on_batch: Function<'_, FnArgs<(u32, i32)>, ()>) -> Result<Self> {
        let layout = Layout::new(
            options.slot_count as usize,
            options.max_write_bytes as usize,
            options.reply_count as usize,
            options.arena_bytes as usize,
        )
        .ok_or_else(|| Error::new(Status::InvalidArg, "FUSE buffer sizes are out of range".to_owned()))?;
        let region = Arc::new(Region::new(layout).map_err(failed)?);
        let device = Device::new(options.fd, options.owns_fd, region).map_err(failed)?;
        let poll = Poll::open(env.raw(), device, on_batch.raw())?;
        Ok(Self { poll })
    }

    #[napi]
    pub fn layout(&self) -> FuseLayout {
        let layout = self.poll.region().layout;
        FuseLayout {
            lengths_offset: 0,
            descriptors_offset: layout.descriptors_offset as u32,
            reply_count: layout.reply_count as u32,
            arena_offset: layout.arena_offset as u32,
            arena_bytes: layout.arena_bytes as u32,
            slot_count: layout.slot_count as u32,
            slot_bytes: layout.slot_bytes as u32,
            requests_offset: layout.request_offset(0) as u32,
            request_bytes_max: layout.request_bytes() as u32,
            head_bytes: HEAD_BYTES as u32,
        }
    }

    /// All of the region as one ArrayBuffer. To be called once; it stays valid after close.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn memory(&self, env: Env) -> Result<Unknown<'static>> {
        let region = Arc::clone(self.poll.region());
        let (pointer, length) = (region.pointer(), region.layout.total_bytes);
        let mut value = std::ptr::null_mut();
        let hint = Arc::into_raw(region).cast_mut().cast();
        // SAFETY: the region's address is stable and it lives until release_region drops the Arc given as hint.
        let status =
            unsafe { sys::napi_create_external_arraybuffer(env.raw(), pointer.cast(), length, Some(release_region), hint, &mut value) };
        if status != sys::Status::napi_ok {
            // SAFETY: the call failed, so the finalizer will not run; the Arc is ours again.
            drop(unsafe { Arc::from_raw(hint.cast::<Region>()) });
            return Err(Error::new(Status::from(status), "cannot share the FUSE buffers".to_owned()));
        }
        // SAFETY: value was made by the call above in this scope.
        Ok(unsafe { Unknown::from_raw_unchecked(env.raw(), value) })
    }

    /// Begins (or goes on) to watch the descriptor. False once closed.
    #[napi]
    pub fn start(&self) -> bool {
        self.poll.start()
    }

    /// Stops watching; requests wait in the kernel.
    #[napi]
    pub fn pause(&self) {
        self.poll.pause();
    }

    /// Writes the first `count` replies; `parts` holds the Uint8Arrays of all of them in order. Returns how many failed: each
    /// descriptor's result tells why. After close every reply fails with EBADF.
    #[napi]
    pub fn flush(&self, env: Env, count: u32, parts: Array<'_>) -> Result<u32> {
        self.poll.flush(env.raw(), count, parts.raw())
    }

    /// Writes messages that each begin with their length, on a pool thread; resolves to 0 or an errno for each.
    #[napi]
    pub fn notify(&self, messages: Uint8Array) -> AsyncTask<NotifyTask> {
        AsyncTask::new(NotifyTask { notifier: self.poll.notifier(), messages: messages.to_vec() })
    }

    /// Stops, and closes the descriptor if it is owned. Safe to call twice, and from inside `on_batch`.
    #[napi]
    pub fn close(&self) {
        self.poll.close();
    }
}

fn failed(error: FuseError) -> Error {
    Error::new(Status::GenericFailure, format!("errno {}: {}", error.errno, error.message))
}

unsafe extern "C" fn release_region(_env: sys::napi_env, _data: *mut std::ffi::c_void, hint: *mut std::ffi::c_void) {
    // SAFETY: the hint is the Arc that `memory` turned into a pointer; the engine calls this once.
    drop(unsafe { Arc::from_raw(hint.cast::<Region>()) });
}
