//! Owns that the end of a binding is told: it is deleted, and the feed and the audit log have it once.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use signet::{
    model::{NameSet, Principal, UserId},
    store::{BindingFilter, Change, ChangeEffect, ChangeKind, Store},
};
use tempfile::TempDir;

use super::{Operator, Shop};
use crate::harness::{PASSWORD, eventually};

/// How many bindings there are.
async fn bindings(store: &Store) -> usize {
    store.bindings(&BindingFilter::default(), None, 1_000).await.unwrap().len()
}

#[tokio::test]
async fn a_binding_that_has_ended_is_deleted_and_the_feed_and_the_audit_log_have_it_once() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("audit.log");
    let shop = Shop::open_with(&[&format!("--audit-log={}", log.display())]).await;
    // Both replicas look.
    let other = shop.service.server.replica(&[&format!("--audit-log={}", log.display())]).await;
    let store = &shop.service.store;
    let bob = shop.service.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    let bob = Principal::User(UserId(bob.id.parse().unwrap()));
    let picker = shop.operator.role("stock", "picker", "stock.pick").await;
    let pickers = shop.operator.group_of("pickers", shop.alice).await;
    shop.operator.bind_for(picker, shop.principal(), Duration::from_mins(2)).await;
    shop.operator.bind_for(picker, Principal::Group(pickers), Duration::from_mins(2)).await;
    shop.operator.bind_for(picker, Principal::Client(shop.client_id()), Duration::from_mins(3)).await;
    shop.operator.bind(picker, bob).await;
    let told = async || -> Vec<Change> {
        let all = store.changes(0, 1_000).await.unwrap();
        all.into_iter().filter(|change| change.effect == Some(ChangeEffect::Ended)).collect()
    };
    let before = told().await.len();

    shop.service.server.clock.advance(Duration::from_mins(2));
    eventually("two have ended", async || bindings(store).await == 2).await;
    shop.service.server.clock.advance(Duration::from_mins(1));
    eventually("the third has", async || bindings(store).await == 1).await;
    let told: Vec<_> = told().await.into_iter().skip(before).map(|change| change.subject).collect();
    assert_eq!(told, [shop.alice.0, shop.client_id().0], "that of a group is a change of the group");
    let last = store.changes(0, 1_000).await.unwrap();
    assert!(last.iter().any(|change| change.kind == Some(ChangeKind::Group) && change.subject == pickers.0));

    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(&log).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["event"] == "role.binding_ended").collect()
    };
    eventually("all are recorded", async || lines().len() >= 3).await;
    let lines = lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in &lines {
        assert_eq!((&line["actor"], &line["audience"]), (&json!("service"), &json!("stock")), "{line}");
        assert_eq!(line["role_id"], json!(picker.0), "{line}");
    }
    for (member, id) in
        [("user_id", shop.alice.0), ("group_id", pickers.0), ("client_id", shop.client_id().0)]
    {
        assert!(lines.iter().any(|line| line[member] == json!(id)), "{member}: {lines:#?}");
    }
    drop(other);
}

#[tokio::test]
async fn what_nobody_is_bound_to_any_more_means_something_at_its_audience_until_no_role_has_it() {
    let shop = Shop::open_with(&[]).await;
    let operator: &Operator = &shop.operator;
    let at_stock = operator.role("stock", "writer", "stock.write").await;
    operator.bind(at_stock, shop.principal()).await;
    let bob = shop.service.client.clone().sign_up("bob", PASSWORD).await.unwrap();
    let bob = Principal::User(UserId(bob.id.parse().unwrap()));
    let both = async || shop.log_in("alice", "stock.write", &["stock", "orders"]).await.unwrap().scope;
    // No time passes: what is remembered of an audience is good until the feed names one of its roles.
    let becomes = async |scope: &str| {
        eventually("the server has heard of it", async || both().await == scope).await;
    };
    becomes("stock.write").await;
    let at_orders = operator.role("orders", "writer", "stock.write").await;
    becomes("").await;
    operator.bind(at_orders, bob).await;
    operator.unbind(at_orders, bob).await;
    operator.bind_for(at_orders, Principal::Client(shop.client_id()), Duration::from_mins(2)).await;
    shop.service.server.clock.advance(Duration::from_mins(2));
    assert_eq!(both().await, "", "whoever had it, and until when");
    operator.change_role(at_orders, |_| NameSet::default()).await;
    becomes("stock.write").await;
}
