//! The program as its operator meets it: every test runs the real binary in a directory of its own, and judges it by what it
//! prints, what it leaves on the disk, how it exits, and what it serves.
#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

mod apply;
mod attributes;
mod audit;
mod backup;
mod bootstrap;
mod client;
mod clients;
mod commands;
mod concurrent;
mod crash;
mod crash_refresh;
mod credentials;
mod database_wait;
mod deploy_files;
mod descriptor;
mod exposure;
mod files;
mod hanging;
mod harness;
mod help;
mod import;
mod import_first;
mod import_sources;
mod jobs;
mod keys;
mod live;
mod logs;
mod migration_locks;
mod migrations;
mod names;
mod newer_schema;
mod open_files;
mod output;
mod passwords;
mod remote;
mod replicas;
mod request_ids;
mod roles;
mod settings;
mod signals;
mod start;
mod storage_failures;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod tls;
mod users;
