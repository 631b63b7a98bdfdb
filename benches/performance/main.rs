//! Owns the benchmark of Signet beside a bare tonic server: what is measured, and in which order.
//!
//! `scripts/bench` runs it; docs/PERFORMANCE.md explains and shows its figures.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]

mod against;
mod bare;
mod client;
mod contention;
mod envoy;
mod first_sight;
mod floor;
mod footprint;
mod grants;
mod guesser;
mod h2load;
mod logins;
mod machine;
mod operation;
mod process;
mod report;
#[path = "../../tests/support/runner.rs"]
#[allow(dead_code, reason = "each program uses its part of it")]
#[allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends the run")]
mod runner;
mod scale;
mod sdks;
mod stats;
mod svg;
mod table;
mod throughput;
mod watchers;
mod ways;

use std::{fs, path::Path, process::ExitCode, time::Duration};

use clap::Parser;

use process::Program;
use report::Report;

/// What every step of the benchmark may fail with: it ends the run.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// How many pairs or rounds there are of each measurement; the median counts.
    rounds: usize,
    /// How long one side of one round lasts.
    round: Duration,
    /// How many tokens are shown for the first time in each round.
    tokens: usize,
}

const NORMAL: Plan = Plan { rounds: 5, round: Duration::from_secs(3), tokens: 8_000 };
const QUICK: Plan = Plan { rounds: 3, round: Duration::from_secs(1), tokens: 4_000 };

