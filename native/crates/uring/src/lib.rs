//! io_uring with registered buffers, and a thread pool with the same interface.
