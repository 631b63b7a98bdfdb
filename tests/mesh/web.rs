//! Owns what web pages get where Envoy speaks gRPC-Web for Signet.

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use signet::proto::identity::v1::{GetMeResponse, SignUpRequest, SignUpResponse};

use crate::{
    envoy::Envoy,
    requests::{Answer, Request},
    signet::Signet,
};

const ORIGIN: &str = "https://app.example";

/// Calls `method` by gRPC-Web in base64, from a page of `origin`.
async fn call(envoy: &Envoy, origin: &str, method: &str, token: Option<&str>, message: &[u8]) -> Answer {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = STANDARD.encode([&[0][..], &length, message].concat());
    let request = Request::of("POST", &format!("/identity.v1.IdentityService/{method}"))
        .header("Origin", origin)
        .header("Content-Type", "application/grpc-web-text")
        .header("Accept", "application/grpc-web-text");
    let request = token.into_iter().fold(request, Request::bearer);
    request.body(&body).send(envoy.addr).await.expect("Envoy answers")
}

/// The message, and the trailers behind it.
fn frames<M: Message + Default>(answer: &Answer) -> (M, String) {
    // Each frame may be encoded on its own, so there may be padding in the middle.
    let bytes = answer.body.as_bytes().chunks(4).flat_map(|chunk| STANDARD.decode(chunk).unwrap());
    let bytes: Vec<_> = bytes.collect();
    let length = usize::try_from(u32::from_be_bytes(bytes[1..5].try_into().unwrap())).unwrap();
    let (message, trailers) = bytes[5..].split_at(length);
    assert_eq!(trailers[0], 0x80, "{answer:?}");
    (M::decode(message).unwrap(), String::from_utf8(trailers[5..].to_vec()).unwrap())
}

#[tokio::test]
async fn envoy_can_speak_grpc_web_to_pages_and_grpc_to_signet() {
    let signet = Signet::start(&[]);
    let envoy = Envoy::start("web.yaml", &[(50051, signet.grpc.port())], &[]).await;
    let new = SignUpRequest {
        username: "bob".to_owned(),
        password: "correct horse".to_owned(),
        ..SignUpRequest::default()
    };
    let answer = call(&envoy, ORIGIN, "SignUp", None, &new.encode_to_vec()).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(ORIGIN)));
    let (made, trailers): (SignUpResponse, _) = frames(&answer);
    assert_eq!(made.user.unwrap().username, "bob");
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");

    let (alice, token) = signet.sign_up().await;
    let (me, _): (GetMeResponse, _) = frames(&call(&envoy, ORIGIN, "GetMe", Some(&token), b"").await);
    assert_eq!(me.user.unwrap().id, alice);
    let refused = call(&envoy, ORIGIN, "GetMe", None, b"").await;
    assert_eq!(refused.header("grpc-status"), Some("16"), "{refused:?}");
    assert!(refused.header("grpc-status-details-bin").is_some(), "{refused:?}");
    let exposed = refused.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("grpc-status-details-bin"), "{exposed}");
}

#[tokio::test]
async fn envoy_tells_browsers_whose_pages_may_call() {
    let signet = Signet::start(&[]);
    let envoy = Envoy::start("web.yaml", &[(50051, signet.grpc.port())], &[]).await;
    let preflight = async |origin: &str| {
        let request = Request::of("OPTIONS", "/identity.v1.IdentityService/GetMe")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST");
        request.send(envoy.addr).await.expect("Envoy answers")
    };
    let ours = preflight(ORIGIN).await;
    assert_eq!((ours.status, ours.header("access-control-allow-origin")), (200, Some(ORIGIN)));
    assert!(ours.header("access-control-allow-headers").unwrap().contains("x-grpc-web"), "{ours:?}");
    for foreign in ["https://evil.example", "http://app.example", "https://app.example.evil.example", "null"]
    {
        let answer = preflight(foreign).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{foreign}: {answer:?}");
        let answer = call(&envoy, foreign, "GetMe", None, b"").await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{foreign}: {answer:?}");
    }
}
