//! Owns attributes: what is declared, what administrators and users write, and where it is said.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use serde_json::{Value, json};
use signet::{
    model::{BuiltInRole, UserId},
    proto::{
        identity::admin::v1::{
            self as admin, Attribute, CreateAttributeRequest, CreateUserRequest, DeleteAttributeRequest,
            GetAttributeRequest, GetUserRequest, ListAttributesRequest, UpdateAttributeRequest,
            UpdateUserRequest,
            attribute::{Type, Writer},
            attribute_service_client::AttributeServiceClient,
            get_attribute_request, get_user_request,
            user_service_client::UserServiceClient,
        },
        identity::v1::{
            AttributeValue, IntrospectTokenRequest, UpdateMeRequest, User,
            attribute_value::{StringList, Value as WireValue},
            token_service_client::TokenServiceClient,
        },
    },
};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::AdminApi;
use crate::{
    clients::{Wanted, claims, operator, refresh, register, request},
    harness::{assert_refused, with_token},
};

/// An administrator, by the token that it shows.
struct Caller {
    attributes: AttributeServiceClient<Channel>,
    users: UserServiceClient<Channel>,
    token: String,
}

impl Caller {
    async fn of(api: &AdminApi, role: BuiltInRole, username: &str) -> Self {
        let ((_, token), channel) = (api.administrator(role, username).await, api.channel().await);
        let users = UserServiceClient::new(channel.clone());
        Self { attributes: AttributeServiceClient::new(channel), users, token }
    }

    fn ask<T>(&self, message: T) -> Request<T> {
        with_token(message, &self.token)
    }

    async fn declare(&self, attribute: Attribute) -> Result<Attribute, Status> {
        let request = CreateAttributeRequest { attribute: Some(attribute), ..Default::default() };
        let answer = self.attributes.clone().create_attribute(self.ask(request)).await?;
        Ok(answer.into_inner().attribute.unwrap())
    }

    /// Changes what the mask names.
    async fn change(&self, attribute: Attribute, paths: &[&str]) -> Result<Attribute, Status> {
        let (attribute, update_mask) = (Some(attribute), Some(mask(paths)));
        let request = UpdateAttributeRequest { attribute, update_mask, ..Default::default() };
        let answer = self.attributes.clone().update_attribute(self.ask(request)).await?;
        Ok(answer.into_inner().attribute.unwrap())
    }

    async fn delete(&self, id: &str, etag: &str) -> Result<(), Status> {
        let (id, etag) = (id.to_owned(), etag.to_owned());
        let request = DeleteAttributeRequest { id, etag, ..Default::default() };
        self.attributes.clone().delete_attribute(self.ask(request)).await.map(drop)
    }

    /// Gives `user` the attributes, by the paths of the mask.
    async fn give(&self, user: UserId, given: Values, paths: &[&str]) -> Result<Values, Status> {
        let user = admin::User { id: user.to_string(), attributes: given, ..Default::default() };
        let update_mask = (!paths.is_empty()).then(|| mask(paths));
        let request = UpdateUserRequest { user: Some(user), update_mask, ..Default::default() };
        let answer = self.users.clone().update_user(self.ask(request)).await?;
        Ok(answer.into_inner().user.unwrap().attributes)
    }

    async fn of_user(&self, user: UserId) -> Values {
        let which = Some(get_user_request::Which::Id(user.to_string()));
        let answer = self.users.clone().get_user(self.ask(GetUserRequest { which })).await.unwrap();
        answer.into_inner().user.unwrap().attributes
    }
}

type Values = BTreeMap<String, AttributeValue>;

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}

