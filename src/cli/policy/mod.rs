//! Owns `signet policy`: the rules of other services, from a file to what is enforced.

mod lint;
mod remote;
mod shown;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Failure, Output, listing::Listing, principal::audience, records::Records, remote::Over};
use crate::{
    config::Config,
    files::{bounded, open_input},
    identity::policies::{NewPolicyVersion, PolicyRegistry, PushedRules},
    install::Missing,
    model::{
        AudienceName, Error, PolicyState, PolicyVersionId, PolicyVersionName, RuleViolation,
        name_set::one_name, policy::POLICY_MAX_VERSIONS,
    },
    wire::{method_rule, policy_difference},
};
use shown::{heading, list_one, show, tell, tell_differences, warn_of_closed, warn_of_retired};

/// The largest file that is read: an image of ten thousand protos.
const FILE_MAX_BYTES: u64 = 64 * 1_024 * 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check the rules in a descriptor set, before they are pushed: every RPC declares who may call it, scopes exist, and a public RPC says
    /// why in its comment, in a line that begins with `Public:`. Exit code 1 if something is wrong.
    ///
    /// Scopes are looked for if --known-scope names them, or --service whose they are: on the database, or over --server, which takes the
    /// scopes `signet.roles.read` and `signet.clients.read`.
    Lint(lint::Lint),
    /// Keep a version of a service's rules, which does nothing yet. Only names and options of methods are sent.
    Push(Push),
    /// List versions, in the order of their pushes.
    List {
        /// Only those of this service.
        #[arg(long, value_name = "NAME", value_parser = one_name)]
        service: Option<String>,
        /// The maximum number of versions to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those pushed after the version with this id.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
    },
    /// Show a version and its rules.
    Show(Which),
    /// Show what a version has otherwise than another, and mark what lets in whom the other refuses.
    Diff(Diff),
    /// Have a version enforced, beside those that are active already: a call must keep the rules of all.
    Activate(Change),
    /// Have a version judged, logged and counted, without refusing anybody: for a roll-out.
    Shadow(Change),
    /// Have a version do nothing any more.
    Retire(Change),
    /// Show why a call passes or not: each rule, what the token and the user's roles give, and what would have sufficed. Over --server
    /// alone: the service verifies the token. Exit code 0 whatever the verdict is.
    Explain(Explain),
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// The service: the audience of its tokens.
    #[arg(long, value_name = "NAME", value_parser = one_name)]
    service: String,
    /// The version.
    #[arg(long = "version", id = "policy_version", value_name = "VERSION", value_parser = version_name)]
    version: PolicyVersionName,
}

#[derive(Args, Debug)]
pub(super) struct Push {
    #[command(flatten)]
    which: Which,
    /// A service whose methods everybody may call, and which cannot be annotated: `grpc.health.v1.Health`, those of reflection, or one of
    /// the file that declares nothing. May be said several times.
    #[arg(long = "public-service", value_name = "NAME")]
    public_services: Vec<String>,
    /// The descriptor set, as `buf build -o FILE.binpb` writes it; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Diff {
    /// The service: the audience of its tokens.
    #[arg(long, value_name = "NAME", value_parser = one_name)]
    service: String,
    /// The version that is there.
    #[arg(value_name = "OLD", value_parser = version_name)]
    old: PolicyVersionName,
    /// The version that is to come.
    #[arg(value_name = "NEW", value_parser = version_name)]
    new: PolicyVersionName,
}

#[derive(Args, Debug)]
pub(super) struct Change {
    #[command(flatten)]
    which: Which,
    /// Do it also if calls pass then that are refused now.
    #[arg(long)]
    allow_widening: bool,
}

