//! Owns verifying whether a token is genuine and in time: RFC 9068 section 4, RFC 8725.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use quick_cache::sync::Cache;

use super::Keys;
use crate::{
    base::{Clock, Tally},
    jose::{CompactJws, JoseHeader, KID_MAX_BYTES, KeySet, Malformed, VerifyingKey},
    model::{Claims, Error, TokenTyp},
};

/// The longest token that is looked at, in bytes: Signet's own stay below 5 KiB, with all the scopes and audiences that a client can
/// have, and below 1 KiB with few.
const TOKEN_MAX_BYTES: usize = 8 * 1024;

/// What a verifier expects of a token.
#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// The one issuer that is trusted (`iss`).
    pub issuer: String,
    /// Whom a token must be meant for (`aud`) to be shown to this service itself.
    pub audience: String,
    /// How far the issuer's clock may be from this one: `exp` and `nbf` are checked with this allowance.
    pub leeway: Duration,
    /// How many verified tokens are remembered, so that a token seen before costs no signature check.
    pub cache_size: usize,
    /// Which tokens of `typ: JWT` are taken, too. Only those for an audience that asks Signet for them: RFC 8725 section 3.11 says why
    /// no others.
    pub token_typ_jwt: JwtTyp,
}

/// Of those tokens of `typ: JWT` that are meant for one audience alone, which is not their client, those that a verifier takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JwtTyp {
    /// None.
    #[default]
    None,
    /// Those for the verifier's own audience.
    ForItself,
    /// Those for any audience but the verifier's own. Whether that asks for them is for the [`Standing`](super::Standing) to say.
    ForOthers,
}

/// Verifies access tokens, and remembers those it has verified.
#[derive(Debug)]
pub struct Verifier<K> {
    keys: K,
    clock: Clock,
    settings: VerifierSettings,
    seen: Cache<Fingerprint, VerifiedToken>,
    tally: Tally,
}

/// The SHA-256 of a token: the token itself is not kept.
type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

/// A token whose signature has been verified, with a key that was in force as far as was known. As an extension of a request, it is the one
/// in that request's headers, and spares [`Authenticator::authenticate_request`](super::Authenticator::authenticate_request) another look
/// at it.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    claims: Arc<Claims>,
    /// Once it is no longer in force, the token is worth nothing.
    key: Arc<VerifyingKey>,
}

impl VerifiedToken {
    /// What it says. Whether that still stands is not known.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    fn is_of(&self, keys: &KeySet) -> bool {
        keys.get(&self.key.kid().0).is_some_and(|current| Arc::ptr_eq(current, &self.key))
    }
}

impl<K: Keys> Verifier<K> {
    /// A verifier that trusts `keys`.
    pub fn new(keys: K, clock: Clock, settings: VerifierSettings) -> Self {
        let seen = Cache::new(settings.cache_size);
        Self { keys, clock, settings, seen, tally: Tally::default() }
    }

