//! Owns what happens to who tries secrets that cannot be guessed: a right one is never refused for it.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::json;
use signet::proto::identity::v1::{
    ClientAuthentication, IssueTokenRequest, RefreshTokenGrant, client_authentication::Credential,
    issue_token_request::Grant,
};
use tonic::{Code, Status};

use super::{Guessed, PASSWORD, Somebody};
use crate::{
    clients::{
        Registered, Wanted,
        assertions::{ISSUER, Pair, sign},
        client_credentials, operator, register,
    },
    harness::{assert_refused, password_grant},
};

const OFFICE: &str = "198.51.100.7";

impl Somebody {
    async fn refresh(&self, token: &str) -> Result<String, Status> {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
        let request = IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() };
        let issued = self.client.clone().0.issue_token(self.says(request)).await?.into_inner();
        Ok(issued.refresh_token.unwrap())
    }

    async fn pose_as(&self, client_id: &str) -> Result<(), Status> {
        let credential = Some(Credential::ClientSecret("made up".to_owned()));
        let client = Some(ClientAuthentication { client_id: client_id.to_owned(), credential });
        let request = IssueTokenRequest { client, ..password_grant("alice", PASSWORD) };
        self.client.clone().0.issue_token(self.says(request)).await.map(drop)
    }
}

#[tokio::test]
async fn wrong_secrets_are_charged_to_the_address_and_right_ones_are_never_refused() {
    let guessed = Guessed::start(&["--address-failures=10"]).await;
    let office = guessed.from(OFFICE).await;
    let token = office.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap();
    for _ in 0..5 {
        assert_refused(office.refresh("made up").await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
        assert_refused(office.pose_as("made up").await, Code::Unauthenticated, "INVALID_CLIENT");
    }
    let second = Duration::from_secs(1);
    Somebody::assert_throttled(office.refresh("made up").await, second);
    Somebody::assert_throttled(office.pose_as("made up").await, second);
    let next = office.refresh(&token).await.unwrap();
    office.refresh(&next).await.unwrap();
    // Passwords have an allowance of their own, and other addresses too.
    office.must_fail("alice").await;
    office.log_in("alice", PASSWORD).await.unwrap();
    let another = guessed.from("192.0.2.9").await;
    assert_refused(another.refresh("made up").await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
}

#[tokio::test]
async fn assertions_count_as_secrets_do() {
    let guessed = Guessed::start(&["--address-failures=10"]).await;
    let (own, forged) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let public_key = own.jwk.to_string();
    let wanted = Wanted { public_key: Some(&public_key), ..Wanted::confidential("a") };
    let Registered { id, .. } = register(&operator(&guessed.server).await, "signer", wanted).await.unwrap();
    let office = guessed.from(OFFICE).await;
    let now = guessed.server.clock.now().as_secs();
    let show = async |pair: &Pair, jti: usize| {
        let claims = json!({ "iss": id, "sub": id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti.to_string() });
        let assertion = sign(&json!({ "alg": "ES256" }), &claims, &pair.private, Algorithm::ES256);
        let credential = Some(Credential::ClientAssertion(assertion));
        let said = client_credentials(ClientAuthentication { client_id: String::new(), credential });
        office.client.clone().0.issue_token(office.says(said)).await
    };
    for jti in 0..9 {
        assert_refused(show(&forged, jti).await, Code::Unauthenticated, "INVALID_CLIENT");
    }
    // It is one allowance for everything that has 256 bits.
    assert_refused(office.pose_as("made up").await, Code::Unauthenticated, "INVALID_CLIENT");
    Somebody::assert_throttled(show(&forged, 9).await, Duration::from_secs(1));
    show(&own, 10).await.unwrap();
    // One that was used is wrong.
    Somebody::assert_throttled(show(&own, 10).await, Duration::from_secs(1));
    office.log_in("alice", PASSWORD).await.unwrap();
}
