//! Owns `identity.admin.v1.UserService` on the wire.

use tonic::{Request, Response, Status};

use super::{Cursor, Page, UpdateMask, administrator, etag, id, moment, not_updatable, request_key};
use crate::{
    identity::{
        OneTimePassword, UserDirectory, UserRegistry, UsernameRests,
        guessing::{AccountAllowances, AllowanceLeft},
        users::{
            FoundUser, NewUserFields, NewUserOf, PasswordState, Reset, Span, UserFilter, UserPage,
            UserPasswords, UserPlace, UserRef,
        },
    },
    model::{Error, FieldReason, GroupId, NamedAttributes, Prefix, UserId},
    proto::identity::admin::v1::{
        BatchDeleteUsersRequest, BatchDeleteUsersResponse, BatchDisableUsersRequest,
        BatchDisableUsersResponse, BatchGetUsersRequest, BatchGetUsersResponse, ClearThrottleRequest,
        ClearThrottleResponse, CreateUserRequest, CreateUserResponse, DeleteUserRequest, DeleteUserResponse,
        DisableUserRequest, DisableUserResponse, EnableUserRequest, EnableUserResponse, GetUserRequest,
        GetUserResponse, ListUsersRequest, ListUsersResponse, ResetPasswordRequest, ResetPasswordResponse,
        UpdateUserRequest, UpdateUserResponse, User,
        get_user_request::Which,
        user::{PasswordState as WireState, Throttle},
        user_service_server::UserService,
    },
    rpc::{attributes, encode::time, refused, required},
    wire,
};

/// How many users one batch reads, and changes, at most.
const MAX_READ: usize = 500;
const MAX_CHANGED: usize = 100;

const NOT_UPDATABLE: &str =
    "may name `username`, `email`, `display_name`, `attributes`, one of these or `*`, and nothing else";

/// Serves `UserService`.
#[derive(Debug)]
pub(crate) struct UserRpc {
    directory: UserDirectory,
    registry: UserRegistry,
    passwords: UserPasswords,
    allowances: AccountAllowances,
    rests: UsernameRests,
}

impl UserRpc {
    pub(crate) const fn new(
        directory: UserDirectory,
        registry: UserRegistry,
        passwords: UserPasswords,
        allowances: AccountAllowances,
        rests: UsernameRests,
    ) -> Self {
        Self { directory, registry, passwords, allowances, rests }
    }

    /// `found`, with what is left of their allowances.
    async fn show(&self, found: &[FoundUser]) -> Result<Vec<User>, Error> {
        let users: Vec<_> = found.iter().map(|found| &found.user).collect();
        let left = self.allowances.left(&users).await?;
        let ids: Vec<_> = users.iter().map(|user| user.id).collect();
        let states = self.passwords.states(&ids).await?;
        let attributes = self.directory.attributes_of(&users).await?;
        let shown = found.iter().zip(left).zip(states).zip(attributes);
        Ok(shown
            .map(|(((found, left), state), attributes)| encode_user(found, left, state, attributes))
            .collect())
    }

    async fn show_one(&self, found: FoundUser) -> Result<Option<User>, Error> {
        Ok(self.show(&[found]).await?.pop())
    }

    async fn set_active(
        &self,
        (who, is_active): (&str, bool),
        shown_etag: &str,
        by: &crate::identity::Administrator,
    ) -> Result<Option<User>, Error> {
        let who = UserRef::Id(user_id("id", who)?);
        let found = self.registry.set_active(&who, is_active, etag(shown_etag), by).await?;
        let mut user = self.show_one(found).await?;
        if by.only_validates()
            && let Some(user) = &mut user
        {
            (user.update_time, user.etag) = Default::default();
        }
        Ok(user)
    }
}