    /// How often a token had been seen before, and how often not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Whom a token must be meant for to be shown to this service itself.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.settings.audience
    }

    /// What `token` says, if it is genuine, meant for `audience`, and in time.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] or [`Error::TokenExpired`]; [`Error::Unavailable`] if it cannot be told which keys are in force.
    pub async fn verify(&self, token: &str, audience: &str) -> Result<Arc<Claims>, Error> {
        self.verify_from(token, audience, None).await
    }

    /// The same, in a call from the address `caller`: what it may cost to look for keys is shared by address.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_from(
        &self,
        token: &str,
        audience: &str,
        caller: Option<IpAddr>,
    ) -> Result<Arc<Claims>, Error> {
        self.verify_seen(token, audience, caller).await.map(|(claims, _)| claims)
    }

    /// The same, and whether the token had been verified before.
    pub(super) async fn verify_seen(
        &self,
        token: &str,
        audience: &str,
        caller: Option<IpAddr>,
    ) -> Result<(Arc<Claims>, bool), Error> {
        let (claims, was_seen) = self.signed(token, caller).await?;
        // First whom it is meant for: to others it is invalid, whether in time or not.
        if !claims.aud.contains(audience) {
            return Err(ANOTHER_AUDIENCE);
        }
        self.check_time(&claims)?;
        Ok((claims, was_seen))
    }

    /// What `token` says, if it is genuine and in time, whomever it is meant for: for telling others about it, never for letting
    /// its bearer in.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`] or [`Error::TokenExpired`]; [`Error::Unavailable`] if it cannot be told which keys are in force.
    pub async fn verify_for_anyone(&self, token: &str) -> Result<Arc<Claims>, Error> {
        let (claims, _) = self.signed(token, None).await?;
        self.check_time(&claims)?;
        Ok(claims)
    }

    /// What `token` says, if it is genuine, even if it has expired: for ending what it stands for, never for letting its bearer in.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], also if the key that signed it is no longer in force; [`Error::Unavailable`] if it cannot be told which
    /// keys are.
    pub async fn verify_expired(&self, token: &str) -> Result<Arc<Claims>, Error> {
        self.signed(token, None).await.map(|(claims, _)| claims)
    }

    /// What `token` says, whose signature verifies, at whatever time; and whether it had been verified before.
    async fn signed(&self, token: &str, caller: Option<IpAddr>) -> Result<(Arc<Claims>, bool), Error> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Error::TokenInvalid("it is too long"));
        }
        let keys = self.keys.current(caller).await?;
        let fingerprint = fingerprint(token);
        let seen = self.seen_before(&fingerprint, &keys);
        self.tally.count(seen.is_some());
        if let Some(seen) = seen {
            return Ok((seen.claims, true));
        }
        let jws = parse(token)?;
        let kid = self.named_key(jws.header())?;
        let key = if let Some(key) = keys.get(kid) {
            Arc::clone(key)
        } else {
            self.keys.find(kid, caller).await?.ok_or(UNKNOWN_KEY)?
        };
        Ok((self.check_signature(&jws, key, fingerprint)?.claims, false))
    }

    /// `token`, if it has been verified before, with a key that is in force as far as is known, and is in time: at once.
    pub(super) fn remembered(&self, token: &str) -> Option<VerifiedToken> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let seen = self.seen_before(&fingerprint(token), &self.keys.last_known())?;
        self.check_time(&seen.claims).ok()?;
        self.tally.count(true);
        Some(seen)
    }

    /// `token`, which is not [`remembered`](Self::remembered), if its signature verifies with a key that is in force as far as is known,
    /// and it is in time: nothing is waited for.
    pub(super) fn verify_at_once(&self, token: &str) -> Option<VerifiedToken> {
        if token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        self.tally.count(false);
        let jws = parse(token).ok()?;
        let key = Arc::clone(self.keys.last_known().get(self.named_key(jws.header()).ok()?)?);
        let verified = self.check_signature(&jws, key, fingerprint(token)).ok()?;
        self.check_time(&verified.claims).ok()?;
        Some(verified)
    }

    /// What `token` says, if its key is in force, and it is meant for `audience` and in time.
    pub(super) async fn check_again(
        &self,
        token: VerifiedToken,
        audience: &str,
        caller: Option<IpAddr>,
    ) -> Result<Arc<Claims>, Error> {
        if !token.is_of(&*self.keys.current(caller).await?) {
            return Err(UNKNOWN_KEY);
        }
        if !token.claims.aud.contains(audience) {
            return Err(ANOTHER_AUDIENCE);
        }
        self.check_time(&token.claims)?;
        Ok(token.claims)
    }

    /// What was verified before, with one of `keys`.
    fn seen_before(&self, fingerprint: &Fingerprint, keys: &KeySet) -> Option<VerifiedToken> {
        self.seen.get(fingerprint).filter(|seen| seen.is_of(keys))
    }

    fn check_signature(
        &self,
        jws: &CompactJws<'_>,
        key: Arc<VerifyingKey>,
        fingerprint: Fingerprint,
    ) -> Result<VerifiedToken, Error> {
        if jws.header().alg != key.algorithm_name() {
            return Err(Error::TokenInvalid("its algorithm is not the one of its key"));
        }
        let signature = jws.signature();
        // How a forgery failed is nobody's business.
        if !signature.is_ok_and(|signature| key.verifies(jws.signing_input().as_bytes(), &signature)) {
            return Err(Error::TokenInvalid("its signature does not verify"));
        }
        let verified = VerifiedToken { claims: Arc::new(self.check_claims(jws)?), key };
        // What lets nobody in pushes out nothing that does.
        if self.check_time(&verified.claims).is_ok() {
            self.seen.insert(fingerprint, verified.clone());
        }
        Ok(verified)
    }

    /// The key that the header of an access token names.
    fn named_key<'h>(&self, header: &'h JoseHeader) -> Result<&'h str, Error> {
        self.typ(header).ok_or(ANOTHER_TYP)?;
        if header.has_critical_extensions() {
            return Err(Error::TokenInvalid("it has critical header extensions"));
        }
        let kid = header.kid.as_deref().filter(|kid| !kid.is_empty() && kid.len() <= KID_MAX_BYTES);
        kid.ok_or(Error::TokenInvalid("it names no key"))
    }

    /// Which access token `header` says that it is of (RFC 9068 section 4), of those that are taken.
    fn typ(&self, header: &JoseHeader) -> Option<TokenTyp> {
        let is_taken = |typ: TokenTyp| typ == TokenTyp::AtJwt || self.settings.token_typ_jwt != JwtTyp::None;
        TokenTyp::ALL.iter().copied().find(|typ| is_taken(*typ) && header.is_of_type(typ.name()))
    }

    /// Whether tokens of the type of `claims` are taken that are meant for their audiences.
    fn takes_typ_of(&self, claims: &Claims) -> bool {
        let is_own = claims.aud.contains(&self.settings.audience);
        match (claims.typ, self.settings.token_typ_jwt) {
            (TokenTyp::AtJwt, _) => true,
            (TokenTyp::Jwt, JwtTyp::None) => false,
            (TokenTyp::Jwt, JwtTyp::ForItself) => is_own,
            (TokenTyp::Jwt, JwtTyp::ForOthers) => !is_own,
        }
    }

    /// What the payload of a token says whose signature has been verified.
    fn check_claims(&self, jws: &CompactJws<'_>) -> Result<Claims, Error> {
        let mut claims: Claims = jws.payload().map_err(|malformed| match malformed {
            Malformed::NotCompact => NOT_A_JWT,
            Malformed::OtherJson => Error::TokenInvalid("it lacks required claims"),
        })?;
        claims.typ = self.typ(jws.header()).ok_or(ANOTHER_TYP)?;
        if !claims.may_be_of_its_typ() || !self.takes_typ_of(&claims) {
            return Err(ANOTHER_TYP);
        }
        if claims.iss != self.settings.issuer {
            return Err(Error::TokenInvalid("its issuer is another one"));
        }
        if !claims.are_consistent() {
            return Err(Error::TokenInvalid("it has no session, and is not a client's own"));
        }
        Ok(claims)
    }

    fn check_time(&self, claims: &Claims) -> Result<(), Error> {
        let now = self.clock.now().as_secs();
        let leeway = i64::try_from(self.settings.leeway.as_secs()).unwrap_or(i64::MAX);
        // "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4)
        if now >= claims.exp.saturating_add(leeway) {
            return Err(Error::TokenExpired);
        }
        let valid_from = claims.nbf.map_or(claims.iat, |nbf| nbf.max(claims.iat));
        if now < valid_from.saturating_sub(leeway) {
            return Err(Error::TokenInvalid("it is not valid yet"));
        }
        Ok(())
    }
}

