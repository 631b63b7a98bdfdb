//! Owns the command line: what can be asked of the program, and how it answers people and programs.

mod access;
mod apply;
mod arguments;
mod attributes;
mod audiences;
mod audit;
mod backup;
mod bindings;
mod clients;
mod confirm;
mod copied;
mod copy;
mod descriptor;
mod dev;
mod doctor;
mod environment;
mod events;
mod exit;
mod exposure;
mod failure;
mod groups;
mod healthcheck;
mod help;
mod jobs;
mod keys;
mod listing;
mod migrate;
mod noted_certificate;
mod operations;
mod output;
mod pages;
mod policy;
mod principal;
mod quiet;
mod records;
mod remote;
mod roles;
mod serve;
mod supervisor;
mod table;
mod top;
mod usage;
mod users;

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use tracing_subscriber::filter::Targets;

use crate::{
    audit::AuditLog,
    config::{Config, LogFormat, OpenTelemetryVariables, Switch},
    errors::CommandReason,
    observe,
};
use arguments::Arguments;
use environment::Environment;
use exposure::ExposedSecret;
use failure::Failure;
use output::Output;
use remote::{LoginAt, LogoutAt, Over};

/// How long the log of a command may take to be written at its end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The same for the service, whose end has a bound.
const LAST_WORDS_OF_SERVICE: Duration = Duration::from_millis(500);

/// A gRPC identity service: people and services sign up, get tokens, and are recognised everywhere in a mesh.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "signet", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    config: Config,

    /// Answer in JSON, for programs: one object, or one a line where there are many.
    #[arg(long, global = true, help_heading = None)]
    json: bool,

    /// Say nothing of what is done: only what was asked for, secrets, and what goes wrong. The log has errors alone, unless --log-level
    /// says more.
    #[arg(short, long, global = true, help_heading = None)]
    quiet: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC and HTTP until SIGTERM or SIGINT (the default).
    Serve(serve::Serve),
    /// Serve for the tests of a team: in memory, on this machine alone, with the users, clients and roles of files and new signing keys,
    /// and print tokens for them. Never for production.
    ///
    /// A file is a manifest of `signet apply`, which may have `users`, too: `name`, and if wanted `id`, `password`, `roles` (by the
    /// audience) and `groups`. `secret` of a client may be the secret itself; a client without one gets one, which is printed. Ids stay
    /// the same from start to start. SIGINT or SIGTERM ends it, and nothing is left.
    Dev(dev::Dev),
    /// Bring the database's schema up to date, or show how it stands.
    #[command(subcommand, arg_required_else_help = false)]
    Migrate(migrate::Command),
    /// Log in at the admin API of a service, for the commands that work over it: --server. The password is asked for on a terminal, and
    /// read from standard input otherwise. The tokens are kept for this user alone, in `$XDG_STATE_HOME/signet`
    /// (`~/.local/state/signet`).
    Login {
        /// The username. Without it, it is asked for, and read from the first line of standard input.
        #[arg(value_name = "USERNAME")]
        username: Option<String>,
        #[command(flatten)]
        at: LoginAt,
    },
    /// Log out at the admin API of a service: the session ends there, and what is kept of it here.
    Logout(LogoutAt),
    /// Manage users.
    #[command(arg_required_else_help = false)]
    Users(Over<users::Command>),
    /// Manage clients: services and applications that ask for tokens.
    #[command(arg_required_else_help = false)]
    Clients(Over<clients::Command>),
    /// Manage roles: what users, groups and clients may do at an audience.
    #[command(arg_required_else_help = false)]
    Roles(Over<roles::Command>),
    /// Manage groups of users.
    #[command(arg_required_else_help = false)]
    Groups(Over<groups::Command>),
    /// Manage attributes: what users may have beyond a name and an address.
    #[command(arg_required_else_help = false)]
    Attributes(Over<attributes::Command>),
    /// Show who has which role.
    #[command(arg_required_else_help = false)]
    Bindings(Over<bindings::Command>),
    /// Manage audiences: the services that tokens are meant for, who owns them, and what their tokens are called.
    #[command(arg_required_else_help = false)]
    Audiences(Over<audiences::Command>),
    /// Show what somebody may do, and why.
    #[command(arg_required_else_help = false)]
    Access(Over<access::Command>),
    /// Manage who may call which RPC of other services: their rules, by version, which Signet enforces where Envoy asks it.
    #[command(arg_required_else_help = false)]
    Policy(Over<policy::Command>),
    /// Show what has been done, and by whom.
    #[command(arg_required_else_help = false)]
    Audit(Over<events::Command>),
    /// Make attributes, clients, audiences, roles, groups and bindings what files say.
    ///
    /// Shows what that changes, asks, and does all of it or nothing. What the files do not name stays as it is. Applied again, it changes
    /// nothing.
    Apply(apply::Apply),
    /// Write attributes, clients, audiences, roles, groups and bindings into a file that `apply` takes.
    ///
    /// Secrets are not in it: nobody can read them.
    Export(apply::Export),
    /// Manage signing keys.
    #[command(arg_required_else_help = false)]
    Keys(Over<keys::Command>),
    /// List the shared jobs, which one process at a time runs for all: when each last ran, where, with what result, and when it
    /// is due again.
    ///
    /// What each process does for itself is in its metrics alone (`signet_job_runs_total`).
    Jobs,
    /// Back the SQLite database up into a file, also while the service runs. What was acknowledged before is in it.
    ///
    /// The master key is not in it: without a copy of that, kept apart, a backup cannot be used. A file that is there is not replaced,
    /// unless --replace says so. A database server is backed up by its own tools (`pg_dump`, `mariadb-dump`).
    Backup(backup::Backup),
    /// Put a backup in the place of the SQLite database, while no service runs. A crash leaves the one or the other, whole.
    ///
    /// The master key must be the one of the time of the backup: in the data directory's master.key, or given. What was changed
    /// since then is undone: users that were disabled, signing keys that were revoked, sessions that were ended.
    Restore(backup::Restore),
    /// Copy the SQLite database to PostgreSQL or MySQL with everything, while no service runs, and move the service there.
    ///
    /// The target must be empty, and its schema brought up to date by `signet migrate up`. The service there needs the same master key. A
    /// copy that is cut off is begun anew by the same command; until it is done, nothing else opens the target. No service starts on the
    /// old database afterwards, unless by `serve --force`, and no command changes it without --force.
    Copy(copy::Copy),
    /// Write the API's descriptor set (google.protobuf.FileDescriptorSet) to standard output: for grpcurl -protoset, Envoy's
    /// transcoder, and whatever else would need protoc.
    Descriptor,
    /// Ask the service at --operations-addr (at --http-addr if that is off) whether it serves: exit code 0 if it does, 1 if not. For
    /// container probes. Give it the service's settings: where it listens, and TLS.
    Healthcheck,
    /// Show what the service at --operations-addr does, written anew every 2 s: rates, latencies, the hash queue, the pools, the lag of the
    /// feed of changes, logins and refreshes. Give it the service's settings: where it listens, and TLS.
    ///
    /// Latencies are the upper bounds of the buckets that they fall into.
    Top(top::Top),
    /// Check from here what proxies break between clients and the service: TLS, HTTP/2, trailers, large headers, idle connections,
    /// gRPC-Web, the issuer and its keys as others see them, the clock; and say the line that mends it. Where the service's settings and
    /// database are, it looks at these, too.
    ///
    /// One line for each check: ok, skipped, warning or WRONG, what was seen, and behind an arrow what mends it. It changes nothing, and
    /// sends no credential unless --token-file names one. Exit code 1 if something is wrong, 69 if nobody answers.
    Doctor(doctor::Doctor),
    /// Write completions for a shell to standard output: `source <(signet completions bash)`, or into a file that the shell reads when it
    /// starts.
    Completions(pages::Completions),
    /// Write manual pages into a directory, one for each command.
    Man(pages::Man),
}

