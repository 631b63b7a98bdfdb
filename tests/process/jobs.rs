//! Owns what `signet jobs` promises: which jobs one process runs for all, and what is known of their last runs.

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    commands::to_the_second,
    harness::{PATIENCE, Place},
};

async fn jobs(place: &Place) -> Vec<Value> {
    place.run(&["jobs", "--json"]).await.succeeded().objects()
}

async fn job(place: &Place, name: &str) -> Value {
    jobs(place).await.into_iter().find(|job| job["name"] == name).unwrap()
}

#[tokio::test]
async fn jobs_are_listed_with_their_periods_and_last_runs() {
    let place = Place::migrated().await;
    let never = jobs(&place).await;
    assert!(never.iter().all(|job| job["last_result"] == "never"), "{never:?}");
    let names: Vec<_> = never.iter().map(|job| job["name"].as_str().unwrap()).collect();
    let all = ["sessions", "assertions", "password_failures", "changes", "resting_usernames"];
    let of_users = ["recent_usernames", "usernames", "recent_user_search", "user_search"];
    assert_eq!(names, [&all[..], &["admin_requests", "audit_events"], &of_users, &["signing_keys"]].concat());
    assert_eq!((&never[0]["period_seconds"], &never[11]["period_seconds"]), (&json!(600), &Value::Null));

    // It looks through all usernames when it starts.
    let service = place.serve(&[]).await;
    let has_run = async { while job(&place, "usernames").await["last_result"] != "succeeded" {} };
    timeout(PATIENCE, has_run).await.expect("in time");
    let run = job(&place, "usernames").await;
    let process = run["last_process"].as_str().unwrap();
    assert!(process.ends_with(&format!(":{}", service.id())), "{process}");
    assert_eq!((&run["lease_holder"], &run["last_problem"]), (&Value::Null, &Value::Null));
    assert!(run["last_begin_time"].as_str() <= run["last_end_time"].as_str());
    let [begun, due] = ["last_begin_time", "next_due_time"].map(|name| to_the_second(&run[name]));
    let table = place.run(&["jobs"]).await.succeeded().stdout;
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "JOB PERIOD LAST RUN NEXT DUE LAST RESULT");
    assert_eq!(rows[9], ["usernames", "1day", &*begun, &*due, "succeeded"]);
    service.stop().await;
}

#[tokio::test]
async fn what_the_release_before_and_the_one_after_have_done_is_told_as_far_as_it_is_known() {
    let place = Place::migrated().await;
    let db = place.connect().await;
    // A release that does not know the columns of runs had the lease; another one has a job that this one does not know.
    let holder = if place.server_kind() == Some("postgres") {
        "'00000000-0000-0000-0000-000000000007'"
    } else {
        "x'00000000000000000000000000000007'"
    };
    for change in [
        format!("UPDATE leases SET holder = {holder} WHERE name = 'signing_keys'"),
        "INSERT INTO leases (name, expire_time, begin_time, end_time, result) VALUES ('pets', 0, 1, 2, 'purred')"
            .to_owned(),
    ] {
        db.execute_unprepared(&change).await.unwrap();
    }
    let keys = job(&place, "signing_keys").await;
    assert_eq!((&keys["last_result"], &keys["last_begin_time"]), (&json!("unknown"), &Value::Null));
    let pets = jobs(&place).await.pop().unwrap();
    assert_eq!((&pets["name"], &pets["last_result"]), (&json!("pets"), &json!("purred")));
    assert_eq!((&pets["period_seconds"], &pets["next_due_time"]), (&Value::Null, &Value::Null));
    let table = place.run(&["jobs"]).await.succeeded().stdout;
    let line = table.lines().find(|line| line.starts_with("signing_keys ")).unwrap();
    assert!(line.ends_with("  unknown"), "{table}");
}
