//! Owns how one run of a shared job comes to its end, while its lease is renewed beside it.

use std::time::Duration;

use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;

use super::report::RunResult;

/// What comes of `run`, which is dropped when its lease is `lost`, when the service is to `stop`, or after the `longest` time.
///
/// Whatever renews the lease goes on in `lost`, beside the run and never in its place: a run that is not polled keeps what it has, and
/// that may be the one connection that writes to SQLite.
pub(super) async fn under_lease(
    run: impl Future<Output = RunResult>,
    lost: impl Future<Output = ()>,
    stop: &CancellationToken,
    longest: Duration,
) -> RunResult {
    select! {
        ended = run => ended,
        () = lost => RunResult::Lost,
        () = stop.cancelled() => RunResult::Stopped,
        () = sleep(longest) => RunResult::took_too_long(longest),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::{Entropy, Timestamp},
        metrics::JobResult,
        model::{Error, KeyId},
        store::{KeyChange, Lease, Process, Store, StoredKey},
    };

    const JOB: &str = "sessions";
    const LONGEST: Duration = Duration::from_hours(1);

    fn row(now: Timestamp) -> StoredKey {
        StoredKey {
            kid: KeyId("key".to_owned()),
            alg: "ES256".to_owned(),
            sealed_private_key: Vec::new(),
            create_time: now,
            sign_time: now,
            retention: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_run_inside_a_transaction_goes_on_while_its_lease_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::system()).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let now = Timestamp::from_micros(7);
        let process = Process { id: Uuid::from_u128(1), name: "one:7".into() };
        store.add_jobs(&[JOB], now).await.unwrap();
        let lease = store.jobs().await.unwrap().into_iter().find(|row| row.name == JOB).unwrap();
        assert!(store.begin_run(&lease, &process, now).await.unwrap());

        // The lease is to be renewed when the run is in the middle of its transaction, and so has the one connection that writes.
        let (due, renewed) = (Notify::new(), Notify::new());
        let run = async {
            let decide = |_: &[StoredKey]| {
                due.notify_one();
                Ok::<_, Error>(KeyChange { insert: Some(row(now)), ..KeyChange::default() })
            };
            let lease = Lease::of_leader(process.id);
            assert!(store.change_signing_keys(lease, now, decide).await.unwrap());
            renewed.notified().await;
            RunResult::Succeeded
        };
        let renewal = async {
            due.notified().await;
            // It is refused after some seconds if the run does not get on meanwhile.
            assert!(store.renew_run(JOB, &process, now, now).await.unwrap());
            renewed.notify_one();
            pending::<()>().await;
        };
        let ended = under_lease(run, renewal, &CancellationToken::new(), LONGEST).await;
        assert_eq!(ended.result(), JobResult::Succeeded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_with_its_lease_with_the_service_and_after_its_longest_time() {
        let (goes_on, stopped) = (CancellationToken::new(), CancellationToken::new());
        stopped.cancel();
        let lost = under_lease(pending(), ready(()), &goes_on, LONGEST).await;
        assert_eq!(lost.result(), JobResult::Lost);
        let stopped = under_lease(pending(), pending(), &stopped, LONGEST).await;
        assert_eq!(stopped.result(), JobResult::Stopped);
        let too_long = under_lease(pending(), pending(), &goes_on, LONGEST).await;
        assert_eq!(too_long.result(), JobResult::Failed);
        assert_eq!(too_long.problem().unwrap(), "it took too long: more than 1h");
    }
}