#[tonic::async_trait]
impl UserService for UserRpc {
    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateUser", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let user = message.user.ok_or_else(|| required("user"))?;
        let User { username, email, display_name, attributes, .. } = user;
        let (email, display_name) = (email.as_deref(), display_name.as_deref());
        let attributes = attributes::named(&attributes)?;
        let new = NewUserOf { username: &username, email, display_name, attributes };
        let Reset { user, one_time_password, .. } = self.passwords.create(new, &by).await?;
        let one_time_password = text_of(one_time_password.as_ref());
        let mut user = self.show_one(FoundUser { user, login_time: None }).await?;
        if message.validate_only
            && let Some(user) = &mut user
        {
            // As it would be: there is nobody to look at.
            user.set_password_state(WireState::OneTime);
            (user.id, user.create_time, user.update_time, user.etag) = Default::default();
        }
        Ok(Response::new(CreateUserResponse { user, one_time_password }))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "ResetPassword", &message.request_id, &message)?;
        let who = UserRef::Id(user_id("id", &message.id)?);
        let by = by.repeatable(key).validating(message.validate_only);
        let reset = self.passwords.reset(&who, etag(&message.etag), &by).await?;
        Ok(Response::new(ResetPasswordResponse {
            one_time_password: text_of(reset.one_time_password.as_ref()),
            expire_time: reset.expire_time.map(time),
        }))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<GetUserResponse>, Status> {
        let who = match request.into_inner().which {
            Some(Which::Id(text)) => user_id("id", &text)?,
            Some(Which::Username(name)) if !name.is_empty() => {
                self.directory.find(&UserRef::Name(name)).await?.id
            }
            Some(Which::Username(_)) => return Err(required("username").into()),
            None => return Err(required("which").into()),
        };
        let found = self.directory.those_of(&[who]).await?.pop();
        let found = found.ok_or_else(|| Error::UserNotFound(who.to_string()))?;
        Ok(Response::new(GetUserResponse { user: self.show_one(found).await? }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let mut asked = request.into_inner();
        let filter = filter(&asked)?;
        let mut page = Page::<UserPlace>::take(&mut asked)?;
        let after = page.take_after(|place| filter.order().has(place))?;
        let UserPage { users, next } = self.directory.search(&filter, after, page.size).await?;
        let next_page_token = next.map(|place| page.token(&place)).unwrap_or_default();
        Ok(Response::new(ListUsersResponse { users: self.show(&users).await?, next_page_token }))
    }

    async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<Response<UpdateUserResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "UpdateUser", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let UpdateUserRequest { user, update_mask, .. } = message;
        let user = user.ok_or_else(|| required("user"))?;
        let who = UserRef::Id(user_id("user.id", &user.id)?);
        let fields = fields(&user, UpdateMask::read(update_mask.as_ref())?.paths())?;
        let found = self.registry.update(&who, fields, etag(&user.etag), &self.rests, &by).await?;
        let mut user = self.show_one(found).await?;
        if by.only_validates()
            && let Some(user) = &mut user
        {
            (user.update_time, user.etag) = Default::default();
        }
        Ok(Response::new(UpdateUserResponse { user }))
    }

    async fn disable_user(
        &self,
        request: Request<DisableUserRequest>,
    ) -> Result<Response<DisableUserResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DisableUser", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let user = self.set_active((&message.id, false), &message.etag, &by).await?;
        Ok(Response::new(DisableUserResponse { user }))
    }

    async fn enable_user(
        &self,
        request: Request<EnableUserRequest>,
    ) -> Result<Response<EnableUserResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "EnableUser", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let user = self.set_active((&message.id, true), &message.etag, &by).await?;
        Ok(Response::new(EnableUserResponse { user }))
    }

    async fn delete_user(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteUser", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let who = UserRef::Id(user_id("id", &message.id)?);
        let rests = async { Ok::<_, Error>(self.rests.clone()) };
        let deleted = self.registry.delete(&who, etag(&message.etag), rests, &by).await?;
        let username_rest_expire_time = deleted.and_then(|deleted| deleted.name_rests_until).map(time);
        Ok(Response::new(DeleteUserResponse { username_rest_expire_time }))
    }

    async fn batch_get_users(
        &self,
        request: Request<BatchGetUsersRequest>,
    ) -> Result<Response<BatchGetUsersResponse>, Status> {
        let ids = user_ids(&request.get_ref().ids, MAX_READ)?;
        let found = self.directory.those_of(&ids).await?;
        Ok(Response::new(BatchGetUsersResponse { users: self.show(&found).await? }))
    }

    async fn batch_disable_users(
        &self,
        request: Request<BatchDisableUsersRequest>,
    ) -> Result<Response<BatchDisableUsersResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "BatchDisableUsers", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.disable_all(&user_ids(&message.ids, MAX_CHANGED)?, &by).await?;
        Ok(Response::new(BatchDisableUsersResponse {}))
    }

    async fn batch_delete_users(
        &self,
        request: Request<BatchDeleteUsersRequest>,
    ) -> Result<Response<BatchDeleteUsersResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "BatchDeleteUsers", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.delete_all(&user_ids(&message.ids, MAX_CHANGED)?, &self.rests, &by).await?;
        Ok(Response::new(BatchDeleteUsersResponse {}))
    }

    async fn clear_throttle(
        &self,
        request: Request<ClearThrottleRequest>,
    ) -> Result<Response<ClearThrottleResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "ClearThrottle", &message.request_id, &message)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let who = UserRef::Id(user_id("id", &message.id)?);
        self.registry.clear_throttle(&who, &self.allowances, &by).await?;
        Ok(Response::new(ClearThrottleResponse {}))
    }
}

