//! Owns what commands promise of names: whoever is named is meant, and nobody else.

use serde_json::json;

use crate::harness::Place;

/// passlib 1.7.4 of "correct horse battery staple".
const BCRYPT: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

#[tokio::test]
async fn whoever_has_another_users_id_as_a_name_is_never_taken_for_the_other() {
    let place = Place::on_database().await;
    place.run(&["migrate", "up"]).await.succeeded();
    let alice = place.create_user("alice").await;
    let id = alice["id"].as_str().unwrap();
    // From another service, where anybody could have such a name.
    let file = place.write("users.ndjson", &json!({ "username": id, "password_hash": BCRYPT }).to_string());
    place.run(&["users", "import", &file]).await.succeeded();
    for command in ["show", "disable", "enable", "delete"] {
        let refused = place.run(&["users", command, id]).await;
        let problem = refused.failed(2);
        assert!(problem.contains("reads as an id: say --id or --name"), "{command}: {problem}");
    }
    let show =
        async |flag: &str| place.run(&["users", "show", flag, id, "--json"]).await.succeeded().object();
    let other = show("--name").await;
    assert_eq!((other["username"].as_str(), &other["is_active"]), (Some(id), &json!(true)));
    place.run(&["users", "disable", "--name", id]).await.succeeded();
    assert_eq!(show("--name").await["is_active"], false);
    assert_eq!(show("--id").await, alice);
    // One way to say who is meant, and not none.
    for args in
        [&["--id", id, "--name", "alice"][..], &["alice", "--id", id], &["alice", "--name", "alice"], &[]]
    {
        let refused = place.run(&[&["users", "show"], args].concat()).await;
        assert_eq!(refused.code, Some(2), "{args:?}: {refused:?}");
    }
}
