//! Owns what is told of keys and policies that change: that they have, and whose.

use signet::{
    identity::Administrator,
    proto::identity::{
        events::v1::{Changes, Kind, WatchRequest},
        v1::IssueTokenRequest,
    },
};

use super::{Watcher, of_kinds};
use crate::{
    clients::{Wanted, operator, register},
    key_revocation::elsewhere,
    policies::{Policies, needing},
};

impl Policies {
    /// What the new client `name`, which is registered with `audiences`, is told from now on.
    async fn watch(&self, name: &str, audiences: &str, request: WatchRequest) -> Watcher {
        let server = &self.api.server;
        let wanted = Wanted { audiences, ..Wanted::confidential("signet.events.watch") };
        let client = register(&operator(server).await, name, wanted).await.unwrap();
        let asked = IssueTokenRequest {
            scope: "signet.events.watch".to_owned(),
            audiences: vec!["signet".to_owned()],
            ..client.own_token()
        };
        let token = server.client().await.0.issue_token(asked).await.unwrap().into_inner().access_token;
        let mut watcher = Watcher::begin(server, &token, request).await.unwrap();
        assert_eq!(watcher.snapshot().await.changes, Some(Changes::default()));
        watcher
    }
}

#[tokio::test]
async fn changed_policies_are_told_to_their_audience_and_changed_keys_to_all_who_ask_for_them() {
    let policies = Policies::start().await;
    let mut stock = policies.watch("stock-events", "stock signet", WatchRequest::default()).await;
    let mut orders = policies.watch("orders-events", "orders signet", WatchRequest::default()).await;
    let only_policies = of_kinds(&[Kind::Policies]);
    let mut rules = policies.watch("stock-rules", "stock orders signet", only_policies).await;
    let changed = Changes { changed_policies: vec!["stock".to_owned()], ..Changes::default() };

    policies.push("v1", needing("stock.read")).await;
    policies.activate_by(&policies.rita, "v1", true).await.unwrap();
    assert_eq!(stock.changes().await, changed);
    assert_eq!(rules.changes().await, changed);

    let by = Administrator::operator();
    elsewhere(&policies.api.server).await.rotate(false, &by).await.unwrap();
    let keys = Changes { keys_changed: true, ..Changes::default() };
    assert_eq!(stock.changes().await, keys);
    assert_eq!(orders.changes().await, keys, "the first that it is told");

    policies.retire_by(&policies.rita, "v1", true).await.unwrap();
    assert_eq!(stock.changes().await, changed);
    assert_eq!(rules.changes().await, changed, "and nothing of keys");
}
