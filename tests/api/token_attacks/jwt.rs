//! Owns that tokens of `typ: JWT` are believed at the one audience that asks for them, and that no other JWT passes for one.

use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use signet::{
    auth::{ResourceServer, ResourceServerSettings},
    base::{Clock, Timestamp},
    model::{AudienceName, Error, OwnedAudience, SigningAlg, TokenTyp},
    proto::identity::v1::{
        ClientAuthentication, IntrospectTokenRequest, IssueTokenRequest, RevokeTokenRequest,
        client_authentication::Credential, token_service_client::TokenServiceClient,
    },
    store::Store,
};
use tonic::{Code, Status};

use super::{Target, URL_SAFE_NO_PAD};
use crate::{
    clients::{
        Registered, Wanted, alice, assertions::ISSUER, client_credentials, operator, refresh, register,
        request,
    },
    ext_authz::{Sidecar, http},
    harness::{Data, PASSWORD, TestServer, assert_refused, password_grant, with_token},
    operator::{applied, by_operator},
};

const ON: [&str; 2] = ["--ext-authz=on", "--standing-cache-max-age=0s"];

/// The rule of a route that leads to the stock.
const STOCK: [(&str, &str); 1] = [("signet.require_audience", "stock")];

/// A server with an application for `stock` and `orders`, and a client that may introspect.
struct Place {
    target: Target,
    app: Registered,
    inspector: String,
}

impl Place {
    async fn open() -> Self {
        let target = Target::start(SigningAlg::Es256, &ON).await;
        let clients = operator(&target.server).await;
        let wanted = Wanted { audiences: "stock orders signet", ..Wanted::confidential("profile a") };
        let app = register(&clients, "app", wanted).await.unwrap();
        let inspector = register(&clients, "inspector", Wanted::confidential("introspect")).await.unwrap();
        let mut client = target.client.clone();
        let inspector = client.0.issue_token(inspector.own_token()).await.unwrap().into_inner().access_token;
        Self { target, app, inspector }
    }

    async fn asks_for(&self, audience: &str, typ: TokenTyp) {
        let store = self.target.server.store().await;
        set_typ(&store, audience, typ, self.target.server.clock.now()).await.unwrap();
    }

    /// What alice gets for `audiences`: an access and a refresh token.
    async fn log_in(&self, audiences: &[&str]) -> (String, String) {
        let login = IssueTokenRequest {
            client: Some(self.app.by_secret()),
            audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
            ..password_grant("alice", PASSWORD)
        };
        let issued = self.target.client.clone().0.issue_token(login).await.unwrap().into_inner();
        (issued.access_token, issued.refresh_token.unwrap())
    }

    async fn token(&self, audience: &str) -> String {
        self.log_in(&[audience]).await.0
    }

    async fn is_active(&self, token: &str) -> bool {
        is_active(&self.target.server, token, &self.inspector).await
    }

    async fn passes(&self, token: &str) -> bool {
        passes(&self.target.server, token).await
    }

    /// That `token` counts nowhere.
    async fn counts_nowhere(&self, token: &str) {
        assert!(!self.is_active(token).await, "{token}");
        assert!(!self.passes(token).await, "{token}");
        self.target.refuses(token).await;
    }
}

async fn is_active(server: &TestServer, token: &str, bearer: &str) -> bool {
    let mut tokens = TokenServiceClient::new(server.channel().await);
    let request = IntrospectTokenRequest { token: token.to_owned() };
    tokens.introspect_token(with_token(request, bearer)).await.unwrap().into_inner().active
}

/// Whether a sidecar lets a request with `token` through to the stock.
async fn passes(server: &TestServer, token: &str) -> bool {
    let asked = http(&[("authorization", &format!("Bearer {token}"))]);
    let answer = Sidecar::of(server).await.answer(asked, &STOCK).await.unwrap();
    answer.status.unwrap().code == 0
}

async fn set_typ(
    store: &Store,
    audience: &str,
    typ: TokenTyp,
    now: Timestamp,
) -> Result<OwnedAudience, Error> {
    let name = AudienceName::parse(audience).unwrap();
    let make = |old: &OwnedAudience| Ok(OwnedAudience { token_typ: typ, ..old.clone() });
    Ok(applied(store.update_audience(&name, None, make, by_operator(now)).await?).1)
}

/// The `typ` in the header of `token`.
fn typ(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["typ"].clone()
}

#[tokio::test]
async fn tokens_for_an_audience_alone_are_called_as_it_asks_and_no_others() {
    let place = Place::open().await;
    place.asks_for("stock", TokenTyp::Jwt).await;
    for (audiences, expected) in [
        (&["stock"][..], "JWT"),
        (&["orders"], "at+jwt"),
        (&["signet"], "at+jwt"),
        (&["stock", "orders"], "at+jwt"),
        (&["stock", "signet"], "at+jwt"),
    ] {
        assert_eq!(typ(&place.log_in(audiences).await.0), expected, "{audiences:?}");
    }
    let own = IssueTokenRequest {
        audiences: vec!["stock".to_owned()],
        ..client_credentials(place.app.by_secret())
    };
    let own = place.target.client.clone().0.issue_token(own).await.unwrap().into_inner().access_token;
    assert_eq!(typ(&own), "JWT");
    let (_, token) = place.log_in(&["stock"]).await;
    let refreshed = request(refresh(&token), Some(place.app.by_secret()));
    let refreshed = place.target.client.clone().0.issue_token(refreshed).await.unwrap().into_inner();
    assert_eq!(typ(&refreshed.access_token), "JWT");
    for token in [own, refreshed.access_token] {
        assert!(place.is_active(&token).await && place.passes(&token).await);
        place.target.refuses(&token).await;
    }
}

