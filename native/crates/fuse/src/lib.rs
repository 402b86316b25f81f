//! The FUSE device: mounting, and requests and replies in batches.
