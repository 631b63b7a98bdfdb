//! Owns what `/.well-known/jwks.json` promises to those who keep it: for how long they may, and how they ask whether it is the same.

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use tonic::Code;

use crate::{
    harness::{TestServer, assert_refused, eventually},
    keys::{A_MINUTE, UNTIL_DUE, kid, published},
};

const PATH: &str = "/.well-known/jwks.json";

async fn request(server: &TestServer, method: Method, if_none_match: Option<&str>) -> Response<String> {
    let stream = tokio::net::TcpStream::connect(server.started.http_addr).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(PATH).header("host", "signet");
    if let Some(tag) = if_none_match {
        request = request.header("if-none-match", tag);
    }
    let response = sender.send_request(request.body(Empty::<&[u8]>::new()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

fn header<'a>(response: &'a Response<String>, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}: {response:?}")).to_str().unwrap()
}

#[tokio::test]
async fn whoever_has_the_keys_is_told_so_in_few_bytes_until_they_change() {
    let server = TestServer::start(&[]).await;
    let whole = request(&server, Method::GET, None).await;
    assert_eq!((whole.status().as_u16(), header(&whole, "cache-control")), (200, "public, max-age=300"));
    let tag = header(&whole, "etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong validator: {tag}");

    for names_it in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let same = request(&server, Method::GET, Some(&names_it)).await;
        assert_eq!((same.status().as_u16(), same.body().as_str()), (304, ""), "{names_it}");
        assert_eq!((header(&same, "etag"), header(&same, "cache-control")), (&*tag, "public, max-age=300"));
    }
    let head = request(&server, Method::HEAD, None).await;
    assert_eq!((head.status().as_u16(), head.body().as_str(), header(&head, "etag")), (200, "", &*tag));
    assert_eq!(header(&head, "content-length"), whole.body().len().to_string());
    assert_eq!(request(&server, Method::HEAD, Some(&tag)).await.status().as_u16(), 304);
    assert_eq!(request(&server, Method::POST, None).await.status().as_u16(), 405);

    server.clock.advance(UNTIL_DUE);
    eventually("the next is published", async || published(&server).await.len() == 2).await;
    let changed = request(&server, Method::GET, Some(&tag)).await;
    assert_eq!(changed.status().as_u16(), 200);
    assert_ne!(header(&changed, "etag"), tag);
}

#[tokio::test]
async fn the_keys_may_be_kept_for_less_time_than_a_new_one_is_published_ahead() {
    for (ahead, max_age) in [("10m", 300), ("1m", 30), ("10s", 4), ("6s", 0)] {
        let server = TestServer::start(&[&format!("--key-publish-ahead={ahead}")]).await;
        let answer = request(&server, Method::GET, None).await;
        assert_eq!(header(&answer, "cache-control"), format!("public, max-age={max_age}"), "{ahead}");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_confirmed_are_shown_not_to_be_kept_and_no_token_is_accepted_by_them() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let token = client.token_of_new("alice").await;
    client.get_me(&token).await.unwrap();
    let db = server.data.connect().await;
    let hide = "ALTER TABLE signing_keys RENAME TO hidden";
    sea_orm::ConnectionTrait::execute_unprepared(&db, hide).await.unwrap();
    // What else the processes tell each other is still read: what confirms the keys goes with it.
    sea_orm::ConnectionTrait::execute_unprepared(&db, "ALTER TABLE changes RENAME TO hidden_changes")
        .await
        .unwrap();
    server.clock.advance(A_MINUTE);
    assert_refused(client.get_me(&token).await, Code::Internal, "INTERNAL");
    let answer = request(&server, Method::GET, None).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "cache-control")), (200, "public, max-age=0"));
    assert!(answer.body().contains(&kid(&token)));
    eventually("not ready", async || server.http_get("/readyz").await.status() == 503).await;

    for table in ["hidden RENAME TO signing_keys", "hidden_changes RENAME TO changes"] {
        let show = format!("ALTER TABLE {table}");
        sea_orm::ConnectionTrait::execute_unprepared(&db, &show).await.unwrap();
    }
    let answer = request(&server, Method::GET, None).await;
    assert_eq!(header(&answer, "cache-control"), "public, max-age=300");
    client.get_me(&token).await.unwrap();
}
