//! Owns what is promised over HTTP: OAuth 2.0, discovery, and limits.

pub(crate) mod client;
mod clients;
mod discovery;
mod explorer;
mod introspect;
mod limits;
mod model_api;
mod openapi;
mod operations;
mod pages;
mod protocol;
mod revoke;
mod token;
mod userinfo;

use serde_json::Value;

use crate::harness::{PASSWORD, TestServer};

const TOKEN: &str = "/oauth2/token";
const REVOKE: &str = "/oauth2/revoke";
const USERINFO: &str = "/oauth2/userinfo";

/// The fields of a password grant.
fn password_form<'a>(username: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [("grant_type", "password"), ("username", username), ("password", password)]
}

/// The fields of a refresh.
fn refresh_form(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

/// What `username`, who signs up now, gets from the token endpoint.
async fn log_in_new(server: &TestServer, username: &str) -> Value {
    server.client().await.sign_up(username, PASSWORD).await.unwrap();
    server.http().post(TOKEN, &password_form(username, PASSWORD)).await.ok()
}

/// A member of an object that is a string.
#[track_caller]
fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}"))
}
