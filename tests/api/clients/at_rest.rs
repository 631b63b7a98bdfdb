//! Owns what whoever steals the database does not find in it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Service, Wanted, alice, refresh, request};
use crate::harness::PASSWORD;

#[tokio::test]
async fn no_password_secret_or_token_is_in_the_database_in_any_form_that_works() {
    let service = Service::start().await;
    let billing = service.register("billing", Wanted::confidential("a")).await;
    let login = service.issue(request(alice(), None)).await.unwrap();
    let first = login.refresh_token.unwrap();
    let again = service.issue(request(refresh(&first), None)).await.unwrap();
    let second = again.refresh_token.unwrap();
    let own = service.token_of(&billing).await;

    // The file, and what has not been moved into it yet.
    let file = |name: &str| std::fs::read(service.server.data.path().join(name)).unwrap();
    let stored = [file("signet.db"), file("signet.db-wal")].concat();
    let holds = |bytes: &[u8]| stored.windows(bytes.len()).any(|window| window == bytes);
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();

    assert!(holds(b"alice") && holds(b"billing"), "what is looked for is found");
    for (token, name) in [(&first, "the used one"), (&second, "the newest")] {
        assert!(holds(digest(&SHA256, &decoded(token)).as_ref()), "{name}: its hash is kept");
        // A session's id comes first in its tokens; what follows is secret.
        assert!(!holds(&decoded(token)[16..48]) && !holds(&token.as_bytes()[24..]), "{name}");
    }
    assert!(holds(digest(&SHA256, billing.secret.as_bytes()).as_ref()), "the hash of the secret is kept");
    assert!(!holds(&decoded(&billing.secret)));
    for text in [PASSWORD, &billing.secret, &login.access_token, &again.access_token, &own] {
        assert!(!holds(text.as_bytes()), "{text}");
    }
}
