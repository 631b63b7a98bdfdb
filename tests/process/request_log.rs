//! Owns what the request log promises: a line for each request that is asked for, with what operators look for and nothing that was sent.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{PASSWORD, reason},
    harness::{Place, Service},
};

const BAD_PASSWORD: &str = "wrong-staple-battery";

/// Requests of all kinds; the token that they showed.
async fn ask(service: &Service) -> String {
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();
    client.get_me(&token).await.unwrap();
    assert_eq!(reason(&client.log_in("alice", BAD_PASSWORD).await), "INVALID_CREDENTIALS");
    assert_eq!(service.http_status("/.well-known/jwks.json?query=alice").await, 200);
    assert_eq!(service.http_status("/nobody/alice?query=alice").await, 404);
    let form = format!("grant_type=password&username=alice&password={BAD_PASSWORD}");
    let length = form.len();
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: by-http\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
    );
    let mut stream = TcpStream::connect(service.http_addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    token
}

/// The lines of the request log, but for those of operators.
fn lines(stderr: &str) -> Vec<Value> {
    let lines = stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["target"] == "signet::request" && line["listener"] != "operations").collect()
}

/// Method and code of each.
fn told(lines: &[Value]) -> Vec<(&str, &str)> {
    lines.iter().map(|line| (line["method"].as_str().unwrap(), line["code"].as_str().unwrap())).collect()
}

const REFUSED: [(&str, &str); 3] = [
    ("/identity.v1.IdentityService/IssueToken", "Unauthenticated"),
    ("GET unknown", "404"),
    ("POST /oauth2/token", "400"),
];

#[tokio::test]
async fn each_request_has_a_line_and_none_tells_what_was_sent() {
    let place = Place::new();
    // Whatever the log tells besides.
    let service = place.serve(&["--request-log=all", "--log-format=json", "--log-level=error"]).await;
    let token = ask(&service).await;
    let metrics = service.operations_get("/metrics").await.1;
    assert!(metrics.contains("signet_request_log_lines_total{result=\"told\"} 7\n"), "{metrics}");
    assert!(metrics.contains("signet_request_log_lines_total{result=\"left_out\"} 0\n"), "{metrics}");
    let log = service.stop().await.stderr;
    let lines = lines(&log);
    let expected = [
        ("/identity.v1.IdentityService/SignUp", "OK"),
        ("/identity.v1.IdentityService/IssueToken", "OK"),
        ("/identity.v1.IdentityService/GetMe", "OK"),
        REFUSED[0],
        ("GET /.well-known/jwks.json", "200"),
        REFUSED[1],
        REFUSED[2],
    ];
    assert_eq!(told(&lines), expected, "{log}");
    for line in &lines {
        for member in ["timestamp", "listener", "request_id", "peer"] {
            assert!(line[member].is_string(), "{member}: {line}");
        }
        assert!(line["took_ms"].is_f64() && line["sent_bytes"].is_u64(), "{line}");
        assert_eq!(line["peer"], "127.0.0.1");
    }
    let [sign_up, login, get_me, refused, keys, unknown, by_http] = &lines[..] else { panic!("{log}") };
    assert!(sign_up["received_bytes"].as_u64().unwrap() > 20 && sign_up["sent_bytes"].as_u64().unwrap() > 20);
    for known in [login, get_me, refused, by_http] {
        assert_eq!(known["client"], "signet", "{known}");
    }
    assert!(unknown.get("client").is_none() && keys["sent_bytes"].as_u64().unwrap() > 100, "{keys}");
    assert_eq!(refused["reason"], "INVALID_CREDENTIALS");
    assert_eq!(
        (&by_http["reason"], &by_http["request_id"]),
        (&"INVALID_CREDENTIALS".into(), &"by-http".into())
    );
    assert!(get_me.get("reason").is_none(), "{get_me}");
    let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
    for secret in ["alice", "nobody", PASSWORD, BAD_PASSWORD, "query", &token] {
        assert!(!text.iter().any(|line| line.contains(secret)), "{secret}: {text:?}");
    }
}

#[tokio::test]
async fn errors_alone_have_a_line_where_these_are_asked_for_and_none_has_one_by_default() {
    let place = Place::new();
    let service = place.serve(&["--request-log=errors", "--log-format=json"]).await;
    ask(&service).await;
    let log = service.stop().await.stderr;
    assert_eq!(told(&lines(&log)), REFUSED, "{log}");

    let place = Place::new();
    let service = place.serve(&["--log-format=json"]).await;
    ask(&service).await;
    let log = service.stop().await.stderr;
    assert_eq!(told(&lines(&log)), [], "{log}");
}

#[tokio::test]
async fn variables_of_opentelemetry_that_mean_nothing_are_named_in_one_line() {
    let place = Place::new();
    let service = place
        .signet(&["--log-format=json"])
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_SERVICE_NAME", "id")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .serve()
        .await;
    let log = service.stop().await.stderr;
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let warnings: Vec<_> = lines.filter(|line| line.to_string().contains("OTEL_")).collect();
    let [unusable, not_read] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(unusable["variable"], "OTEL_EXPORTER_OTLP_PROTOCOL");
    assert_eq!(not_read["variables"], "OTEL_BSP_SCHEDULE_DELAY, OTEL_METRICS_EXPORTER");
}