#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The service: the audience of its tokens.
    #[arg(long, value_name = "NAME", value_parser = one_name)]
    service: String,
    /// The path of the method, `/stock.v1.StockService/Reserve`. With `?connect=v1` behind it the call is a GET, as Connect has it.
    #[arg(long, value_name = "PATH")]
    method: String,
    /// A file with the access token that the call shows; `-` is standard input. Without it the call shows none.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let command = match command {
        Command::Lint(lint) => return lint::run(lint, place, config, output).await,
        command => command,
    };
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    if let Command::Explain(_) = command {
        let problem = "--server: must name the service that verifies the token, which `policy explain` asks";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let work =
        async |records: &Records| with_policies(command, &records.policy_registry(), records, output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn with_policies(
    command: Command,
    registry: &PolicyRegistry,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    match command {
        Command::Push(push) => {
            let Push { which, public_services, file } = push;
            let (service, name) = which.named()?;
            let set = read_file(&file)?;
            let rules = PushedRules::read(&set, &public_services)?;
            let closed: Vec<_> = rules.closed().map(|(method, rule)| method_rule(method, rule)).collect();
            let new = NewPolicyVersion { service, name, sha256: PushedRules::sha256_of(&set), rules };
            let pushed = registry.push(new, &records.operator).await.map_err(|error| {
                let is_there = matches!(error, Error::PolicyVersionExists { .. });
                let failure = Failure::from(error);
                if is_there { failure.with_hint(NAME_HINT) } else { failure }
            })?;
            warn_of_closed(&closed, output);
            tell("pushed", &pushed, output)
        }
        Command::List { service, limit, after } => {
            let service = service.as_deref().map(audience).transpose()?;
            heading(output)?;
            let read = async |after, limit| registry.page(service.as_ref(), after, limit).await;
            let listing = Listing { limit, after: after.map(PolicyVersionId) };
            listing.each(read, |version| version.id, |version| list_one(version, output)).await
        }
        Command::Show(which) => {
            let (service, name) = which.named()?;
            let (version, rules) = registry.find_with_rules(&service, &name).await?;
            let rules: Vec<_> = rules.iter().map(|(method, rule)| method_rule(method, rule)).collect();
            show(&version, &rules, output)
        }
        Command::Diff(Diff { service, old, new }) => {
            let service = audience(&service)?;
            let found = registry.differences(&service, &old, &new).await?;
            let found: Vec<_> = found.into_iter().map(policy_difference).collect();
            tell_differences(&found, output)
        }
        Command::Activate(change) => with_state(change, PolicyState::Active, registry, records, output).await,
        Command::Shadow(change) => with_state(change, PolicyState::Shadow, registry, records, output).await,
        Command::Retire(change) => with_state(change, PolicyState::Retired, registry, records, output).await,
        Command::Lint(_) | Command::Explain(_) => Ok(()),
    }
}

async fn with_state(
    Change { which, allow_widening }: Change,
    state: PolicyState,
    registry: &PolicyRegistry,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let (service, name) = which.named()?;
    let which = (&service, &name);
    let version = registry.change_state(which, state, None, allow_widening, &records.operator).await;
    let version = version.map_err(|error| {
        let widens = matches!(error, Error::PolicyWidens(_));
        let failure = Failure::from(error);
        if widens { failure.with_hint(widening_hint(allow_widening)) } else { failure }
    })?;
    if state == PolicyState::Retired {
        let versions = registry.page(Some(&service), None, POLICY_MAX_VERSIONS).await?;
        let states: Vec<_> = versions.iter().map(|version| version.state).collect();
        warn_of_retired(service.as_str(), &states, output);
    }
    tell(done(state), &version, output)
}

/// What has become of a version, in a word.
const fn done(state: PolicyState) -> &'static str {
    match state {
        PolicyState::Pushed => "pushed",
        PolicyState::Shadow => "in SHADOW",
        PolicyState::Active => "active",
        PolicyState::Retired => "retired",
    }
}

/// What can be done where calls would pass that are refused now, and whether they may was said or not.
const fn widening_hint(allow_widening: bool) -> &'static str {
    if allow_widening {
        "--allow-widening was said, so `signet.policies.widen` is what is missing: who has been given it logs in again"
    } else {
        "say --allow-widening if that is meant"
    }
}

/// What can be done where a version of the name was made of something else.
const NAME_HINT: &str = "names of public services that are other ones make another version, too";

impl Which {
    fn named(self) -> Result<(AudienceName, PolicyVersionName), Failure> {
        Ok((audience(&self.service)?, self.version))
    }
}

/// What is in the file at `path`, or comes by standard input if that is `-`.
fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if path.as_os_str() == "-" {
            bounded(io::stdin().lock(), FILE_MAX_BYTES).read_to_end(&mut bytes)?;
        } else {
            bounded(open_input(path)?, FILE_MAX_BYTES).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    read(path).map_err(|error| Failure::of_input("<FILE>", path, &error))
}

fn version_name(text: &str) -> Result<PolicyVersionName, RuleViolation> {
    PolicyVersionName::parse(text)
}