/// What the command line asks for.
struct Parsed {
    cli: Cli,
    /// What is logged.
    log_level: Targets,
    /// Whether the answer is of no use to whoever has said --quiet.
    leaves_answer_out: bool,
    /// The secrets among the arguments.
    exposed: Vec<ExposedSecret>,
    /// The environment variables that mean nothing.
    unknown: Vec<String>,
}

/// Why nothing is run.
enum Ended {
    /// The help or the version was asked for.
    Shown(clap::Error),
    Refused(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl Cli {
    /// Whether a service is asked for, which goes on.
    const fn serves(&self) -> bool {
        matches!(self.command, None | Some(Command::Serve(_) | Command::Dev(_)))
    }
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything secret is read.
    let sealed = exposure::seal_memory();
    let Parsed { cli, log_level, leaves_answer_out, exposed, unknown } = match parse() {
        Ok(parsed) => parsed,
        Err(Ended::Shown(error)) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(Ended::Refused(failure)) => {
            Output::new(asks_for_json(), false).failure(&failure);
            return ExitCode::from(exit::code(&failure));
        }
    };
    let is_json = cli.config.log.log_format == LogFormat::Json;
    observe::start_log(is_json, log_level);
    if let Err(problem) = sealed {
        tracing::warn!(problem, "the memory of this process is not kept from others");
    }
    // Before anything is tried: it can be seen already, whatever comes of the command.
    exposure::warn_of(&exposed);
    environment::warn_of(&unknown);
    // Who reads the log by a program reads what stands beside it by one, too.
    let output = Output::new(cli.json || is_json, cli.quiet && leaves_answer_out);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&Failure::Failed(format!("the runtime could not start: {error}")));
            return ExitCode::FAILURE;
        }
    };
    let last_words = if cli.serves() { LAST_WORDS_OF_SERVICE } else { LAST_WORDS };
    let done = runtime.block_on(run(cli, output));
    // Work that hangs on a thread of the runtime is not waited for: what had to be done was waited for where it was asked.
    runtime.shutdown_background();
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(exit::code(&failure))
        }
    };
    observe::flush(last_words);
    code
}

