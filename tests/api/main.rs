//! The API as its users meet it: every test starts a real server on a port of its own and speaks to it over a real
//! connection.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod access;
mod admin;
mod audit;
mod authentication;
mod bounds;
mod clients;
mod connect;
mod databases;
mod events;
mod ext_authz;
mod feed_marks;
mod forwarded_token;
mod get_me;
mod guessing;
mod harness;
mod hash_queue;
mod http;
mod issue_token;
mod jobs;
mod jwks;
mod key_replicas;
mod key_revocation;
mod key_rotation;
mod keys;
mod limits;
mod metrics;
mod names;
mod one_time_passwords;
mod operator;
mod own_account;
mod permissions;
mod policies;
mod proxies;
mod ready;
mod reasons;
mod reflection;
mod refresh_allowance;
mod refresh_repeats;
mod request_ids;
mod resource_server;
mod roles;
mod sessions;
mod sign_up;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod sweeping;
mod tls;
mod token_attacks;
mod traces;
mod users;
mod web;
mod wire;
