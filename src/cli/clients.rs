//! Owns `signet clients`.

use std::{fs, path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Failure, Output,
    listing::{Listing, state},
    records::Records,
};
use crate::{
    audit::{Audit, Entry, Event},
    config::Config,
    identity::{
        Clients,
        clients::{NewClient, read_public_keys},
    },
    model::{
        CertificateSubject, Client, ClientId, ClientKind, ClientName, Clock, DnsName, NameSet, SpiffeId,
        Timestamp,
    },
    server::Missing,
    store::Store,
};

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
        /// At most so many.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those made after the client with this id.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
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
    /// A scope that it may ask for; repeat for more. `profile` goes to users alone, `introspect` to clients alone.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = one_name)]
    scopes: Vec<String>,
    /// Whom its tokens may be meant for; repeat for more. Without any: the service's own --audience.
    #[arg(long = "allow-audience", value_name = "NAME", value_parser = one_name)]
    audiences: Vec<String>,
    /// It cannot keep a secret: an application on its users' devices. It gets no tokens in its own name.
    #[arg(long, conflicts_with_all = ["public_key", "spiffe_id", "tls_san_dns"])]
    public: bool,
    /// A PEM public key, a JWK or a JWK Set: it proves who it is by signing (`private_key_jwt`), and gets no secret.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["spiffe_id", "tls_san_dns"])]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    certificate: Subject,
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

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            // What the command line gets wrong is told before anything is made.
            let new = new_client(create)?;
            let records = Records::open(config, Missing::Made).await?;
            let result = make(new, &clients(&records, config), output).await;
            records.close().await;
            result
        }
        Command::Existing(command) => {
            let records = Records::open(config, Missing::Refused).await?;
            let result = with_existing(command, &records, config, output).await;
            records.close().await;
            result
        }
    }
}

async fn with_existing(
    command: Existing,
    records: &Records,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let Records { store, audit } = records;
    match command {
        Existing::List { limit, after } => {
            list(Listing { limit, after: after.map(ClientId) }, store, output).await
        }
        Existing::Show(who) => show(&find(&who.client, store).await?, None, output),
        Existing::RotateSecret { who, end_older } => {
            rotate_secret(&who.client, end_older, store, &clients(records, config), output).await
        }
        Existing::SetKeys { who, public_key } => {
            set_keys(&who.client, &public_key, store, audit, output).await
        }
        Existing::SetCertificate { who, subject, none: _ } => {
            set_certificate(&who.client, subject.into_certificate(), store, audit, output).await
        }
        Existing::Disable(who) => set_active(&who.client, false, store, audit, output).await,
        Existing::Enable(who) => set_active(&who.client, true, store, audit, output).await,
        Existing::Delete(who) => delete(&who.client, store, audit, output).await,
    }
}

