//! Owns `signet clients`.

mod remote;

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Failure, Output,
    listing::{Listing, state},
    output::moment,
    records::Records,
    remote::Over,
    roles::set,
    table::{ID, Table, WHOLE},
};
use crate::{
    config::{Config, Switch},
    files::read_text,
    identity::{
        ClientDirectory,
        clients::{
            ClientChange, ClientProof, ClientRef, CreatedClient, NewClient, RotatedSecret, SetChange,
            read_public_keys,
        },
        permissions::{GROUPS_CLAIM, ROLES_CLAIM},
    },
    install::Missing,
    model::{
        CertificateSubject, Client, ClientId, ClientKind, ClientName, DnsName, RuleViolation, SpiffeId,
        name_set::one_name,
    },
};

/// How clients are shown.
const TABLE: Table<4> = Table([("ID", ID), ("STATE", 8), ("KIND", 12), ("NAME", WHOLE)]);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a client. One that is confidential and has neither public key nor certificate gets a secret, which is shown this
    /// once.
    Create(Create),
    #[command(flatten)]
    Existing(Existing),
}

/// What is done with clients that are there.
#[derive(Debug, Subcommand)]
pub(super) enum Existing {
    /// List clients in the order of their making.
    List {
        /// The maximum number of clients to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those made after the client with this id.
        #[arg(long, value_name = "ID", value_parser = client_id)]
        after: Option<ClientId>,
    },
    /// Show a client. Its secrets are not known to Signet.
    Show(Who),
    /// Make a new secret, which is shown this once. The one before it stays valid until the next rotation.
    RotateSecret {
        #[command(flatten)]
        who: Who,
        /// End the older secrets at once.
        #[arg(long)]
        end_older: bool,
    },
    /// Replace the public keys: give the old and the new one in a JWK Set, and later the new one alone.
    SetKeys {
        #[command(flatten)]
        who: Who,
        /// A PEM public key, a JWK or a JWK Set.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
    },
    /// Replace whose certificate stands for the client. Its secrets stay valid.
    SetCertificate {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        subject: Subject,
        /// Nobody's any more.
        #[arg(long, conflicts_with_all = ["spiffe_id", "tls_san_dns"], required_unless_present_any = ["spiffe_id", "tls_san_dns"])]
        none: bool,
    },
    /// Say whether the client may tell the addresses of the users for whom it asks.
    SetMayClaimAddress {
        #[command(flatten)]
        who: Who,
        /// Whether it may.
        #[arg(value_enum, value_name = "WHETHER")]
        whether: Switch,
    },
    /// Change a client's name, scopes or audiences. No session and no secret ends by that.
    Update(Box<Update>),
    /// Disable a client: no tokens from now on, and those issued to it or with it are refused.
    Disable(Who),
    /// Enable a client again.
    Enable(Who),
    /// Delete a client and the sessions that were opened with it. This cannot be undone.
    Delete(Who),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// What to call it: lower-case letters, digits, `-`, `_` and `.`.
    #[arg(value_name = "NAME", value_parser = client_name)]
    name: ClientName,
    /// A scope that it may ask for; repeat for more. `profile` goes to users alone, `introspect` to clients alone. One that begins with
    /// `signet.` administers Signet in its own name; `signet.events.watch` only follows what was revoked.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = one_name)]
    scopes: Vec<String>,
    /// Whom its tokens may be meant for; repeat for more. Without any: the service's own --audience.
    #[arg(long = "allow-audience", value_name = "NAME", value_parser = one_name)]
    audiences: Vec<String>,
    /// It cannot keep a secret: an application on its users' devices. It gets no tokens in its own name; with --scope profile its users'
    /// tokens are good for what is about the user (`GetMe` and the like).
    #[arg(long, conflicts_with_all = ["public_key", "spiffe_id", "tls_san_dns"])]
    public: bool,
    /// A PEM public key, a JWK or a JWK Set: it proves who it is by signing (`private_key_jwt`), and gets no secret.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["spiffe_id", "tls_san_dns"])]
    public_key: Option<PathBuf>,
    /// It may tell its users' addresses (`user_address`), as back ends of web pages do. Their failures then count for it, too.
    #[arg(long, conflicts_with = "public")]
    may_claim_address: bool,
    /// What its tokens say of their user's, or its own, roles at their audience: `roles`, `groups`; repeat for both. Without it their
    /// scopes alone.
    #[arg(long = "token-claim", value_name = "CLAIM", value_parser = [ROLES_CLAIM, GROUPS_CLAIM])]
    token_claims: Vec<String>,
    #[command(flatten)]
    certificate: Subject,
}

