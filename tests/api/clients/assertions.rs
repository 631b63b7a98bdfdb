//! Owns that no assertion but a client's own, fresh and unused one proves anything.

use std::time::Duration;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use pkcs8::PrivateKeyInfoRef;
use serde_json::{Value, json};
use signet::{
    identity::Administrator,
    proto::identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, IssueTokenResponse, PasswordGrant,
        client_authentication::Credential, issue_token_request::Grant,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{Registered, Service, Wanted, alice, client_credentials, refresh, request};
use crate::harness::assert_refused;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";

/// A client's key pair.
pub(crate) struct Pair {
    pub(crate) private: EncodingKey,
    pub(crate) jwk: Value,
    pem: String,
    spki: Vec<u8>,
}

impl Pair {
    /// A pair whose public key is used with `alg`.
    pub(crate) fn new(alg: Algorithm) -> Self {
        let random = SystemRandom::new();
        let (private, spki): (EncodingKey, PublicKeyX509Der<'_>) = match alg {
            Algorithm::ES256 => {
                let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).unwrap();
                (EncodingKey::from_ec_der(der.as_ref()), pair.public_key().as_der().unwrap())
            }
            Algorithm::EdDSA => {
                let der = Ed25519KeyPair::generate_pkcs8v1(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
                (EncodingKey::from_ed_der(der.as_ref()), pair.public_key().as_der().unwrap())
            }
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                let private =
                    PrivateKeyInfoRef::try_from(der.as_ref()).unwrap().private_key.as_bytes().to_vec();
                (EncodingKey::from_rsa_der(&private), pair.public_key().as_der().unwrap())
            }
        };
        let jwk = serde_json::to_value(Jwk::from_encoding_key(&private, alg).unwrap()).unwrap();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD
                .encode(spki.as_ref())
                .as_bytes()
                .chunks(64)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect::<Vec<_>>()
                .join("\n")
        );
        Self { private, jwk, pem, spki: spki.as_ref().to_vec() }
    }
}

/// A client that signs, and its key.
pub(super) struct Signer {
    pub(super) service: Service,
    pub(super) registered: Registered,
    pair: Pair,
    alg: Algorithm,
}

impl Signer {
    async fn new(alg: Algorithm) -> Self {
        Self::of(Service::start().await, alg).await
    }

    /// On a server that was started with `args`.
    pub(super) async fn with_args(args: &[&str]) -> Self {
        Self::of(Service::start_with(args).await, Algorithm::ES256).await
    }

    async fn of(service: Service, alg: Algorithm) -> Self {
        let pair = Pair::new(alg);
        let text = pair.jwk.to_string();
        let wanted = Wanted { public_key: Some(&text), ..Wanted::confidential("a") };
        let registered = service.register("signer", wanted).await;
        assert_eq!(registered.secret, "", "who signs needs no secret");
        Self { service, registered, pair, alg }
    }

    /// What a good assertion says, each time another.
    pub(super) fn claims(&self) -> Value {
        let now = self.service.server.clock.now().as_secs();
        let jti = uuid::Uuid::from_u128(rand::random()).to_string();
        let id = &self.registered.id;
        json!({ "iss": id, "sub": id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti })
    }

    pub(super) fn claims_with(&self, member: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[member] = value;
        claims
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        sign(&json!({ "alg": self.alg }), claims, &self.pair.private, self.alg)
    }

    async fn try_with(&self, assertion: &str) -> Result<IssueTokenResponse, Status> {
        let credential = Some(Credential::ClientAssertion(assertion.to_owned()));
        let said = ClientAuthentication { client_id: String::new(), credential };
        self.service.issue(client_credentials(said)).await
    }

    async fn accepts(&self, what: &str, assertion: &str) {
        let answer = self.try_with(assertion).await;
        assert!(answer.is_ok(), "{what}: {answer:?}");
    }

    async fn refuses(&self, what: &str, assertion: &str) {
        let answer = self.try_with(assertion).await;
        assert!(answer.is_err(), "accepted: {what}");
        assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT");
    }
}

