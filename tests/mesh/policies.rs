//! Owns that the rules of a service's own proto are enforced before it by a real Envoy, from a file to a refused call.

use std::{fs, path::Path};

use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    envoy::Envoy,
    requests::{Request, grpc},
    signet::Signet,
    upstream::Upstream,
};

const LIST: &str = "/stock.v1.StockService/ListItems";
const TAKE: &str = "/stock.v1.StockService/TakeItem";

/// The service's own descriptor set, as its build makes it.
fn file(directory: &TempDir) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("examples/protected-service/proto");
    let mut compiler = protox::Compiler::new([own, root.join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("stock/v1/stock_service.proto").unwrap();
    let path = directory.path().join("stock.binpb");
    fs::write(&path, compiler.encode_file_descriptor_set()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn reason(refused: &Status) -> (Code, String) {
    (refused.code(), refused.get_details_error_info().unwrap().reason)
}

#[tokio::test]
async fn from_a_file_to_a_refused_call_in_three_commands() {
    let directory = TempDir::new().unwrap();
    let signet = Signet::start(&["--ext-authz=on", "--standing-cache-max-age=0s"]);
    let (upstream, file) = (Upstream::start().await, file(&directory));
    let ports = [(8081, upstream.addr.port()), (50051, signet.grpc.port())];
    let envoy = Envoy::start("ext-authz.yaml", &ports, &[]).await;
    let client = ["--audience", "stock", "--scope"];
    let reader = signet.token_of_client("reader", &[&client[..], &["stock:read"]].concat()).await;
    let writer = signet.token_of_client("writer", &[&client[..], &["stock:write"]].concat()).await;
    let call = async |path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let metadata: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        grpc(envoy.addr, path, &metadata).await
    };
    let refused = call(LIST, Some(&writer)).await.unwrap_err();
    assert_eq!(
        reason(&refused),
        (Code::PermissionDenied, "ROUTE_MISCONFIGURED".to_owned()),
        "no version yet"
    );

    signet.operate(&["policy", "lint", "--service", "stock", &file]);
    signet.operate(&["policy", "push", "--service", "stock", "--version", "v1", &file]);
    signet.operate(&["policy", "activate", "--service", "stock", "--version", "v1", "--allow-widening"]);

    call(LIST, None).await.unwrap();
    call(TAKE, Some(&writer)).await.unwrap();
    let refused = call(TAKE, Some(&reader)).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "INSUFFICIENT_SCOPE".to_owned()));
    let refused = call(TAKE, None).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::Unauthenticated, "TOKEN_MISSING".to_owned()));
    for path in [
        "/stock.v1.StockService/listItems",
        "/stock.v1.StockService/ListItems/",
        "/stock.v1.StockService/Gone",
    ] {
        let refused = call(path, Some(&writer)).await.unwrap_err();
        assert_eq!(reason(&refused), (Code::PermissionDenied, "ACCESS_UNDECLARED".to_owned()), "{path}");
    }
    // What is no call of RPC calls nothing, however it is spelled.
    for path in [LIST, "/stock.v1.StockService/ListItems?connect=v1", "/stock.v1.StockService/%4cistItems"] {
        let answer = Request::get(path).send(envoy.addr).await.unwrap();
        assert_eq!(answer.status, 403, "{path}");
    }

    signet.operate(&["policy", "retire", "--service", "stock", "--version", "v1"]);
    let refused = call(LIST, None).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::PermissionDenied, "ROUTE_MISCONFIGURED".to_owned()));
}
