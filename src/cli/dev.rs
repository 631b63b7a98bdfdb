//! Owns `signet dev`: the service for a team's tests, which keeps nothing, and the tokens that it prints.

use std::{net::SocketAddr, path::PathBuf, thread, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{Failure, Output, remote::answered};
use crate::{
    audit::AuditLog,
    base::Clock,
    config::{Config, ConfigError, ExtAuthzAddr, Switch, duration},
    identity::apply::{DevClient, DevData, DevUser},
    install::read_dev_files,
    model::{
        AudienceName, NameSet,
        claims::{ACCOUNT_SCOPE, USER_SCOPE},
    },
    proto::identity::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, IssueTokenResponse, PasswordGrant,
        client_authentication::Credential, identity_service_client::IdentityServiceClient,
        issue_token_request::Grant,
    },
    server::{END_ALLOWANCE, Server, Started},
    shutdown,
};

/// What people see first.
const BANNER: &str =
    "FOR TESTS ALONE, NEVER FOR PRODUCTION: all of it is in memory, and gone when this ends.";

/// How long calls in flight are waited for at the end: nobody's work is lost.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What a hash costs: next to nothing, since the passwords are in a file.
const ARGON2_KIB: u32 = 64;

#[derive(Args, Debug)]
pub(super) struct Dev {
    /// The users and clients of the files whose tokens are printed; if none is named, those of all.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// A file, or a folder of files, that says what there is: may be given several times.
    #[arg(short, long = "file", value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// How long tokens are valid (1s to 24h).
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = duration::<1, 86_400>)]
    token_lifetime: Duration,
}

/// A line of the answer: for people, and for programs.
type Told = (String, Value);

pub(super) async fn run(dev: Dev, config: Config, output: Output) -> Result<(), Failure> {
    let data = read_dev_files(&dev.files)?;
    refuse_unknown(&dev.names, &data)?;
    let config = for_tests(config, dev.token_lifetime)?;
    let asked = shutdown::on_signal(DRAIN_TIMEOUT + END_ALLOWANCE)
        .map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    let server = Server::start_dev(config, &data, Clock::system()).await?;
    let (started, stop) = (server.started().clone(), asked.stop);
    let telling = async {
        let told = tokens(&dev.names, &data, started.grpc_addr).await;
        if told.is_err() {
            stop.cancel();
        }
        told.map(|told| tell(&started, told, output))
    };
    let (ended, told) = tokio::join!(Box::pin(server.serve(stop.clone())), Box::pin(telling));
    ended?;
    told
}

/// `config` as tests want it.
///
/// # Errors
/// If somebody else could reach the service, or something was to be kept.
fn for_tests(mut config: Config, token_lifetime: Duration) -> Result<Config, ConfigError> {
    let ext_authz = match config.mesh.ext_authz_addr()? {
        ExtAuthzAddr::Own(addr) => Some(addr),
        ExtAuthzAddr::Off | ExtAuthzAddr::Shared => None,
    };
    let admin = config.admin.addr(&config.tls)?;
    for (setting, addr) in [
        ("--grpc-addr", Some(config.grpc_addr)),
        ("--http-addr", Some(config.http_addr)),
        ("--admin-addr", admin),
        ("--operations-addr", config.operations.addr()),
        ("--ext-authz-addr", ext_authz),
    ] {
        if let Some(addr) = addr.filter(|addr| !addr.ip().to_canonical().is_loopback()) {
            let problem =
                format!("{addr} is reached from other machines: `signet dev` serves this one alone");
            return Err(ConfigError::new(setting, problem));
        }
    }
    let storage = &config.storage;
    let keeps_audit = matches!(config.observe.audit_log, AuditLog::File(_));
    for (setting, is_set) in [
        ("--database-url", storage.database_url.is_some()),
        ("--database-url-file", storage.database_url_file.is_some()),
        ("--bootstrap", config.first_start.bootstrap.is_some()),
        ("--audit-log", keeps_audit),
        ("--tls-cert", config.tls.tls_cert.is_some()),
    ] {
        if is_set {
            let problem =
                "means nothing to `signet dev`, which is in memory and on this machine alone: leave it out";
            return Err(ConfigError::new(setting, problem));
        }
    }
    config.tokens.access_token_ttl = token_lifetime;
    config.passwords.argon2_below_owasp = Switch::On;
    (config.passwords.argon2_memory_kib, config.passwords.argon2_iterations) = (ARGON2_KIB, 1);
    config.passwords.argon2_parallelism = 1;
    (config.limits.shutdown_delay, config.limits.drain_timeout) = (Duration::ZERO, DRAIN_TIMEOUT);
    Ok(config)
}

/// Succeeds if there is a user or a client of each of `names`.
fn refuse_unknown(names: &[String], data: &DevData) -> Result<(), Failure> {
    let is_known = |name: &&String| {
        data.users.iter().any(|user| user.name == **name)
            || data.clients.iter().any(|client| client.name == **name)
    };
    match names.iter().find(|name| !is_known(name)) {
        Some(name) => Err(Failure::Usage(format!("no file names a user or a client `{name}`"))),
        None => Ok(()),
    }
}