fn attribute(name: &str, kind: Type, writer: Writer) -> Attribute {
    let (r#type, writer) = (kind.into(), writer.into());
    Attribute { name: name.to_owned(), r#type, writer, ..Default::default() }
}

fn values<const N: usize>(values: [(&str, WireValue); N]) -> Values {
    let wire = |value| AttributeValue { value: Some(value) };
    values.into_iter().map(|(name, value)| (name.to_owned(), wire(value))).collect()
}

fn text(text: &str) -> WireValue {
    WireValue::StringValue(text.to_owned())
}

/// The rules that the attributes of `refused` break, by their reasons.
fn broken(refused: &Status) -> Vec<(String, String)> {
    let rules = refused.get_details_bad_request().unwrap().field_violations;
    rules.into_iter().map(|rule| (rule.field, rule.reason)).collect()
}

#[tokio::test]
async fn an_attribute_is_declared_found_changed_and_deleted() {
    let api = AdminApi::start().await;
    let root = Caller::of(&api, BuiltInRole::Admin, "rita").await;
    let new = Attribute {
        description: "Whom to ask.".to_owned(),
        ..attribute("team", Type::String, Writer::Admin)
    };
    let only_checked =
        CreateAttributeRequest { attribute: Some(new.clone()), validate_only: true, ..Default::default() };
    let checked = root.attributes.clone().create_attribute(root.ask(only_checked)).await.unwrap();
    assert_eq!(checked.into_inner().attribute.unwrap().id, "");
    let repeated = CreateAttributeRequest {
        attribute: Some(new.clone()),
        request_id: Uuid::from_u128(1).to_string(),
        ..Default::default()
    };
    let create = async || root.attributes.clone().create_attribute(root.ask(repeated.clone())).await;
    let team = create().await.unwrap().into_inner().attribute.unwrap();
    assert_eq!(create().await.unwrap().into_inner().attribute.unwrap(), team);
    assert_refused(root.declare(new).await, Code::AlreadyExists, "ATTRIBUTE_EXISTS");
    for (bad, field) in [
        (attribute("Team", Type::String, Writer::Admin), "attribute.name"),
        (attribute("a", Type::Unspecified, Writer::Admin), "attribute.type"),
        (attribute("a", Type::String, Writer::Unspecified), "attribute.writer"),
    ] {
        let refused = assert_refused(root.declare(bad).await, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(broken(&refused)[0].0, field);
    }
    for which in [
        get_attribute_request::Which::Id(team.id.clone()),
        get_attribute_request::Which::Name("team".to_owned()),
    ] {
        let request = root.ask(GetAttributeRequest { which: Some(which) });
        let found = root.attributes.clone().get_attribute(request).await.unwrap().into_inner();
        assert_eq!(found.attribute.unwrap(), team);
    }
    api.server.clock.advance(std::time::Duration::from_millis(1));
    let level = root.declare(attribute("level", Type::Integer, Writer::Admin)).await.unwrap();
    let page = ListAttributesRequest { page_size: 1, ..Default::default() };
    let first = root.attributes.clone().list_attributes(root.ask(page.clone())).await.unwrap().into_inner();
    assert_eq!(first.attributes, std::slice::from_ref(&team));
    let page = ListAttributesRequest { page_token: first.next_page_token, ..page };
    let second = root.attributes.clone().list_attributes(root.ask(page)).await.unwrap().into_inner();
    assert_eq!((second.attributes, second.next_page_token.as_str()), (vec![level], ""));

    let changed = Attribute { in_tokens: true, in_userinfo: true, ..team.clone() };
    let changed = root.change(changed, &["in_tokens"]).await.unwrap();
    assert_eq!((changed.in_tokens, changed.in_userinfo), (true, false));
    assert_refused(root.change(team.clone(), &["*"]).await, Code::Aborted, "ETAG_MISMATCH");
    let bare = Attribute { etag: String::new(), ..team.clone() };
    for paths in [&["type"][..], &["writer"], &["name"], &[]] {
        assert_refused(root.change(bare.clone(), paths).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
    assert_refused(root.delete(&team.id, &team.etag).await, Code::Aborted, "ETAG_MISMATCH");
    root.delete(&team.id, &changed.etag).await.unwrap();
    assert_refused(root.delete(&team.id, "").await, Code::NotFound, "ATTRIBUTE_NOT_FOUND");
    assert_eq!(
        api.audited("attribute.created", 2).await[0]["changed"],
        json!(["name", "type", "writer", "description"])
    );
    assert_eq!(api.audited("attribute.updated", 1).await[0]["changed"], json!(["name", "uses"]));
    api.audited("attribute.deleted", 1).await;
}

#[tokio::test]
async fn what_users_may_write_is_declared_for_no_token() {
    let api = AdminApi::start().await;
    let root = Caller::of(&api, BuiltInRole::Admin, "rita").await;
    let bad = Attribute { in_tokens: true, ..attribute("motto", Type::String, Writer::User) };
    let refused = assert_refused(root.declare(bad).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(broken(&refused), [("attribute.in_tokens".to_owned(), "MALFORMED".to_owned())]);
    let motto = root.declare(attribute("motto", Type::String, Writer::User)).await.unwrap();
    for paths in [&["in_tokens"][..], &["*"]] {
        let bad = Attribute { in_tokens: true, ..motto.clone() };
        assert_refused(root.change(bad, paths).await, Code::InvalidArgument, "INVALID_FIELDS");
    }
}

#[tokio::test]
async fn a_user_has_what_is_declared_of_its_type_and_within_its_bounds() {
    let api = AdminApi::start().await;
    let (root, bob) = (Caller::of(&api, BuiltInRole::Admin, "rita").await, api.user("bob").await);
    for (name, kind) in
        [("team", Type::String), ("level", Type::Integer), ("vip", Type::Boolean), ("a.b", Type::StringList)]
    {
        root.declare(attribute(name, kind, Writer::Admin)).await.unwrap();
    }
    let all = values([
        ("team", text("blue")),
        ("level", WireValue::IntegerValue(7)),
        ("vip", WireValue::BooleanValue(false)),
        ("a.b", WireValue::StringListValue(StringList { values: vec!["x".to_owned()] })),
    ]);
    assert_eq!(root.give(bob, all.clone(), &[]).await.unwrap(), all);
    assert_eq!(root.of_user(bob).await, all);
    // One by one: the others stay.
    let mut changed = all.clone();
    changed.remove("a.b");
    changed.insert("team".to_owned(), AttributeValue { value: Some(text("red")) });
    let given = values([("team", text("red")), ("level", WireValue::IntegerValue(8))]);
    assert_eq!(root.give(bob, given, &["attributes.team", "attributes.a.b"]).await.unwrap(), changed);
    let mut renamed = root.of_user(bob).await;
    assert_eq!(root.give(bob, renamed.clone(), &["display_name"]).await.unwrap(), changed, "it is not named");
    renamed.remove("vip");
    assert_eq!(root.give(bob, renamed.clone(), &["attributes"]).await.unwrap(), renamed);

    let long = "x".repeat(4_096);
    for (given, reason) in [
        (values([("size", text("s"))]), "NOT_UPDATABLE"),
        (values([("level", text("7"))]), "MALFORMED"),
        (values([("level", WireValue::IntegerValue(1 << 53))]), "MALFORMED"),
        (values([("team", text("a\nb"))]), "FORBIDDEN_CHARACTER"),
        (values([("team", text(&long))]), "TOO_LONG"),
        ([("team".to_owned(), AttributeValue { value: None })].into(), "REQUIRED"),
    ] {
        let refused = root.give(bob, given, &[]).await;
        let refused = assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(broken(&refused), [("user.attributes".to_owned(), reason.to_owned())]);
    }
    assert_eq!(root.of_user(bob).await, renamed, "all or nothing");
    // What they are is personal: the log names them, and no more.
    let lines = api.audited("user.updated", 3).await;
    assert!(lines.iter().all(|line| line["changed"] == json!(["attributes"])), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.to_string().contains("blue")), "{lines:#?}");

    let carol = admin::User { username: "carol".to_owned(), attributes: all.clone(), ..Default::default() };
    let create = CreateUserRequest {
        user: Some(carol),
        request_id: Uuid::from_u128(9).to_string(),
        ..Default::default()
    };
    let made =
        async || root.users.clone().create_user(root.ask(create.clone())).await.map(Response::into_inner);
    let carol = made().await.unwrap().user.unwrap();
    assert_eq!(carol.attributes, all);
    assert_eq!(made().await.unwrap().user.unwrap(), carol, "the same request, however often");
}

#[tokio::test]
async fn thirty_two_attributes_are_the_most() {
    let api = AdminApi::start().await;
    let (root, bob) = (Caller::of(&api, BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let mut given = Values::new();
    for number in 0..33 {
        let name = format!("a{number}");
        root.declare(attribute(&name, Type::Boolean, Writer::Admin)).await.unwrap();
        given.insert(name, AttributeValue { value: Some(WireValue::BooleanValue(true)) });
    }
    let refused =
        assert_refused(root.give(bob, given.clone(), &[]).await, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(broken(&refused)[0].1, "TOO_LONG");
    given.remove("a0");
    root.give(bob, given, &[]).await.unwrap();
    let one_more = values([("a0", WireValue::BooleanValue(true))]);
    assert_refused(
        root.give(bob, one_more, &["attributes.a0"]).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
}

#[tokio::test]
async fn a_deleted_attribute_is_never_said_again_whatever_is_declared_by_its_name() {
    let api = AdminApi::start().await;
    let (root, bob) = (Caller::of(&api, BuiltInRole::Admin, "rita").await, api.user("bob").await);
    let in_tokens =
        |kind| Attribute { in_tokens: true, in_userinfo: true, ..attribute("team", kind, Writer::Admin) };
    let team = root.declare(in_tokens(Type::String)).await.unwrap();
    root.give(bob, values([("team", text("blue"))]), &[]).await.unwrap();
    for kind in [Type::String, Type::Integer] {
        let which = Some(get_attribute_request::Which::Name("team".to_owned()));
        let asked = root.ask(GetAttributeRequest { which });
        let declared = root.attributes.clone().get_attribute(asked).await.unwrap();
        let declared = declared.into_inner().attribute.unwrap();
        root.delete(&declared.id, "").await.unwrap();
        assert!(root.of_user(bob).await.is_empty());
        assert_ne!(root.declare(in_tokens(kind)).await.unwrap().id, team.id);
        assert!(root.of_user(bob).await.is_empty(), "{kind:?}");
        let token = api.log_in("bob", "profile").await.access_token;
        assert_eq!(claims(&token)["attributes"], Value::Null);
        assert!(api.client.clone().get_me(&token).await.unwrap().attributes.is_empty());
    }
}

#[tokio::test]
async fn who_may_not_change_a_user_does_not_change_its_attributes() {
    let api = AdminApi::start().await;
    let root = Caller::of(&api, BuiltInRole::Admin, "rita").await;
    let manager = Caller::of(&api, BuiltInRole::UserManager, "mona").await;
    let auditor = Caller::of(&api, BuiltInRole::Auditor, "otto").await;
    let (boss, bob) = (api.user("boss").await, api.user("bob").await);
    api.give(BuiltInRole::Auditor, boss).await;
    root.declare(attribute("team", Type::String, Writer::Admin)).await.unwrap();
    let blue = || values([("team", text("blue"))]);
    for paths in [&[][..], &["attributes"], &["attributes.team"], &["*"]] {
        let refused = manager.give(boss, blue(), paths).await;
        // `*` clears the username, which is looked at first.
        if paths != ["*"] {
            assert_refused(refused, Code::PermissionDenied, "HOLDS_MORE");
        }
        assert!(root.of_user(boss).await.is_empty());
    }
    assert_refused(auditor.give(bob, blue(), &[]).await, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
    manager.give(bob, blue(), &["attributes.team"]).await.unwrap();
    // What may be had is not the manager's to declare.
    let declared = manager.declare(attribute("size", Type::String, Writer::Admin)).await;
    assert_refused(declared, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn an_attribute_is_said_where_it_is_declared_as_it_is_at_that_moment() {
    let api = AdminApi::start().await;
    let (root, bob) = (Caller::of(&api, BuiltInRole::Admin, "rita").await, api.user("bob").await);
    for (name, tokens, userinfo, introspection) in [
        ("token", true, false, false),
        ("info", false, true, false),
        ("worth", false, false, true),
        ("none", false, false, false),
    ] {
        let declared = Attribute {
            in_tokens: tokens,
            in_userinfo: userinfo,
            in_introspection: introspection,
            ..attribute(name, Type::String, Writer::Admin)
        };
        root.declare(declared).await.unwrap();
    }
    let of = |said: &str| values(["token", "info", "worth", "none"].map(|name| (name, text(said))));
    root.give(bob, of("one"), &[]).await.unwrap();
    let registry = operator(&api.server).await;
    let inspector = register(&registry, "inspector", Wanted::confidential("introspect")).await.unwrap();
    let login = api.log_in("bob", "profile account").await;
    let inspecting =
        api.client.clone().0.issue_token(inspector.own_token()).await.unwrap().into_inner().access_token;
    let mut tokens = TokenServiceClient::new(api.server.channel().await);
    for said in ["one", "two"] {
        root.give(bob, of(said), &["attributes"]).await.unwrap();
        let token = api.log_in("bob", "profile").await.access_token;
        assert_eq!(claims(&token)["attributes"], json!({ "token": said }));
        assert_eq!(claims(&token)["attributes_omitted"], Value::Null);
        let told = api.server.http().get_with_token("/oauth2/userinfo", &token).await.ok();
        assert_eq!(told["attributes"], json!({ "info": said }));
        let me = api.client.clone().get_me(&token).await.unwrap();
        assert_eq!(me.attributes, values([("info", text(said))]));
        let asked = with_token(IntrospectTokenRequest { token }, &inspecting);
        let told = tokens.introspect_token(asked).await.unwrap().into_inner();
        assert_eq!(told.attributes, values([("worth", text(said))]));
    }
    // A session that goes on says what holds when it is refreshed.
    let refreshed = request(refresh(&login.refresh_token.unwrap()), None);
    let token = api.client.clone().0.issue_token(refreshed).await.unwrap().into_inner().access_token;
    assert_eq!(claims(&token)["attributes"], json!({ "token": "two" }));
    assert_eq!(claims(&inspecting)["attributes"], Value::Null, "a client has none");
}

#[tokio::test]
async fn no_token_is_too_long_for_its_attributes() {
    let api = AdminApi::start().await;
    let (root, bob) = (Caller::of(&api, BuiltInRole::Admin, "rita").await, api.user("bob").await);
    root.declare(Attribute { in_tokens: true, ..attribute("team", Type::String, Writer::Admin) })
        .await
        .unwrap();
    for (length, is_said) in [(1_000, true), (3_900, false)] {
        root.give(bob, values([("team", text(&"x".repeat(length)))]), &[]).await.unwrap();
        let login = api.log_in("bob", "profile").await;
        let said = claims(&login.access_token);
        assert_eq!((said["attributes"].is_object(), said["attributes_omitted"] == true), (is_said, !is_said));
        assert!(login.access_token.len() <= 4_096);
        // The service itself takes what it gives.
        api.client.clone().get_me(&login.access_token).await.unwrap();
    }
}

#[tokio::test]
async fn a_user_writes_what_is_declared_for_users_and_nothing_else() {
    let api = AdminApi::start().await;
    let (root, bob) = (Caller::of(&api, BuiltInRole::Admin, "rita").await, api.user("bob").await);
    root.declare(attribute("motto", Type::String, Writer::User)).await.unwrap();
    root.declare(Attribute { in_userinfo: true, ..attribute("team", Type::String, Writer::Admin) })
        .await
        .unwrap();
    root.declare(attribute("secret", Type::String, Writer::Admin)).await.unwrap();
    root.give(bob, values([("team", text("blue")), ("secret", text("watched"))]), &[]).await.unwrap();
    let token = api.log_in("bob", "profile account").await.access_token;
    let update = async |given: Values, paths: &[&str]| -> Result<Values, Status> {
        let user = Some(User { attributes: given, ..Default::default() });
        let update_mask = (!paths.is_empty()).then(|| mask(paths));
        let asked = with_token(UpdateMeRequest { user, update_mask }, &token);
        Ok(api.client.clone().0.update_me(asked).await?.into_inner().user.unwrap().attributes)
    };
    let shown = values([("motto", text("go")), ("team", text("blue"))]);
    assert_eq!(update(values([("motto", text("go"))]), &["attributes.motto"]).await.unwrap(), shown);
    // What GetMe has shown can be sent back.
    let me = api.client.clone().get_me(&token).await.unwrap();
    assert_eq!(me.attributes, shown);
    for paths in [&[][..], &["attributes"]] {
        assert_eq!(update(shown.clone(), paths).await.unwrap(), shown);
    }
    // Half of the room is what users write: nobody keeps administrators from writing. And what is too much is refused at once.
    let many = (0..40).map(|number| (format!("a{number}"), shown["motto"].clone())).collect();
    for (given, path) in
        [(values([("motto", text(&"x".repeat(2_048)))]), "attributes.motto"), (many, "attributes")]
    {
        let refused = assert_refused(update(given, &[path]).await, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(broken(&refused), [("user.attributes".to_owned(), "TOO_LONG".to_owned())], "{path}");
    }
    for (given, paths) in [
        (values([("team", text("red"))]), &[][..]),
        (values([("team", text("red"))]), &["attributes"]),
        (Values::new(), &["attributes.team"]),
        (values([("secret", text("watched"))]), &["attributes.secret"]),
        (values([("nothing", text("x"))]), &["attributes.nothing"]),
    ] {
        let refused = assert_refused(update(given, paths).await, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(
            broken(&refused),
            [("user.attributes".to_owned(), "NOT_UPDATABLE".to_owned())],
            "{paths:?}"
        );
    }
    assert_eq!(update(Values::new(), &["attributes"]).await.unwrap(), values([("team", text("blue"))]));
    let kept = values([("team", text("blue")), ("secret", text("watched"))]);
    assert_eq!(root.of_user(bob).await, kept, "and nobody else's is taken away");
    let readable = api.log_in("bob", "profile").await.access_token;
    let asked = with_token(UpdateMeRequest { user: Some(User::default()), update_mask: None }, &readable);
    let refused = api.client.clone().0.update_me(asked).await;
    assert_refused(refused, Code::PermissionDenied, "INSUFFICIENT_SCOPE");
}
