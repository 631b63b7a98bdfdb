//! Owns what runs by itself for all that share the database: one process at a time runs a job, when it is due, and its row tells of it.

#![allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, TransactionTrait,
    sea_query::{Expr, ExprTrait, Query, SimpleExpr},
};
use signet::{
    base::{Clock, Timestamp},
    jobs::ListedJob,
    model::UserId,
    store::{BATCH, JobRow, Lease, Process, RunEnd},
};
use uuid::Uuid;

use crate::{
    harness::{TestServer, eventually},
    keys::UNTIL_DUE,
    sweeping::{count, insert_sessions},
};

/// After how long the slower jobs are due again.
const PERIOD: Duration = Duration::from_mins(10);

/// After how long they are, when they did not succeed.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);

/// After how long it is looked again which are due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_secs(15);

impl TestServer {
    async fn row(&self, job: &str) -> JobRow {
        let rows = self.store().await.jobs().await.unwrap();
        rows.into_iter().find(|row| row.name == job).unwrap()
    }

    async fn listed(&self, job: &str) -> ListedJob {
        let jobs = signet::jobs::list(&self.store().await, &self.clock).await.unwrap();
        jobs.into_iter().find(|listed| listed.name == job).unwrap()
    }

    /// How many runs of `job` have ended in this process with `result`.
    async fn runs(&self, job: &str, result: &str) -> f64 {
        self.scrape().await.sum("signet_job_runs_total", &[("job", job), ("result", result)])
    }

    /// Waits until it has looked `times` times which jobs are due. While the clock stands, it does not look again.
    async fn has_looked(&self, times: f64) {
        eventually("it looks", async || self.runs("shared_jobs", "succeeded").await == times).await;
    }

