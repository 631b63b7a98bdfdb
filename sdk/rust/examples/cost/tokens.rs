//! Owns what a token costs that was never seen before.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64ct::{Base64UrlUnpadded, Encoding};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use signet_sdk::testing::{TestIssuer, Token};

use crate::Problem;

/// How many tokens each turn verifies.
const TOKENS: u16 = 2_000;

/// What `jsonwebtoken` is asked to read.
#[derive(Deserialize)]
struct Read {
    sub: String,
}

/// Tokens, and by what they are verified.
pub(crate) struct Tokens {
    issuer: TestIssuer,
    unseen: Vec<String>,
    /// By their ids.
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
    signed: Vec<(Vec<u8>, Vec<u8>)>,
    key: ParsedPublicKey,
}

impl Tokens {
    pub(crate) fn new() -> Result<Self, Problem> {
        let issuer = TestIssuer::new();
        // The clock of the test issuer stands still, and `jsonwebtoken` goes by the machine's.
        let token = || {
            let token = Token::user().audiences(["stock"]).scopes(["stock:read"]);
            issuer.sign(&token.claim("nbf", 1_700_000_000).claim("exp", 4_000_000_000_i64))
        };
        let tokens: Vec<String> = (0..TOKENS).map(|_| token()).collect();
        let (x, y) = issuer.public_point();
        let kid = decode_header(&tokens[0])?.kid.ok_or("the token names its key")?;
        let keys = HashMap::from([(kid, DecodingKey::from_ec_components(&x, &y)?)]);
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = 5;
        validation.validate_nbf = true;
        validation.set_audience(&["stock"]);
        validation.set_issuer(&[issuer.issuer()]);
        validation.required_spec_claims =
            ["exp", "aud", "iss", "sub"].map(str::to_owned).into_iter().collect::<HashSet<_>>();
        let mut point = vec![4];
        for coordinate in [x, y] {
            point
                .extend(Base64UrlUnpadded::decode_vec(&coordinate).map_err(|_| "a coordinate is base64url")?);
        }
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| "it is a key")?;
        let signed = tokens.iter().map(|token| {
            let (input, signature) = token.rsplit_once('.').ok_or("a token has parts")?;
            let signature =
                Base64UrlUnpadded::decode_vec(signature).map_err(|_| "a signature is base64url")?;
            Ok::<_, Problem>((input.as_bytes().to_vec(), signature))
        });
        let signed = signed.collect::<Result<_, _>>()?;
        Ok(Self { issuer, unseen: tokens, keys, validation, signed, key })
    }

    /// Microseconds for each token: by a verifier that has seen none of them, by the library, and for the signature alone.
    pub(crate) async fn round(&mut self, is_turned: bool) -> Result<[f64; 3], Problem> {
        if is_turned {
            let (signature, library) = (self.signature()?, self.library()?);
            Ok([self.new_tokens().await?, library, signature])
        } else {
            let new = self.new_tokens().await?;
            Ok([new, self.library()?, self.signature()?])
        }
    }

    async fn new_tokens(&self) -> Result<f64, Problem> {
        let verifier = self.issuer.verifier("stock");
        let began = cpu();
        for token in &self.unseen {
            verifier.authenticator().recognise(token, "stock").await?;
        }
        Ok(each(cpu().saturating_sub(began)))
    }

    fn library(&self) -> Result<f64, Problem> {
        let began = cpu();
        for token in &self.unseen {
            let header = decode_header(token)?;
            let key = header.kid.and_then(|kid| self.keys.get(&kid)).ok_or("an unknown key")?;
            let read = decode::<Read>(token, key, &self.validation)?;
            if read.header.typ.as_deref() != Some("at+jwt") || read.claims.sub.is_empty() {
                return Err("another token".into());
            }
        }
        Ok(each(cpu().saturating_sub(began)))
    }

    fn signature(&self) -> Result<f64, Problem> {
        let began = cpu();
        for (input, signature) in &self.signed {
            self.key.verify_sig(input, signature).map_err(|_| "another signature")?;
        }
        Ok(each(cpu().saturating_sub(began)))
    }
}

/// The CPU time that this thread has taken, which does all of it.
fn cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn each(all: Duration) -> f64 {
    all.as_secs_f64() * 1e6 / f64::from(TOKENS)
}
