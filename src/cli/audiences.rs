//! Owns `signet audiences`.

mod remote;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Failure, Output,
    listing::Listing,
    principal::{Who, audience},
    records::Records,
    remote::Over,
    table::{TIME, Table, WHOLE, when},
};
use crate::{
    config::Config,
    identity::access::{AccessDirectory, NamedPrincipal},
    install::Missing,
    model::{AudienceChange, AudienceName, OwnedAudience, TokenTyp, name_set::one_name},
};

/// How audiences are shown.
const TABLE: Table<4> = Table([("CREATED", TIME), ("AUDIENCE", AUDIENCE), ("TYP", 6), ("OWNERS", WHOLE)]);

/// How wide the names of audiences are.
const AUDIENCE: usize = 28;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List audiences in the order of their names: services that tokens are meant for. The first role or client that names one makes it.
    List {
        /// The maximum number of audiences to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those after this name.
        #[arg(long, value_name = "NAME", value_parser = one_name)]
        after: Option<String>,
    },
    /// Show an audience: who owns it, and what its tokens are called.
    Show(Which),
    /// Change what the tokens are called that are meant for an audience alone. Those that are out stay what they are.
    Update(Update),
    /// Name an owner of an audience: by the admin API owners decide on its roles, and who has them.
    AddOwner(Owner),
    /// Take an audience from an owner.
    RemoveOwner(Owner),
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// The audience, by the name that stands in the `aud` of tokens; `signet` is the service itself.
    #[arg(value_name = "AUDIENCE", value_parser = one_name)]
    of: String,
}

#[derive(Args, Debug)]
pub(super) struct Update {
    #[command(flatten)]
    which: Which,
    /// What the `typ` in the header of its tokens is. `JWT` is for verifiers that take nothing else and that nobody can change: it tells an
    /// access token from no other JWT.
    #[arg(long, value_name = "TYP", value_parser = token_typ_names())]
    token_typ: String,
}

#[derive(Args, Debug)]
pub(super) struct Owner {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    who: Who,
}

impl Which {
    fn name(&self) -> Result<AudienceName, Failure> {
        audience(&self.of)
    }
}

impl Update {
    fn typ(&self) -> TokenTyp {
        TokenTyp::named(&self.token_typ).unwrap_or_default()
    }
}

fn token_typ_names() -> Vec<&'static str> {
    TokenTyp::ALL.iter().map(|typ| typ.name()).collect()
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    let work = async move |records: &Records| with_audiences(command, records, output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn with_audiences(command: Command, records: &Records, output: Output) -> Result<(), Failure> {
    let (registry, by) = (records.access_registry(), &records.operator);
    match command {
        Command::List { limit, after } => {
            let after = after.as_deref().map(audience).transpose()?;
            list(Listing { limit, after }, &records.access_directory(), output).await
        }
        Command::Show(which) => show(which.name()?, &records.access_directory(), output).await,
        Command::Update(update) => {
            let (name, token_typ) = (update.which.name()?, Some(update.typ()));
            let change = AudienceChange { token_typ, ..AudienceChange::default() };
            registry.update_audience(&name, None, &change, by).await?;
            show(name, &records.access_directory(), output).await
        }
        Command::AddOwner(Owner { which, who }) => {
            let name = which.name()?;
            tell("owns", &name, &registry.add_owner(&name, &who.into(), by).await?, output)
        }
        Command::RemoveOwner(Owner { which, who }) => {
            let name = which.name()?;
            tell("no longer owns", &name, &registry.remove_owner(&name, &who.into(), by).await?, output)
        }
    }
}

fn tell(what: &str, name: &AudienceName, owner: &NamedPrincipal, output: Output) -> Result<(), Failure> {
    let (kind, name) = (owner.principal.kind(), name.as_str());
    let text = format!("The {kind} {} {what} {name}.", owner.name);
    output.answer(&text, &json!({ "audience": name, "owner": principal(owner) }))
}

async fn list(
    listing: Listing<AudienceName>,
    audiences: &AccessDirectory,
    output: Output,
) -> Result<(), Failure> {
    heading(output)?;
    let show = |(audience, owners): &(OwnedAudience, Vec<NamedPrincipal>)| list_one(audience, owners, output);
    let read = async |after: Option<AudienceName>, limit| audiences.audiences(after.as_ref(), limit).await;
    listing.each(read, |(audience, _)| audience.name.clone(), show).await
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn list_one(audience: &OwnedAudience, owners: &[NamedPrincipal], output: Output) -> Result<(), Failure> {
    let (name, typ) = (audience.name.as_str(), audience.token_typ.name());
    let row = TABLE.row([&when(audience.create_time), name, typ, &in_words(owners)]);
    output.row(&row, &object(audience, owners))
}

async fn show(name: AudienceName, audiences: &AccessDirectory, output: Output) -> Result<(), Failure> {
    let audience = audiences.audience(&name).await?;
    let owners = audiences.owners(&audience).await?;
    show_one(&audience, &owners, output)
}

fn show_one(audience: &OwnedAudience, owners: &[NamedPrincipal], output: Output) -> Result<(), Failure> {
    let text = format!(
        "name:      {}\ntoken typ: {}\nowners:    {}\ncreated:   {}",
        audience.name.as_str(),
        audience.token_typ.name(),
        in_words(owners),
        audience.create_time,
    );
    output.answer(&text, &object(audience, owners))
}

fn in_words(owners: &[NamedPrincipal]) -> String {
    let shown: Vec<_> =
        owners.iter().map(|owner| format!("{} {}", owner.principal.kind(), owner.name)).collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join(", ") }
}

/// An audience, for programs.
fn object(audience: &OwnedAudience, owners: &[NamedPrincipal]) -> Value {
    json!({
        "name": audience.name.as_str(),
        "owners": owners.iter().map(principal).collect::<Vec<_>>(),
        "token_typ": audience.token_typ.name(),
        "create_time": audience.create_time.to_string(),
    })
}

/// Somebody, for programs.
fn principal(named: &NamedPrincipal) -> Value {
    let NamedPrincipal { principal, name } = named;
    json!({ "kind": principal.kind(), "id": principal.id().to_string(), "name": name })
}