    /// Changes the row of `job` behind its back.
    async fn change_row(&self, job: &str, values: Vec<(&'static str, SimpleExpr)>) {
        let update =
            Query::update().table("leases").values(values).and_where(Expr::col("name").eq(job)).to_owned();
        self.data.connect().await.execute(&update).await.unwrap();
    }

    async fn rename_table(&self, from: &str, to: &str) {
        let rename = format!("ALTER TABLE {from} RENAME TO {to}");
        self.data.connect().await.execute_unprepared(&rename).await.unwrap();
    }
}

#[tokio::test]
async fn of_several_replicas_one_runs_a_job_that_is_due_and_its_row_tells_which() {
    let one = TestServer::start(&[]).await;
    let other = one.replica(&[]).await;
    let both = [&one, &other];
    for replica in both {
        replica.has_looked(1.0).await;
    }
    let never = one.listed("sessions").await;
    assert_eq!((never.result.as_str(), never.due_time), ("never", Some(one.clock.now().after(PERIOD))));
    for round in 1..=3 {
        let begin_time = one.clock.now().after(PERIOD);
        one.clock.advance(PERIOD);
        for replica in both {
            replica.has_looked(f64::from(round + 1)).await;
        }
        eventually("one has run it", async || one.row("sessions").await.result.is_some()).await;
        let row = one.row("sessions").await;
        let (result, holder) = (row.result.as_deref(), row.process.map(|process| process.id));
        assert_eq!((row.begin_time, result, row.holder), (Some(begin_time), Some("succeeded"), holder));
        let mut runs = 0.0;
        for replica in both {
            runs += replica.runs("sessions", "succeeded").await;
        }
        assert_eq!(runs, f64::from(round));
        let listed = one.listed("sessions").await;
        assert_eq!((listed.holder, listed.due_time), (None, Some(begin_time.after(PERIOD))));
        one.change_row("sessions", vec![("result", Expr::value(None::<String>))]).await;
    }
}

#[tokio::test]
async fn a_job_that_another_process_runs_is_left_to_it_until_its_lease_is_over() {
    let server = TestServer::start(&[]).await;
    server.has_looked(1.0).await;
    let other = Uuid::now_v7();
    let begin_time = server.clock.now().after(PERIOD);
    let of_other = vec![
        ("holder", other.into()),
        ("expire_time", begin_time.after(Duration::from_mins(1)).as_micros().into()),
        ("begin_time", begin_time.as_micros().into()),
        ("process_id", other.into()),
        ("process_name", "other:7".into()),
    ];
    server.change_row("sessions", of_other).await;
    server.clock.advance(PERIOD);
    server.has_looked(2.0).await;
    eventually("the others are run", async || server.runs("assertions", "succeeded").await == 1.0).await;
    let listed = server.listed("sessions").await;
    assert_eq!((listed.result.as_str(), listed.holder.as_deref()), ("running", Some("other:7")));
    assert_eq!(server.runs("sessions", "succeeded").await, 0.0);

    // It has ended without a word: whoever looks next begins anew.
    server.clock.advance(Duration::from_mins(1));
    eventually("it is run", async || server.runs("sessions", "succeeded").await == 1.0).await;
    eventually("its end is kept", async || server.listed("sessions").await.result == "succeeded").await;
}

#[tokio::test]
async fn a_job_that_fails_shows_its_failure_and_is_tried_again_after_a_minute() {
    let server = TestServer::start(&[]).await;
    server.has_looked(1.0).await;
    server.rename_table("client_assertions", "gone").await;
    server.clock.advance(PERIOD);
    eventually("it fails", async || server.listed("assertions").await.result == "failed").await;
    let failed = server.listed("assertions").await;
    let problem = failed.problem.unwrap();
    // The cause, which may quote anything, is in the log alone.
    assert!(!problem.is_empty() && !problem.contains("client_assertions"), "{problem}");
    assert_eq!(failed.due_time, Some(server.clock.now().after(RETRY_INTERVAL)));
    assert_eq!(server.runs("assertions", "failed").await, 1.0);
    eventually("the others are run", async || server.listed("sessions").await.result == "succeeded").await;

    server.rename_table("gone", "client_assertions").await;
    server.clock.advance(RETRY_INTERVAL);
    eventually("it succeeds", async || server.listed("assertions").await.result == "succeeded").await;
    assert_eq!(server.listed("assertions").await.problem, None);
}

#[tokio::test]
async fn one_that_cannot_be_begun_keeps_no_later_one_from_it() {
    let server = TestServer::start(&[]).await;
    server.has_looked(1.0).await;
    let refuse = if server.data.is_embedded() {
        "CREATE TRIGGER refused BEFORE UPDATE ON leases WHEN NEW.name = 'assertions' BEGIN SELECT RAISE(ABORT, 'of a test'); END"
    } else {
        "ALTER TABLE leases ADD CONSTRAINT refused CHECK (name <> 'assertions' OR begin_time IS NULL)"
    };
    server.data.connect().await.execute_unprepared(refuse).await.unwrap();
    server.clock.advance(PERIOD);
    eventually("the look fails", async || server.runs("shared_jobs", "failed").await == 1.0).await;
    // One that is looked at before it, and one after it.
    for job in ["sessions", "password_failures"] {
        eventually("it is run", async || server.listed(job).await.result == "succeeded").await;
    }
    assert_eq!(server.listed("assertions").await.result, "never");
}

#[tokio::test]
async fn the_feed_of_changes_is_not_read_again_at_once_when_it_cannot_be_read() {
    let server = TestServer::start(&["--standing-cache-max-age=100ms"]).await;
    let (system, failures) = (Clock::system(), async || server.runs("change_feed", "failed").await);
    let start = system.monotonic();
    server.rename_table("changes", "gone").await;
    eventually("it fails again and again", async || failures().await >= 3.0).await;
    // Each reading that fails is a second from the next, however fast or slow the machine is.
    let (failed, seconds) = (failures().await, system.monotonic().saturating_sub(start).as_secs_f64());
    assert!(failed <= seconds + 1.0, "{failed} in {seconds} s");
    server.rename_table("gone", "changes").await;
    let succeeded = async || server.runs("change_feed", "succeeded").await;
    let before = succeeded().await;
    eventually("it is read", async || succeeded().await > before).await;
}

#[tokio::test]
async fn a_sweep_after_one_that_failed_begins_at_the_oldest_session_again() {
    let server = TestServer::start(&[]).await;
    if !server.data.is_embedded() {
        return; // SQLite's trigger stands for whatever fails amid a sweep, on any database.
    }
    server.has_looked(1.0).await;
    let (db, opened, user) = (server.data.connect().await, server.clock.now(), UserId(Uuid::now_v7()));
    insert_sessions(&server.data, opened, BATCH + 100, user, "signet").await;
    let refuse = "CREATE TRIGGER refused BEFORE DELETE ON sessions WHEN OLD.id = (SELECT MAX(id) FROM sessions) \
                  BEGIN SELECT RAISE(ABORT, 'of a test'); END";
    db.execute_unprepared(refuse).await.unwrap();
    server.clock.advance(Duration::from_hours(365 * 24));
    eventually("it fails", async || server.listed("sessions").await.result == "failed").await;
    assert_eq!(count(&db, "sessions", Expr::value(true)).await, 100, "up to there it came");
    // Other processes may have done what they do meanwhile, and this one knows nothing of how far they came.
    insert_sessions(&server.data, opened.before(Duration::from_hours(1)), 1, user, "signet").await;
    db.execute_unprepared("DROP TRIGGER refused").await.unwrap();
    server.clock.advance(RETRY_INTERVAL);
    eventually("it succeeds", async || server.listed("sessions").await.result == "succeeded").await;
    assert_eq!(count(&db, "sessions", Expr::value(true)).await, 0);
}

#[tokio::test]
async fn a_run_that_a_process_owes_for_having_started_is_its_own_whatever_another_release_has_run() {
    let server = TestServer::start(&[]).await;
    eventually("it runs at the start", async || server.runs("usernames", "succeeded").await == 1.0).await;
    let other = Uuid::now_v7();
    let begin_time = server.clock.now().after(DUE_CHECK_INTERVAL);
    let of_other = vec![
        ("holder", other.into()),
        ("expire_time", begin_time.after(RETRY_INTERVAL).as_micros().into()),
        ("begin_time", begin_time.as_micros().into()),
        ("process_id", other.into()),
        ("process_name", "other:7".into()),
    ];
    server.change_row("usernames", of_other).await;
    // It starts while a process of the release before runs the job, which ends later than that began.
    let replica = server.replica(&[]).await;
    replica.has_looked(1.0).await;
    let end_time = begin_time.as_micros() + 1;
    let ended =
        vec![("expire_time", end_time.into()), ("end_time", end_time.into()), ("result", "succeeded".into())];
    server.change_row("usernames", ended).await;
    replica.clock.advance(DUE_CHECK_INTERVAL * 2);
    eventually("it is run", async || replica.runs("usernames", "succeeded").await == 1.0).await;
    server.has_looked(2.0).await;
    assert_eq!(server.runs("usernames", "succeeded").await, 1.0, "that owes nothing");
}

#[tokio::test]
async fn the_daily_job_is_tried_again_after_a_minute_when_it_fails() {
    let server = TestServer::start(&[]).await;
    eventually("it runs at the start", async || server.listed("usernames").await.result == "succeeded").await;
    server.rename_table("usernames", "gone").await;
    server.clock.advance(Duration::from_hours(24));
    eventually("it fails", async || server.listed("usernames").await.result == "failed").await;
    server.rename_table("gone", "usernames").await;
    let failed = server.listed("usernames").await;
    assert_eq!(failed.due_time, Some(server.clock.now().after(RETRY_INTERVAL)));
    server.clock.advance(RETRY_INTERVAL);
    eventually("it succeeds", async || server.listed("usernames").await.result == "succeeded").await;
}

#[tokio::test]
async fn jobs_whose_rows_are_gone_run_again() {
    let server = TestServer::start(&[]).await;
    server.has_looked(1.0).await;
    let all = Query::delete().from_table("leases").and_where(Expr::col("name").ne("signing_keys")).to_owned();
    server.data.connect().await.execute(&all).await.unwrap();
    server.clock.advance(DUE_CHECK_INTERVAL);
    server.has_looked(2.0).await;
    assert_eq!(server.listed("sessions").await.due_time, Some(server.clock.now().after(PERIOD)));
    server.clock.advance(PERIOD);
    eventually("it is run", async || server.runs("sessions", "succeeded").await == 1.0).await;
}

#[tokio::test]
async fn a_lease_whose_answer_was_lost_is_had_and_is_given_back_at_the_end_of_the_process() {
    let server = TestServer::start(&[]).await;
    server.has_looked(1.0).await;
    eventually("it has run a job", async || server.row("usernames").await.result.is_some()).await;
    let process = server.row("usernames").await.process.unwrap();
    let other = Process { id: Uuid::now_v7(), name: "other:7".into() };
    let (store, row, now) = (server.store().await, server.row("sessions").await, server.clock.now());
    // Asked twice by the same process, of which the first answer was lost, and once by another.
    for is_asked_again in [false, true] {
        assert!(store.begin_run(&row, &process, now).await.unwrap(), "again: {is_asked_again}");
    }
    assert!(!store.begin_run(&row, &other, now).await.unwrap());
    let later = now.after(Duration::from_secs(1));
    assert!(!store.begin_run(&row, &process, later).await.unwrap(), "that is another run");
    let replica = server.replica(&[]).await;
    // A look after the end of the other would begin the run anew.
    replica.has_looked(1.0).await;
    server.stop().await;
    let row = replica.row("sessions").await;
    assert_eq!((row.result.as_deref(), row.begin_time), (Some("stopped"), Some(now)));
    assert!(!row.is_held(now));
}

#[tokio::test]
async fn a_process_without_the_lease_does_not_overwrite_the_result_of_a_later_run() {
    let server = TestServer::start(&[]).await;
    server.has_looked(1.0).await;
    let [one, other] = [1, 2].map(|id| Process { id: Uuid::from_u128(id), name: format!("{id}:7").into() });
    let (store, now) = (server.store().await, server.clock.now());
    let lease = Lease::of_operator(one.id);
    assert!(store.take_lease("signing_keys", lease, now).await.unwrap());
    let at = |seconds: u64| now.after(Duration::from_secs(seconds));
    let note = async |process: &Process, time: Timestamp, result: &'static str| {
        let end = RunEnd { time, result, problem: None };
        store.note_run("signing_keys", process, time, end).await.unwrap();
        server.row("signing_keys").await.result.unwrap()
    };
    assert_eq!(note(&one, at(2), "succeeded").await, "succeeded");
    assert_eq!(note(&other, at(1), "failed").await, "succeeded", "its run was an earlier one");
    assert_eq!(note(&one, at(1), "panicked").await, "panicked", "who has the lease knows");
    assert_eq!(note(&other, at(3), "failed").await, "failed", "its run was a later one");
}