fn new_client(create: Create) -> Result<NewClient, Failure> {
    // The setting is understood everywhere, and would be passed over here in silence.
    if std::env::args().any(|arg| arg == "--audience" || arg.starts_with("--audience=")) {
        let problem = "--audience: is the service's own; a client's are given by --allow-audience";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let set = |flag: &str, names: &[String]| {
        let names = NameSet::of(names.iter().map(String::as_str));
        names.map_err(|_| Failure::Usage(format!("{flag}: all together must have at most 1024 bytes")))
    };
    Ok(NewClient {
        name: create.name,
        kind: if create.public { ClientKind::Public } else { ClientKind::Confidential },
        scopes: set("--scope", &create.scopes)?,
        audiences: set("--allow-audience", &create.audiences)?,
        jwks: create.public_key.as_ref().map(read_keys).transpose()?,
        certificate: create.certificate.into_certificate(),
    })
}

async fn make(new: NewClient, clients: &Clients, output: Output) -> Result<(), Failure> {
    let made = clients.register(new).await?;
    let (client, secret) = made.map_err(|taken| Failure::Failed(taken.to_string()))?;
    show(&client, secret.as_ref(), output)
}

async fn list(listing: Listing<ClientId>, store: &Store, output: Output) -> Result<(), Failure> {
    output.heading(&format!("{:<36}  {:<8}  {:<12}  {:<27}  NAME", "ID", "STATE", "KIND", "CREATED"))?;
    let tell = |client: &Client| {
        let text = format!(
            "{}  {:<8}  {:<12}  {:<27}  {}",
            client.id,
            state(client.is_active),
            client.kind.name(),
            client.create_time.to_string(),
            client.name.as_str()
        );
        output.answer(&text, &object(client, None))
    };
    listing.each(async |after, limit| store.clients(after, limit).await, |client| client.id, tell).await
}

async fn rotate_secret(
    who: &str,
    end_older: bool,
    store: &Store,
    clients: &Clients,
    output: Output,
) -> Result<(), Failure> {
    let client = find(who, store).await?;
    if client.kind == ClientKind::Public {
        return Err(Failure::Failed(format!(
            "`{}` is a public client: it has no secret",
            client.name.as_str()
        )));
    }
    let secret = clients.rotate_secret(client.id, end_older).await?;
    show(&find(&client.id.to_string(), store).await?, Some(&secret), output)
}

async fn set_keys(
    who: &str,
    public_key: &PathBuf,
    store: &Store,
    audit: &Audit,
    output: Output,
) -> Result<(), Failure> {
    let jwks = read_keys(public_key)?;
    let client = find_confidential(who, store).await?;
    let pending = audit.begin(event(Event::ClientKeysReplaced, &client));
    // None to be found any more, here and below: another command deleted it at the same time.
    pending.done_if(store.set_client_keys(client.id, jwks, now()).await?);
    show_again(client.id, store, output).await
}

async fn set_certificate(
    who: &str,
    subject: Option<CertificateSubject>,
    store: &Store,
    audit: &Audit,
    output: Output,
) -> Result<(), Failure> {
    let client = find_confidential(who, store).await?;
    let pending = audit.begin(event(Event::ClientCertificateReplaced, &client));
    let set = store.set_client_certificate(client.id, subject.as_ref(), now()).await?;
    pending.done_if(set == Ok(true));
    set.map_err(|taken| Failure::Failed(taken.to_string()))?;
    show_again(client.id, store, output).await
}

async fn set_active(
    who: &str,
    active: bool,
    store: &Store,
    audit: &Audit,
    output: Output,
) -> Result<(), Failure> {
    let client = find(who, store).await?;
    let kind = if active { Event::ClientEnabled } else { Event::ClientDisabled };
    let pending = audit.begin(event(kind, &client));
    pending.done_if(store.set_client_active(client.id, active, now()).await?);
    show_again(client.id, store, output).await
}

async fn delete(who: &str, store: &Store, audit: &Audit, output: Output) -> Result<(), Failure> {
    let client = find(who, store).await?;
    let pending = audit.begin(event(Event::ClientDeleted, &client));
    pending.done_if(store.delete_client(client.id, now()).await?);
    output.answer(
        &format!("Deleted {} ({}).", client.name.as_str(), client.id),
        &json!({ "deleted": client.id.to_string() }),
    )
}

fn event(event: Event, client: &Client) -> Entry {
    event.done().by_operator().client(client.id.to_string())
}

async fn show_again(id: ClientId, store: &Store, output: Output) -> Result<(), Failure> {
    show(&find(&id.to_string(), store).await?, None, output)
}

async fn find_confidential(who: &str, store: &Store) -> Result<Client, Failure> {
    let client = find(who, store).await?;
    if client.kind == ClientKind::Public {
        return Err(Failure::Failed(format!("`{}` is a public client", client.name.as_str())));
    }
    Ok(client)
}

async fn find(who: &str, store: &Store) -> Result<Client, Failure> {
    let found = match (ClientId::parse(who), ClientName::parse(who)) {
        (Some(id), _) => store.client(id).await?,
        (None, Ok(name)) => store.client_named(&name).await?,
        (None, Err(_)) => None,
    };
    found.ok_or_else(|| Failure::Failed(format!("there is no client `{who}`")))
}

fn clients(records: &Records, config: &Config) -> Clients {
    let Records { store, audit } = records;
    Clients::new(store.clone(), config.clients(), Clock::system(), Arc::default(), audit.clone())
}

fn now() -> Timestamp {
    Clock::system().now()
}

fn read_keys(file: &PathBuf) -> Result<String, Failure> {
    let refused = |problem: String| Failure::Usage(format!("--public-key: {} {problem}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| refused(format!("cannot be read: {error}")))?;
    read_public_keys(&text).map_err(refused)
}

fn client_name(text: &str) -> Result<ClientName, String> {
    ClientName::parse(text).map_err(|violation| violation.description)
}

fn one_name(text: &str) -> Result<String, String> {
    match NameSet::of([text]) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("must be a name of printable ASCII, without spaces, quotation marks and backslashes"
                .to_owned())
        }
    }
}

fn show(client: &Client, secret: Option<&Zeroizing<String>>, output: Output) -> Result<(), Failure> {
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let mut text = format!(
        "id:           {}\nname:         {}\nstate:        {}\nkind:         {}\nscopes:       {}\naudiences:    {}\nsecrets:      {}\npublic keys:  {}\ncertificate:  {}\ncreated:      {}\nupdated:      {}",
        client.id,
        client.name.as_str(),
        state(client.is_active),
        client.kind.name(),
        or_none(client.scopes.to_string()),
        or_none(client.audiences.to_string()),
        client.secrets.len(),
        or_none(kids(client).join(" ")),
        or_none(certificate(client)),
        client.create_time,
        client.update_time,
    );
    if let Some(secret) = secret {
        text.push_str("\nsecret:       ");
        text.push_str(secret);
        text.push_str("\nKeep the secret now: it is not shown again.");
    }
    output.answer(&text, &object(client, secret))
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
        "public_keys": kids(client),
        "is_active": client.is_active,
        "create_time": client.create_time.to_string(),
        "update_time": client.update_time.to_string(),
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
