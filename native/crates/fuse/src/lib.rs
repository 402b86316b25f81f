//! The FUSE device: mounting, and requests and replies in batches.
//!
//! Mechanism only: which operations exist and what they mean is decided in TypeScript. Everything here is a system call, a
//! buffer, or an error with its errno. No Node-API, so that `cargo test` covers it.

mod device;
mod error;
mod mount;
mod patience;
mod region;

pub use device::{Batch, Device, Notifier, REPLY_WORDS, Reply};
pub use error::FuseError;
pub use mount::{Method, MountOptions, UnmountOptions, mount, unmount};
pub use patience::Patience;
pub use region::{HEAD_BYTES, Layout, Region};
