//! Owns what Envoy is told of roles, and the routes that require one.

use signet::model::Principal;

use super::Shop;
use crate::{clients::Wanted, ext_authz::Sidecar};

const ROLE: (&str, &str) = ("signet.require_role", "picker");
const STOCK: (&str, &str) = ("signet.require_audience", "stock");

#[tokio::test]
async fn a_route_that_requires_a_role_lets_in_who_has_it_at_its_audience() {
    let shop = Shop::open_with(&["--standing-cache-max-age=0s", "--ext-authz=on"]).await;
    let sidecar = Sidecar::of(&shop.service.server).await;
    let token = shop.log_in("alice", "", &["stock", "orders"]).await.unwrap().access_token;
    let lacking = || (403, "INSUFFICIENT_ROLE".to_owned());
    assert_eq!(sidecar.refusal(&token, &[STOCK, ROLE]).await, lacking());

    // The same name at another audience is another role.
    let elsewhere = shop.operator.role("orders", "picker", "").await;
    shop.operator.bind(elsewhere, shop.principal()).await;
    assert_eq!(sidecar.refusal(&token, &[STOCK, ROLE]).await, lacking());
    let picker = shop.operator.role("stock", "picker", "").await;
    let pickers = shop.operator.group_of("pickers", shop.alice).await;
    shop.operator.bind(picker, Principal::Group(pickers)).await;
    let headers = sidecar.headers(&token, &[STOCK, ROLE]).await;
    assert_eq!(headers["x-signet-roles"], "picker");
    shop.operator.unbind(picker, Principal::Group(pickers)).await;
    assert_eq!(sidecar.refusal(&token, &[STOCK, ROLE]).await, lacking());
}

#[tokio::test]
async fn a_route_that_requires_a_role_of_no_audience_lets_nobody_in() {
    let shop = Shop::open_with(&["--ext-authz=on"]).await;
    let sidecar = Sidecar::of(&shop.service.server).await;
    let token = shop.log_in("alice", "", &["signet"]).await.unwrap().access_token;
    let misconfigured = (403, "ROUTE_MISCONFIGURED".to_owned());
    assert_eq!(sidecar.refusal(&token, &[ROLE]).await, misconfigured);
    for bad in ["", "everyone", "picker packer", "Picker"] {
        let refusal = sidecar.refusal(&token, &[STOCK, ("signet.require_role", bad)]).await;
        assert_eq!(refusal, misconfigured, "{bad:?}");
    }
}

#[tokio::test]
async fn roles_of_a_client_count_as_those_of_users_do() {
    let shop = Shop::open_with(&["--standing-cache-max-age=0s", "--ext-authz=on"]).await;
    let sidecar = Sidecar::of(&shop.service.server).await;
    let robot =
        shop.service.register("robot", Wanted { audiences: "stock", ..Wanted::confidential("") }).await;
    let token = shop.service.token_of(&robot).await;
    assert_eq!(sidecar.refusal(&token, &[STOCK, ROLE]).await.1, "INSUFFICIENT_ROLE");
    for name in ["picker", "guard"] {
        let role = shop.operator.role("stock", name, "").await;
        shop.operator.bind(role, Principal::Client(robot.client_id())).await;
    }
    let headers = sidecar.headers(&token, &[STOCK, ROLE]).await;
    assert_eq!(
        (headers["x-signet-roles"].as_str(), &headers["x-signet-client"]),
        ("guard picker", &robot.id)
    );
}
