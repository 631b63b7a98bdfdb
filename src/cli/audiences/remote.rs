//! Owns `signet audiences` over the admin API.

use prost_types::FieldMask;
use tokio::sync::Mutex;

use super::{Command, Owner, heading, list_one, show_one, tell};
use crate::{
    cli::{
        Failure, Output,
        remote::{Names, Remote, answered, each, from_the_start, read},
    },
    identity::access::NamedPrincipal,
    model::{AudienceName, Error, OwnedAudience, Principal},
    proto::identity::admin::v1::{
        self as wire, GetAudienceRequest, ListAudiencesRequest, UpdateAudienceRequest,
    },
    wire::{read_token_typ, token_typ},
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    match command {
        Command::List { limit, after } => {
            from_the_start("--after", after)?;
            let read = async |page_size, page_token| {
                let request = ListAudiencesRequest { page_size, page_token };
                let page = answered(remote.roles().list_audiences(request).await)?;
                Ok((page.audiences, page.next_page_token))
            };
            let names = Mutex::new(Names::default());
            let show = async |audience: wire::Audience| {
                let (owned, owners) = named(audience, &names, remote).await?;
                list_one(&owned, &owners, output)
            };
            each(limit, || heading(output), read, show).await
        }
        Command::Show(which) => {
            let found = find(&which.name()?, remote).await?;
            let (owned, owners) = named(found, &Mutex::default(), remote).await?;
            show_one(&owned, &owners, output)
        }
        Command::Update(update) => {
            let audience = Some(wire::Audience {
                name: update.which.name()?.as_str().to_owned(),
                token_typ: token_typ(update.typ()).into(),
                ..wire::Audience::default()
            });
            let update_mask = Some(FieldMask { paths: vec!["token_typ".to_owned()] });
            let request = UpdateAudienceRequest { audience, update_mask, ..UpdateAudienceRequest::default() };
            let updated = answered(remote.roles().update_audience(request).await)?;
            let updated = updated.audience.unwrap_or_default();
            let (owned, owners) = named(updated, &Mutex::default(), remote).await?;
            show_one(&owned, &owners, output)
        }
        Command::AddOwner(owner) => change(owner, true, remote, output).await,
        Command::RemoveOwner(owner) => change(owner, false, remote, output).await,
    }
}

/// The audience `name`.
async fn find(name: &AudienceName, remote: &Remote) -> Result<wire::Audience, Failure> {
    let request = GetAudienceRequest { name: name.as_str().to_owned() };
    Ok(answered(remote.roles().get_audience(request).await)?.audience.unwrap_or_default())
}

/// `audience`, and what its owners are called.
async fn named(
    audience: wire::Audience,
    names: &Mutex<Names>,
    remote: &Remote,
) -> Result<(OwnedAudience, Vec<NamedPrincipal>), Failure> {
    let mut owners = Vec::with_capacity(audience.owners.len());
    for owner in &audience.owners {
        let principal = read::principal(Some(owner), String::new())?.principal;
        let name = names.lock().await.of(principal, remote).await?;
        owners.push(NamedPrincipal { principal, name });
    }
    let owned = OwnedAudience {
        // A server of the release before says nothing of it.
        token_typ: read_token_typ(audience.token_typ()).unwrap_or_default(),
        name: AudienceName::from_stored(audience.name),
        owners: owners.iter().map(|owner| owner.principal).collect(),
        create_time: read::time(audience.create_time),
    };
    Ok((owned, owners))
}

/// Adds an owner, or takes one away. The audience's etag goes with it: what somebody else has changed meanwhile is not undone.
async fn change(
    Owner { which, who }: Owner,
    owns: bool,
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let name = which.name()?;
    let (who, called) = remote.principal(&who.into()).await?;
    let owner = read::principal(Some(&who), called)?;
    let mut found = find(&name, remote).await?;
    // By what they are: the built-in client is written in two ways.
    let is_owner = |other: &wire::Principal| {
        read::principal(Some(other), String::new()).is_ok_and(|other| other.principal == owner.principal)
    };
    let has_it = found.owners.iter().any(is_owner);
    if !owns && !has_it {
        let (who, audience) = (owner.to_string(), name.as_str().to_owned());
        return Err(Error::OwnerNotFound { who, audience }.into());
    }
    if owns != has_it {
        found.owners.retain(|other| !is_owner(other));
        found.owners.iter_mut().for_each(by_uuid);
        if owns {
            found.owners.push(who);
        }
        let update_mask = Some(FieldMask { paths: vec!["owners".to_owned()] });
        let audience = Some(found);
        let request = UpdateAudienceRequest { audience, update_mask, ..UpdateAudienceRequest::default() };
        answered(remote.roles().update_audience(request).await)?;
    }
    tell(if owns { "owns" } else { "no longer owns" }, &name, &owner, output)
}

/// Writes the built-in client as requests mean it.
fn by_uuid(principal: &mut wire::Principal) {
    if let Ok(NamedPrincipal { principal: Principal::Client(id), .. }) =
        read::principal(Some(principal), String::new())
    {
        principal.kind = Some(wire::principal::Kind::ClientId(id.0.to_string()));
    }
}
