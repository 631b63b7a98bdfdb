//! Owns many who watch at once: how soon they hear of a change, and what each of them costs.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sea_orm::sqlx::{
    QueryBuilder, Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use signet::proto::identity::events::v1::watch_response::Part;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{interval, sleep},
};
use tonic::transport::Endpoint;
use uuid::Uuid;

use super::watch::{Stream, watch_token};
use crate::{
    Result,
    process::{Program, Server},
    stats::{float, micros},
};

/// From how many addresses of the loopback network the watchers come.
const ADDRESSES: usize = 200;

/// How many watchers begin at a time.
const BEGINNING: usize = 100;

/// How often changes are written, as another replica would.
const BATCH: Duration = Duration::from_millis(100);

/// How long is waited for the last change to be heard.
const PATIENCE: Duration = Duration::from_secs(10);

/// The delays that are told apart, in milliseconds.
const MOST_MILLIS: usize = 10_000;

/// So many watchers, at so many changes a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) watchers: usize,
    pub(super) changes_per_second: usize,
}

/// What came of it.
pub(super) struct Found {
    pub(super) p50_ms: usize,
    pub(super) p99_ms: usize,
    pub(super) cpu_us_per_second: f64,
    pub(super) kib_each: f64,
    /// The most memory that the server held, with all of them.
    pub(super) peak_mb: f64,
    /// The share of the changes that each heard, of all.
    pub(super) heard: f64,
}

/// How many messages were late by so many milliseconds.
struct Delays {
    begun: Instant,
    counts: Vec<AtomicU64>,
    watching: AtomicUsize,
}

/// Changes for `lasting`, told to all watchers of `scenario`.
pub(super) async fn measure(scenario: Scenario, lasting: Duration) -> Result<Found> {
    let Scenario { watchers, changes_per_second } = scenario;
    let data = tempfile::tempdir()?;
    let program = Program::signet(data.path(), &["--memory-budget=1GiB", "--max-watchers=12000"]);
    let server = program.start()?;
    let token = watch_token(&program, server.grpc_addr).await?;
    let before = server.resident_mb()?;
    let delays = Arc::new(Delays::new());
    let streams = begin(&server, watchers, &token, &delays).await?;
    let kib_each = (server.resident_mb()? - before) * 1e6 / 1_024.0 / float(watchers);
    let changes = open(data.path()).await?;
    let cpu = server.cpu()?;
    let written = write(&changes, changes_per_second, lasting, delays.begun).await?;
    sleep(PATIENCE).await;
    let cpu = server.cpu()?.saturating_sub(cpu);
    drop(streams);
    let all = delays.total();
    Ok(Found {
        p50_ms: delays.percentile(0.5),
        p99_ms: delays.percentile(0.99),
        cpu_us_per_second: micros(cpu) / float(watchers) / (lasting + PATIENCE).as_secs_f64(),
        kib_each,
        peak_mb: server.peak_mb()?,
        heard: float(usize::try_from(all)?) / float(written * watchers),
    })
}

/// So many watchers, those of one address on one connection, as behind a sidecar.
async fn begin(
    server: &Server,
    watchers: usize,
    token: &str,
    delays: &Arc<Delays>,
) -> Result<JoinSet<Result<()>>> {
    let (mut streams, beginning) = (JoinSet::new(), Arc::new(Semaphore::new(BEGINNING)));
    let mut channels = Vec::new();
    for number in 0..ADDRESSES {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number)?));
        let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc_addr))?;
        channels.push(endpoint.tcp_nodelay(true).local_address(Some(address)).connect().await?);
    }
    for number in 0..watchers {
        let place = Arc::clone(&beginning).acquire_owned().await?;
        let channel = channels[number % ADDRESSES].clone();
        let (token, delays) = (token.to_owned(), Arc::clone(delays));
        streams.spawn(async move {
            let mut stream = Stream::begin(channel, &token).await?;
            delays.watching.fetch_add(1, Ordering::Relaxed);
            drop(place);
            while let Some(part) = stream.part().await? {
                if let Part::Changes(changes) = part {
                    delays.note(&changes.ended_sessions);
                }
            }
            Ok(())
        });
    }
    let all = u32::try_from(BEGINNING)?;
    let _all = beginning.acquire_many(all).await?;
    let watching = delays.watching.load(Ordering::Relaxed);
    if watching < watchers {
        return Err(format!("only {watching} of {watchers} watchers have begun").into());
    }
    Ok(streams)
}

async fn open(data_dir: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(data_dir.join("signet.db"))
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(PATIENCE);
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

/// Writes changes as another replica does, for so long. The id of each session says when it was written. Returns how many there were.
async fn write(changes: &SqlitePool, per_second: usize, lasting: Duration, begun: Instant) -> Result<usize> {
    let rounds = usize::try_from(lasting.as_millis() / BATCH.as_millis())?;
    let each = per_second * usize::try_from(BATCH.as_millis())? / 1_000;
    let (mut pace, mut written) = (interval(BATCH), 0_usize);
    for _ in 0..rounds {
        pace.tick().await;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let at = begun.elapsed().as_micros();
        let ids = (0..each).map(|number| Uuid::from_u128(at << 32 | (number as u128)));
        let columns = "subject, create_time, kind, effect, holder, audience";
        let mut query = QueryBuilder::<Sqlite>::new(format!("INSERT INTO changes ({columns}) "));
        query.push_values(ids, |mut row, id| {
            let id = id.as_bytes().to_vec();
            row.push_bind(id.clone()).push_bind(now).push_bind("session").push_bind("ended");
            row.push_bind(id).push_bind("");
        });
        query.build().execute(changes).await?;
        written += each;
    }
    Ok(written)
}

impl Delays {
    fn new() -> Self {
        let counts = (0..=MOST_MILLIS).map(|_| AtomicU64::new(0)).collect();
        Self { begun: Instant::now(), counts, watching: AtomicUsize::new(0) }
    }

    fn note(&self, sessions: &[String]) {
        let now = self.begun.elapsed().as_micros();
        for session in sessions.iter().filter_map(|session| Uuid::parse_str(session).ok()) {
            let millis = now.saturating_sub(session.as_u128() >> 32) / 1_000;
            let millis = usize::try_from(millis).unwrap_or(MOST_MILLIS).min(MOST_MILLIS);
            self.counts[millis].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The delay within which the share of all were heard, in milliseconds.
    fn percentile(&self, share: f64) -> usize {
        let all = float(usize::try_from(self.total()).unwrap_or(usize::MAX));
        let mut heard = 0.0;
        for (millis, count) in self.counts.iter().enumerate() {
            heard += float(usize::try_from(count.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
            if heard >= all * share {
                return millis;
            }
        }
        MOST_MILLIS
    }
}
