//! Owns what is served beside the RPCs as operations: the endpoints of OAuth 2.0, keys and discovery, and the model service's API.

use serde_json::{Map, Value, json};

use super::{CLIENT, Described, EndpointsDescribed, operations::security};
use crate::{
    http::{JWKS, oauth},
    model::{
        claims::{INTROSPECT_SCOPE, USER_SCOPE},
        well_known::OPENID_CONFIGURATION,
    },
};

const OAUTH_TAG: &str = "OAuth 2.0";
const MODEL_TAG: &str = "Model service";

/// The schema of an error of these endpoints.
const ERROR: &str = "oauth.Error";

/// The schema of an error of the model service's API.
const MODEL_ERROR: &str = "model.Error";

/// Adds to the parts of a document what is `described` of the endpoints.
pub(super) fn add(
    described: &Described,
    paths: &mut Map<String, Value>,
    tags: &mut Vec<Value>,
    schemas: &mut Map<String, Value>,
) {
    let about = "The endpoints of RFC 6749, RFC 7009, RFC 7662 and OpenID Connect's UserInfo.";
    tags.push(json!({ "name": OAUTH_TAG, "description": about }));
    schemas.insert(ERROR.to_owned(), error_schema());
    paths.insert(oauth::TOKEN.to_owned(), json!({ "post": token(described) }));
    if described.endpoints == EndpointsDescribed::Token {
        return;
    }
    paths.insert(oauth::REVOKE.to_owned(), json!({ "post": revoke() }));
    paths.insert(oauth::INTROSPECT.to_owned(), json!({ "post": introspect(described) }));
    paths.insert(oauth::USERINFO.to_owned(), json!({ "get": userinfo(described) }));
    let jwks = document(
        "getJwks",
        "The public keys that verify access tokens (RFC 7517)",
        "application/jwk-set+json",
    );
    paths.insert(JWKS.to_owned(), json!({ "get": jwks }));
    let discovery = document("getDiscovery", "What this issuer supports (RFC 8414)", "application/json");
    paths.insert(OPENID_CONFIGURATION.to_owned(), json!({ "get": discovery }));
    if described.endpoints == EndpointsDescribed::OAuthAndModelApi {
        model_api(described, paths, tags, schemas);
    }
}

fn token(described: &Described) -> Value {
    let grants = oauth::grant_types(described.password_grant);
    let properties = with_client(json!({
        "grant_type": { "type": "string", "enum": grants },
        "username": { "type": "string", "description": "With `password`." },
        "password": { "type": "string", "format": "password", "description": "With `password`." },
        "refresh_token": { "type": "string", "description": "With `refresh_token`: the newest of the session." },
        "scope": { "type": "string", "description": "Scopes, separated by spaces. Without it: all that may be had, but those that administer." },
        "resource": { "type": "string", "description": "Whom the token is meant for (RFC 8707)." },
        "audience": { "type": "string", "description": "The same, as some libraries call it: names, separated by spaces." },
        "user_address": { "type": "string", "description": "The IP address of the user for whom the client asks, if it may tell that." },
    }));
    let answer = json!({
        "type": "object",
        "required": ["access_token", "token_type", "expires_in", "scope"],
        "properties": {
            "access_token": { "type": "string" },
            "token_type": { "type": "string", "const": "Bearer" },
            "expires_in": { "type": "integer", "description": "Seconds." },
            "scope": { "type": "string", "description": "What the token carries: it may be less than what was asked for." },
            "refresh_token": { "type": "string", "description": "What to exchange next, once." },
        },
    });
    let errors = [
        ("400", "The grant, the scope or the audience is refused: `error` and `reason` say which."),
        ("401", "The client has not proven who it is."),
        ("403", "A page of another origin has sent the request."),
    ];
    json!({
        "operationId": "issueToken",
        "tags": [OAUTH_TAG],
        "summary": "Exchanges a grant for tokens (RFC 6749 section 3.2)",
        "description": "As `IssueToken` does, with a form.",
        "security": [{}, { CLIENT: [] }],
        "requestBody": form(&properties, &["grant_type"]),
        "responses": answers("The tokens.", Some(&answer), &errors, ERROR),
    })
}

