//! Reed-Solomon coding by ISA-L.
