//! Owns what commands do to the version of a user's credentials, by which a login is refused that they overtake.

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::Place;

/// Hashes of other systems.
const ONE: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";
const ANOTHER: &str = "$2b$04$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEu";

impl Place {
    /// `users.credential_version` of the only user there is.
    async fn credential_version(&self) -> Option<Uuid> {
        let db = self.connect().await;
        let query = sea_orm::sea_query::Query::select().column("credential_version").from("users").to_owned();
        let rows = db.query_all(&query).await.unwrap();
        db.close().await.unwrap();
        assert_eq!(rows.len(), 1);
        rows[0].try_get_by_index(0).unwrap()
    }

    async fn update_by_import(&self, row: &Value) {
        let file = self.write("users.ndjson", &row.to_string());
        let updated = self.run(&["--json", "users", "import", &file, "--on-conflict=update"]).await;
        assert_eq!(updated.succeeded().object()["updated"], 1);
    }
}

#[tokio::test]
async fn an_import_changes_the_version_of_whom_it_gives_another_hash_and_of_nobody_else() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    let mut versions = vec![place.credential_version().await];
    // The third brings the first hash back, which a login may just have judged; the version does not come back with it.
    for hash in [ONE, ANOTHER, ONE] {
        place.update_by_import(&json!({ "username": "alice", "password_hash": hash })).await;
        let changed = place.credential_version().await;
        assert!(changed.is_some() && !versions.contains(&changed), "{versions:?} {changed:?}");
        versions.push(changed);
    }
    let last = versions.pop().unwrap();
    let row =
        json!({ "username": "alice", "password_hash": ONE, "display_name": "Alice", "is_active": false });
    place.update_by_import(&row).await;
    assert_eq!(place.credential_version().await, last, "the hash is the same");
    for state in ["enable", "disable"] {
        place.run(&["users", state, "alice"]).await.succeeded();
        assert_eq!(place.credential_version().await, last, "{state}");
    }
    // Brought over again, under the same id.
    let exported = place.run(&["users", "export"]).await.succeeded().stdout;
    place.run(&["users", "delete", "alice"]).await.succeeded();
    let file = place.write("users.ndjson", &exported);
    place.run(&["users", "import", &file]).await.succeeded();
    let again = place.credential_version().await;
    assert!(again.is_some() && again != last && !versions.contains(&again));
}
