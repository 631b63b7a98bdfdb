//! Owns what `users import` makes of other services' exports: Keycloak's realm, Auth0's users, Firebase's.

use std::fs;

use serde_json::{Value, json};

use crate::{
    client::reason,
    harness::{Finished, Place},
    import_sources::peak_kib,
};

const PASSWORD: &str = "correct horse battery staple";

/// passlib 1.7.4 of [`PASSWORD`].
const BCRYPT: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";

/// Python's hashlib of [`PASSWORD`], and argon2-cffi's: in base64, as Keycloak writes it.
const SALT: &str = "AAECAwQFBgcICQoLDA0ODw==";
const SHA256: &str =
    "Ca/W1uHPdOF53bPWSQyrHQQPdk6KOe20VTbaw0U+WWswH2gciKNBqwk+H7RPgAmCshFAhVRLSSar72bo1/g8dA==";
const SHA512: &str =
    "aFYy0/kVqcRrtvyqyFLYoHI58bPPVe/IdqvGWhM01KrtLjQcqIqupFAW+pzBE96sORxW+Db15oxS4Ak0XPpEcA==";
const ARGON2: &str = "8cZyfmGLYgTYc8avb2ZXWqFShr92bklhQdS/tplOl9k=";

fn credential(value: &str, data: &Value) -> Value {
    let secret = json!({ "value": value, "salt": SALT, "additionalParameters": {} });
    json!({ "type": "password", "createdDate": 1, "secretData": secret.to_string(), "credentialData": data.to_string() })
}

fn pbkdf2(value: &str, algorithm: &str, rounds: u32) -> Value {
    credential(
        value,
        &json!({ "hashIterations": rounds, "algorithm": algorithm, "additionalParameters": {} }),
    )
}

fn argon2() -> Value {
    let parameters = json!({ "hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"] });
    credential(
        ARGON2,
        &json!({ "hashIterations": 5, "algorithm": "argon2", "additionalParameters": parameters }),
    )
}

fn otp() -> Value {
    json!({ "type": "otp", "secretData": "{\"value\":\"hunter2\"}", "credentialData": "{\"subType\":\"totp\"}" })
}

/// A user as Keycloak exports it, with `more`.
fn keycloak_user(name: &str, credentials: &[Value], more: &Value) -> Value {
    let mut user = json!({
        "id": "018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c11", "username": name, "firstName": null, "emailVerified": false, "enabled": true,
        "createdTimestamp": 1_704_164_645_250_u64, "totp": false, "credentials": credentials, "disableableCredentialTypes": [],
        "requiredActions": [], "notBefore": 0, "groups": [],
    });
    user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    user
}

fn id(last: u8) -> Value {
    json!(format!("018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c{last:02x}"))
}

fn keycloak_users() -> Vec<Value> {
    vec![
        keycloak_user(
            "ann",
            &[argon2()],
            &json!({
                "id": id(1), "firstName": "Ann", "lastName": "Lee", "email": "ann@example.com", "emailVerified": true,
                "attributes": { "team": ["blue"] }, "groups": ["/staff/Heads"], "realmRoles": ["default-roles-shop", "editor"],
                "clientRoles": { "stock": ["pick"], "account": ["view-profile"] },
            }),
        ),
        keycloak_user(
            "bob",
            &[pbkdf2(SHA256, "pbkdf2-sha256", 27_500)],
            &json!({ "id": id(2), "enabled": false }),
        ),
        keycloak_user("carol", &[pbkdf2(SHA512, "pbkdf2-sha512", 3_000), otp()], &json!({ "id": id(3) })),
        keycloak_user(
            "dan",
            &[],
            &json!({ "id": id(4), "federatedIdentities": [{ "identityProvider": "google" }] }),
        ),
        keycloak_user("service-account-x", &[], &json!({ "id": id(5), "serviceAccountClientId": "x" })),
        json!({ "username": "erin", "credentials": 3 }),
    ]
}

