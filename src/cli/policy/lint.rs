//! Owns `signet policy lint`.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use clap::Args;
use serde_json::json;

use super::read_file;
use crate::{
    cli::{
        CommandReason, Failure, Output,
        principal::audience,
        records::Records,
        remote::{Remote, WorksAt, answered, each},
    },
    config::Config,
    identity::{
        clients::ClientFilter,
        policies::{KnownScopes, LintFinding, lint},
    },
    model::{AudienceName, name_set::one_name},
    proto::identity::admin::v1::{Client, ListClientsRequest, ListRolesRequest, Role},
};

/// How many roles or clients are read at a time.
const PAGE: u64 = 500;

#[derive(Args, Debug)]
pub(in crate::cli) struct Lint {
    /// A service whose methods everybody may call, and which cannot be annotated. May be said several times.
    #[arg(long = "public-service", value_name = "NAME")]
    public_services: Vec<String>,
    /// The service: scopes must be those that its roles give, or that clients are registered with for it.
    #[arg(long, value_name = "NAME", value_parser = one_name, conflicts_with = "known_scopes")]
    service: Option<String>,
    /// A scope that exists, where nothing else is looked at. May be said several times.
    #[arg(long = "known-scope", value_name = "SCOPE", value_parser = one_name)]
    known_scopes: Vec<String>,
    /// The descriptor set, as `buf build -o FILE.binpb` writes it; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(asked: Lint, place: WorksAt, config: &Config, output: Output) -> Result<(), Failure> {
    let Lint { public_services, service, known_scopes, file } = asked;
    let set = read_file(&file)?;
    let known = match service {
        Some(service) => {
            let scopes = scopes_of(&audience(&service)?, place, config).await?;
            Some(KnownScopes { service: Some(service), scopes })
        }
        None if known_scopes.is_empty() => None,
        None => Some(KnownScopes { service: None, scopes: known_scopes.into_iter().collect() }),
    };
    let (methods, findings) = lint(&set, &public_services, known.as_ref())?;
    tell(methods, &findings, known.is_some(), output)
}

/// The scopes that roles of `service` give, and those that clients are registered with for it.
async fn scopes_of(
    service: &AudienceName,
    place: WorksAt,
    config: &Config,
) -> Result<BTreeSet<String>, Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote_scopes(service, &remote).await;
    }
    let records = Records::open_as_it_is(config).await?;
    let found = scopes_in(service, &records).await;
    records.close().await;
    found
}

async fn scopes_in(service: &AudienceName, records: &Records) -> Result<BTreeSet<String>, Failure> {
    let (mut scopes, mut after) = (BTreeSet::new(), None);
    loop {
        let page = records.access_directory().roles(Some(service), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        scopes.extend(page.iter().flat_map(|role| role.scopes.iter().map(str::to_owned)));
    }
    let filter = ClientFilter { audience: service.as_str().to_owned(), ..ClientFilter::default() };
    let mut after = None;
    loop {
        let (page, next) = records.client_directory().list(&filter, after, PAGE).await?;
        scopes.extend(page.iter().flat_map(|client| client.scopes.iter().map(str::to_owned)));
        match next {
            Some(next) => after = Some(next),
            None => break Ok(scopes),
        }
    }
}

async fn remote_scopes(service: &AudienceName, remote: &Remote) -> Result<BTreeSet<String>, Failure> {
    let scopes = Mutex::new(BTreeSet::new());
    let audience = service.as_str().to_owned();
    let add = |found: Vec<String>| {
        scopes.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    };
    let roles = async |page_size, page_token| {
        let request = ListRolesRequest {
            page_size,
            page_token,
            audience: audience.clone(),
            ..ListRolesRequest::default()
        };
        let page = answered(remote.roles().list_roles(request).await)?;
        Ok((page.roles, page.next_page_token))
    };
    each(
        None,
        || Ok(()),
        roles,
        async |role: Role| {
            add(role.scopes);
            Ok(())
        },
    )
    .await?;
    let clients = async |page_size, page_token| {
        let request = ListClientsRequest {
            page_size,
            page_token,
            audience: audience.clone(),
            ..ListClientsRequest::default()
        };
        let page = answered(remote.clients().list_clients(request).await)?;
        Ok((page.clients, page.next_page_token))
    };
    each(
        None,
        || Ok(()),
        clients,
        async |client: Client| {
            add(client.scopes);
            Ok(())
        },
    )
    .await?;
    Ok(scopes.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Writes a line for each finding.
///
/// # Errors
/// If one of them is wrong.
fn tell(
    methods: usize,
    findings: &[LintFinding],
    looked_at_scopes: bool,
    output: Output,
) -> Result<(), Failure> {
    for LintFinding { method, problem, is_error } in findings {
        let level = if *is_error { "error" } else { "warning" };
        let object = json!({ "level": level, "method": method, "problem": problem });
        let of_method = method.as_ref().map(|method| format!("{method}: ")).unwrap_or_default();
        output.finding(&format!("{level}: {of_method}{problem}"), &object, true)?;
    }
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    if errors == 0 {
        let warnings = findings.len();
        let but = if looked_at_scopes {
            ""
        } else {
            " Scopes were not looked at: --service or --known-scope says which there are."
        };
        let text = format!("{methods} method(s): nothing is wrong, {warnings} warning(s).{but}");
        let object = json!({
            "methods": methods,
            "errors": 0,
            "warnings": warnings,
            "scopes_looked_at": looked_at_scopes,
        });
        return output.answer(&text, &object);
    }
    let problem = format!("{errors} thing(s) are wrong with the rules of {methods} method(s)");
    Err(Failure::because(CommandReason::ChecksFailed, problem))
}