fn fingerprint(token: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    fingerprint
}

fn parse(token: &str) -> Result<CompactJws<'_>, Error> {
    CompactJws::parse(token).map_err(|_| NOT_A_JWT)
}

/// Also where `JWT` is taken for some audience: which that is, is nobody's business.
const ANOTHER_TYP: Error = Error::TokenInvalid("its `typ` is not `at+jwt`");
const ANOTHER_AUDIENCE: Error = Error::TokenInvalid("it is meant for another audience");
const UNKNOWN_KEY: Error = Error::TokenInvalid("its key is unknown");
const NOT_A_JWT: Error = Error::TokenInvalid("it is not a JWT");

/// What must hold for any bytes, as a token, as its header, and as its claims: nobody who lacks the key is believed.
#[cfg(all(feature = "server", any(fuzzing, test)))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use futures_util::FutureExt;

    use crate::jose::PublicKey;

    /// One key, whose private part nobody has: its point is that of RFC 7515 appendix A.3.
    struct OneKey(Arc<KeySet>);
    impl Keys for OneKey {
        fn current(
            &self,
            _caller: Option<IpAddr>,
        ) -> impl Future<Output = Result<Arc<KeySet>, Error>> + Send {
            std::future::ready(Ok(self.last_known()))
        }

        fn last_known(&self) -> Arc<KeySet> {
            Arc::clone(&self.0)
        }
    }
    static VERIFIER: std::sync::LazyLock<Verifier<OneKey>> = std::sync::LazyLock::new(|| {
        let jwk = serde_json::from_str(
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        );
        let public = PublicKey::of(&jwk.expect("it is a JWK")).expect("its point is of the curve");
        let key = VerifyingKey::new(crate::model::KeyId("k".to_owned()), public);
        let keys = [Arc::new(key.expect("it is a key"))].into_iter().collect();
        let settings = VerifierSettings {
            issuer: "https://id.example".to_owned(),
            audience: "signet".to_owned(),
            leeway: Duration::from_mins(1),
            cache_size: 16,
            token_typ_jwt: JwtTyp::ForItself,
        };
        let clock = Clock::manual(crate::base::Timestamp::from_micros(1_795_435_200_000_000));
        Verifier::new(OneKey(Arc::new(keys)), clock, settings)
    });

    let encoded = Base64UrlUnpadded::encode_string(bytes);
    let of_claims = format!(r"{}.{encoded}.{}", HEADER, "A".repeat(86));
    let tokens =
        [str::from_utf8(bytes).unwrap_or_default().to_owned(), format!("{encoded}.{encoded}.AA"), of_claims];
    for token in &tokens {
        let verified = VERIFIER.verify(token, "signet").now_or_never();
        assert!(verified.is_some_and(|verified| verified.is_err()), "{token}");
    }
    if let Ok(claims) = parse(&tokens[2]).and_then(|jws| VERIFIER.check_claims(&jws)) {
        assert!(claims.are_consistent() && claims.iss == "https://id.example");
        let _ = (VERIFIER.check_time(&claims), claims.subject(), claims.has_scope("profile"));
    }
}

/// `{"typ":"at+jwt","alg":"ES256","kid":"k"}`
#[cfg(all(feature = "server", any(fuzzing, test)))]
const HEADER: &str = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ";
