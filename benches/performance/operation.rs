//! Owns timing one operation that needs no server: a signature check, a hash.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, EncodingKey};

use crate::{
    Result,
    stats::{float, micros},
};

/// How many operations are done between two looks at the time, of those that take microseconds.
const BATCH: usize = 100;

/// The signing input of a token of Signet's is about this long.
const TOKEN_BYTES: usize = 500;

/// The settings of Signet's default hash: m = 19,456 KiB, t = 2, p = 1.
const ARGON2: (u32, u32, u32) = (19_456, 2, 1);

/// What repeating an operation took.
struct Timed {
    /// Operations per second of all threads together.
    per_second: f64,
    /// The CPU time of one operation, in microseconds: other programs on the machine do not add to it.
    cpu_us: f64,
}

/// Repeats an operation on `threads` threads at once for `time`; `prepare` is called on each.
fn repeat<Prepare, Operation>(threads: usize, time: Duration, batch: usize, prepare: Prepare) -> Result<Timed>
where
    Prepare: Fn() -> Operation + Sync,
    Operation: FnMut(),
{
    let work = || {
        let mut operation = prepare();
        operation();
        let (started, cpu_before) = (Instant::now(), thread_cpu()?);
        let mut count = 0;
        while started.elapsed() < time {
            (0..batch).for_each(|_| operation());
            count += batch;
        }
        let count = float(count);
        Ok((
            count / started.elapsed().as_secs_f64(),
            micros(thread_cpu()?.saturating_sub(cpu_before)) / count,
        ))
    };
    let timed: Result<Vec<(f64, f64)>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no operation panics")).collect()
    });
    let timed = timed?;
    Ok(Timed {
        per_second: timed.iter().map(|(rate, _)| rate).sum(),
        cpu_us: timed.iter().map(|(_, cpu)| cpu).sum::<f64>() / float(threads),
    })
}

/// The CPU time that this thread has taken.
fn thread_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// Hashes per second of `threads` threads at once, with Signet's default settings and memory that is kept.
pub(crate) fn hashes_per_second(threads: usize, time: Duration) -> Result<f64> {
    let (memory, iterations, lanes) = ARGON2;
    let params = Params::new(memory, iterations, lanes, Some(32)).map_err(|error| error.to_string())?;
    let timed = repeat(threads, time, 1, || {
        let mut memory = vec![Block::new(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        move || {
            let mut output = [0; 32];
            argon2
                .hash_password_into_with_memory(b"correct horse", &[7; 16], &mut output, &mut memory)
                .expect("these lengths are allowed");
        }
    })?;
    Ok(timed.per_second)
}

/// One ES256 check by aws-lc-rs, of a message as long as a token.
pub(crate) struct SignatureCheck {
    public: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl SignatureCheck {
    pub(crate) fn new() -> Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let message = vec![b'a'; TOKEN_BYTES];
        let signature = key.sign(&SystemRandom::new(), &message)?.as_ref().to_vec();
        Ok(Self { public: key.public_key().as_ref().to_vec(), message, signature })
    }

    pub(crate) fn run(&self) {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public)
            .verify(&self.message, &self.signature)
            .expect("the signature is of this key");
    }
}

/// One ES256 signature by aws-lc-rs, of a message as long as a token.
pub(crate) struct Signature {
    key: EcdsaKeyPair,
    message: Vec<u8>,
}

impl Signature {
    pub(crate) fn new() -> Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self { key, message: vec![b'a'; TOKEN_BYTES] })
    }

    pub(crate) fn make(&self) {
        let signature = self.key.sign(&SystemRandom::new(), &self.message);
        std::hint::black_box(signature.expect("the key signs"));
    }
}

/// The CPU microseconds of one ES256 check while `threads` threads do them at once: by aws-lc-rs itself, and by jsonwebtoken.
pub(crate) fn verification_us(threads: usize, time: Duration) -> Result<(f64, f64)> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let message = vec![b'a'; TOKEN_BYTES];
    let public = key.public_key().as_ref();
    let check = SignatureCheck::new()?;
    let raw = repeat(threads, time, BATCH, || || check.run())?;
    let signing = EncodingKey::from_ec_der(key.to_pkcs8v1()?.as_ref());
    let signature = jsonwebtoken::crypto::sign(&message, &signing, JwtAlgorithm::ES256)?;
    let verifying = DecodingKey::from_ec_der(public);
    let by_library = repeat(threads, time, BATCH, || {
        || {
            let verified =
                jsonwebtoken::crypto::verify(&signature, &message, &verifying, JwtAlgorithm::ES256);
            assert!(verified.is_ok_and(|genuine| genuine), "the signature is of this key");
        }
    })?;
    Ok((raw.cpu_us, by_library.cpu_us))
}

/// As many threads as there are cores.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