fn realm(users: &[Value]) -> Value {
    json!({
        "id": "shop", "realm": "shop", "enabled": true,
        "roles": {
            "realm": [
                { "name": "default-roles-shop", "composite": true, "composites": { "realm": ["offline_access"] } },
                { "name": "offline_access" }, { "name": "reader" },
                { "name": "editor", "composite": true, "composites": { "realm": ["reader"] } },
            ],
            "client": { "stock": [{ "name": "pick", "description": "Picks" }], "account": [{ "name": "view-profile" }] },
        },
        "groups": [{
            "name": "staff", "path": "/staff", "realmRoles": ["reader"], "subGroups": [{ "name": "Heads", "path": "/staff/Heads" }],
        }],
        "clients": [{ "clientId": "stock" }],
        "users": users,
    })
}

/// The reasons of the rows that were refused, by their places.
fn refusals(finished: &Finished) -> Vec<(u64, String)> {
    let rows = finished.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let refused = rows.filter(|row| row["outcome"] == "refused");
    let place = |row: &Value| row["user"].as_u64().or(row["line"].as_u64()).unwrap();
    refused.map(|row| (place(&row), row["reason"].as_str().unwrap().to_owned())).collect()
}

fn refused(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(place, reason)| (*place, (*reason).to_owned())).collect()
}

impl Place {
    async fn import_export(&self, file: &str, flags: &[&str]) -> Finished {
        self.run(&[&["--json", "users", "import", file], flags].concat()).await
    }

    async fn user_of_export(&self, name: &str) -> Value {
        self.run(&["users", "show", name, "--json"]).await.succeeded().object()
    }
}

