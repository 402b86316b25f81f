//! Typed arrays of the running call as addresses.

use crate::watch::check;
use napi::{Error, Result, Status, sys};
use std::ptr;

/// Address and length of element `index`, which must be a Uint8Array.
pub fn bytes_of(env: sys::napi_env, array: sys::napi_value, index: u32) -> Result<(*const u8, usize)> {
    let mut value = ptr::null_mut();
    // SAFETY: array is an argument of the running call; the out-pointer is a local.
    check(unsafe { sys::napi_get_element(env, array, index, &mut value) }, "an element is missing")?;
    let (address, length) = writable_bytes(env, value)?;
    Ok((address.cast_const(), length))
}

/// Address and length of a Uint8Array. They are valid as long as the caller keeps it alive, attached and in place.
pub fn writable_bytes(env: sys::napi_env, value: sys::napi_value) -> Result<(*mut u8, usize)> {
    let mut kind = -1;
    let mut length = 0;
    let mut data = ptr::null_mut();
    // SAFETY: value is of the running call; out-pointers are locals.
    check(
        unsafe { sys::napi_get_typedarray_info(env, value, &mut kind, &mut length, &mut data, ptr::null_mut(), ptr::null_mut()) },
        "not a Uint8Array",
    )?;
    if kind != sys::TypedarrayType::uint8_array {
        return Err(Error::new(Status::InvalidArg, "not a Uint8Array".to_owned()));
    }
    Ok((data.cast(), length))
}
