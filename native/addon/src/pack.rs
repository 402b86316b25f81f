//! Binding of cfs-reduce, cfs-erasure and cfs-store.