/// Measures Signet beside a bare tonic server, in pairs, and shows the figures with their targets.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Arguments {
    /// A short run: fewer and shorter rounds, so more noise.
    #[arg(long)]
    quick: bool,

    /// Write the figures into docs/PERFORMANCE.md and docs/performance.svg. Otherwise they go to target/bench/.
    #[arg(long)]
    write: bool,

    /// Cargo's own flag: without it (`cargo test --benches`) nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,

    #[command(flatten)]
    scale: scale::ScaleArguments,

    #[command(flatten)]
    guesser: guesser::GuesserArguments,

    #[command(flatten)]
    against: against::AgainstArguments,

    #[command(flatten)]
    watchers: watchers::WatcherArguments,

    #[command(flatten)]
    ways: ways::WaysArguments,

    #[command(flatten)]
    sdk: sdks::SdkArguments,

    #[command(flatten)]
    bare: bare::Options,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.bare.is_wanted() {
        bare::serve(&arguments.bare)
    } else if arguments.bench {
        measure(&arguments)
    } else {
        println!("Nothing is measured without --bench: run scripts/bench.");
        Ok(())
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is measured instead of all else, if `arguments` name something.
fn measure_instead(
    arguments: &Arguments,
    plan: Plan,
    runtime: &tokio::runtime::Runtime,
) -> Option<Result<()>> {
    let Arguments { quick, write, .. } = *arguments;
    if arguments.scale.scale {
        Some(scale::measure(arguments.scale, runtime, quick, write))
    } else if arguments.guesser.guesser {
        Some(guesser::measure(runtime, plan, write))
    } else if arguments.watchers.watchers {
        Some(watchers::measure(runtime, quick, write))
    } else if arguments.sdk.sdk {
        Some(sdks::measure(quick, write))
    } else if arguments.ways.ways {
        Some(ways::measure(runtime, plan, quick))
    } else {
        let binary = arguments.against.against.as_ref()?;
        Some(if arguments.against.import {
            against::measure_import(binary, quick)
        } else {
            against::measure(binary, runtime, plan, quick)
        })
    }
}

/// The whole run. Missed targets are shown and are no failure: a benchmark is not a test.
fn measure(arguments: &Arguments) -> Result<()> {
    let plan = if arguments.quick { QUICK } else { NORMAL };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(measured) = measure_instead(arguments, plan, &runtime) {
        return measured;
    }
    let data = tempfile::tempdir()?;
    let mut machine = machine::Machine::watch()?;
    println!("{machine}");

    say("start and idle memory");
    // Nothing else is set: the default settings, and Envoy may ask.
    let default_settings = Program::signet(&data.path().join("default"), &["--ext-authz=on"]);
    let (footprint, signet, account) = footprint::measure(&runtime, &default_settings, plan)?;

    say("the bare server: the same replies");
    let reply = runtime.block_on(client::get_me(signet.grpc_addr, &account.token))?;
    let service = default_settings.service()?;
    let mut client = runtime.block_on(client::connect(signet.grpc_addr))?;
    let asking = runtime.block_on(service.token(&mut client))?;
    let told = runtime.block_on(client::introspect(signet.grpc_addr, &asking, &account.token))?;
    let (checked, allowed) = runtime.block_on(client::check(signet.grpc_addr, &account.token))?;
    let bare_program = Program::bare(&reply, &told, &allowed)?;
    let bare = bare_program.start()?;

    say("GetMe with a token seen before, in pairs");
    let get_me = throughput::measure(&bare, &signet, &account.token, &reply, plan)?;
    runtime.block_on(client::expect_reply(signet.grpc_addr, &account.token, &reply))?;

    say("introspection, and Envoy's Check, of a token seen before, in pairs");
    let introspection = throughput::introspection(&bare, &signet, &asking, &account.token, &told, plan)?;
    let check = throughput::check(&bare, &signet, &checked, &allowed, plan)?;

    say("requests through Envoy");
    let through_envoy = envoy::measure(&runtime, &bare, &signet, &account.token, &reply, plan)?;

    let (first_sight, grants) = measure_new_tokens(&runtime, data.path(), &bare_program, &bare, plan)?;

    say("logins");
    let logins = logins::measure(&runtime, &signet, &account, plan)?;

    say("GetMe while logins arrive at four times capacity");
    let storm = contention::storm(&runtime, &signet, &account, &reply, &logins, plan)?;

    say("logins while GetMe saturates the cores");
    let saturation = contention::saturation(&runtime, &signet, &account, &logins, plan)?;

    let peak_mb = signet.peak_mb()?;
    drop((bare, signet));
    machine.end()?;
    let report = Report {
        machine,
        plan,
        footprint,
        get_me,
        introspection,
        check,
        through_envoy,
        first_sight,
        grants,
        logins,
        storm,
        saturation,
        peak_mb,
    };
    println!("\n{}", report.terminal());
    write(&report, arguments.write)
}

/// What needs thousands of tokens: their first sight, and being issued. Beside `bare`, which `bare_program` has started.
fn measure_new_tokens(
    runtime: &tokio::runtime::Runtime,
    data: &Path,
    bare_program: &Program,
    bare: &process::Server,
    plan: Plan,
) -> Result<(first_sight::FirstSight, grants::Grants)> {
    say("a token's first sight, in pairs");
    // Every session is remembered since its login: what is measured is the token.
    let cheap = |cache| {
        // One user refreshes as often as a million would.
        let refreshes = ["--account-refreshes=1000000", "--account-refresh-interval=10ms"];
        let cheap = ["--argon2-memory-kib=8", "--argon2-iterations=1", "--argon2-below-owasp", cache];
        let settings: Vec<_> = cheap.into_iter().chain(refreshes).collect();
        Program::signet(&data.join("tokens"), &settings)
    };
    let (cheap_logins, forgetful) =
        (cheap("--standing-cache-size=1000000"), cheap("--standing-cache-size=0"));
    let first_sight = first_sight::measure(
        runtime,
        bare,
        &bare_program.clone().checking().start()?,
        &cheap_logins.start()?,
        plan,
    )?;

    say("refresh and client_credentials, in pairs");
    let commits = data.join("floor");
    fs::create_dir(&commits)?;
    let grants = {
        let servers = grants::Servers {
            committing: &bare_program.clone().committing(&commits).start()?,
            signing: bare,
            signet: &cheap_logins.start()?,
            forgetful: &forgetful.start()?,
            service: &cheap_logins.service()?,
        };
        grants::measure(runtime, &servers, plan)?
    };
    Ok((first_sight, grants))
}

/// Puts the table and the chart where they belong.
fn write(report: &Report, to_docs: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (page, chart) = if to_docs {
        let page = root.join("docs/PERFORMANCE.md");
        let around = fs::read_to_string(&page)?;
        let generated = format!("{}\n\n{}", report::CHART, report.markdown());
        fs::write(&page, report::put_between_markers(&around, &generated, report::MARKERS)?)?;
        (page, root.join("docs/performance.svg"))
    } else {
        let folder = root.join("target/bench");
        fs::create_dir_all(&folder)?;
        let page = folder.join("performance.md");
        fs::write(&page, report.markdown())?;
        (page, folder.join("performance.svg"))
    };
    fs::write(&chart, svg::of_get_me(&report.get_me))?;
    println!("Written: {} and {}", page.display(), chart.display());
    Ok(())
}

pub(crate) fn say(step: &str) {
    println!("- {step}");
}