#[derive(Args, Debug)]
pub(super) struct Update {
    #[command(flatten)]
    who: Who,
    /// What to call it from now on.
    #[arg(long, value_name = "NAME", value_parser = client_name)]
    name: Option<ClientName>,
    /// A scope that it may ask for from now on; repeat for more.
    #[arg(long = "add-scope", value_name = "SCOPE", value_parser = one_name)]
    add_scopes: Vec<String>,
    /// A scope that it may no longer ask for; repeat for more.
    #[arg(long = "remove-scope", value_name = "SCOPE", value_parser = one_name)]
    remove_scopes: Vec<String>,
    /// Whom its tokens may be meant for from now on; repeat for more. The first one takes the place of the service's own --audience, which
    /// a client has that names none.
    #[arg(long = "add-audience", value_name = "NAME", value_parser = one_name)]
    add_audiences: Vec<String>,
    /// Whom its tokens may no longer be meant for; repeat for more.
    #[arg(long = "remove-audience", value_name = "NAME", value_parser = one_name)]
    remove_audiences: Vec<String>,
    /// What its tokens say of roles from now on; repeat for both.
    #[arg(long = "add-token-claim", value_name = "CLAIM", value_parser = [ROLES_CLAIM, GROUPS_CLAIM])]
    add_token_claims: Vec<String>,
    /// What its tokens no longer say of roles; repeat for both.
    #[arg(long = "remove-token-claim", value_name = "CLAIM", value_parser = [ROLES_CLAIM, GROUPS_CLAIM])]
    remove_token_claims: Vec<String>,
}

/// Whose certificate stands for a client, at a service with --tls-client-ca.
#[derive(Args, Debug)]
pub(super) struct Subject {
    /// A certificate with this SPIFFE ID stands for it (`tls_client_auth`), and for no other client: it gets no secret.
    #[arg(long, value_name = "spiffe://...", conflicts_with = "tls_san_dns")]
    spiffe_id: Option<SpiffeId>,
    /// A certificate with this DNS name stands for it (`tls_client_auth`): it gets no secret.
    #[arg(long, value_name = "NAME")]
    tls_san_dns: Option<DnsName>,
}

impl Subject {
    fn into_certificate(self) -> Option<CertificateSubject> {
        let by_name = self.tls_san_dns.map(CertificateSubject::DnsName);
        self.spiffe_id.map(CertificateSubject::SpiffeId).or(by_name)
    }
}

#[derive(Args, Debug)]
pub(super) struct Who {
    /// The client's id or name.
    #[arg(value_name = "ID|NAME")]
    client: String,
}

impl From<Who> for ClientRef {
    fn from(Who { client }: Who) -> Self {
        client.into()
    }
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    match command {
        Command::Create(create) => {
            // What the command line gets wrong is told before anything is made.
            let new = new_client(create)?;
            let work = async move |records: &Records| make(new, records, output).await;
            Records::within(config, Missing::Made, work).await
        }
        Command::Existing(command) => {
            let work = async move |records: &Records| with_existing(command, records, output).await;
            Records::within(config, Missing::Refused, work).await
        }
    }
}

