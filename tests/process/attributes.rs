//! Owns what is promised of `signet attributes`, and of attributes in `signet users`.

use serde_json::json;

use crate::harness::{Finished, Place};

/// What the command `line` answers.
async fn done(place: &Place, line: &str) -> Finished {
    place.run(&line.split(' ').collect::<Vec<_>>()).await.succeeded()
}

#[tokio::test]
async fn an_attribute_is_declared_given_shown_and_deleted() {
    let place = Place::migrated().await;
    place.create_user("bob").await;
    let team = done(&place, "attributes create team --in-tokens --description Whose. --json").await.object();
    assert_eq!(
        (&team["type"], &team["writer"], &team["in_tokens"]),
        (&json!("string"), &json!("admin"), &json!(true))
    );
    done(&place, "attributes create level --type integer").await;
    done(&place, "attributes create sites --type string-list").await;
    let refused = place.run(&["attributes", "create", "motto", "--writer", "user", "--in-tokens"]).await;
    assert!(refused.failed(2).contains("in_tokens"), "{refused:?}");
    let refused = place.run(&["attributes", "create", "team"]).await;
    assert!(refused.failed(1).contains("declared already"), "{refused:?}");

    let given = r#"users update bob --set-attribute team=blue --set-attribute level=7 --set-attribute sites=["a"] --json"#;
    let bob = done(&place, given).await.object();
    assert_eq!(bob["attributes"], json!({ "team": "blue", "level": 7, "sites": ["a"] }));
    let bob = done(&place, "users update bob --unset-attribute sites --set-attribute team=red").await;
    assert!(bob.stdout.ends_with("attribute:    level=7\nattribute:    team=\"red\"\n"), "{bob:?}");
    assert_eq!(
        done(&place, "users show bob --json").await.object()["attributes"],
        json!({ "team": "red", "level": 7 })
    );
    for (bad, said) in [("level=high", "integer"), ("size=s", "size")] {
        let refused = place.run(&["users", "update", "bob", "--set-attribute", bad]).await;
        assert!(refused.failed(2).contains(said), "{refused:?}");
    }
    let updated = done(&place, "attributes update team --not-in-tokens --in-userinfo --json").await.object();
    assert_eq!((&updated["in_tokens"], &updated["in_userinfo"]), (&json!(false), &json!(true)));
    let listed = done(&place, "attributes list").await;
    assert!(listed.stdout.contains("level") && listed.stdout.contains("userinfo"), "{listed:?}");
    done(&place, "attributes delete team").await;
    assert_eq!(done(&place, "users show bob --json").await.object()["attributes"], json!({ "level": 7 }));
    assert!(place.run(&["attributes", "show", "team"]).await.failed(1).contains("team"));
}
