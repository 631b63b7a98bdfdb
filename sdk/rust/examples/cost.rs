//! What a check costs: a token that was seen before, a new one, and beside it the bare verification of `jsonwebtoken`, all by ES256.
//!
//! `cargo run --release --package signet-sdk --features testing --example cost` prints nanoseconds of one thread, the median of several
//! rounds.

use std::{
    error::Error,
    io::Write,
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use signet_sdk::{
    Verifier,
    testing::{TestIssuer, Token},
};

/// How many tokens each round verifies.
const TOKENS: usize = 2_000;

/// How many rounds there are.
const ROUNDS: usize = 9;

/// What `jsonwebtoken` is asked to read.
#[derive(Deserialize)]
struct Read {
    exp: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = TestIssuer::new();
    let token = || issuer.sign(&Token::user().audiences(["stock"]).scopes(["stock:read"]));
    let tokens: Vec<String> = (0..TOKENS).map(|_| token()).collect();
    let (mut cached, mut new, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Another one each round, which has seen none of them.
        let verifier = issuer.verifier("stock");
        new.push(round(&verifier, &tokens).await?);
        cached.push(round(&verifier, &tokens).await?);
        bare.push(verified_bare(&issuer, &tokens)?);
    }
    let mut stdout = std::io::stdout().lock();
    for (what, times) in [("seen before", cached), ("new", new), ("jsonwebtoken, its checks alone", bare)] {
        writeln!(stdout, "{what}: {} ns", median(times).as_nanos())?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures the machine's own time")]
async fn round(verifier: &Verifier, tokens: &[String]) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    for token in tokens {
        verifier.authenticator().recognise(token, "stock").await?;
    }
    Ok(began.elapsed() / u32::try_from(tokens.len())?)
}

#[expect(clippy::disallowed_methods, reason = "it measures the machine's own time")]
fn verified_bare(issuer: &TestIssuer, tokens: &[String]) -> Result<Duration, Box<dyn Error>> {
    let (x, y) = issuer.public_point();
    let key = DecodingKey::from_ec_components(&x, &y)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["stock"]);
    validation.set_issuer(&[issuer.issuer()]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    // The clock of the test issuer stands where it stands.
    validation.validate_exp = false;
    let began = Instant::now();
    for token in tokens {
        let read = decode::<Read>(token, &key, &validation)?;
        assert!(read.claims.exp > 0);
    }
    Ok(began.elapsed() / u32::try_from(tokens.len())?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