#[tokio::test]
async fn a_token_in_flight_counts_until_it_expires_whatever_its_audience_asks_for_meanwhile() {
    let place = Place::open().await;
    let clock = place.target.server.clock.clone();
    let before = place.token("stock").await;
    place.asks_for("stock", TokenTyp::Jwt).await;
    assert!(place.is_active(&before).await && place.passes(&before).await, "issued before, as `at+jwt`");
    let jwt = place.token("stock").await;
    clock.advance(Duration::from_mins(1));
    place.asks_for("stock", TokenTyp::AtJwt).await;
    assert_eq!(typ(&place.token("stock").await), "at+jwt");
    for server in [&place.target.server, &place.target.server.replica(&ON).await] {
        assert!(is_active(server, &jwt, &place.inspector).await && passes(server, &jwt).await);
    }
    // One that is issued later is none that anybody asked for. No process that has heard of it issues one.
    clock.advance(Duration::from_mins(1));
    let claims = |iat: i64| {
        let mut claims = crate::clients::claims(&jwt);
        claims["iat"] = iat.into();
        place.target.signed(&place.target.header_with("typ", "JWT".into()), &claims)
    };
    assert!(place.is_active(&claims(clock.now().as_secs() - 60)).await);
    place.counts_nowhere(&claims(clock.now().as_secs())).await;
    clock.advance(Duration::from_mins(15));
    assert!(!place.passes(&jwt).await, "it has expired");
    // And it ends its session, also then: it says whose that is.
    let revoke = RevokeTokenRequest { token: jwt, client: Some(place.app.by_secret()) };
    place.target.client.clone().0.revoke_token(revoke).await.unwrap();
}

#[tokio::test]
async fn a_token_counts_on_another_replica_as_soon_as_it_is_issued() {
    let place = Place::open().await;
    // It has read what holds at the audience, and may not have heard of what has changed.
    let replica = place.target.server.replica(&["--ext-authz=on", "--standing-cache-max-age=1m"]).await;
    let mut elsewhere = replica.client().await;
    let login = IssueTokenRequest {
        client: Some(place.app.by_secret()),
        audiences: vec!["stock".to_owned()],
        ..password_grant("alice", PASSWORD)
    };
    elsewhere.0.issue_token(login).await.unwrap();
    place.asks_for("stock", TokenTyp::Jwt).await;
    let token = place.token("stock").await;
    assert_eq!(typ(&token), "JWT");
    assert!(is_active(&replica, &token, &place.inspector).await && passes(&replica, &token).await);
}

