//! Owns x.
