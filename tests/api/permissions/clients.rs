//! Owns what a client's own token gets.

use signet::{model::Principal, proto::identity::v1::IssueTokenResponse};
use tonic::{Code, Status};

use super::{Operator, asking};
use crate::{
    clients::{Registered, Service, Wanted},
    harness::assert_refused,
};

async fn ask(
    service: &Service,
    client: &Registered,
    scope: &str,
    audience: &str,
) -> Result<IssueTokenResponse, Status> {
    service.issue(asking(client.own_token(), scope, &[audience])).await
}

#[tokio::test]
async fn a_client_gets_what_it_is_registered_with_and_what_roles_give_it() {
    let service = Service::start().await;
    let operator = Operator::of(&service);
    let wanted =
        Wanted { audiences: "stock orders signet", ..Wanted::confidential("report profile account") };
    let client = service.register_alone("reporter", wanted).await;
    operator.give_everyone("stock", "stock.read").await;
    let counter = operator.role("stock", "counter", "stock.count profile account").await;
    let scope =
        async |asked, audience| ask(&service, &client, asked, audience).await.map(|issued| issued.scope);
    assert_eq!(scope("", "stock").await.unwrap(), "report", "what everyone has is for users");
    let refused = scope("stock.count", "stock").await;
    assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");

    operator.bind(counter, Principal::Client(client.client_id())).await;
    assert_eq!(scope("", "stock").await.unwrap(), "report stock.count");
    assert_eq!(scope("stock.count", "stock").await.unwrap(), "stock.count");
    assert_eq!(scope("", "orders").await.unwrap(), "report", "the role is another audience's");
    for never in ["profile", "account"] {
        let refused = scope(never, "stock").await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_SCOPE");
    }
}
