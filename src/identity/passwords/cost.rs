//! Owns the table of what it costs to verify a hash, by its parameters alone: one hash has one cost, on every machine.
//!
//! Times are those of one core of the machine on which docs/PERFORMANCE.md was measured, rounded. Elsewhere all of them are longer or
//! shorter: the queue learns by how much, and the import does not, so that one file gets one answer everywhere.

use std::time::Duration;

/// What one login with an imported hash may cost unless the operator says otherwise: what scrypt takes whose lanes fill 1 GiB.
pub const DEFAULT_IMPORT_MAX_COST: Duration = Duration::from_millis(3_200);

/// Argon2: nanoseconds for each KiB that a pass fills.
const ARGON2_NANOS_PER_KIB: u64 = 750;

/// scrypt: nanoseconds for each KiB that a lane fills; each is also read again.
const SCRYPT_NANOS_PER_KIB: u64 = 3_000;

/// bcrypt: nanoseconds for each of the 2^cost rounds.
const BCRYPT_NANOS_PER_ROUND: u64 = 50_000;

/// PBKDF2: nanoseconds for each round of one block of output, by a core that has no instructions for the digest.
const PBKDF2_NANOS_PER_ROUND: u64 = 400;

/// SHA-crypt and phpass: nanoseconds for each block that a digest reads, by such a core.
const DIGEST_NANOS_PER_BLOCK: u64 = 300;

/// Argon2 whose passes fill so much in all.
pub(super) const fn argon2(filled_kib: u64) -> Duration {
    times(filled_kib, ARGON2_NANOS_PER_KIB)
}

/// scrypt whose lanes fill so much in all.
pub(super) const fn scrypt(filled_kib: u64) -> Duration {
    times(filled_kib, SCRYPT_NANOS_PER_KIB)
}

/// bcrypt with the cost `log_rounds`.
pub(super) const fn bcrypt(log_rounds: u32) -> Duration {
    match 1_u64.checked_shl(log_rounds) {
        Some(rounds) => times(rounds, BCRYPT_NANOS_PER_ROUND),
        None => Duration::MAX,
    }
}

/// PBKDF2 with so many rounds over all blocks of the output.
pub(super) const fn pbkdf2(rounds: u64) -> Duration {
    times(rounds, PBKDF2_NANOS_PER_ROUND)
}

/// SHA-crypt and phpass whose digests read so many blocks in all.
pub(super) const fn digests(blocks: u64) -> Duration {
    times(blocks, DIGEST_NANOS_PER_BLOCK)
}

const fn times(count: u64, nanos: u64) -> Duration {
    Duration::from_nanos(count.saturating_mul(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands() {
        // A change here changes which files are taken: MIGRATING.md shows the same figures.
        let table = [
            (argon2(19_456 * 2), "29.184ms"),
            (argon2(1_024 * 1_024), "786.432ms"),
            (scrypt(16 * 1_024), "49.152ms"),
            (scrypt(1_024 * 1_024), "3.145728s"),
            (bcrypt(12), "204.8ms"),
            (bcrypt(14), "819.2ms"),
            (pbkdf2(600_000), "240ms"),
            (pbkdf2(2_000_000), "800ms"),
        ];
        for (cost, expected) in table {
            assert_eq!(format!("{cost:?}"), expected);
        }
        assert!(bcrypt(u32::MAX) > bcrypt(31) && argon2(u64::MAX) > argon2(1 << 40));
    }
}
