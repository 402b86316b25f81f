//! Binding of cfs-fuse.
