//! Owns `signet roles` over the admin API.

use prost_types::FieldMask;

use super::{Command, Update, WhichRole, heading, set, show, tell, tell_deleted, tell_taken};
use crate::{
    base::Clock,
    cli::{
        Failure, Output, bindings,
        remote::{Remote, answered, each, from_the_start, read},
    },
    identity::access::{PrincipalRef, RoleRef},
    model::{Error, NameSet},
    proto::identity::admin::v1::{
        self as wire, CreateBindingRequest, CreateRoleRequest, DeleteBindingRequest, DeleteRoleRequest,
        ListBindingsRequest, ListRolesRequest, UpdateBindingRequest, UpdateRoleRequest,
    },
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    let mut roles = remote.roles();
    match command {
        Command::Create { role: WhichRole { name, audience }, scopes, description } => {
            let role = wire::Role {
                name: name.as_str().to_owned(),
                audience: audience.or_signet()?.as_str().to_owned(),
                scopes: texts(&set("--scope", &scopes)?),
                description: description.map(|text| text.as_str().to_owned()).unwrap_or_default(),
                ..wire::Role::default()
            };
            let request = CreateRoleRequest { role: Some(role), ..CreateRoleRequest::default() };
            let answer = answered(roles.create_role(request).await)?;
            show(&read::role(answer.role.unwrap_or_default())?, output)
        }
        Command::Update(update) => change(update, remote, output).await,
        Command::Delete(role) => {
            let role = remote.role(&role.try_into()?).await?;
            let request = DeleteRoleRequest { id: role.id.clone(), ..DeleteRoleRequest::default() };
            answered(roles.delete_role(request).await)?;
            tell_deleted(&read::role(role)?, output)
        }
        Command::Show(role) => show(&read::role(remote.role(&role.try_into()?).await?)?, output),
        Command::List { audience, limit, after } => {
            from_the_start("--after", after)?;
            let of = audience.if_said()?;
            let read = async |page_size, page_token| {
                let audience = of.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
                let request =
                    ListRolesRequest { page_size, page_token, audience, ..ListRolesRequest::default() };
                let page = answered(remote.roles().list_roles(request).await)?;
                if let Some(audience) = of.as_ref().filter(|_| page.roles.is_empty()) {
                    remote.must_have(audience).await?;
                }
                Ok((page.roles, page.next_page_token))
            };
            each(limit, || heading(output), read, async |role| tell(&read::role(role)?, output)).await
        }
        Command::Bind { role, who, expires } => {
            let end = expires.map(|after| read::wire_time(Clock::system().now().after(after)));
            bind(&role.try_into()?, &who.into(), end, remote, output).await
        }
        Command::Unbind { role, who } => {
            let (role, who) = (role.try_into()?, who.into());
            let held = binding(&role, &who, remote).await?;
            let Held { role, subject, name, binding } = held;
            let id = binding.as_ref().map(|binding| binding.id.clone());
            let Some((binding, id)) = binding.zip(id) else {
                let (subject, role) = (read::principal(Some(&subject), name)?, &role.name);
                let sentence = format!("{subject} does not have the role `{role}` by a binding of its own");
                return Err(Error::BindingNotFound(sentence).into());
            };
            answered(
                roles.delete_binding(DeleteBindingRequest { id, ..DeleteBindingRequest::default() }).await,
            )?;
            tell_taken(&read::binding(&binding, read::role(role)?, name)?, output)
        }
    }
}

/// A role, somebody who may have it, and the binding by which that is so.
struct Held {
    role: wire::Role,
    subject: wire::Principal,
    name: String,
    binding: Option<wire::Binding>,
}

async fn binding(role: &RoleRef, who: &PrincipalRef, remote: &Remote) -> Result<Held, Failure> {
    let role = remote.role(role).await?;
    let (subject, name) = remote.principal(who).await?;
    let request = ListBindingsRequest {
        page_size: 1,
        role_id: role.id.clone(),
        subject: Some(subject.clone()),
        ..ListBindingsRequest::default()
    };
    let binding = answered(remote.roles().list_bindings(request).await)?.bindings.pop();
    Ok(Held { role, subject, name, binding })
}

/// Gives the role; said again, it is given until `end` from then on.
async fn bind(
    role: &RoleRef,
    who: &PrincipalRef,
    end: Option<prost_types::Timestamp>,
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let Held { role, subject, name, binding } = binding(role, who, remote).await?;
    let mut roles = remote.roles();
    let bound = match binding {
        Some(binding) if binding.expire_time == end => Some(binding),
        Some(binding) => {
            let binding = wire::Binding { expire_time: end, ..binding };
            let update_mask = Some(FieldMask { paths: vec!["expire_time".to_owned()] });
            let binding = Some(binding);
            let request = UpdateBindingRequest { binding, update_mask, ..UpdateBindingRequest::default() };
            answered(roles.update_binding(request).await)?.binding
        }
        None => {
            let (role_id, subject) = (role.id.clone(), Some(subject));
            let binding = wire::Binding { role_id, subject, expire_time: end, ..wire::Binding::default() };
            let request = CreateBindingRequest { binding: Some(binding), ..CreateBindingRequest::default() };
            answered(roles.create_binding(request).await)?.binding
        }
    };
    bindings::show(&read::binding(&bound.unwrap_or_default(), read::role(role)?, name)?, output)
}

async fn change(update: Update, remote: &Remote, output: Output) -> Result<(), Failure> {
    let Update { role, add, remove: less, description } = update;
    let (more, less) = (set("--add-scope", &add)?, set("--remove-scope", &less)?);
    let mut role = remote.role(&role.try_into()?).await?;
    let mut paths = Vec::new();
    if !more.is_empty() || !less.is_empty() {
        role.scopes = changed(&role.scopes, &more, &less);
        paths.push("scopes".to_owned());
    }
    if let Some(description) = description {
        description.as_str().clone_into(&mut role.description);
        paths.push("description".to_owned());
    }
    // Its etag goes with it: what somebody else has changed meanwhile is not undone.
    let update_mask = Some(FieldMask { paths }).filter(|mask| !mask.paths.is_empty());
    if update_mask.is_none() {
        return show(&read::role(role)?, output);
    }
    let request = UpdateRoleRequest { role: Some(role), update_mask, ..UpdateRoleRequest::default() };
    let answer = answered(remote.roles().update_role(request).await)?;
    show(&read::role(answer.role.unwrap_or_default())?, output)
}

/// `names` with `add` and without `remove`.
pub(in crate::cli) fn changed(names: &[String], add: &NameSet, remove: &NameSet) -> Vec<String> {
    let names = NameSet::default().with(names.iter().map(String::as_str)).with(add.iter());
    texts(&names.without(remove))
}

pub(in crate::cli) fn texts(names: &NameSet) -> Vec<String> {
    names.iter().map(str::to_owned).collect()
}
