//! Owns what `users import` says of files that are other exports than it is told, and of folders of files.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Finished, Place};

const BCRYPT: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

/// A user of Keycloak, with a password that an extension has hashed.
fn user(name: &str) -> Value {
    let data = json!({ "algorithm": "bcrypt", "hashIterations": 4 }).to_string();
    let secret = json!({ "value": BCRYPT }).to_string();
    json!({
        "id": name, "username": name, "enabled": true, "createdTimestamp": 1_704_164_645_250_u64,
        "credentials": [{ "type": "password", "credentialData": data, "secretData": secret }],
    })
}

async fn import(place: &Place, file: &str, flags: &[&str]) -> Finished {
    place.run(&[&["--json", "users", "import", file], flags].concat()).await
}

#[tokio::test]
async fn an_export_that_is_read_as_something_else_is_recognised() {
    let place = Place::migrated().await;
    let realm = place
        .write("shop.json", &json!({ "id": "shop", "realm": "shop", "users": [user("ann")] }).to_string());
    let auth0 = json!({ "_id": { "$oid": "6" }, "email": "ann@example.com", "passwordHash": BCRYPT });
    let auth0 = place.write("auth0.json", &auth0.to_string());
    let firebase = json!({ "users": [{ "localId": "1", "email": "ann@example.com", "passwordHash": "x" }] });
    let firebase = place.write("firebase.json", &firebase.to_string());
    let csv = place.write("users.txt", &format!("username,password_hash\nann,{BCRYPT}\n"));
    for (file, flags, expected) in [
        (&realm, &[][..], "Keycloak's export: --format keycloak"),
        (&realm, &["--format=auth0"], "Keycloak's export: --format keycloak"),
        (&auth0, &[], "Auth0's export: --format auth0"),
        (&firebase, &[], "Firebase's export: --format firebase"),
        (&firebase, &["--format=keycloak"], "Firebase's export: --format firebase"),
        (&csv, &[], "CSV: --format csv"),
    ] {
        let refused = import(&place, file, flags).await;
        let expected = format!("{file} cannot be read: this looks like {expected}");
        assert!(refused.failed(1).contains(&expected), "{expected}: {refused:?}");
        assert!(!refused.stderr.contains("refused"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_user_of_a_folder_is_told_with_its_file() {
    let place = Place::migrated().await;
    fs::create_dir(place.path("export")).unwrap();
    for (number, name) in [(0, "ann"), (1, "two words")] {
        let users = json!({ "realm": "shop", "users": [user(name)] });
        place.write(&format!("export/shop-users-{number}.json"), &users.to_string());
    }
    let folder = place.path("export").display().to_string();
    let refused = place.run(&["users", "import", &folder]).await;
    let expected = format!("user 2, which is user 1 of {folder}/shop-users-1.json");
    assert!(refused.stderr.contains(&expected), "{refused:?}");
    fs::remove_file(place.path("export/shop-users-1.json")).unwrap();
    fs::create_dir(place.path("export/shop-users-1.json")).unwrap();
    let refused = import(&place, &folder, &[]).await;
    assert!(refused.stderr.contains("shop-users-1.json: it is no ordinary file"), "{refused:?}");
}
