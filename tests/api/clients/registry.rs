//! Owns what an operator cannot do to clients, whoever asks in the operator's name.

use std::{fs, time::Duration};

use signet::{
    audit::{Audit, AuditLog},
    identity::{Administrator, ClientRegistry, clients::read_public_keys},
    metrics::AuditMetrics,
    model::{Error, NameSet},
};
use tempfile::TempDir;

use super::{Service, Wanted};

/// Of RFC 8037 appendix A.2.
const PUBLIC_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

#[tokio::test]
async fn a_public_client_gets_no_proof_one_that_is_gone_nothing_and_what_is_refused_is_not_recorded() {
    let service = Service::start().await;
    let app = service.register("app", Wanted::public("profile")).await.client_id();
    let gone = service.register("gone", Wanted::confidential("a")).await.client_id();
    let (dir, clock) = (TempDir::new().unwrap(), service.server.clock.clone());
    let log = dir.path().join("audit.log");
    let audit = Audit::open(&AuditLog::File(log.clone()), clock.clone(), AuditMetrics::default()).unwrap();
    let registry =
        ClientRegistry::new(service.server.store().await, clock, audit.clone(), NameSet::default());
    let by = Administrator::operator();
    registry.delete(&gone.into(), None, &by).await.unwrap();

    let (jwks, subject) = (read_public_keys(PUBLIC_KEY).unwrap(), "app.example".parse().unwrap());
    let before = service.store.client(app).await.unwrap().unwrap();
    for id in [app, gone] {
        for refused in [
            registry.rotate_secret(&id.into(), true, None, &by).await.map(drop),
            registry.set_keys(&id.into(), jwks.clone(), &by).await.map(drop),
            registry.set_certificate(&id.into(), Some(&subject), &by).await.map(drop),
        ] {
            match refused.unwrap_err() {
                Error::PublicClient { client, .. } => assert_eq!((id, client.as_str()), (app, "app")),
                Error::ClientNotFound(said) => assert_eq!((id, said), (gone, gone.to_string())),
                other => panic!("{other:?}"),
            }
        }
    }
    let who = gone.into();
    for refused in [
        registry.set_active(&who, true, None, &by).await.map(drop),
        registry.delete(&who, None, &by).await.map(drop),
    ] {
        assert!(
            matches!(&refused, Err(Error::ClientNotFound(said)) if *said == gone.to_string()),
            "{refused:?}"
        );
    }
    assert_eq!(service.store.client(app).await.unwrap().unwrap(), before);

    assert!(audit.flush(Duration::from_mins(1)).await);
    let lines = fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["event"], &lines[0]["actor"]), (&"client.deleted".into(), &"operator".into()));
}