/// All that can be asked of the program.
fn program() -> clap::Command {
    copied::with_force(confirm::with_yes(arguments::lenient(Cli::command())))
}

/// What the command line and the environment ask for.
fn parse() -> Result<Parsed, Ended> {
    let (program, environment) = (program(), Environment::of(std::env::vars_os()));
    let Arguments { words, path } = Arguments::of(&program, std::env::args_os());
    let mut command = help::of_commands(environment.without_empty(program.clone()), &path);
    let read = command.try_get_matches_from_mut(&words).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        Ok((matches, cli))
    });
    let read = match read {
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Err(Ended::Shown(error));
        }
        read => read,
    };
    // A misspelt variable is told first: what is missing may be what it was to say.
    let unknown = environment.unknown(&program, &path)?;
    let (matches, mut cli) = read.map_err(|error| usage::failure(&error, &command, &words))?;
    if cli.config.environment.strict_settings == Switch::On {
        environment::refuse(&unknown)?;
    }
    confirm::destruction(&matches)?;
    cli.config.storage.copied = copied::policy(&matches);
    cli.config.traces.variables = OpenTelemetryVariables::of(std::env::vars_os());
    if !cli.serves() {
        let log = &mut cli.config.observe.audit_log;
        *log = audit::of_command(std::mem::replace(log, AuditLog::Off), cli.quiet, &matches);
    }
    let level = cli.config.log.log_level.clone();
    Ok(Parsed {
        log_level: if cli.quiet { quiet::log_level(level, &matches) } else { level },
        leaves_answer_out: quiet::leaves_out(&matches),
        exposed: exposure::exposed_secrets(&command, &matches),
        unknown,
        cli,
    })
}

/// Whether JSON is asked for, as far as that can be seen without parsing.
fn asks_for_json() -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    let format = words.iter().enumerate().find_map(|(at, word)| {
        match word.to_str()?.strip_prefix("--log-format")? {
            "" => words.get(at + 1).cloned(),
            rest => rest.strip_prefix('=').map(Into::into),
        }
    });
    let format = format.or_else(|| std::env::var_os("SIGNET_LOG_FORMAT"));
    words.iter().any(|word| word == "--json") || format.is_some_and(|format| format == "json")
}

async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Serve(serve::Serve::default())) {
        Command::Serve(serve) => Box::pin(serve::run(serve, cli.config, output)).await,
        Command::Dev(dev) => Box::pin(dev::run(dev, cli.config, output)).await,
        Command::Migrate(command) => migrate::run(command, &cli.config, output).await,
        Command::Users(command) => Box::pin(users::run(command, &cli.config, output)).await,
        Command::Login { username, at } => Box::pin(remote::log_in(at, username, output)).await,
        Command::Logout(at) => Box::pin(remote::log_out(at, output)).await,
        Command::Clients(command) => Box::pin(clients::run(command, &cli.config, output)).await,
        Command::Roles(command) => Box::pin(roles::run(command, &cli.config, output)).await,
        Command::Groups(command) => Box::pin(groups::run(command, &cli.config, output)).await,
        Command::Attributes(command) => Box::pin(attributes::run(command, &cli.config, output)).await,
        Command::Bindings(command) => Box::pin(bindings::run(command, &cli.config, output)).await,
        Command::Audiences(command) => Box::pin(audiences::run(command, &cli.config, output)).await,
        Command::Access(command) => Box::pin(access::run(command, &cli.config, output)).await,
        Command::Policy(command) => Box::pin(policy::run(command, &cli.config, output)).await,
        Command::Audit(command) => Box::pin(events::run(command, &cli.config, output)).await,
        Command::Apply(command) => Box::pin(apply::apply(command, &cli.config, output)).await,
        Command::Export(command) => Box::pin(apply::export(command, &cli.config, output)).await,
        Command::Keys(command) => Box::pin(keys::run(command, &cli.config, output)).await,
        Command::Jobs => jobs::run(&cli.config, output).await,
        Command::Backup(command) => backup::back_up(command, &cli.config, output).await,
        Command::Restore(command) => backup::restore(command, &cli.config, output).await,
        Command::Copy(command) => Box::pin(copy::run(command, &cli.config, output)).await,
        Command::Descriptor => descriptor::run(cli.json, output),
        Command::Healthcheck => healthcheck::run(&cli.config, output).await,
        Command::Top(command) => Box::pin(top::run(command, &cli.config, output)).await,
        Command::Doctor(command) => Box::pin(doctor::run(command, &cli.config, output)).await,
        Command::Completions(command) => pages::complete(command, program()),
        Command::Man(command) => pages::write_manual(command, program(), output),
    }
}
