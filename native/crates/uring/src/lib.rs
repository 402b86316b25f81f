//! Asynchronous file I/O for one event loop: io_uring with registered buffers, and a thread pool with the same interface.
//!
//! Why: a lone durable 4 KiB write costs 76 µs through io_uring and a promise on libuv's pool costs 26 µs more; and a
//! loop that submits once per turn pays one system call for all requests of the turn.
//!
//! A [`Driver`] owns the requests in flight (each in a numbered slot that the caller chooses), an [`Arena`] of page-aligned
//! memory, and an [`Engine`]. The caller submits batches of words, watches one file descriptor, and reaps pairs of slot and result.
//!
//! Invariant: a slot is reported exactly once per submission, and only when the kernel or the worker thread has let go of
//! its memory. Short transfers are continued here, so a write reports either its full length or an error.
#![warn(missing_docs)]

mod arena;
mod driver;
mod engine;
mod flight;
mod pool;
mod ring;
mod signal;

pub use arena::{Arena, REGION_BYTES};
pub use driver::{Driver, Options};
pub use engine::{Choice, Engine};
pub use flight::{Flight, ForeignView, HEADER_WORDS, Operation, VIEW_WORDS};
