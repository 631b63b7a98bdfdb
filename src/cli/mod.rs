//! Owns the command line: what can be asked of the program, and how it answers people and programs.

mod access;
mod apply;
mod attributes;
mod audiences;
mod audit;
mod backup;
mod bindings;
mod clients;
mod descriptor;
mod events;
mod exposure;
mod failure;
mod groups;
mod healthcheck;
mod help;
mod jobs;
mod keys;
mod listing;
mod migrate;
mod output;
mod principal;
mod records;
mod remote;
mod roles;
mod serve;
mod table;
mod usage;
mod users;

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use crate::{
    config::{Config, LogFormat},
    errors::CommandReason,
    observe,
};
use exposure::ExposedSecret;
use failure::Failure;
use output::Output;
use remote::{LoginAt, LogoutAt, Over};

/// Exit code for a setting or an argument that cannot be used.
const EXIT_USAGE: u8 = 2;

/// How long the log of a command may take to be written at its end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The same for the service, whose end has a bound.
const LAST_WORDS_OF_SERVICE: Duration = Duration::from_millis(500);

/// A gRPC identity service: people and services sign up, get tokens, and are recognised everywhere in a mesh.
///
/// Without a command it serves. Every setting is a flag or an environment variable: SIGNET_GRPC_ADDR for --grpc-addr.
#[derive(Debug, Parser)]
#[command(name = "signet", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    config: Config,

    /// Answer in JSON, for programs: one object, or one a line where there are many.
    #[arg(long, global = true, help_heading = None)]
    json: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC and HTTP until SIGTERM or SIGINT (the default).
    Serve,
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
    /// Manage audiences: the services that tokens are meant for, and who owns them.
    #[command(arg_required_else_help = false)]
    Audiences(Over<audiences::Command>),
    /// Show what somebody may do, and why.
    #[command(arg_required_else_help = false)]
    Access(Over<access::Command>),
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
    /// Write the API's descriptor set (google.protobuf.FileDescriptorSet) to standard output: for grpcurl -protoset, Envoy's
    /// transcoder, and whatever else would need protoc.
    Descriptor,
    /// Ask the service at --operations-addr (at --http-addr if that is off) whether it serves: exit code 0 if it does, 1 if not. For
    /// container probes. Give it the service's settings: where it listens, and TLS.
    Healthcheck,
}

/// Runs the program with the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything secret is read.
    let sealed = exposure::seal_memory();
    let (cli, exposed) = match parse() {
        Ok(parsed) => parsed,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // What else the command line asks for cannot be known; this alone can be seen without parsing.
            let json = std::env::args_os().any(|arg| arg == "--json");
            Output::new(json).failure(&usage::failure(&error));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let log = &cli.config.log;
    observe::start_log(log.log_format == LogFormat::Json, log.log_level.clone());
    if let Err(problem) = sealed {
        tracing::warn!(problem, "the memory of this process is not kept from others");
    }
    // Before anything is tried: it can be seen already, whatever comes of the command.
    exposure::warn_of(&exposed);
    let output = Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&Failure::Failed(format!("the runtime could not start: {error}")));
            return ExitCode::FAILURE;
        }
    };
    let last_words = match cli.command {
        None | Some(Command::Serve) => LAST_WORDS_OF_SERVICE,
        Some(_) => LAST_WORDS,
    };
    let done = runtime.block_on(run(cli, output));
    // Work that hangs on a thread of the runtime is not waited for: what had to be done was waited for where it was asked.
    runtime.shutdown_background();
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            if failure.is_usage() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    };
    observe::flush(last_words);
    code
}

/// What the arguments ask for, and the secrets among them.
fn parse() -> Result<(Cli, Vec<ExposedSecret>), clap::Error> {
    let mut command = help::of_commands(Cli::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let exposed = exposure::exposed_secrets(&command, &matches);
    Cli::from_arg_matches(&matches).map(|cli| (cli, exposed)).map_err(|error| error.format(&mut command))
}

async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => Box::pin(serve::run(cli.config, output)).await,
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
        Command::Audit(command) => Box::pin(events::run(command, &cli.config, output)).await,
        Command::Apply(command) => Box::pin(apply::apply(command, &cli.config, output)).await,
        Command::Export(command) => Box::pin(apply::export(command, &cli.config, output)).await,
        Command::Keys(command) => Box::pin(keys::run(command, &cli.config, output)).await,
        Command::Jobs => jobs::run(&cli.config, output).await,
        Command::Backup(command) => backup::back_up(command, &cli.config, output).await,
        Command::Restore(command) => backup::restore(command, &cli.config, output).await,
        Command::Descriptor => descriptor::run(cli.json, output),
        Command::Healthcheck => healthcheck::run(&cli.config, output).await,
    }
}
