//! Binding of cfs-uring.
