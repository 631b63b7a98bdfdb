//! Owns what honest logins meet while one address guesses passwords as fast as it can.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet, time::MissedTickBehavior};
use tonic::Code;

use crate::{
    Plan, Result,
    client::{self, Account, Client},
    logins,
    machine::Machine,
    process::{Program, Server},
    report::{Markers, write_page},
    say,
    stats::{Spread, float, millis, number, percentile},
    table::{Table, Target},
};

/// What is guessed at: an account of this service, and one whose hash is bcrypt's with the cost 12.
const GUESSED: [&str; 2] = ["guessed", "imported"];

/// How many guesses at each account are open at a time: more than the queue takes.
const GUESSES_OPEN: usize = 96;

/// How long the guesser waits before it repeats a guess that was refused: it shares the cores with the server, and wants guesses, not
/// refusals.
const PAUSE: Duration = Duration::from_millis(10);

/// How many honest users there are: one after the other logs in, each from an address of its own.
const HONEST: u8 = 32;

/// Where the guesser is (RFC 5737), as the proxy says that the server trusts. An address of this machine could be everybody's behind an
/// ingress that nobody has named, and would never be refused.
const GUESSER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

const BEHIND_A_PROXY: [&str; 1] = ["--trusted-proxy-addresses=127.0.0.1"];

/// How many times longer one round is than one of the other measurements: percentiles need many logins.
const ROUND_FACTOR: u32 = 4;

/// How long the guesser guesses before anything is measured.
const RAMP: Duration = Duration::from_secs(2);

/// Honest logins come at so much of the capacity.
const LOAD: f64 = 0.5;

const MAX_MEDIAN_RATIO: f64 = 2.0;
const MAX_P99_RATIO: f64 = 1.5;

const MARKERS: Markers = Markers {
    begin: "<!-- scripts/bench --guesser begins -->",
    end: "<!-- scripts/bench --guesser ends -->",
};

/// Whether this is measured.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct GuesserArguments {
    /// Instead of all else, measure what honest logins meet while one address guesses as fast as it can.
    #[arg(long, conflicts_with = "scale")]
    pub(crate) guesser: bool,
}

/// What honest logins met in one round.
struct Met {
    p50_ms: f64,
    p99_ms: f64,
    logins: usize,
    refused: usize,
}

/// How guesses were answered.
#[derive(Debug, Default)]
struct Guesses {
    hashed: AtomicUsize,
    refused: AtomicUsize,
}

struct Report {
    machine: Machine,
    plan: Plan,
    capacity: f64,
    imported_ms: f64,
    alone: Vec<Met>,
    beside: Vec<Met>,
    guesses_per_second: f64,
    refusals_per_second: f64,
}

/// The whole run.
pub(crate) fn measure(runtime: &Runtime, plan: Plan, to_docs: bool) -> Result<()> {
    let plan = Plan { round: plan.round * ROUND_FACTOR, ..plan };
    let mut machine = Machine::watch()?;
    println!("{machine}");
    let data = tempfile::tempdir()?;
    let server = start(data.path())?;
    let account = runtime.block_on(prepare(&server))?;

    say("the capacity of logins, and one imported hash");
    let capacity = logins::closed_loop(runtime, &server, &account, plan.round)?;
    let imported_ms = runtime.block_on(imported_ms(&server))?;

    let (mut alone, mut beside) = (vec![], vec![]);
    let counts = Arc::new(Guesses::default());
    for round in 1..=plan.rounds {
        say(&format!("honest logins alone and beside a guesser, pair {round} of {}", plan.rounds));
        alone.push(runtime.block_on(honest(server.grpc_addr, capacity * LOAD, plan.round))?);
        let guesser = Guesser::start(runtime, server.grpc_addr, &counts);
        std::thread::sleep(RAMP);
        beside.push(runtime.block_on(honest(server.grpc_addr, capacity * LOAD, plan.round))?);
        runtime.block_on(guesser.end())?;
    }
    drop(server);
    machine.end()?;
    let seconds = (plan.round + RAMP).as_secs_f64() * float(plan.rounds);
    let report = Report {
        machine,
        plan,
        capacity,
        imported_ms,
        alone,
        beside,
        guesses_per_second: float(counts.hashed.load(Ordering::Relaxed)) / seconds,
        refusals_per_second: float(counts.refused.load(Ordering::Relaxed)) / seconds,
    };
    println!("\n{}", report.markdown());
    write_page(&report.markdown(), "guesser", MARKERS, to_docs)
}

/// A server with an account whose hash was imported.
fn start(data: &Path) -> Result<Server> {
    let rows = data.join("users.ndjson");
    // Of a password that nobody says.
    let hash = "$2b$12$K0ykuirb/DK3rwAYY9xmLe.CxfuaV4Qgrmc323vWsq.UAi4S2TpEe";
    fs::write(&rows, format!("{{\"username\":\"{}\",\"password_hash\":\"{hash}\"}}\n", GUESSED[1]))?;
    let program = Program::signet(&data.join("guesser"), &BEHIND_A_PROXY);
    program.run(&["migrate", "up"])?;
    program.run(&["users", "import", &rows.display().to_string()])?;
    program.start()
}

/// Signs up everybody else.
async fn prepare(server: &Server) -> Result<Account> {
    let mut client = client::connect(server.grpc_addr).await?;
    client::sign_up(&mut client, GUESSED[0]).await?;
    for number in 0..HONEST {
        client::sign_up(&mut client, &username(number)).await?;
    }
    let username = username(0);
    Ok(Account { token: client::login(&mut client, &username).await?, username })
}

fn username(number: u8) -> String {
    format!("honest-{number}")
}

