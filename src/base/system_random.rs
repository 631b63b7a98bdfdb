//! Owns the system's generator, from which everything secret comes. It is no parameter: nothing may put another one in its place.

/// Fills `bytes` with what nobody knows or repeats.
pub(crate) fn fill_from_system(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes)
        .expect("without randomness no secret can be made, and the process cannot serve");
}
