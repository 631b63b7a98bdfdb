//! Owns which scopes and audiences a token gets, and which it never gets.

use signet::{
    model::ClientKind,
    proto::identity::v1::{
        ClientAuthentication, IssueTokenRequest, IssueTokenResponse, issue_token_request::Grant,
    },
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{OWN_AUDIENCE, Registered, Service, Wanted, alice, claims, refresh, request};
use crate::harness::assert_refused;

/// `request`, asking for `scope` and `audiences`.
fn asking(request: IssueTokenRequest, scope: &str, audiences: &[&str]) -> IssueTokenRequest {
    let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
    IssueTokenRequest { scope: scope.to_owned(), audiences, ..request }
}

async fn ask(
    service: &Service,
    grant: Grant,
    client: Option<ClientAuthentication>,
    scope: &str,
) -> Result<IssueTokenResponse, Status> {
    service.issue(asking(request(grant, client), scope, &[])).await
}

/// What the refusal says is not allowed.
fn named(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info().unwrap().metadata.get(key).cloned()
}

#[tokio::test]
async fn a_client_gets_the_scopes_that_it_asks_for_and_no_more_than_it_is_allowed() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("a b c profile")).await;
    for (asked, got) in [("", "a b c"), ("b", "b"), ("c a", "c a"), ("a a", "a")] {
        let issued = service.issue(asking(billing.own_token(), asked, &[])).await.unwrap();
        assert_eq!(issued.scope, got, "{asked:?}");
        assert_eq!(claims(&issued.access_token)["scope"], got);
    }
    for (asked, beyond) in [
        ("d", "d"),
        ("a d", "d"),
        ("x a y", "x y"),
        ("A", "A"),
        ("profile", "profile"),
        ("introspect", "introspect"),
    ] {
        let refused = service.issue(asking(billing.own_token(), asked, &[])).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
        assert_eq!(named(&status, "scope").as_deref(), Some(beyond), "{asked:?}");
        assert!(status.message().contains(&format!("`{beyond}`")), "{status:?}");
    }
    for malformed in [" ", "a  b", "a ", "\"a\"", "a\\b", "é", "a\tb", &"x".repeat(1025)] {
        let refused = service.issue(asking(billing.own_token(), malformed, &[])).await;
        let status = assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
        assert_eq!(named(&status, "scope"), None, "{malformed:?}");
    }
}

#[tokio::test]
async fn a_user_gets_no_scope_that_is_for_clients_alone() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("profile a introspect")).await;
    let issued = ask(&service, alice(), Some(billing.by_secret()), "").await.unwrap();
    assert_eq!(issued.scope, "profile a");
    for (client, asked) in
        [(Some(billing.by_secret()), "introspect"), (None, "introspect"), (None, "a"), (None, "profile a")]
    {
        let refused = ask(&service, alice(), client, asked).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    }
    assert_eq!(ask(&service, alice(), None, "profile").await.unwrap().scope, "profile");
    // Without `profile` a user's token does not reach the user's account.
    let narrow = ask(&service, alice(), Some(billing.by_secret()), "a").await.unwrap();
    let refused = service.client.clone().get_me(&narrow.access_token).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_and_never_widens_it() {
    let service = Service::start().await;
    let app = service.register("app", Wanted::public("profile a b")).await;
    let client = || Some(app.with(None));
    let opened = ask(&service, alice(), client(), "profile a").await.unwrap();
    let mut token = opened.refresh_token.unwrap();
    for beyond in ["b", "profile a b", "introspect"] {
        let refused = ask(&service, refresh(&token), client(), beyond).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    }
    // The refusals have not used it up; and what was narrowed once is there again the next time (RFC 6749 section 6).
    for (asked, got) in [("a", "a"), ("", "profile a"), ("profile", "profile"), ("profile a", "profile a")] {
        let issued = ask(&service, refresh(&token), client(), asked).await.unwrap();
        assert_eq!(issued.scope, got, "{asked:?}");
        token = issued.refresh_token.unwrap();
    }
}