/// How long a guess at the imported account takes while there is nothing else to do.
async fn imported_ms(server: &Server) -> Result<f64> {
    let mut client = client::connect(server.grpc_addr).await?;
    let mut took = vec![];
    for _ in 0..5 {
        let started = Instant::now();
        guess(&mut client, GUESSED[1]).await?;
        took.push(millis(started.elapsed()));
    }
    Ok(Spread::of(took).median)
}

/// Guesses at the password of `username`; false if the guess was not judged: others had its place, or its turn never came.
async fn guess(client: &mut Client, username: &str) -> Result<bool> {
    match client::login_from(client, GUESSER, username, "a wrong guess").await {
        Ok(_) => Err("a guess was right".into()),
        Err(status) if status.code() == Code::Unauthenticated => Ok(true),
        Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::DeadlineExceeded) => Ok(false),
        Err(status) => Err(status.into()),
    }
}

/// One address that guesses.
struct Guesser {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Result<()>>,
}

impl Guesser {
    fn start(runtime: &Runtime, addr: SocketAddr, counts: &Arc<Guesses>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for username in GUESSED {
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(counts));
            callers.spawn_on(guess_until(stop, addr, username, counts), runtime.handle());
        }
        Self { stop, callers }
    }

    async fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller??;
        }
        Ok(())
    }
}

/// Keeps so many guesses at `username` open until it is told to stop.
async fn guess_until(
    stop: Arc<AtomicBool>,
    addr: SocketAddr,
    username: &'static str,
    counts: Arc<Guesses>,
) -> Result<()> {
    let client = client::connect(addr).await?;
    let mut callers: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..GUESSES_OPEN {
        let (mut client, stop, counts) = (client.clone(), Arc::clone(&stop), Arc::clone(&counts));
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                if guess(&mut client, username).await? {
                    counts.hashed.fetch_add(1, Ordering::Relaxed);
                } else {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(())
}

/// Has honest users log in at a constant rate, whether or not the earlier ones have been answered.
async fn honest(addr: SocketAddr, per_second: f64, time: Duration) -> Result<Met> {
    let mut clients = vec![];
    for number in 0..HONEST {
        let address = IpAddr::from(Ipv4Addr::new(198, 51, 100, number + 1));
        clients.push((client::connect(addr).await?, address, username(number)));
    }
    let mut calls = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    for (client, address, username) in clients.iter().cycle() {
        if started.elapsed() >= time {
            break;
        }
        ticks.tick().await;
        let (mut client, address, username) = (client.clone(), *address, username.clone());
        calls.spawn(async move {
            let began = Instant::now();
            let granted = client::login_from(&mut client, address, &username, client::PASSWORD).await.is_ok();
            (granted, millis(began.elapsed()))
        });
    }
    let (mut took, mut refused) = (vec![], 0);
    while let Some(call) = calls.join_next().await {
        let (granted, ms) = call?;
        took.push(ms);
        refused += usize::from(!granted);
    }
    took.sort_by(f64::total_cmp);
    Ok(Met { p50_ms: percentile(&took, 0.5), p99_ms: percentile(&took, 0.99), logins: took.len(), refused })
}

impl Report {
    fn markdown(&self) -> String {
        let Plan { rounds, round, .. } = self.plan;
        format!(
            "{}.\n\nMedians of {rounds} pairs of {} s; in parentheses the smallest and the largest value.\n\n{}\n{}",
            self.machine,
            round.as_secs(),
            self.targets(),
            self.table(),
        )
    }

    fn ratio(&self, of: impl Fn(&Met, &Met) -> f64) -> Spread {
        Spread::of(self.alone.iter().zip(&self.beside).map(|(alone, beside)| of(alone, beside)))
    }

    fn targets(&self) -> Table {
        let refused: usize = self.beside.iter().map(|met| met.refused).sum();
        let logins: usize = self.beside.iter().map(|met| met.logins).sum();
        let median = self.ratio(|alone, beside| beside.p50_ms / alone.p50_ms);
        let p99 = self.ratio(|alone, beside| (beside.p99_ms - self.imported_ms) / alone.p99_ms);
        let none_refused = Target::at_most("honest logins that are refused", float(refused), 0.0, "");
        Target::table([
            none_refused.showing(format!("{refused} of {}", number(float(logins), 0))),
            Target::ratio("their median", median, MAX_MEDIAN_RATIO, "that without the guesser"),
            Target::ratio(
                "their p99, without one imported hash",
                p99,
                MAX_P99_RATIO,
                "that without the guesser",
            ),
        ])
    }

    fn table(&self) -> Table {
        let spread = |met: &[Met], of: fn(&Met) -> f64| format!("{:.1}", Spread::of(met.iter().map(of)));
        let mut table = Table::new(&["what", "measured"]);
        for (what, measured) in [
            ("logins/s: the capacity", format!("{:.0}", self.capacity)),
            ("honest logins/s", format!("{:.0}", self.capacity * LOAD)),
            ("one imported hash (bcrypt 12), ms", format!("{:.0}", self.imported_ms)),
            ("honest logins alone: p50, ms", spread(&self.alone, |met| met.p50_ms)),
            ("honest logins alone: p99, ms", spread(&self.alone, |met| met.p99_ms)),
            ("honest logins beside the guesser: p50, ms", spread(&self.beside, |met| met.p50_ms)),
            ("honest logins beside the guesser: p99, ms", spread(&self.beside, |met| met.p99_ms)),
            ("guesses/s that got a hash", format!("{:.1}", self.guesses_per_second)),
            ("guesses/s that were refused", format!("{:.0}", self.refusals_per_second)),
        ] {
            table.row([what.to_owned(), measured]);
        }
        table
    }
}
