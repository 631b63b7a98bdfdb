//! Owns what `signet apply` promises when it is killed: all that its manifest names is there, with its record, or nothing is.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    gate::{Gate, killed_at_moments},
    harness::Place,
};

/// How often it is killed.
const KILLS: u32 = 12;

/// Enough of each kind to be cut in two anywhere.
const EACH: usize = 30;

/// What there is of a manifest: groups, roles, bindings, and records of it.
type Found = [usize; 4];

const NOTHING: Found = [0; 4];
const ALL: Found = [EACH, EACH, EACH, 1];

fn manifest() -> String {
    let all = |line: fn(usize) -> String| (0..EACH).map(line).collect::<String>();
    let roles = all(|n| format!("  - {{name: role-{n}, audience: stock, scopes: [stock.look]}}\n"));
    let groups = all(|n| format!("  - name: group-{n}\n"));
    let bindings = all(|n| format!("  - {{role: role-{n}, audience: stock, group: group-{n}}}\n"));
    format!("set: shop\naudiences:\n  - name: stock\nroles:\n{roles}groups:\n{groups}bindings:\n{bindings}")
}

const APPLY: [&str; 4] = ["apply", "-f", "shop.yaml", "--yes"];

async fn found(place: &Place) -> Found {
    let lines = async |args: &[&str], of: &str| {
        let listed = place.run(&[args, &["--json"]].concat()).await.succeeded().stdout;
        listed.lines().filter(|line| line.contains(of)).count()
    };
    [
        lines(&["groups", "list"], "group-").await,
        lines(&["roles", "list"], "role-").await,
        lines(&["bindings", "list"], "role-").await,
        lines(&["audit", "list", "--event", "manifest.applied"], "manifest.applied").await,
    ]
}

/// Applies it once more where it was killed, which leaves all; returns whether the one that was killed had written all.
async fn goes_on(place: &Place) -> bool {
    let before = found(place).await;
    assert!(before == NOTHING || before == ALL, "half of it is there: {before:?}");
    let again = place.run(&APPLY).await.succeeded().stdout;
    assert_eq!(again == "Nothing is to be changed.\n", before == ALL, "{again}");
    assert_eq!(found(place).await, ALL);
    before == ALL
}

#[tokio::test]
async fn a_manifest_whose_application_is_killed_is_there_as_a_whole_or_not_at_all() {
    let start = Place::migrated().await;
    if start.is_embedded() {
        let places = async || {
            let place = Place::embedded().await;
            place.write("shop.yaml", &manifest());
            place
        };
        return killed_at_moments(KILLS, &APPLY, places, async |place: &Place| {
            goes_on(place).await;
        })
        .await;
    }
    let undisturbed = start.copy().await;
    let count = messages(&undisturbed, usize::MAX).await.expect("it came to its end");
    assert_eq!(found(&undisturbed).await, ALL);
    // The last ones end the transaction.
    let apart = (count / KILLS as usize).max(1);
    let kills = (0..count).step_by(apart).chain(count.saturating_sub(4)..count);
    let (start, mut killing) = (Arc::new(start), JoinSet::new());
    for before in kills {
        let start = Arc::clone(&start);
        killing.spawn(async move {
            let place = start.copy().await;
            let came_to_its_end = messages(&place, before).await.is_some();
            assert!(goes_on(&place).await || !came_to_its_end);
        });
        if killing.len() == 2 {
            killing.join_next().await.unwrap().unwrap();
        }
    }
    killing.join_all().await;
}

/// How many messages an application has, if it comes to its end; it is killed before its message after the first `before`.
async fn messages(place: &Place, before: usize) -> Option<usize> {
    place.write("shop.yaml", &manifest());
    let gate = Gate::before(place.server(), before).await;
    let url = format!("--database-url={}", place.url_at(&gate.addr.to_string()));
    let applying = place.signet(&[&APPLY[..], &[&url]].concat()).start();
    gate.messages_of(applying).await
}