fn revoke() -> Value {
    let token = json!({ "type": "string", "description": "A refresh token, or a user's access token." });
    let properties = with_client(json!({ "token": token }));
    let errors = [
        ("400", "It is not a token that this client may revoke."),
        ("401", "The client has not proven who it is."),
    ];
    json!({
        "operationId": "revokeToken",
        "tags": [OAUTH_TAG],
        "summary": "Ends the session of a token (RFC 7009)",
        "description": "A logout for whoever holds the token. A token that is not known is no error.",
        "security": [{}, { CLIENT: [] }],
        "requestBody": form(&properties, &["token"]),
        "responses": answers("The session has ended, or there was none.", None, &errors, ERROR),
    })
}

fn introspect(described: &Described) -> Value {
    let token = json!({ "type": "string", "description": "An access or a refresh token." });
    let properties = with_client(json!({ "token": token }));
    let answer = json!({
        "type": "object",
        "required": ["active"],
        "properties": { "active": { "type": "boolean", "description": "Whether the token is good at this moment." } },
        "additionalProperties": true,
    });
    let errors = [
        ("400", "There is no token."),
        ("401", "The client, or the bearer, has not proven who it is."),
        ("403", "The scope `introspect` is lacking."),
    ];
    let mut ways = vec![json!({ CLIENT: [] })];
    ways.extend(security(described, &[INTROSPECT_SCOPE]));
    json!({
        "operationId": "introspectToken",
        "tags": [OAUTH_TAG],
        "summary": "Tells what a token is worth (RFC 7662)",
        "description": "For confidential clients with the scope `introspect`. Of a token that is not good nothing is said but that.",
        "security": ways,
        "requestBody": form(&properties, &["token"]),
        "responses": answers("What the token says, if it is good.", Some(&answer), &errors, ERROR),
    })
}

fn userinfo(described: &Described) -> Value {
    let answer = json!({
        "type": "object",
        "required": ["sub"],
        "properties": {
            "sub": { "type": "string", "description": "The user's id." },
            "preferred_username": { "type": "string" },
            "name": { "type": "string" },
            "email": { "type": "string" },
            "email_verified": { "type": "boolean", "description": "Always false: nothing verifies it." },
            "updated_at": { "type": "integer", "description": "Seconds since 1970." },
            "attributes": { "type": "object" },
        },
    });
    let errors =
        [("401", "There is no token, or it is not good."), ("403", "The scope `profile` is lacking.")];
    json!({
        "operationId": "getUserInfo",
        "tags": [OAUTH_TAG],
        "summary": "Tells who the bearer is (OpenID Connect Core 1.0 section 5.3)",
        "description": "Needs a token with the scope `profile`.",
        "security": security(described, &[USER_SCOPE]),
        "responses": answers("The claims of the user.", Some(&answer), &errors, ERROR),
    })
}

/// A document that is public.
fn document(id: &str, summary: &str, content_type: &str) -> Value {
    let mut responses = answers("The document.", None, &[], ERROR);
    responses["200"]["content"] = json!({ content_type: { "schema": { "type": "object" } } });
    json!({ "operationId": id, "tags": [OAUTH_TAG], "summary": summary, "security": [], "responses": responses })
}

fn model_api(
    described: &Described,
    paths: &mut Map<String, Value>,
    tags: &mut Vec<Value>,
    schemas: &mut Map<String, Value>,
) {
    let about = "Sign-up, login and the caller's own user as a service built with FastAPI serves them.";
    tags.push(json!({ "name": MODEL_TAG, "description": about }));
    let detail = json!({ "description": "A sentence, or what is wrong with each field." });
    schemas.insert(MODEL_ERROR.to_owned(), json!({ "type": "object", "properties": { "detail": detail } }));
    let account = json!({
        "username": { "type": "string" },
        "password": { "type": "string", "format": "password" },
    });
    let text = || json!({ "type": "string" });
    let user = |properties: Value| json!({ "type": "object", "properties": properties });
    let fields = ("422", "A field is missing, or breaks a rule.");
    let schema = json!({ "type": "object", "required": ["username", "password"], "properties": account });
    paths.insert(
        "/auth/signup".to_owned(),
        json!({ "post": {
        "operationId": "modelSignUp",
        "tags": [MODEL_TAG],
        "summary": "Creates an account",
        "security": [],
        "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } },
        "responses": answers("The account.", Some(&user(json!({ "id": text(), "username": text() }))),
            &[("400", "The username is taken."), fields], MODEL_ERROR),
    } }),
    );
    paths.insert("/auth/token".to_owned(), json!({ "post": {
        "operationId": "modelLogIn",
        "tags": [MODEL_TAG],
        "summary": "Exchanges a password for an access token",
        "security": [],
        "requestBody": form(&account, &["username", "password"]),
        "responses": answers("The token.", Some(&user(json!({ "access_token": text(), "token_type": text() }))),
            &[("401", "The username or the password is wrong."), fields], MODEL_ERROR),
    } }));
    let me = user(json!({ "id": text(), "username": text(), "is_active": { "type": "boolean" } }));
    paths.insert("/users/me".to_owned(), json!({ "get": {
        "operationId": "modelMe",
        "tags": [MODEL_TAG],
        "summary": "Tells who the caller is",
        "security": security(described, &[USER_SCOPE]),
        "responses": answers("The caller's user.", Some(&me), &[("401", "There is no token, or it is not good.")], MODEL_ERROR),
    } }));
}

