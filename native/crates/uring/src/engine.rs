//! What carries requests: io_uring or threads. The driver keeps the rules, an engine only makes one system call per start.

use std::io;
use std::os::fd::RawFd;

use crate::flight::Flight;

/// Which engine to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// io_uring, and threads where the kernel refuses it.
    Automatic,
    /// io_uring or an error.
    Ring,
    /// Threads.
    Threads,
}

/// Starts system calls and collects their results.
pub trait Engine {
    /// `io_uring` or `threads`.
    fn kind(&self) -> &'static str;
    /// For people: what was set up, and why not more.
    fn description(&self) -> String;
    /// Readable while results wait.
    fn poll_fd(&self) -> RawFd;
    /// Queues what remains of `flight`. The flight stays in place until its result was collected.
    fn start(&mut self, slot: u32, flight: &Flight);
    /// Hands all that was queued to the kernel or the threads.
    fn flush(&mut self) -> io::Result<()>;
    /// Appends (slot, result) of all that finished.
    fn collect(&mut self, results: &mut Vec<(u32, i32)>) -> io::Result<()>;
    /// Waits until at least one result can be collected. Something must be in flight.
    fn wait(&mut self) -> io::Result<()>;
}
