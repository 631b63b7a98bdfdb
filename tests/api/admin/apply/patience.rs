//! Owns how long a manifest may take: longer than any other call, whose bound is a setting.

use serde_json::json;
use signet::proto::identity::admin::v1::{
    CreateGroupRequest, Group, group_service_client::GroupServiceClient,
};
use tonic::Code;

use super::AdminApi;
use crate::{
    databases::locks::Lock,
    harness::{assert_refused, with_token},
};

#[tokio::test]
async fn a_manifest_may_take_longer_than_other_calls() {
    let api = AdminApi::start_with(&["--request-timeout=2s"]).await;
    let root = api.admin_applier().await;
    let mut groups = GroupServiceClient::new(api.channel().await);
    let lock = Lock::writes(&api.server, "groups").await;
    let create = async {
        let group = Some(Group { name: "day".to_owned(), ..Group::default() });
        let request = with_token(CreateGroupRequest { group, ..Default::default() }, &root.token);
        assert_refused(groups.create_group(request).await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        lock.release().await;
    };
    // It began before the other call, and would have been ended before it.
    let (applied, ()) =
        tokio::join!(root.apply(json!({"set": "shop", "groups": [{"name": "night"}]})), create);
    assert_eq!(applied.unwrap().changes.len(), 1);
}
