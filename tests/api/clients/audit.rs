//! Owns what the audit log tells of clients that are refused: which, and why, which the clients themselves are not told.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::Value;
use signet::audit::Reason;
use signet::proto::identity::v1::{ClientAuthentication, client_authentication::Credential};
use tempfile::TempDir;
use tonic::Code;

use super::{Registered, Service, Wanted, alice, assertions::Signer, client_credentials, request};
use crate::harness::{assert_refused, eventually};

const WRONG: &str = "a-secret-that-nobody-has";

/// A place for an audit log, and the flag that names it.
pub(crate) struct Log(TempDir);

impl Log {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn flag(&self) -> String {
        format!("--audit-log={}", self.path().display())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    /// The lines that tell of refused clients, once there are `count`.
    pub(crate) async fn refusals(&self, count: usize) -> Vec<Value> {
        let read = || -> Vec<Value> {
            let text = fs::read_to_string(self.path()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.filter(|line| line["event"] == "client.refused").collect()
        };
        eventually("the refusals are told", async || read().len() >= count).await;
        let lines = read();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }
}

/// Asserts that `line` tells why `client` was refused.
#[track_caller]
pub(crate) fn tells(line: &Value, reason: Reason, client: Option<&str>) {
    let told = |member: &str| line[member].as_str();
    assert_eq!(
        (told("outcome"), told("reason"), told("actor")),
        (Some("failure"), Some(reason.name()), Some("anonymous")),
        "{line}"
    );
    assert_eq!((told("client_id"), told("address")), (client, Some("127.0.0.1")), "{line}");
    assert!(told("user_agent").unwrap().starts_with("tonic/"), "{line}");
}

/// Asserts that the client is told one thing, whatever is wrong.
async fn refused(service: &Service, client: ClientAuthentication) {
    let answer = service.issue(client_credentials(client)).await;
    let status = assert_refused(answer, Code::Unauthenticated, "INVALID_CLIENT");
    assert_eq!(status.message(), signet::model::Error::InvalidClient.to_string());
}

fn secret(registered: &Registered, secret: &str) -> ClientAuthentication {
    registered.with(Some(Credential::ClientSecret(secret.to_owned())))
}

#[tokio::test]
async fn a_refused_client_is_told_with_the_reason_that_it_is_not_given() {
    let log = Log::new();
    let service = Service::start_with(&["--standing-cache-max-age=0s", &log.flag()]).await;
    let billing = service.register("billing", Wanted::confidential("a")).await;
    let app = service.register("app", Wanted::public("a")).await;
    let nobody = Registered { id: "01a20a05-adfd-7f0f-a948-424ae62fc105".to_owned(), secret: String::new() };
    let nameless = Registered { id: "bill\"ing".to_owned(), secret: String::new() };

    refused(&service, secret(&nobody, WRONG)).await;
    refused(&service, secret(&nameless, WRONG)).await;
    refused(&service, secret(&billing, WRONG)).await;
    refused(&service, secret(&app, WRONG)).await;
    refused(&service, billing.with(None)).await;
    service.set_active(&billing, false).await;
    refused(&service, billing.by_secret()).await;
    refused(&service, secret(&billing, "another-one")).await;
    service.set_active(&app, false).await;
    let login = service.issue(request(alice(), Some(app.with(None)))).await;
    assert_refused(login, Code::Unauthenticated, "INVALID_CLIENT");

    // Two of nobody are one kind, and so are two of a wrong secret.
    let lines = log.refusals(6).await;
    let expected = [
        (Reason::UnknownClient, None),
        (Reason::WrongSecret, Some(billing.id.as_str())),
        (Reason::WrongSecret, Some(app.id.as_str())),
        (Reason::MissingProof, Some(billing.id.as_str())),
        (Reason::ClientDisabled, Some(billing.id.as_str())),
        (Reason::ClientDisabled, Some(app.id.as_str())),
    ];
    for (line, (reason, client)) in lines.iter().zip(expected) {
        tells(line, reason, client);
    }
    let text = fs::read_to_string(log.path()).unwrap();
    for hidden in [WRONG, "another-one", &billing.secret, &nobody.id, "billing", "bill\\"] {
        assert!(!text.contains(hidden), "{hidden} is told");
    }
}

#[tokio::test]
async fn clients_that_are_refused_over_http_are_told_too() {
    let log = Log::new();
    let service = Service::start_with(&[&log.flag()]).await;
    let asked = [
        ("/oauth2/token", ("grant_type", "client_credentials")),
        ("/oauth2/revoke", ("token", "any")),
        ("/oauth2/introspect", ("token", "any")),
    ];
    for (index, (path, field)) in asked.into_iter().enumerate() {
        let client = service.register(&format!("client-{index}"), Wanted::confidential("introspect")).await;
        let fields = [("client_id", client.id.as_str()), ("client_secret", WRONG), field];
        let answer = service.server.http().post(path, &fields).await;
        assert_eq!(answer.0.status(), 401, "{path}");
        let line = log.refusals(index + 1).await.pop().unwrap();
        assert_eq!(
            (&line["reason"], &line["client_id"]),
            (&"wrong_secret".into(), &client.id.into()),
            "{path}"
        );
        assert_eq!(line["address"], "127.0.0.1", "{path}");
    }
}

#[tokio::test]
async fn a_refused_assertion_is_told_apart_from_a_replayed_one() {
    let log = Log::new();
    let signer = Signer::with_args(&["--standing-cache-max-age=0s", &log.flag()]).await;
    let (service, id) = (&signer.service, signer.registered.id.clone());
    let good = signer.sign(&signer.claims());
    let by = |text: &str| ClientAuthentication {
        client_id: id.clone(),
        credential: Some(Credential::ClientAssertion(text.to_owned())),
    };
    service.issue(client_credentials(by(&good))).await.unwrap();
    refused(service, by(&good)).await;
    refused(service, by(&signer.sign(&signer.claims_with("aud", "somebody else".into())))).await;
    refused(service, by("no assertion")).await;
    let unused = signer.sign(&signer.claims());
    service.set_active(&signer.registered, false).await;
    refused(service, by(&unused)).await;
    service.set_active(&signer.registered, true).await;
    service.issue(client_credentials(by(&unused))).await.unwrap();

    let lines = log.refusals(4).await;
    tells(&lines[0], Reason::ReplayedAssertion, Some(&id));
    tells(&lines[1], Reason::BadAssertion, Some(&id));
    tells(&lines[2], Reason::BadAssertion, None);
    tells(&lines[3], Reason::ClientDisabled, Some(&id));
}

#[tokio::test]
async fn a_flood_at_one_client_is_told_in_two_lines_and_hides_no_other() {
    let log = Log::new();
    let service = Service::start_with(&[&log.flag()]).await;
    let one = service.register("one", Wanted::confidential("a")).await;
    let other = service.register("other", Wanted::confidential("a")).await;
    for _ in 0..40 {
        refused(&service, secret(&one, WRONG)).await;
    }
    refused(&service, secret(&other, WRONG)).await;
    let lines = log.refusals(2).await;
    tells(&lines[1], Reason::WrongSecret, Some(&other.id));
    service.server.clock.advance(Duration::from_mins(1));
    let lines = log.refusals(3).await;
    tells(&lines[2], Reason::WrongSecret, Some(&one.id));
    assert_eq!((&lines[0]["repeats"], &lines[2]["repeats"]), (&Value::Null, &39.into()));
}
