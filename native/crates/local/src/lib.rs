//! Stream sockets between processes of one machine (unix(7), abstract names): listening, connecting, and reads and writes that never block.
//!
//! Mechanism only: what the bytes mean is decided in TypeScript. No Node-API, so that `cargo test` covers it.

mod name;
mod stream;

pub use name::{accept, connect, listen};
pub use stream::{Stream, VIEWS_MAX};
