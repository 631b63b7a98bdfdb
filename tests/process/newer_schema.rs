//! Owns what a release promises to the one before: while an upgrade rolls, and after it is taken back, that one runs on the newer
//! schema, unless the name of a migration says that it cannot.

use sea_orm::ConnectionTrait;
use serde_json::json;
use signet_migrations::{Migrator, MigratorTrait};

use crate::{
    client::{PASSWORD, reason},
    harness::Place,
};

/// The number of this program's newest migration.
fn newest() -> u32 {
    let migrations = Migrator::migrations();
    let name = migrations.last().unwrap().name();
    name.split('_').nth(1).unwrap().parse().unwrap()
}

impl Place {
    /// Has the migrations `names` stand as applied.
    pub(crate) async fn note_migrations(&self, names: &[&str]) {
        let db = self.connect().await;
        for name in names {
            let note = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', 0)");
            db.execute_unprepared(&note).await.unwrap();
        }
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_schema_that_a_newer_version_has_expanded_is_served() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let db = place.connect().await;
    for change in ["ALTER TABLE users ADD COLUMN pet_id INTEGER NULL", "CREATE TABLE pets (id INTEGER)"] {
        db.execute_unprepared(change).await.unwrap();
    }
    db.close().await.unwrap();
    // The second has dropped what no version needs that knows the newest migration of this one.
    let contraction = format!("m29990101_000101_drop_cats_needs_{:06}", newest());
    let newer = ["m29990101_000099_pets", contraction.as_str()];
    place.note_migrations(&newer).await;

    let schema = place.run(&["migrate", "up", "--json"]).await.succeeded().object();
    assert_eq!(schema, json!({ "applied": [], "newer": newer }));
    let status = place.run(&["migrate", "status", "--json"]).await.succeeded().objects();
    assert_eq!(status[0]["known"], true);
    assert!(status.ends_with(&newer.map(|name| json!({ "name": name, "applied": true, "known": false }))));
    let status = place.run(&["migrate", "status"]).await.succeeded().stdout;
    assert!(status.ends_with(&newer.map(|name| format!("newer    {name}\n")).concat()), "{status}");
    for auto_migrate in ["on", "off"] {
        let mut service = place.serve(&[&format!("--auto-migrate={auto_migrate}")]).await;
        assert_eq!(service.started["migrations_applied"], json!([]));
        service.logs("a newer version has changed the schema; this version can use it").await;
        let client = service.client().await;
        client.sign_up(&format!("user.{auto_migrate}")).await.unwrap();
        let tokens = client.open_session("alice", PASSWORD).await.unwrap();
        assert_eq!(reason(&client.get_me(&tokens.access_token).await), "OK");
        assert_eq!(reason(&client.refresh(&tokens.refresh_token.unwrap()).await), "OK");
        service.stop().await;
    }
    let users = place.run(&["users", "list", "--json"]).await.succeeded().objects();
    assert_eq!(users.len(), 3);
}

#[tokio::test]
async fn a_schema_that_a_newer_version_has_made_unusable_is_left_alone() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let next = newest() + 1;
    // What the second says of older versions cannot be read.
    let unusable =
        [format!("m29990101_000100_drop_cats_needs_{next:06}"), "m29990101_000101_dogs_needs_1".to_owned()];
    place.note_migrations(&["m29990101_000099_pets", &unusable[0], &unusable[1]]).await;
    for args in [&["serve"][..], &["migrate", "up"], &["migrate", "status"], &["users", "list"]] {
        let refused = place.run(args).await;
        let expected = format!(
            "a newer version has changed the database's schema ({}): run that version, or one that is newer still",
            unusable.join(", ")
        );
        assert_eq!(refused.failed(1), expected);
    }
}
