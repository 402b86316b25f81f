//! The thin binding between Node-API and the crates: no rule and no algorithm lives here.

mod fuse;
mod local;
// Nothing in it is called from Rust, so a test build would find it unused.
#[cfg(not(test))]
mod memory;
mod pack;
mod ring;
mod uv;
mod views;
mod watch;
