//! Fragments: header, checksums, verification.