#[tokio::test]
async fn a_token_is_meant_for_whom_the_client_may_speak_to() {
    let service = Service::start().await;
    let wanted =
        Wanted { audiences: "orders https://stock.example/ signet", ..Wanted::confidential("introspect") };
    let billing = service.register("billing", wanted).await;
    let plain = service.register("plain", Wanted::confidential("introspect")).await;
    let aud = async |registered: &Registered, audiences: &[&str]| {
        let issued = service.issue(asking(registered.own_token(), "", audiences)).await?;
        Ok::<_, Status>(claims(&issued.access_token)["aud"].clone())
    };
    let all = serde_json::json!(["orders", "https://stock.example/", "signet"]);
    assert_eq!(aud(&billing, &[]).await.unwrap(), all);
    assert_eq!(aud(&billing, &["orders"]).await.unwrap(), "orders");
    assert_eq!(aud(&billing, &["signet", "orders"]).await.unwrap(), serde_json::json!(["signet", "orders"]));
    assert_eq!(aud(&plain, &[]).await.unwrap(), OWN_AUDIENCE);
    assert_eq!(aud(&plain, &[OWN_AUDIENCE]).await.unwrap(), OWN_AUDIENCE);
    for (registered, audiences, beyond) in [
        (&billing, &["payroll"][..], Some("payroll")),
        (&billing, &["orders", "payroll"], Some("payroll")),
        (&plain, &["orders"], Some("orders")),
        (&billing, &["orders signet"], None),
        (&billing, &[""], None),
        (&billing, &["é"], None),
    ] {
        let status =
            assert_refused(aud(registered, audiences).await, Code::InvalidArgument, "INVALID_AUDIENCE");
        assert_eq!(named(&status, "audience").as_deref(), beyond, "{audiences:?}");
    }
    // Only what is meant for Signet opens its methods.
    for (audiences, opens) in
        [(&["orders"][..], false), (&["orders", "signet"], true), (&["signet"], true), (&[], true)]
    {
        let token = service.issue(asking(billing.own_token(), "", audiences)).await.unwrap().access_token;
        let answer = service.introspect(&token, &token).await;
        if opens {
            assert!(answer.unwrap().active, "{audiences:?}");
        } else {
            assert_refused(answer, Code::Unauthenticated, "TOKEN_INVALID");
        }
    }
}

#[tokio::test]
async fn a_login_is_meant_for_whom_it_asked_for_and_a_refresh_for_no_others() {
    let service = Service::start().await;
    let wanted = Wanted { audiences: "orders stock", kind: ClientKind::Public, ..Wanted::public("profile") };
    let app = service.register("app", wanted).await;
    let ask = async |grant, client, audiences: &[&str]| {
        service.issue(asking(request(grant, client), "", audiences)).await
    };
    let client = || Some(app.with(None));
    let opened = ask(alice(), client(), &["orders"]).await.unwrap();
    assert_eq!(claims(&opened.access_token)["aud"], "orders");
    let token = opened.refresh_token.unwrap();
    let refused = ask(refresh(&token), client(), &["stock"]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_AUDIENCE");
    let refreshed = ask(refresh(&token), client(), &[]).await.unwrap();
    assert_eq!(claims(&refreshed.access_token)["aud"], "orders");

    let both = ask(alice(), client(), &[]).await.unwrap();
    let narrowed = ask(refresh(&both.refresh_token.unwrap()), client(), &["stock"]).await.unwrap();
    assert_eq!(claims(&narrowed.access_token)["aud"], "stock");
    let refused = ask(alice(), client(), &[OWN_AUDIENCE]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_AUDIENCE");
    let refused = ask(alice(), None, &["orders"]).await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_AUDIENCE");
    let own = ask(alice(), None, &[OWN_AUDIENCE]).await.unwrap();
    assert_eq!(claims(&own.access_token)["aud"], OWN_AUDIENCE);
}