async fn with_existing(command: Existing, records: &Records, output: Output) -> Result<(), Failure> {
    let (clients, by) = (records.client_registry(), &records.operator);
    match command {
        Existing::List { limit, after } => {
            list(Listing { limit, after }, &records.client_directory(), output).await
        }
        Existing::Show(who) => show(&records.client_directory().find(&who.into()).await?, None, output),
        Existing::RotateSecret { who, end_older } => {
            let rotated = clients.rotate_secret(&who.into(), end_older, None, by).await?;
            let RotatedSecret { client, secret } = rotated;
            show(&client, secret.as_ref(), output)
        }
        Existing::SetKeys { who, public_key } => {
            let jwks = read_keys(&public_key)?;
            show(&clients.set_keys(&who.into(), jwks, by).await?, None, output)
        }
        Existing::SetCertificate { who, subject, none: _ } => {
            let subject = subject.into_certificate();
            show(&clients.set_certificate(&who.into(), subject.as_ref(), by).await?, None, output)
        }
        Existing::SetMayClaimAddress { who, whether } => {
            let may = whether == Switch::On;
            show(&clients.set_may_claim_address(&who.into(), may, by).await?, None, output)
        }
        Existing::Update(update) => {
            let (who, change) = change(*update)?;
            show(&clients.update(&who, &change, by).await?, None, output)
        }
        Existing::Disable(who) => {
            show(&clients.set_active(&who.into(), false, None, by).await?, None, output)
        }
        Existing::Enable(who) => show(&clients.set_active(&who.into(), true, None, by).await?, None, output),
        Existing::Delete(who) => {
            let Some(client) = clients.delete(&who.into(), None, by).await? else { return Ok(()) };
            tell_deleted(&client, output)
        }
    }
}

fn tell_deleted(client: &Client, output: Output) -> Result<(), Failure> {
    output.answer(
        &format!("Deleted {} ({}).", client.name.as_str(), client.id),
        &json!({ "deleted": client.id.to_string() }),
    )
}

fn new_client(create: Create) -> Result<NewClient, Failure> {
    // The setting is understood everywhere, and would be passed over here in silence.
    if std::env::args().any(|arg| arg == "--audience" || arg.starts_with("--audience=")) {
        let problem = "--audience: is the service's own; a client's are given by --allow-audience";
        return Err(Failure::Usage(problem.to_owned()));
    }
    Ok(NewClient {
        name: create.name,
        scopes: set("--scope", &create.scopes)?,
        audiences: set("--allow-audience", &create.audiences)?,
        proof: match (create.public, &create.public_key, create.certificate.into_certificate()) {
            (true, ..) => None,
            (false, Some(file), _) => Some(ClientProof::Keys(read_keys(file)?)),
            (false, None, Some(subject)) => Some(ClientProof::Certificate(subject)),
            (false, None, None) => Some(ClientProof::Secret),
        },
        may_claim_address: create.may_claim_address,
        token_claims: set("--token-claim", &create.token_claims)?,
    })
}

fn change(update: Update) -> Result<(ClientRef, ClientChange), Failure> {
    let change = ClientChange {
        name: update.name,
        scopes: SetChange::By {
            add: set("--add-scope", &update.add_scopes)?,
            remove: set("--remove-scope", &update.remove_scopes)?,
        },
        audiences: SetChange::By {
            add: set("--add-audience", &update.add_audiences)?,
            remove: set("--remove-audience", &update.remove_audiences)?,
        },
        token_claims: SetChange::By {
            add: set("--add-token-claim", &update.add_token_claims)?,
            remove: set("--remove-token-claim", &update.remove_token_claims)?,
        },
        ..ClientChange::default()
    };
    Ok((update.who.into(), change))
}

async fn make(new: NewClient, records: &Records, output: Output) -> Result<(), Failure> {
    let created = records.client_registry().register(new, &records.operator).await?;
    show_created(&created, output)
}

fn show_created(created: &CreatedClient, output: Output) -> Result<(), Failure> {
    let CreatedClient { client, secret, user_scopes } = created;
    if client.kind == ClientKind::Public && user_scopes.is_empty() {
        if client.scopes.is_empty() {
            tracing::warn!(
                "users who log in with this client get no `profile`, and their tokens are refused by GetMe and all else that is about the \
                 user: --scope profile allows it"
            );
        } else {
            tracing::warn!(
                scopes = client.scopes.as_str(),
                audiences = client.audiences.as_str(),
                "users who log in with this client get none of its scopes: nobody has them at its audiences. `signet roles update everyone \
                 --add-scope` gives one to every user of an audience, and a role that is bound to them to some"
            );
        }
    }
    let mut text = described(client);
    let _ = write!(text, "\nuser scopes:  {}", or_none(user_scopes.to_string()));
    add_secret(&mut text, secret.as_ref());
    let mut object = object(client, secret.as_ref());
    object["user_scopes"] = user_scopes.iter().collect();
    output.answer(&text, &object)
}