/// The tokens of those who are named, or of all, as lines.
async fn tokens(names: &[String], data: &DevData, grpc_addr: SocketAddr) -> Result<Vec<Told>, Failure> {
    let channel = Channel::from_shared(format!("http://{grpc_addr}"));
    let channel = channel.map_err(|error| Failure::Failed(error.to_string()))?.connect_lazy();
    let mut service = IdentityServiceClient::new(channel);
    let mut issue = async |request| answered(service.issue_token(request).await);
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|named| named == name);
    let mut told = Vec::new();
    for user in data.users.iter().filter(|user| is_wanted(&user.name)) {
        for audience in audiences_of(user, data) {
            let issued = issue(for_user(user, &audience)).await?;
            told.push(told_user(user, &audience, &issued));
        }
    }
    for client in data.clients.iter().filter(|client| client.gets_tokens && is_wanted(&client.name)) {
        let Some(secret) = data.secrets.get(&client.name) else { continue };
        let own = NameSet::default().with([AudienceName::SIGNET]);
        let audiences = if client.audiences.is_empty() { &own } else { &client.audiences };
        for audience in audiences.iter() {
            let issued = issue(for_client(client, secret, audience)).await?;
            told.push(told_client(client, secret, audience, &issued));
        }
    }
    Ok(told)
}

/// At which audiences `user` gets a token: at all of the files, and at Signet itself who administers it.
fn audiences_of(user: &DevUser, data: &DevData) -> Vec<String> {
    let mut audiences = data.audiences();
    if !user.admin_scopes.is_empty() && !audiences.iter().any(|name| name == AudienceName::SIGNET) {
        audiences.push(AudienceName::SIGNET.to_owned());
    }
    audiences
}

fn for_user(user: &DevUser, audience: &str) -> IssueTokenRequest {
    let (username, password) = (user.name.clone(), user.password.to_string());
    // What administers Signet is given to whoever names it.
    let is_for_admin = audience == AudienceName::SIGNET && !user.admin_scopes.is_empty();
    let scope =
        if is_for_admin { user.admin_scopes.with([USER_SCOPE, ACCOUNT_SCOPE]) } else { NameSet::default() };
    IssueTokenRequest {
        grant: Some(Grant::Password(PasswordGrant { username, password })),
        audiences: asked(audience),
        scope: scope.as_str().to_owned(),
        ..IssueTokenRequest::default()
    }
}

fn for_client(client: &DevClient, secret: &str, audience: &str) -> IssueTokenRequest {
    let credential = Some(Credential::ClientSecret(secret.to_owned()));
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client: Some(ClientAuthentication { client_id: client.id.to_string(), credential }),
        audiences: asked(audience),
        ..IssueTokenRequest::default()
    }
}

/// What is asked for a token for `audience`: Signet itself may be called otherwise, and is who is meant if nobody is.
fn asked(audience: &str) -> Vec<String> {
    if audience == AudienceName::SIGNET { Vec::new() } else { vec![audience.to_owned()] }
}

fn told_user(user: &DevUser, audience: &str, issued: &IssueTokenResponse) -> Told {
    let DevUser { id, name, .. } = user;
    let IssueTokenResponse { access_token, scope, expires_in, .. } = issued;
    let text = format!("user {name} ({id}) at {audience}, scope `{scope}`:\n{access_token}\n");
    let object = json!({
        "kind": "user", "name": name, "id": id.to_string(), "audience": audience, "scope": scope,
        "expires_in": expires_in, "access_token": access_token,
    });
    (text, object)
}

fn told_client(client: &DevClient, secret: &str, audience: &str, issued: &IssueTokenResponse) -> Told {
    let DevClient { id, name, secret_from, .. } = client;
    let IssueTokenResponse { access_token, scope, expires_in, .. } = issued;
    let (member, told) = match secret_from {
        Some(from) => ("secret_from", from.to_string()),
        None => ("secret", secret.to_owned()),
    };
    let words = member.replace('_', " ");
    let text =
        format!("client {name} ({id}, {words} {told}) at {audience}, scope `{scope}`:\n{access_token}\n");
    let object = json!({
        "kind": "client", "name": name, "id": id.to_string(), member: told, "audience": audience,
        "scope": scope, "expires_in": expires_in, "access_token": access_token,
    });
    (text, object)
}

/// Tells where it is served, and the tokens; on a thread of its own, since nobody may be reading. That it is ready comes last.
fn tell(started: &Started, tokens: Vec<Told>, output: Output) {
    let mut lines = vec![addresses(started)];
    lines.extend(tokens);
    lines.push(("Ready. SIGINT (Ctrl-C) or SIGTERM ends it.".to_owned(), json!({ "kind": "ready" })));
    let write = move || {
        let written = lines.iter().try_for_each(|(text, object)| output.answer(text, object));
        if let Err(problem) = written {
            tracing::warn!(error = %problem, "the tokens could not be told");
        }
    };
    if let Err(error) = thread::Builder::new().name("report".to_owned()).spawn(write) {
        tracing::warn!(%error, "the tokens could not be told");
    }
}

fn addresses(started: &Started) -> Told {
    let Started { grpc_addr, http_addr, ext_authz_addr, operations_addr, admin_addr, issuer, .. } = started;
    let jwks_uri = format!("http://{http_addr}/.well-known/jwks.json");
    let line = |name: &str, addr: &Option<SocketAddr>| {
        addr.map_or_else(String::new, |addr| format!("{name:<13}{addr}\n"))
    };
    let text = format!(
        "{BANNER}\n\nIssuer:      {issuer}\nJWKS:        {jwks_uri}\ngRPC:        {grpc_addr}\nHTTP:        http://{http_addr}/\n{}{}{}",
        line("Admin API:", admin_addr),
        line("ext_authz:", ext_authz_addr),
        line("Operations:", operations_addr),
    );
    let object = json!({
        "kind": "started", "not_for_production": true, "issuer": issuer, "jwks_uri": jwks_uri,
        "grpc_addr": grpc_addr, "http_addr": http_addr, "admin_addr": admin_addr,
        "ext_authz_addr": ext_authz_addr, "operations_addr": operations_addr,
        "signing_key": started.signing_key,
    });
    (text, object)
}