#[tokio::test]
async fn users_of_a_keycloak_realm_log_in_with_their_passwords() {
    let place = Place::migrated().await;
    let file = place.write("shop-realm.json", &realm(&keycloak_users()).to_string());
    let imported = place.import_export(&file, &["--format=keycloak"]).await;
    assert_eq!(imported.code, Some(65), "rows were refused, and the rest is there: {imported:?}");
    let object = imported.object();
    assert_eq!((&object["rows"], &object["added"], &object["refused"]), (&json!(5), &json!(2), &json!(3)));
    assert_eq!(
        refusals(&imported),
        refused(&[(3, "SECOND_FACTOR"), (4, "NO_PASSWORD"), (5, "MALFORMED_ROW")])
    );
    let not_taken = json!({
        "attributes": 1, "bindings": 4, "federated_identities": 1, "memberships": 1, "service_accounts": 1, "verified_addresses": 1,
    });
    assert_eq!(object["not_taken"], not_taken);
    assert!(!format!("{imported:?}").contains("hunter2"));

    // What stays the same is there already; who has two factors comes if one is to do.
    let again = place.import_export(&file, &["--format=keycloak", "--drop-second-factors"]).await.object();
    assert_eq!((&again["added"], &again["already_there"]), (&json!(1), &json!(2)));
    assert_eq!(again["not_taken"]["second_factors"], 1);
    let ann = place.user_of_export("ann").await;
    assert_eq!(
        (&ann["id"], &ann["email"], &ann["display_name"], &ann["create_time"]),
        (&id(1), &json!("ann@example.com"), &json!("Ann Lee"), &json!("2024-01-02T03:04:05.25Z"))
    );
    let service = place.serve(&[]).await;
    let client = service.client().await;
    for name in ["ann", "carol"] {
        client.log_in(name, PASSWORD).await.unwrap();
        assert_eq!(reason(&client.log_in(name, "another").await), "INVALID_CREDENTIALS");
    }
    assert_eq!(reason(&client.log_in("bob", PASSWORD).await), "INVALID_CREDENTIALS", "disabled there");
    place.run(&["users", "enable", "bob"]).await.succeeded();
    client.log_in("bob", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_directory_of_keycloaks_files_is_read_in_their_order() {
    let place = Place::migrated().await;
    let directory = place.path("export");
    fs::create_dir(&directory).unwrap();
    let write = |name: &str, document: &Value| fs::write(directory.join(name), document.to_string()).unwrap();
    let mut whole = realm(&[]);
    whole.as_object_mut().unwrap().remove("users");
    write("shop-realm.json", &whole);
    for number in [0, 2, 10] {
        let user = |of: u64| {
            let id = format!("018f3c9e-3b1a-4f0e-9a53-{:012x}", number * 10 + of);
            keycloak_user(&format!("user-{number}-{of}"), &[argon2()], &json!({ "id": id }))
        };
        write(&format!("shop-users-{number}.json"), &json!({ "realm": "shop", "users": [user(0), user(1)] }));
    }
    let ids = format!("--id-map={}", place.path("ids").display());
    let imported = place.import_export(&directory.display().to_string(), &[&ids]).await.succeeded();
    assert_eq!(imported.object()["added"], 6);
    let ids = fs::read_to_string(place.path("ids")).unwrap();
    let names = ids.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["username"].clone());
    let expected = [0, 2, 10].iter().flat_map(|number| [0, 1].map(|of| json!(format!("user-{number}-{of}"))));
    assert!(names.eq(expected), "{ids}");

    // Of many files it is told which one is not whole.
    let later = directory.join("shop-users-2.json");
    let (text, first) = (fs::read_to_string(&later).unwrap(), directory.join("shop-users-0.json"));
    for (file, flags) in
        [(&later, &[][..]), (&first, &[]), (&directory.join("shop-realm.json"), &["--with-roles"])]
    {
        let whole = fs::read_to_string(file).unwrap();
        fs::write(file, &text[..text.len() / 2]).unwrap();
        let broken = place.import_export(&directory.display().to_string(), flags).await;
        assert!(broken.stderr.contains(&format!("{}: ", file.display())), "{broken:?}");
        fs::write(file, whole).unwrap();
    }

    // Users of two realms would be taken for one another's.
    write("other-users-0.json", &json!({ "realm": "other", "users": [] }));
    let several = place.import_export(&directory.display().to_string(), &[]).await;
    assert!(several.failed(2).contains("the realms `other`, `shop`"), "{several:?}");

    fs::create_dir(place.path("none")).unwrap();
    let none = place.import_export(&place.path("none").display().to_string(), &[]).await;
    assert!(none.failed(2).contains("REALM-users-0.json"), "{none:?}");
}

#[tokio::test]
async fn roles_and_groups_of_keycloak_come_over_if_that_is_asked_for() {
    let place = Place::migrated().await;
    let file = place.write("shop-realm.json", &realm(&keycloak_users()).to_string());
    let flags = ["--format=keycloak", "--with-roles"];
    let checked = place.import_export(&file, &[&flags[..], &["--dry-run"]].concat()).await;
    assert_eq!(checked.object()["added"], 2);
    assert!(place.run(&["groups", "list", "--json"]).await.succeeded().objects().is_empty());

    let imported = place.import_export(&file, &flags).await;
    let object = imported.object();
    assert_eq!(object["access"], json!({ "roles": 3, "groups": 2, "members": 1, "bindings": 5 }), "{object}");
    assert_eq!(
        object["not_taken"].get("bindings"),
        None,
        "what Keycloak gives everybody is no role here: {object}"
    );
    let access = async |audience: &str| {
        let access = ["access", "show", "ann", "--audience", audience, "--json"];
        let scopes = place.run(&access).await.succeeded().stdout;
        ["editor", "reader", "pick"].map(|scope| scopes.contains(&format!("\"{scope}\"")))
    };
    assert_eq!(access("shop").await, [true, true, false]);
    assert_eq!(access("stock").await, [false, false, true]);
    // Again, nothing is new, and whoever has lost a role since has it again only if the password is still the export's.
    let again = place.import_export(&file, &flags).await.object();
    assert_eq!((&again["access"]["roles"], &again["access"]["groups"]), (&json!(0), &json!(0)));
    let other = place.import_export(&file, &["--with-roles"]).await;
    assert!(other.failed(2).contains("--with-roles"), "{other:?}");
}

#[tokio::test]
async fn groups_and_roles_that_are_here_already_give_nobody_what_the_realm_does_not() {
    let place = Place::migrated().await;
    let file = place.write("shop-realm.json", &realm(&keycloak_users()).to_string());
    let flags = ["--format=keycloak", "--with-roles"];
    let refused = async |problem: &str| {
        for more in [&["--dry-run"][..], &[]] {
            let refused = place.import_export(&file, &[&flags[..], more].concat()).await;
            assert!(refused.failed(2).contains(problem), "{refused:?}");
            assert!(refused.stderr.contains("\"ACCESS_CONFLICT\""), "{refused:?}");
        }
        assert!(place.run(&["users", "list", "--json"]).await.succeeded().objects().is_empty());
        assert_eq!(place.run(&["groups", "list", "--json"]).await.succeeded().objects().len(), 1);
    };
    place.run(&["groups", "create", "staff.heads"]).await.succeeded();
    place.run(&["roles", "create", "payer", "--audience", "billing", "--scope", "pay"]).await.succeeded();
    let payer = ["payer", "--audience", "billing", "--group", "staff.heads"];
    place.run(&[&["roles", "bind"], &payer[..]].concat()).await.succeeded();
    refused("the group `staff.heads` is here already, and has the role `payer` of the audience `billing`")
        .await;
    place.run(&[&["roles", "unbind"], &payer[..]].concat()).await.succeeded();
    let owner = ["billing", "--group", "staff.heads"];
    place.run(&[&["audiences", "add-owner"], &owner[..]].concat()).await.succeeded();
    refused("the group `staff.heads` is here already, and owns the audience `billing`").await;
    place.run(&[&["audiences", "remove-owner"], &owner[..]].concat()).await.succeeded();
    place.run(&["roles", "create", "reader", "--audience", "shop", "--scope", "delete"]).await.succeeded();
    refused("the role `reader` of the audience `shop` is here already").await;

    let reader = ["roles", "update", "reader", "--audience", "shop"];
    let scopes = ["--add-scope", "reader", "--remove-scope", "delete"];
    place.run(&[&reader[..], &scopes].concat()).await.succeeded();
    let imported = place.import_export(&file, &flags).await.object();
    assert_eq!((&imported["access"]["roles"], &imported["access"]["groups"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn what_may_be_a_second_factor_is_one_and_a_temporary_password_does_not_come_over() {
    let place = Place::migrated().await;
    let of_kind = |kind: &str| json!({ "type": kind, "secretData": "{}", "credentialData": "{}" });
    let asked = |number: u8, action: &str| json!({ "id": id(number), "requiredActions": [action] });
    let users = [
        keycloak_user("ann", &[argon2(), of_kind("sms")], &json!({ "id": id(1) })),
        keycloak_user("bob", &[argon2()], &asked(2, "CONFIGURE_TOTP")),
        keycloak_user("carol", &[argon2()], &asked(3, "UPDATE_PASSWORD")),
        keycloak_user("dan", &[argon2(), of_kind("password-history")], &asked(4, "VERIFY_EMAIL")),
    ];
    let file = place.write("shop-realm.json", &realm(&users).to_string());
    let imported = place.import_export(&file, &["--format=keycloak"]).await;
    let expected = [(1, "SECOND_FACTOR"), (2, "SECOND_FACTOR"), (3, "PASSWORD_TEMPORARY")];
    assert_eq!(refusals(&imported), refused(&expected));
    let not_taken = json!({ "other_credentials": 1, "required_actions": 3 });
    assert_eq!((&imported.object()["added"], &imported.object()["not_taken"]), (&json!(1), &not_taken));
    let imported = place.import_export(&file, &["--format=keycloak", "--drop-second-factors"]).await;
    assert_eq!(refusals(&imported), refused(&[(3, "PASSWORD_TEMPORARY")]));
    assert_eq!((&imported.object()["added"], &imported.object()["already_there"]), (&json!(2), &json!(1)));
    assert_eq!(imported.object()["not_taken"]["second_factors"], 2);
}

#[tokio::test]
async fn users_of_auth0_have_their_addresses_for_names() {
    let place = Place::migrated().await;
    let lines = [
        json!({
            "_id": { "$oid": "60425dc43519d90068f82973" }, "email": "ann@example.com", "email_verified": true, "passwordHash": BCRYPT,
            "tenant": "shop", "connection": "Username-Password-Authentication", "_tmp_is_unique": true,
            "password_set_date": { "$date": "2021-03-05T16:35:16.775Z" },
        }),
        json!({
            "user_id": "auth0|2", "username": "bob", "email": "bob@example.com", "name": "Bob B.", "password_hash": BCRYPT,
            "created_at": "2024-01-02T03:04:05.250Z", "last_login": { "$date": "2025-01-02T03:04:05Z" }, "blocked": true,
            "app_metadata": { "plan": "a" }, "picture": null, "multifactor": [],
        }),
        json!({ "user_id": "auth0|3", "email": "carol@example.com", "passwordHash": BCRYPT, "multifactor": ["guardian"] }),
        json!({ "user_id": "google-oauth2|4", "email": "dan@example.com", "blocked": null }),
    ];
    let file = place.write("users.json", &lines.map(|line| line.to_string()).join("\n"));
    // What the support exports does not say who has a second factor.
    let imported = place.import_export(&file, &["--format=auth0"]).await;
    let expected = [(1, "SECOND_FACTOR"), (3, "SECOND_FACTOR"), (4, "NO_PASSWORD")];
    assert_eq!(refusals(&imported), refused(&expected));
    assert_eq!(imported.object()["added"], 1);
    assert_eq!(imported.object()["not_taken"], json!({ "app_metadata": 1, "verified_addresses": 1 }));
    let ids = format!("--id-map={}", place.path("ids").display());
    let imported = place.import_export(&file, &["--format=auth0", "--drop-second-factors", &ids]).await;
    assert_eq!(refusals(&imported), refused(&[(4, "NO_PASSWORD")]));
    assert_eq!((&imported.object()["added"], &imported.object()["already_there"]), (&json!(2), &json!(1)));
    assert_eq!(imported.object()["not_taken"]["second_factors"], 1);
    let ids = fs::read_to_string(place.path("ids")).unwrap();
    assert!(ids.contains("\"60425dc43519d90068f82973\"") && ids.contains("\"auth0|2\""), "{ids}");
    let bob = place.user_of_export("bob").await;
    assert_eq!(
        (&bob["is_active"], &bob["display_name"], &bob["create_time"]),
        (&json!(false), &json!("Bob B."), &json!("2024-01-02T03:04:05.25Z"))
    );
    let service = place.serve(&[]).await;
    service.client().await.log_in("ann@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_export_of_firebase_needs_the_parameters_of_its_hashes_and_repeats_no_key() {
    let place = Place::migrated().await;
    let user = json!({ "localId": "1", "email": "ann@example.com", "passwordHash": "bm90IGEgaGFzaA==", "salt": "c2FsdA==" });
    let social = json!({ "localId": "2", "email": "bob@example.com", "providerUserInfo": [{ "providerId": "google.com" }] });
    let file = place.write("users.json", &json!({ "users": [user, social] }).to_string());
    let without = place.import_export(&file, &["--format=firebase"]).await;
    assert!(without.failed(2).contains("--hash-config"), "{without:?}");
    let parameters = "hash_config {\n  algorithm: SCRYPT,\n  base64_signer_key: hunter2*,\n  rounds: 8,\n  mem_cost: 14\n}\n";
    let config = place.write("hash", parameters);
    let config = format!("--hash-config={config}");
    let silent = place.import_export(&file, &["--format=firebase", &config]).await;
    assert!(silent.failed(2).contains("does not say who has a second factor"), "{silent:?}");
    let flags = ["--format=firebase", "--drop-second-factors", config.as_str()];
    let wrong = place.import_export(&file, &flags).await;
    assert!(wrong.failed(2).contains("not base64") && !wrong.stderr.contains("hunter2"), "{wrong:?}");
    place.write("hash", "algorithm: SCRYPT\nbase64_signer_key: aHVudGVyMg==\nbase64_salt_separator: Bw==\nrounds: 8\nmem_cost: 14\n");
    let imported = place.import_export(&file, &[&flags[..], &["--dry-run"]].concat()).await;
    let object = imported.object();
    assert_eq!((&object["rows"], &object["not_taken"]), (&json!(2), &json!({ "federated_identities": 1 })));
    assert!(refusals(&imported).contains(&(2, "NO_PASSWORD".to_owned())), "{imported:?}");
    assert!(!imported.stderr.contains("aHVudGVyMg"), "{imported:?}");
}

#[tokio::test]
async fn a_user_of_firebase_logs_in_with_the_password_there() {
    let place = Place::migrated().await;
    // The parameters, the account and the password that the README of github.com/firebase/scrypt shows.
    let parameters = "hash_config {\n  algorithm: SCRYPT,\n  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,\n  base64_salt_separator: Bw==,\n  rounds: 8,\n  mem_cost: 14,\n}\n";
    let config = format!("--hash-config={}", place.write("hash", parameters));
    let user = json!({
        "localId": "kYi4EvWQlQTKSfnJ3dRSP6IH3ed2", "email": "user1@test.com", "emailVerified": false, "displayName": "Test User 1",
        "passwordHash": "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
        "salt": "42xEC+ixf3L2lw==", "createdAt": "1508893925000", "lastSignedInAt": "1508893925000", "providerUserInfo": [],
    });
    let file = place.write("users.json", &json!({ "users": [user] }).to_string());
    let imported = place.import_export(&file, &["--format=firebase", "--drop-second-factors", &config]).await;
    assert_eq!(imported.object()["added"], 1, "{imported:?}");
    let shown = place.user_of_export("user1@test.com").await;
    assert_eq!(
        (&shown["display_name"], &shown["create_time"]),
        (&json!("Test User 1"), &json!("2017-10-25T01:12:05Z"))
    );
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.log_in("user1@test.com", "user1password").await.unwrap();
    let wrong = client.log_in("user1@test.com", "user2password").await;
    assert_eq!(reason(&wrong), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn what_is_no_export_is_told_with_the_place() {
    let place = Place::migrated().await;
    for (text, format, problem) in [
        ("{\"users\":[{]", "keycloak", "line 1"),
        ("{\"realm\":\"x\"}", "keycloak", "no list `users`"),
        ("{\"users\":[{}", "keycloak", "is it whole?"),
        ("[{\"realm\":\"x\",\"users\":[]}]", "keycloak", "it is a list"),
        ("{\"users\":[],\"users\":[]}", "keycloak", "two lists `users`"),
    ] {
        let file = place.write("export.json", text);
        let refused = place.import_export(&file, &["--format", format]).await;
        assert!(refused.failed(1).contains(problem), "{refused:?}");
        assert!(refused.stderr.contains("export.json cannot be read: "), "{refused:?}");
    }
    let file = place.write("export.json", "no JSON\n");
    let refused = place.import_export(&file, &["--format=auth0"]).await;
    assert_eq!(refusals(&refused), [(1, "MALFORMED_ROW".to_owned())]);
}

#[tokio::test]
async fn an_export_takes_no_more_memory_for_more_users() {
    use std::io::Write;
    if !Place::on_database().await.is_embedded() {
        return; // What it reads and checks is the same, wherever it would be written.
    }
    let place = Place::embedded().await;
    let mut peaks = Vec::new();
    for users in [5_000, 50_000] {
        let mut file = std::io::BufWriter::new(fs::File::create(place.path("realm.json")).unwrap());
        let first = keycloak_user("first", &[argon2()], &json!({ "id": "first" }));
        write!(file, r#"{{"realm":"shop","users":[{first}"#).unwrap();
        for number in 1..users {
            let user =
                keycloak_user(&format!("user-{number}"), &[argon2()], &json!({ "id": number.to_string() }));
            write!(file, ",{user}").unwrap();
        }
        write!(file, r#"],"clients":[]}}"#).unwrap();
        file.flush().unwrap();
        let import = ["users", "import", "realm.json", "--format=keycloak", "--dry-run"];
        peaks.push(peak_kib(&place, &import).await);
    }
    assert!(peaks[0] > 0 && peaks[1] < peaks[0] + peaks[0] / 2, "{peaks:?} KiB");
}

/// The blocks of `section` of docs/MIGRATING.md that are indented as code.
fn recipe(section: &str) -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/MIGRATING.md")).unwrap();
    let (_, rest) = page.split_once(&format!("### {section}\n")).unwrap();
    let text = rest.split("\n## ").next().unwrap();
    let blocks = text.split("\n\n").filter(|block| block.starts_with("    "));
    blocks.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_recipe_for_supabase_brings_over_who_may_log_in_by_a_password() {
    use sea_orm::ConnectionTrait;
    let place = Place::migrated().await;
    if place.server_kind() != Some("postgres") {
        return; // Supabase is PostgreSQL.
    }
    // The columns of its tables that the recipe names, as Supabase has them.
    let db = place.connect().await;
    let tables = format!(
        "CREATE SCHEMA auth;
         CREATE TABLE auth.users (id UUID PRIMARY KEY, email VARCHAR(255), encrypted_password VARCHAR(255), created_at TIMESTAMPTZ,
             updated_at TIMESTAMPTZ, last_sign_in_at TIMESTAMPTZ, banned_until TIMESTAMPTZ, deleted_at TIMESTAMPTZ);
         CREATE TABLE auth.mfa_factors (user_id UUID, status VARCHAR(20));
         INSERT INTO auth.users (id, email, encrypted_password, created_at, banned_until, deleted_at) VALUES
             ('018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c01', 'ann@example.com', '{BCRYPT}', '2024-01-02 03:04:05+00', NULL, NULL),
             ('018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c02', 'bob@example.com', '{BCRYPT}', now(), now() + interval '1 day', NULL),
             ('018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c03', 'carol@example.com', '{BCRYPT}', now(), NULL, NULL),
             ('018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c04', 'dan@example.com', '', now(), NULL, NULL),
             ('018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c05', 'erin@example.com', '{BCRYPT}', now(), NULL, now());
         INSERT INTO auth.mfa_factors VALUES ('018f3c9e-3b1a-4f0e-9a53-6b2b8f0f4c03', 'verified');"
    );
    db.execute_unprepared(&tables).await.unwrap();
    let [view, command]: [String; 2] = recipe("From Supabase").try_into().unwrap();
    db.execute_unprepared(&view).await.unwrap();
    place.write("old-database-url", &place.database_url());
    let words = command.split_whitespace().skip(1).filter(|word| *word != "\\").collect::<Vec<_>>();
    let imported = place.run(&[&["--json"], &words[..]].concat()).await;
    let object = imported.object();
    assert_eq!((&object["added"], &object["refused"]), (&json!(2), &json!(1)), "{imported:?}");
    assert!(imported.stderr.contains("PASSWORD_HASH_UNUSABLE"), "{imported:?}");
    let ann = place.user_of_export("ann@example.com").await;
    assert_eq!((&ann["id"], &ann["create_time"]), (&id(1), &json!("2024-01-02T03:04:05Z")));
    let service = place.serve(&[]).await;
    let client = service.client().await;
    client.log_in("ann@example.com", PASSWORD).await.unwrap();
    assert_eq!(
        reason(&client.log_in("bob@example.com", PASSWORD).await),
        "INVALID_CREDENTIALS",
        "banned there"
    );
}