async fn list(listing: Listing<ClientId>, clients: &ClientDirectory, output: Output) -> Result<(), Failure> {
    heading(output)?;
    let tell = |client: &Client| tell(client, output);
    listing.each(async |after, limit| clients.page(after, limit).await, |client| client.id, tell).await
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn tell(client: &Client, output: Output) -> Result<(), Failure> {
    let (id, state, kind) = (client.id.to_string(), state(client.is_active), client.kind.name());
    output.row(&TABLE.row([&id, state, kind, client.name.as_str()]), &object(client, None))
}

fn read_keys(file: &Path) -> Result<String, Failure> {
    let refused = |problem: String| Failure::Usage(format!("--public-key: {} {problem}", file.display()));
    let text = read_text(file).map_err(|error| Failure::of_input("--public-key", file, &error))?;
    read_public_keys(&text).map_err(refused)
}

fn client_id(text: &str) -> Result<ClientId, String> {
    ClientId::parse(text).ok_or_else(|| "must be the id of a client: a UUID, or `signet`".to_owned())
}

fn client_name(text: &str) -> Result<ClientName, RuleViolation> {
    ClientName::parse(text)
}

fn show(client: &Client, secret: Option<&Zeroizing<String>>, output: Output) -> Result<(), Failure> {
    let mut text = described(client);
    add_secret(&mut text, secret);
    output.answer(&text, &object(client, secret))
}

/// A client, for people.
fn described(client: &Client) -> String {
    format!(
        "id:           {}\nname:         {}\nstate:        {}\nkind:         {}\nscopes:       {}\naudiences:    {}\nsecrets:      {}\npublic keys:  {}\ncertificate:  {}\nuser address: {}\ntoken claims: {}\ncreated:      {}\nupdated:      {}",
        client.id,
        client.name.as_str(),
        state(client.is_active),
        client.kind.name(),
        or_none(client.scopes.to_string()),
        or_none(client.audiences.to_string()),
        client.secrets.len(),
        or_none(kids(client).join(" ")),
        or_none(certificate(client)),
        if client.may_claim_address { "may be told" } else { "-" },
        or_none(client.token_claims.to_string()),
        or_none(moment(client.create_time).unwrap_or_default()),
        or_none(moment(client.update_time).unwrap_or_default()),
    )
}

fn add_secret(text: &mut String, secret: Option<&Zeroizing<String>>) {
    if let Some(secret) = secret {
        text.push_str("\nsecret:       ");
        text.push_str(secret);
        text.push_str("\nKeep the secret now: it is not shown again.");
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Whose certificate stands for the client; empty if nobody's does.
fn certificate(client: &Client) -> String {
    client.certificate.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// The ids of the client's keys.
fn kids(client: &Client) -> Vec<String> {
    let set: Value =
        client.jwks.as_deref().and_then(|jwks| serde_json::from_str(jwks).ok()).unwrap_or_default();
    let keys = set["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
}

fn object(client: &Client, secret: Option<&Zeroizing<String>>) -> Value {
    let mut object = json!({
        "id": client.id.to_string(),
        "name": client.name.as_str(),
        "kind": client.kind.name(),
        "scopes": client.scopes.iter().collect::<Vec<_>>(),
        "audiences": client.audiences.iter().collect::<Vec<_>>(),
        "secrets": client.secrets.len(),
        "public_keys": kids(client),
        "may_claim_address": client.may_claim_address,
        "token_claims": client.token_claims.iter().collect::<Vec<_>>(),
        "is_active": client.is_active,
        "create_time": moment(client.create_time),
        "update_time": moment(client.update_time),
    });
    match &client.certificate {
        Some(CertificateSubject::SpiffeId(id)) => object["spiffe_id"] = Value::from(id.as_str()),
        Some(CertificateSubject::DnsName(name)) => object["tls_san_dns"] = Value::from(name.as_str()),
        None => {}
    }
    if let Some(secret) = secret {
        object["secret"] = Value::from(secret.as_str());
    }
    object
}
