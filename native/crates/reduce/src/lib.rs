//! Chunking, hashing, compression.