#[tokio::test]
async fn a_run_that_the_end_of_its_process_cuts_short_is_begun_anew_by_another() {
    let server = TestServer::start(&[]).await;
    if server.data.is_embedded() {
        return; // Who locks a row there locks out whoever gives a lease back.
    }
    server.has_looked(1.0).await;
    let db = server.data.connect().await;
    let insert = format!(
        "INSERT INTO resting_usernames (mark, expire_time) VALUES ({}, 0)",
        if server.data.url().unwrap().starts_with("postgres") { "'\\x01'" } else { "x'01'" }
    );
    db.execute_unprepared(&insert).await.unwrap();
    let lock = db.begin().await.unwrap();
    lock.execute_unprepared("UPDATE resting_usernames SET expire_time = 1").await.unwrap();
    server.clock.advance(Duration::from_mins(1));
    eventually("it waits", async || server.listed("resting_usernames").await.result == "running").await;
    let replica = server.replica(&[]).await;
    replica.has_looked(1.0).await;
    server.stop().await;
    assert_eq!(replica.listed("resting_usernames").await.result, "stopped");
    lock.rollback().await.unwrap();
    replica.clock.advance(Duration::from_secs(15));
    eventually("it is run", async || replica.runs("resting_usernames", "succeeded").await == 1.0).await;
}

#[tokio::test]
async fn a_change_of_the_signing_keys_is_a_run_of_its_job() {
    let server = TestServer::start(&[]).await;
    assert_eq!(
        server.listed("signing_keys").await.result,
        "unknown",
        "an operator or a start made the first"
    );
    server.clock.advance(UNTIL_DUE);
    eventually("the next is published", async || server.listed("signing_keys").await.result == "succeeded")
        .await;
    let listed = server.listed("signing_keys").await;
    assert_eq!((listed.begin_time, listed.due_time), (Some(server.clock.now()), None));
    assert_eq!(listed.holder, listed.process, "for a minute");
}