pub(crate) fn sign(header: &Value, claims: &Value, key: &EncodingKey, alg: Algorithm) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = crypto::sign(message.as_bytes(), key, alg).unwrap();
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_client_proves_who_it_is_with_every_algorithm_and_says_its_id_or_not() {
    for alg in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256] {
        let signer = Signer::new(alg).await;
        signer.accepts("as it should be", &signer.sign(&signer.claims())).await;
        let credential = Some(Credential::ClientAssertion(signer.sign(&signer.claims())));
        let named = client_credentials(signer.registered.with(credential));
        let issued = signer.service.issue(named).await.unwrap();
        assert_eq!(super::claims(&issued.access_token)["sub"], signer.registered.id.as_str());
        let other = signer.service.register("other", Wanted::confidential("a")).await;
        let credential = Some(Credential::ClientAssertion(signer.sign(&signer.claims())));
        let refused = signer.service.issue(client_credentials(other.with(credential))).await;
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
}

#[tokio::test]
async fn a_request_that_is_refused_for_its_wish_leaves_the_assertion_good() {
    let service = Service::start().await;
    let pair = Pair::new(Algorithm::ES256);
    let text = pair.jwk.to_string();
    let wanted = Wanted { public_key: Some(&text), ..Wanted::confidential("profile a") };
    let registered = service.register("signer", wanted).await;
    let signer = Signer { service, registered, pair, alg: Algorithm::ES256 };
    let assertion = signer.sign(&signer.claims());
    let said = |assertion: &str| {
        let credential = Some(Credential::ClientAssertion(assertion.to_owned()));
        Some(ClientAuthentication { client_id: String::new(), credential })
    };
    let login = signer.service.issue(request(alice(), said(&assertion))).await.unwrap();
    let own = Grant::ClientCredentials(ClientCredentialsGrant {});
    for grant in [own, alice(), refresh(&login.refresh_token.unwrap())] {
        let assertion = signer.sign(&signer.claims());
        let asked = request(grant, said(&assertion));
        let scope = IssueTokenRequest { scope: "b".to_owned(), ..asked.clone() };
        assert_refused(signer.service.issue(scope).await, Code::InvalidArgument, "INVALID_SCOPE");
        let audiences = IssueTokenRequest { audiences: vec!["elsewhere".to_owned()], ..asked.clone() };
        assert_refused(signer.service.issue(audiences).await, Code::InvalidArgument, "INVALID_AUDIENCE");
        signer.service.issue(asked.clone()).await.unwrap();
        assert_refused(signer.service.issue(asked).await, Code::Unauthenticated, "INVALID_CLIENT");
    }
    // A guess needs an assertion of its own, whether it is a password or a refresh token.
    let wrong = PasswordGrant { username: "alice".to_owned(), password: "wrong".to_owned() };
    for (grant, reason) in
        [(Grant::Password(wrong), "INVALID_CREDENTIALS"), (refresh(&"A".repeat(86)), "REFRESH_TOKEN_INVALID")]
    {
        let asked = request(grant, said(&signer.sign(&signer.claims())));
        assert_refused(signer.service.issue(asked.clone()).await, Code::Unauthenticated, reason);
        assert_refused(signer.service.issue(asked).await, Code::Unauthenticated, "INVALID_CLIENT");
    }
}

#[tokio::test]
async fn an_assertion_says_who_for_whom_and_until_when() {
    let signer = Signer::new(Algorithm::ES256).await;
    let endpoint = format!("{ISSUER}/oauth2/token");
    for aud in [json!(endpoint), json!([ISSUER]), json!([ISSUER, endpoint])] {
        signer.accepts(&aud.to_string(), &signer.sign(&signer.claims_with("aud", aud.clone()))).await;
    }
    for aud in [
        json!("https://elsewhere.example"),
        json!([]),
        json!([ISSUER, "https://elsewhere.example"]),
        json!(format!("{ISSUER}/")),
        json!(""),
        json!(1),
        json!(null),
    ] {
        signer.refuses(&aud.to_string(), &signer.sign(&signer.claims_with("aud", aud.clone()))).await;
    }
    let now = signer.service.server.clock.now().as_secs();
    for (member, good) in [
        ("exp", json!(now + 3600)),
        ("exp", json!(now + 3605)),
        ("exp", json!(now - 4)),
        ("exp", json!(1.5 + f64::from(i32::try_from(now).unwrap()))),
        ("nbf", json!(now + 15)),
        ("iat", json!(now + 15)),
        ("iat", json!(null)),
        ("jti", json!("x".repeat(255))),
    ] {
        signer.accepts(member, &signer.sign(&signer.claims_with(member, good))).await;
    }
    for (member, bad) in [
        ("exp", json!(now - 5)),
        ("exp", json!(now + 3606)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(-1)),
        ("exp", json!("soon")),
        ("exp", json!(null)),
        ("nbf", json!(now + 16)),
        ("iat", json!(now + 16)),
        ("iat", json!("then")),
        ("jti", json!("")),
        ("jti", json!("x".repeat(256))),
        ("jti", json!(1)),
        ("jti", json!(null)),
        ("iss", json!("https://elsewhere.example")),
        ("sub", json!("01a20a05-adfd-7f0f-a948-424ae62fc105")),
        ("iss", json!(null)),
        ("sub", json!(null)),
    ] {
        let claims = signer.claims_with(member, bad.clone());
        signer.refuses(&format!("{member} {bad}"), &signer.sign(&claims)).await;
    }
}