impl Cursor for UserPlace {
    fn encode(&self) -> Vec<u8> {
        self.to_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_bytes(bytes)
    }
}

/// What is shown once; nothing to a repetition.
fn text_of(one_time: Option<&OneTimePassword>) -> String {
    one_time.map(|shown| shown.text().to_string()).unwrap_or_default()
}

fn user_id(field: &'static str, text: &str) -> Result<UserId, Error> {
    id(field, text).map(UserId)
}

/// The ids of a batch, of which there are one at least and `most` at most.
fn user_ids(texts: &[String], most: usize) -> Result<Vec<UserId>, Error> {
    if texts.is_empty() {
        return Err(required("ids"));
    }
    if texts.len() > most {
        return Err(refused("ids", FieldReason::TooLong, &format!("must be at most {most}")));
    }
    texts.iter().map(|text| user_id("ids", text)).collect()
}

/// What is to become of `user`, by the paths of the mask; without any, of those fields that are set.
fn fields<'a>(user: &'a User, paths: &[String]) -> Result<NewUserFields<'a>, Error> {
    let User { username, email, display_name, attributes: sent, .. } = user;
    let (email, display_name) = (email.as_deref(), display_name.as_deref());
    if paths.is_empty() {
        let username = Some(username.as_str()).filter(|name| !name.is_empty());
        let (email, display_name) = (email.map(Some), display_name.map(Some));
        return Ok(NewUserFields { username, email, display_name, attributes: attributes::if_set(sent)? });
    }
    let mut fields = NewUserFields::default();
    for path in paths {
        match path.as_str() {
            "username" => fields.username = Some(username),
            "email" => fields.email = Some(email),
            "display_name" => fields.display_name = Some(display_name),
            "*" => {
                fields = NewUserFields {
                    username: Some(username),
                    email: Some(email),
                    display_name: Some(display_name),
                    attributes: attributes::all(sent)?,
                };
            }
            path if attributes::follow(path, sent, &mut fields.attributes)? => {}
            _ => return Err(not_updatable(NOT_UPDATABLE)),
        }
    }
    Ok(fields)
}

/// Which users are wanted, or every rule that the request breaks.
fn filter(asked: &ListUsersRequest) -> Result<UserFilter, Error> {
    let mut violations = Vec::new();
    let mut prefix = |text: &Option<String>, field: &'static str| match text.as_deref().map(Prefix::parse) {
        Some(Ok(prefix)) => Some(prefix),
        Some(Err(violation)) => {
            violations.push(violation.at(field));
            None
        }
        None => None,
    };
    let username = prefix(&asked.username_prefix, "username_prefix");
    let email = prefix(&asked.email_prefix, "email_prefix");
    let display_name = prefix(&asked.display_name_prefix, "display_name_prefix");
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }
    let group =
        if asked.group_id.is_empty() { None } else { Some(GroupId(id("group_id", &asked.group_id)?)) };
    let span = |(from, first): (_, &Option<_>), (before, end): (_, &Option<_>)| {
        Ok::<_, Error>(Span { from: moment(from, first.as_ref())?, before: moment(before, end.as_ref())? })
    };
    Ok(UserFilter {
        username,
        email,
        display_name,
        group,
        created: span(
            ("create_time_from", &asked.create_time_from),
            ("create_time_before", &asked.create_time_before),
        )?,
        last_login: span(
            ("last_login_time_from", &asked.last_login_time_from),
            ("last_login_time_before", &asked.last_login_time_before),
        )?,
        is_active: asked.is_active,
    })
}

fn encode_user(
    FoundUser { user, login_time }: &FoundUser,
    left: AllowanceLeft,
    state: PasswordState,
    attributes: NamedAttributes,
) -> User {
    let (state, until) = match state {
        PasswordState::Set => (WireState::Set, None),
        PasswordState::OneTime { until } => (WireState::OneTime, Some(time(until))),
        PasswordState::None => (WireState::None, None),
    };
    User {
        password_state: state.into(),
        one_time_password_expire_time: until,
        id: user.id.to_string(),
        username: user.username.typed().to_owned(),
        email: user.email.as_ref().map(|email| email.as_str().to_owned()),
        display_name: user.display_name.as_ref().map(|name| name.as_str().to_owned()),
        is_active: user.is_active,
        create_time: Some(time(user.create_time)),
        update_time: Some(time(user.update_time)),
        last_login_time: login_time.map(time),
        throttle: Some(Throttle {
            failures_left: i32::try_from(left.failures).unwrap_or(i32::MAX),
            full_time: left.full_time.map(time),
        }),
        etag: user.etag().as_str().to_owned(),
        attributes: wire::attributes(attributes),
    }
}
