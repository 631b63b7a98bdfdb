//! Owns `signet users` over the admin API.

use prost_types::FieldMask;
use serde_json::json;

use super::{
    Command, Create, Existing, Update, list_heading, list_one, object_having, passwords, search, sessions,
    show, show_deleted, tell_found, text_having,
};
use crate::{
    cli::{
        Failure, Output, attributes,
        remote::{Remote, answered, each, from_the_start, only_there, read},
    },
    identity::users::{DeletedUser, PasswordState, UserRef},
    model::Prefix,
    proto::identity::admin::v1::{
        self as wire, ClearThrottleRequest, CreateUserRequest, DeleteUserRequest, DisableUserRequest,
        EnableUserRequest, EndSessionsRequest, ListSessionsRequest, ListUsersRequest, ResetPasswordRequest,
        UpdateUserRequest, end_sessions_request, list_sessions_request,
    },
    wire::attributes as attributes_on_the_wire,
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    match command {
        Command::Create(create) => make(create, remote, output).await,
        Command::Import(_) => Err(only_there("users import", "run it where the database is")),
        Command::Export(_) => Err(only_there("users export", "run it where the database is")),
        Command::Existing(command) => existing(command, remote, output).await,
    }
}

async fn existing(command: Existing, remote: &Remote, output: Output) -> Result<(), Failure> {
    let mut users = remote.users();
    match command {
        Existing::List { collisions: true, .. } => {
            Err(only_there("--collisions", "run it where the database is"))
        }
        Existing::List { limit, after, collisions: false } => {
            from_the_start("--after", after)?;
            let tell = async |user: wire::User| {
                list_one(&read::user(&user)?, &read::attributes(user.attributes), output)
            };
            list(ListUsersRequest::default(), limit, (|| list_heading(output), tell), remote).await
        }
        Existing::Search(search) => find(*search, remote, output).await,
        Existing::Show(who) => show_found(&who.into(), remote, output).await,
        Existing::Update(update) => change(update, remote, output).await,
        Existing::Sessions(of) => list_sessions(of, remote, output).await,
        Existing::EndSessions(who) => {
            let id = remote.user(&who.into()).await?.id;
            let of = Some(end_sessions_request::Of::UserId(id));
            let request = EndSessionsRequest { of, ..EndSessionsRequest::default() };
            let ended = answered(remote.sessions().end_sessions(request).await)?.ended;
            output.answer(&format!("Ended {ended} session(s)."), &json!({ "ended": ended }))
        }
        Existing::ClearThrottle(who) => {
            let id = remote.user(&who.into()).await?.id;
            answered(
                users
                    .clear_throttle(ClearThrottleRequest {
                        id: id.clone(),
                        ..ClearThrottleRequest::default()
                    })
                    .await,
            )?;
            show_found(&UserRef::IdOrName(id), remote, output).await
        }
        Existing::Disable(who) => {
            let id = remote.user(&who.into()).await?.id;
            let request = DisableUserRequest { id, ..DisableUserRequest::default() };
            show_answered(answered(users.disable_user(request).await)?.user.unwrap_or_default(), output)
        }
        Existing::Enable(who) => {
            let id = remote.user(&who.into()).await?.id;
            let request = EnableUserRequest { id, ..EnableUserRequest::default() };
            show_answered(answered(users.enable_user(request).await)?.user.unwrap_or_default(), output)
        }
        Existing::ResetPassword(who) => {
            let user = remote.user(&who.into()).await?;
            let request = ResetPasswordRequest { id: user.id.clone(), ..ResetPasswordRequest::default() };
            let reset = answered(users.reset_password(request).await)?;
            let until = read::if_told(reset.expire_time);
            passwords::show_reset(&read::user(&user)?, &reset.one_time_password, until, output)
        }
        Existing::SetPassword(_) => {
            let instead =
                "nobody chooses another's password there; `users reset-password` makes a one-time password";
            Err(only_there("users set-password", instead))
        }
        Existing::Delete(who) => {
            let user = remote.user(&who.into()).await?;
            let request = DeleteUserRequest { id: user.id.clone(), ..DeleteUserRequest::default() };
            let answer = answered(users.delete_user(request).await)?;
            let name_rests_until = read::if_told(answer.username_rest_expire_time);
            show_deleted(&DeletedUser { user: read::user(&user)?, name_rests_until }, output)
        }
    }
}

async fn show_found(who: &UserRef, remote: &Remote, output: Output) -> Result<(), Failure> {
    let told = remote.user(who).await?;
    let (found, left) = read::found_user(&told)?;
    let password = match (told.password_state(), read::if_told(told.one_time_password_expire_time)) {
        (wire::user::PasswordState::Set, _) => PasswordState::Set,
        (wire::user::PasswordState::OneTime, Some(until)) => PasswordState::OneTime { until },
        _ => PasswordState::None,
    };
    let attributes = read::attributes(told.attributes);
    tell_found((&found, &attributes), left, password, output)
}