/// `properties`, and by which a client says who it is, in each form that `oauth::client` reads.
fn with_client(mut properties: Value) -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    properties["client_id"] = text("The registered client that asks, unless `Authorization` names it.");
    properties["client_secret"] = json!({ "type": "string", "format": "password", "description": "Its secret (`client_secret_post`)." });
    properties["client_assertion"] =
        text("A JWT that it has signed (`private_key_jwt`), in place of a secret.");
    properties["client_assertion_type"] =
        json!({ "type": "string", "enum": [oauth::JWT_BEARER], "description": "With `client_assertion`." });
    properties
}

/// A body that is a form with `properties`.
fn form(properties: &Value, required: &[&str]) -> Value {
    let schema = json!({ "type": "object", "required": required, "properties": properties });
    json!({ "required": true, "content": { "application/x-www-form-urlencoded": { "schema": schema } } })
}

/// The answer if all is well, of the schema `answer`, and those that are errors of the schema `error`: `errors`, and what every path
/// answers.
fn answers(success: &str, answer: Option<&Value>, errors: &[(&str, &str)], error: &str) -> Value {
    let mut all = Map::new();
    let mut ok = json!({ "description": success });
    if let Some(schema) = answer {
        ok["content"] = json!({ "application/json": { "schema": schema } });
    }
    all.insert("200".to_owned(), ok);
    let everywhere = [
        ("429", "There is no place, or too much has failed: `Retry-After` says when to try again."),
        ("503", "What the service needs does not answer: `Retry-After` says when to try again."),
    ];
    for (status, description) in errors.iter().chain(&everywhere) {
        let schema = json!({ "$ref": format!("#/components/schemas/{error}") });
        let answer =
            json!({ "description": description, "content": { "application/json": { "schema": schema } } });
        all.insert((*status).to_owned(), answer);
    }
    Value::Object(all)
}

fn error_schema() -> Value {
    let violation = json!({
        "type": "object",
        "properties": { "field": { "type": "string" }, "reason": { "type": "string" }, "description": { "type": "string" } },
    });
    json!({
        "type": "object",
        "description": "A refusal (RFC 6749 section 5.2). Programs go by `reason`.",
        "required": ["error", "error_description"],
        "properties": {
            "error": { "type": "string" },
            "error_description": { "type": "string" },
            "reason": { "type": "string", "description": "The stable name, the same as of the RPCs." },
            "field_violations": { "type": "array", "items": violation },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The parameters that `source`, a handler, asks its form for.
    fn asked(source: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for call in ["form.required(\"", "form.optional(\"", "form.any_number(\""] {
            let rests = source.split(call).skip(1);
            names.extend(rests.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
        names
    }

    #[test]
    fn a_form_has_the_parameters_that_its_endpoint_reads() {
        let client = asked(include_str!("../oauth/client.rs"));
        assert!(client.len() >= 4, "{client:?}");
        let described = Described {
            pool: prost_reflect::DescriptorPool::new(),
            services: Vec::new(),
            policy: crate::auth::Policy::default(),
            admin_scopes: Vec::new(),
            password_grant: true,
            password_min_chars: 8,
            endpoints: EndpointsDescribed::OAuth,
            rpcs_elsewhere: ("http", 1),
        };
        for (source, operation) in [
            (include_str!("../oauth/token.rs"), token(&described)),
            (include_str!("../oauth/revoke.rs"), revoke()),
            (include_str!("../oauth/introspect.rs"), introspect(&described)),
        ] {
            let form = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
            let told: BTreeSet<_> = form["properties"].as_object().unwrap().keys().cloned().collect();
            let read: BTreeSet<_> = asked(source).union(&client).cloned().collect();
            assert_eq!(told, read, "{}", operation["operationId"]);
        }
    }
}
