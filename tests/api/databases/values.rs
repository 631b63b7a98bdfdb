//! Owns what is written and read back: text, time, order.

use std::{collections::HashSet, time::Duration};

use signet::proto::identity::v1::{SignUpRequest, User};
use tonic::{Code, Status};

use crate::harness::{Client, PASSWORD, TestServer, assert_refused};

async fn sign_up(client: &mut Client, request: SignUpRequest) -> Result<User, Status> {
    let request = SignUpRequest { password: PASSWORD.to_owned(), ..request };
    Ok(client.0.sign_up(request).await?.into_inner().user.unwrap())
}

/// Collations of databases hold many of these equal; RFC 8265 does not.
#[tokio::test]
async fn names_are_one_or_two_as_rfc_8265_has_it_whatever_the_database_would_say() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    // Those beyond ASCII first: they must look like nobody's, and `ı` looks like `i`.
    let different =
        ["straße", "strasse", "résumé", "resume", "ı", "i", "ß", "ss", "æ", "ae", "ø", "o", "が", "か"];
    for name in different {
        client.sign_up(name, PASSWORD).await.unwrap_or_else(|status| panic!("{name}: {status}"));
    }
    for same in ["STRASSE", "Straße", "RÉSUMÉ", "re\u{301}sume\u{301}", "I", "\u{ff49}", "Ø", "か\u{3099}"]
    {
        assert_refused(client.sign_up(same, PASSWORD).await, Code::AlreadyExists, "USERNAME_TAKEN");
    }
    let mut ids = HashSet::new();
    for name in different {
        let token = client.log_in(name, PASSWORD).await.unwrap().access_token;
        let user = client.get_me(&token).await.unwrap();
        assert_eq!(user.username, name);
        assert!(ids.insert(user.id), "{name} is somebody of its own");
    }
}

#[tokio::test]
async fn text_comes_back_as_it_was_and_at_its_full_length() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let email = format!("{}@{}.example", "l".repeat(64), "d".repeat(63));
    for (username, display_name) in [
        ("é".repeat(64), "😀".repeat(128)),
        ("\u{20000}".repeat(63), "full, 한국어, עברית '\"\\%_;--".to_owned()),
        ("x".repeat(64), "a".to_owned()),
    ] {
        let request = SignUpRequest {
            username: username.clone(),
            email: Some(email.clone()),
            display_name: Some(display_name.clone()),
            ..SignUpRequest::default()
        };
        let made = sign_up(&mut client, request).await.unwrap();
        let token = client.log_in(&username, PASSWORD).await.unwrap().access_token;
        let read = client.get_me(&token).await.unwrap();
        assert_eq!(read, made);
        assert_eq!((read.username, read.email), (username, Some(email.clone())));
        assert_eq!(read.display_name.unwrap(), display_name);
    }
}

#[tokio::test]
async fn times_keep_their_microseconds_and_users_the_order_of_their_making() {
    let server = TestServer::start(&[]).await;
    let mut client = server.client().await;
    let mut made = Vec::new();
    for number in 0..20 {
        server.clock.advance(Duration::from_micros(1_000_001));
        made.push(client.sign_up(&format!("user-{number}"), PASSWORD).await.unwrap());
    }
    let store = server.store().await;
    let mut read = Vec::new();
    while let Some(page) =
        Some(store.users(read.last().copied(), 7).await.unwrap()).filter(|page| !page.is_empty())
    {
        for user in page {
            let made = &made[read.len()];
            assert_eq!(user.id.to_string(), made.id, "in their order");
            let time = made.create_time.unwrap();
            assert_eq!(
                user.create_time.as_micros(),
                time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000
            );
            read.push(user.id);
        }
    }
    assert_eq!(read.len(), made.len());
    assert_eq!(made[6].create_time.unwrap().nanos, 7_000, "a microsecond is not lost");
}