#[tokio::test]
async fn an_assertion_is_used_once_on_however_many_connections_it_comes() {
    let signer = Signer::new(Algorithm::ES256).await;
    let assertion = signer.sign(&signer.claims());
    let credential = Some(Credential::ClientAssertion(assertion.clone()));
    let mut tries = JoinSet::new();
    for _ in 0..8 {
        let mut client = signer.service.server.client().await;
        let request = client_credentials(signer.registered.with(credential.clone()));
        tries.spawn(async move { client.0.issue_token(request).await });
    }
    let answers = tries.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_refused(refused, Code::Unauthenticated, "INVALID_CLIENT");
    }
    signer.refuses("a replay", &assertion).await;
    // Signed anew it is still the same one.
    let claims = signer.claims();
    signer.accepts("the first", &signer.sign(&claims)).await;
    signer.refuses("the same `jti`", &signer.sign(&claims)).await;
    // Nor does it come back when it is swept away.
    signer.service.server.clock.advance(Duration::from_mins(10));
    signer.service.store.delete_expired_assertions(signer.service.server.clock.now()).await.unwrap();
    signer.refuses("a replay, later", &assertion).await;
    // Another client may use the same `jti`.
    let pair = Pair::new(Algorithm::ES256);
    let text = pair.pem.clone();
    let wanted = Wanted { public_key: Some(&text), ..Wanted::confidential("a") };
    let other = signer.service.register("other", wanted).await;
    let mut claims = signer.claims();
    signer.accepts("the one", &signer.sign(&claims)).await;
    claims["iss"] = other.id.clone().into();
    claims["sub"] = other.id.clone().into();
    signer
        .accepts("the other", &sign(&json!({ "alg": "ES256" }), &claims, &pair.private, Algorithm::ES256))
        .await;
}

#[tokio::test]
async fn an_assertion_is_believed_by_its_own_clients_key_and_by_no_other() {
    let signer = Signer::new(Algorithm::ES256).await;
    let stranger = Pair::new(Algorithm::ES256);
    let text = stranger.jwk.to_string();
    let wanted = Wanted { public_key: Some(&text), ..Wanted::confidential("a") };
    let other = signer.service.register("other", wanted).await;
    let header = json!({ "alg": "ES256" });
    signer
        .refuses("another's key", &sign(&header, &signer.claims(), &stranger.private, Algorithm::ES256))
        .await;
    let mut claims = signer.claims();
    claims["iss"] = other.id.clone().into();
    signer.refuses("two names", &signer.sign(&claims)).await;
    claims["sub"] = other.id.clone().into();
    signer.refuses("in another's name", &signer.sign(&claims)).await;
    // A key that comes along, and a key id of nobody's.
    for header in [
        json!({ "alg": "ES256", "jwk": stranger.jwk }),
        json!({ "alg": "ES256", "kid": "nobody's" }),
        json!({ "alg": "ES256", "jku": "http://127.0.0.1/jwks.json" }),
    ] {
        let assertion = sign(&header, &signer.claims(), &stranger.private, Algorithm::ES256);
        signer.refuses(&header.to_string(), &assertion).await;
    }
    for (header, good) in [
        (json!({ "alg": "ES256", "kid": "nobody's" }), false),
        (json!({ "alg": "ES256", "crit": ["x"], "x": 1 }), false),
        (json!({ "alg": "ES256", "typ": "at+jwt" }), false),
        (json!({ "alg": "ES256", "typ": "JWT" }), true),
        (json!({ "alg": "ES256", "typ": "client-authentication+jwt" }), true),
    ] {
        let assertion = sign(&header, &signer.claims(), &signer.pair.private, Algorithm::ES256);
        if good {
            signer.accepts(&header.to_string(), &assertion).await;
        } else {
            signer.refuses(&header.to_string(), &assertion).await;
        }
    }
    // An access token of the client is no assertion.
    let token = signer.try_with(&signer.sign(&signer.claims())).await.unwrap().access_token;
    signer.refuses("an access token", &token).await;
}