#[tokio::test]
async fn a_session_is_ended_by_such_a_token_of_its_audience_and_by_none_of_another() {
    let place = Place::open().await;
    place.asks_for("stock", TokenTyp::Jwt).await;
    let (token, refresh_token) = place.log_in(&["orders"]).await;
    let header = place.target.header_with("typ", "JWT".into());
    let false_one = place.target.signed(&header, &crate::clients::claims(&token));
    let revoke = async |token: &str| {
        let request = RevokeTokenRequest { token: token.to_owned(), client: Some(place.app.by_secret()) };
        place.target.client.clone().0.revoke_token(request).await.map(drop)
    };
    let again = async |token: &str| -> Result<String, Status> {
        let request = request(refresh(token), Some(place.app.by_secret()));
        let issued = place.target.client.clone().0.issue_token(request).await?.into_inner();
        Ok(issued.refresh_token.unwrap())
    };
    revoke(&false_one).await.unwrap();
    again(&refresh_token).await.unwrap();
    let (token, refresh_token) = place.log_in(&["stock"]).await;
    revoke(&token).await.unwrap();
    assert_refused(again(&refresh_token).await, Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
}

#[tokio::test]
async fn neither_an_id_token_nor_one_of_another_audience_passes_for_one() {
    let place = Place::open().await;
    place.asks_for("stock", TokenTyp::Jwt).await;
    let header = place.target.header_with("typ", "JWT".into());
    let genuine = crate::clients::claims(&place.token("stock").await);
    let with = |aud: Value| {
        let mut claims = genuine.clone();
        claims["aud"] = aud;
        place.target.signed(&header, &claims)
    };
    for good in [json!("stock"), json!(["stock"])] {
        let token = with(good);
        assert!(place.is_active(&token).await && place.passes(&token).await, "{token}");
    }
    for bad in [
        // As the ID token of the application would have it.
        json!(place.app.id),
        json!([place.app.id]),
        json!(["stock", place.app.id]),
        json!(["stock", "orders"]),
        json!(["stock", "stock"]),
        json!(["stock", "signet"]),
        json!("orders"),
        json!("signet"),
        json!("nowhere"),
        json!([]),
    ] {
        place.counts_nowhere(&with(bad)).await;
    }
}

#[tokio::test]
async fn a_service_never_takes_one_for_itself_also_if_it_is_called_as_an_audience_that_asks_for_it() {
    let place = Place::open().await;
    place.asks_for("stock", TokenTyp::Jwt).await;
    let mut claims = crate::clients::claims(&place.token("stock").await);
    claims["scope"] = "profile".into();
    let [at_jwt, jwt] = ["at+jwt", "JWT"]
        .map(|typ| place.target.signed(&place.target.header_with("typ", typ.into()), &claims));
    let (data, clock) = place.target.server.stop().await;
    let renamed =
        TestServer::start_in(data, clock, &["--audience=stock", "--standing-cache-max-age=0s"]).await;
    let mut client = renamed.client().await;
    assert_eq!(client.get_me(&at_jwt).await.unwrap().username, "alice");
    assert_refused(client.get_me(&jwt).await, Code::Unauthenticated, "TOKEN_INVALID");
    let own = IssueTokenRequest { audiences: vec!["stock".to_owned()], ..request(alice(), None) };
    let own = client.0.issue_token(own).await.unwrap().into_inner().access_token;
    assert_eq!(typ(&own), "at+jwt");
}

#[tokio::test]
async fn a_service_that_verifies_itself_takes_one_if_it_says_so_and_for_itself_alone() {
    // Its clock is the system's.
    let signet = TestServer::start_in(Data::new().await, Clock::system(), &[]).await;
    signet.client().await.sign_up("alice", PASSWORD).await.unwrap();
    let wanted = Wanted { audiences: "stock orders", ..Wanted::confidential("a") };
    let app = register(&operator(&signet).await, "app", wanted).await.unwrap();
    for audience in ["stock", "orders"] {
        set_typ(&signet.store().await, audience, TokenTyp::Jwt, signet.clock.now()).await.unwrap();
    }
    let token = async |audience: &str| {
        let asked = request(alice(), Some(app.by_secret()));
        let asked = IssueTokenRequest { audiences: vec![audience.to_owned()], ..asked };
        signet.client().await.0.issue_token(asked).await.unwrap().into_inner().access_token
    };
    let verify = async |token_typ_jwt: bool, token: &str, audience: &str| {
        let mut settings = ResourceServerSettings::new(ISSUER, "stock");
        settings.jwks_uri = Some(format!("http://{}/.well-known/jwks.json", signet.started.http_addr));
        settings.token_typ_jwt = token_typ_jwt;
        let service = ResourceServer::start(settings).unwrap();
        service.ready().await;
        service.authenticator().recognise(token, audience).await.is_ok()
    };
    let (of_stock, of_orders) = (token("stock").await, token("orders").await);
    assert_eq!((typ(&of_stock), typ(&of_orders)), (json!("JWT"), json!("JWT")));
    assert!(verify(true, &of_stock, "stock").await);
    assert!(!verify(false, &of_stock, "stock").await, "nobody has said so");
    assert!(!verify(true, &of_orders, "stock").await);
    assert!(!verify(true, &of_orders, "orders").await, "not even where a rule names that audience");
}

#[tokio::test]
async fn a_token_is_no_assertion_of_a_client_and_an_assertion_is_no_token() {
    let place = Place::open().await;
    let clients = operator(&place.target.server).await;
    // The worst that a client can be registered with: the keys of the service itself.
    let keys = place.target.server.http_get("/.well-known/jwks.json").await.into_body();
    let wanted = Wanted { audiences: ISSUER, public_key: Some(&keys), ..Wanted::confidential("a") };
    let signer = register(&clients, "signer", wanted).await.unwrap();
    place.asks_for(ISSUER, TokenTyp::Jwt).await;
    let now = place.target.server.clock.now().as_secs();
    let claims = |jti: u128| {
        let jti = uuid::Uuid::from_u128(jti).to_string();
        json!({ "iss": signer.id, "sub": signer.id, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": jti })
    };
    let header = place.target.header_with("typ", "JWT".into());
    let issue = async |assertion: String| {
        let credential = Some(Credential::ClientAssertion(assertion));
        let said = ClientAuthentication { client_id: String::new(), credential };
        let issued = place.target.client.clone().0.issue_token(client_credentials(said)).await?;
        Ok::<_, Status>(issued.into_inner().access_token)
    };
    let own = issue(place.target.signed(&header, &claims(1))).await.unwrap();
    assert_eq!((typ(&own), crate::clients::claims(&own)["aud"].clone()), (json!("JWT"), json!(ISSUER)));
    assert!(place.is_active(&own).await);
    assert_refused(issue(own).await, Code::Unauthenticated, "INVALID_CLIENT");
    // What it has all members of that a token has, but not of this issuer.
    let mut assertion = claims(2);
    assertion["client_id"] = signer.id.clone().into();
    assertion["scope"] = "a".into();
    place.counts_nowhere(&place.target.signed(&header, &assertion)).await;
}