/// Makes a user, who has a one-time password then: there nobody chooses another's.
async fn make(create: Create, remote: &Remote, output: Output) -> Result<(), Failure> {
    let Create { username, email, display_name, password_file, attributes: given } = create;
    if password_file.is_some() {
        return Err(only_there(
            "--password-file",
            "the service makes a one-time password, and shows it once",
        ));
    }
    let given = attributes::edit(given.set_attributes, Vec::new()).values.into_iter();
    let given = given.filter_map(|(name, value)| Some((name, value?))).collect();
    let user = wire::User {
        username,
        email,
        display_name,
        attributes: attributes_on_the_wire(given),
        ..wire::User::default()
    };
    let request = CreateUserRequest { user: Some(user), ..CreateUserRequest::default() };
    let answer = answered(remote.users().create_user(request).await)?;
    let (made, secret) = (answer.user.unwrap_or_default(), answer.one_time_password);
    let until = read::if_told(made.one_time_password_expire_time).map(|until| until.to_string());
    let (user, having) = (read::user(&made)?, read::attributes(made.attributes));
    let told = format!(
        "{}\n\none-time password: {secret}\n\nIt is shown this once. With it {} chooses a password by SetNewPassword, until {}.",
        text_having(&user, &having),
        user.username.typed(),
        until.as_deref().unwrap_or_default(),
    );
    let mut shown = object_having(&user, &having);
    shown["one_time_password"] = json!(secret);
    shown["expire_time"] = json!(until);
    output.answer(&told, &shown)
}

async fn find(search: search::Search, remote: &Remote, output: Output) -> Result<(), Failure> {
    from_the_start("--after", search.after)?;
    let by_login = search.is_by_login();
    let group_id = match search.group {
        Some(group) => remote.group(&group).await?.id,
        None => String::new(),
    };
    let text = |prefix: Option<Prefix>| prefix.map(|prefix| prefix.as_str().to_owned());
    let filter = ListUsersRequest {
        username_prefix: text(search.username),
        email_prefix: text(search.email),
        display_name_prefix: text(search.display_name),
        group_id,
        create_time_from: search.created_from.map(read::wire_time),
        create_time_before: search.created_before.map(read::wire_time),
        last_login_time_from: search.last_login_from.map(read::wire_time),
        last_login_time_before: search.last_login_before.map(read::wire_time),
        is_active: (search.active || search.disabled).then_some(search.active),
        ..ListUsersRequest::default()
    };
    let tell = async |user: wire::User| {
        let (found, _) = read::found_user(&user)?;
        search::tell((&found, &read::attributes(user.attributes)), by_login, output)
    };
    list(filter, search.limit, (|| search::heading(by_login, output), tell), remote).await
}

async fn list(
    filter: ListUsersRequest,
    limit: Option<u64>,
    (heading, tell): (impl Fn() -> Result<(), Failure>, impl AsyncFn(wire::User) -> Result<(), Failure>),
    remote: &Remote,
) -> Result<(), Failure> {
    let read = async |page_size, page_token| {
        let request = ListUsersRequest { page_size, page_token, ..filter.clone() };
        let page = answered(remote.users().list_users(request).await)?;
        Ok((page.users, page.next_page_token))
    };
    each(limit, heading, read, tell).await
}

async fn list_sessions(of: sessions::Sessions, remote: &Remote, output: Output) -> Result<(), Failure> {
    from_the_start("--after", of.after)?;
    let id = remote.user(&of.who.into()).await?.id;
    let read = async |page_size, page_token| {
        let of = Some(list_sessions_request::Of::UserId(id.clone()));
        let request = ListSessionsRequest { page_size, page_token, of };
        let page = answered(remote.sessions().list_sessions(request).await)?;
        Ok((page.sessions, page.next_page_token))
    };
    let tell = async |session| {
        let (session, expire_time) = read::session(session)?;
        sessions::tell(&session, expire_time, output)
    };
    each(of.limit, || sessions::heading(output), read, tell).await
}

async fn change(update: Update, remote: &Remote, output: Output) -> Result<(), Failure> {
    let Update { who, username, email, no_email, display_name, no_display_name, .. } = update;
    let edit = attributes::edit(update.attributes.set_attributes, update.unset_attributes);
    let id = remote.user(&who.into()).await?.id;
    let named = [
        ("username", username.is_some()),
        ("email", no_email || email.is_some()),
        ("display_name", no_display_name || display_name.is_some()),
    ];
    let paths = named.iter().filter(|(_, is_named)| *is_named).map(|(path, _)| (*path).to_owned());
    let paths = paths.chain(edit.values.keys().map(|name| format!("attributes.{name}"))).collect();
    let set = edit.values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let user = wire::User {
        id,
        username: username.unwrap_or_default(),
        email,
        display_name,
        attributes: attributes_on_the_wire(set),
        ..wire::User::default()
    };
    let update_mask = Some(FieldMask { paths });
    let request = UpdateUserRequest { user: Some(user), update_mask, ..UpdateUserRequest::default() };
    let user = answered(remote.users().update_user(request).await)?.user.unwrap_or_default();
    show_answered(user, output)
}

fn show_answered(user: wire::User, output: Output) -> Result<(), Failure> {
    show(&read::user(&user)?, &read::attributes(user.attributes), output)
}