#[tokio::test]
async fn an_assertion_does_not_choose_its_algorithm() {
    for (alg, name) in [(Algorithm::ES256, "ES256"), (Algorithm::RS256, "RS256")] {
        let signer = Signer::new(alg).await;
        let claims = signer.claims();
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for none in ["none", "None", "NONE", ""] {
            let message = format!("{}.{}", encode(&json!({ "alg": none })), encode(&claims));
            signer.refuses(none, &format!("{message}.")).await;
            signer.refuses(none, &message).await;
            let genuine = signer.sign(&claims);
            let signature = genuine.rsplit('.').next().unwrap();
            signer.refuses(none, &format!("{message}.{signature}")).await;
        }
        // The public key as the secret of an HMAC.
        let jwk = signer.pair.jwk.to_string();
        for secret in [signer.pair.pem.as_bytes(), &signer.pair.spki, jwk.as_bytes()] {
            let secret = EncodingKey::from_secret(secret);
            for named in ["HS256", name] {
                let assertion = sign(&json!({ "alg": named }), &claims, &secret, Algorithm::HS256);
                signer.refuses(named, &assertion).await;
            }
        }
        // The right key by another name, and the other way of the same key.
        for named in ["ES256", "ES384", "RS256", "RS384", "PS256", "EdDSA"] {
            if named != name {
                let assertion = sign(&json!({ "alg": named }), &claims, &signer.pair.private, signer.alg);
                signer.refuses(named, &assertion).await;
            }
        }
        if alg == Algorithm::RS256 {
            for other in [Algorithm::PS256, Algorithm::RS512] {
                let assertion = sign(&json!({ "alg": other }), &claims, &signer.pair.private, other);
                signer.refuses("an RSA key is pinned to one algorithm", &assertion).await;
            }
        }
        signer.accepts("the algorithm of the key", &signer.sign(&claims)).await;
    }
}

#[tokio::test]
async fn keys_are_replaced_without_a_pause() {
    let signer = Signer::new(Algorithm::ES256).await;
    let next = Pair::new(Algorithm::EdDSA);
    let set = async |keys: Value| {
        let jwks = signet::identity::clients::read_public_keys(&keys.to_string()).unwrap();
        let (who, by) = (signer.registered.client_id().into(), Administrator::operator());
        signer.service.operator.set_keys(&who, jwks, &by).await.unwrap();
    };
    let by_next = || sign(&json!({ "alg": "EdDSA" }), &signer.claims(), &next.private, Algorithm::EdDSA);
    signer.refuses("not yet", &by_next()).await;
    set(json!({ "keys": [signer.pair.jwk, next.jwk] })).await;
    signer.accepts("the old", &signer.sign(&signer.claims())).await;
    signer.accepts("the new", &by_next()).await;
    set(next.jwk.clone()).await;
    signer.refuses("no longer", &signer.sign(&signer.claims())).await;
    signer.accepts("the new alone", &by_next()).await;
}

#[tokio::test]
async fn a_public_client_and_one_without_keys_prove_nothing_by_signing() {
    let signer = Signer::new(Algorithm::ES256).await;
    for (name, wanted) in [("app", Wanted::public("a")), ("billing", Wanted::confidential("a"))] {
        let other = signer.service.register(name, wanted).await;
        let mut claims = signer.claims();
        claims["iss"] = other.id.clone().into();
        claims["sub"] = other.id.into();
        signer.refuses(name, &signer.sign(&claims)).await;
    }
}
