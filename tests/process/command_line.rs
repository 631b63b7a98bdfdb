//! Owns what the command line takes, and how it answers: switches, short names, suggestions, `--quiet`, and what is written for programs.

use std::{any::TypeId, fs, process::Command};

use clap::Args;
use serde_json::Value;
use signet::config::{Config, Switch, environment_variable};

use crate::harness::Place;

/// Every setting that is turned on or off.
fn switches() -> Vec<String> {
    let command = Config::augment_args(clap::Command::new("signet"));
    let is_switch = |arg: &&clap::Arg| arg.get_value_parser().type_id() == TypeId::of::<Switch>();
    let all: Vec<_> = command.get_arguments().filter(is_switch).filter_map(clap::Arg::get_long).collect();
    assert!(all.contains(&"ext-authz") && all.contains(&"auto-migrate"), "{all:?}");
    all.into_iter().map(|name| format!("--{name}")).collect()
}

#[tokio::test]
async fn every_switch_is_set_by_itself_by_a_word_and_by_its_variable() {
    let place = Place::new();
    let all = switches();
    let completions = ["completions", "fish"];
    for said in [None, Some("on"), Some("off"), Some("true"), Some("False"), Some("OFF")] {
        let words: Vec<_> = all.iter().flat_map(|switch| [Some(switch.as_str()), said]).flatten().collect();
        place.run(&[&words[..], &completions].concat()).await.succeeded();
        let Some(value) = said else { continue };
        let joined: Vec<_> = all.iter().map(|switch| format!("{switch}={value}")).collect();
        let joined: Vec<_> = joined.iter().map(String::as_str).collect();
        place.run(&[&completions, &joined[..]].concat()).await.succeeded();
        let variables: Vec<_> = all.iter().map(|switch| environment_variable(switch)).collect();
        let by_variable =
            place.signet(&completions).envs(variables.iter().map(|name| (name.as_str(), value)));
        by_variable.run().await.succeeded();
    }
    for switch in all.iter().take(3) {
        let refused = place.run(&[&format!("{switch}=maybe")]).await;
        assert!(refused.failed(2).contains("must be one of on, off, true, false"), "{refused:?}");
        let refused = place.run(&[switch, "maybe"]).await;
        assert!(refused.failed(2).contains(&format!("no value of {switch}")), "{refused:?}");
    }
}

#[tokio::test]
async fn a_switch_means_what_is_said() {
    let place = Place::new();
    for (args, is_on) in [
        (&["--ext-authz", "--ext-authz-addr=127.0.0.1:0", "serve"][..], true),
        (&["--ext-authz", "on", "--ext-authz-addr=127.0.0.1:0"], true),
        (&["serve", "--ext-authz=true", "--ext-authz-addr", "127.0.0.1:0"], true),
        (&["--ext-authz", "false", "serve"], false),
    ] {
        let service = place.serve(args).await;
        assert_eq!(service.addr("ext_authz_addr").is_some(), is_on, "{args:?}");
        service.stop().await;
    }
}

#[tokio::test]
async fn commands_have_short_names_and_what_is_misspelt_is_told_with_what_is_nearest() {
    let place = Place::migrated().await;
    place.create_user("alice").await;
    assert!(place.run(&["users", "ls"]).await.succeeded().stdout.contains("alice"));
    assert!(place.run(&["users", "rm", "alice", "--yes"]).await.succeeded().stdout.contains("Deleted alice"));
    for (args, nearest) in [
        (&["user", "list"][..], "; the nearest is `users`; see `signet --help`"),
        (&["users", "lst"], "; the nearest is `list`; see `signet users --help`"),
        (&["users", "list", "--limt=1"], "; the nearest is `--limit`; see `signet users list --help`"),
        (&["serve", "--grpc-adr=127.0.0.1:0"], "; the nearest is `--grpc-addr`; see `signet serve --help`"),
        (&["--grpc_addr=127.0.0.1:0"], "; the nearest is `--grpc-addr`; see `signet --help`"),
    ] {
        let refused = place.run(args).await;
        assert!(refused.failed(2).ends_with(nearest), "{args:?}: {refused:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_with_every_way_to_give_it() {
    let place = Place::new();
    for (args, ways) in [
        (&["login", "alice"][..], "--server <ADDR> or SIGNET_SERVER must be given"),
        (&["users", "show"], "<ID|USERNAME>, --id <ID> or --name <USERNAME> must be given"),
        (&["keys", "revoke"], "<KID> must be given"),
    ] {
        let refused = place.run(args).await;
        assert!(refused.failed(2).starts_with(ways), "{args:?}: {refused:?}");
    }
    let url = format!("--database-url=sqlite:{}", place.path("other.db").display());
    let refused = place.run(&[&url]).await;
    let told = refused.failed(2);
    for way in ["--master-key-file", "SIGNET_MASTER_KEY_FILE", "SIGNET_MASTER_KEY"] {
        assert!(told.contains(way), "{way}: {told}");
    }
}

#[tokio::test]
async fn quiet_leaves_out_what_was_done_and_nothing_that_was_asked_for() {
    let place = Place::migrated().await;
    let run = async |args: &[&str]| {
        let finished = place.run(&[args, &["--quiet"]].concat()).await.succeeded();
        assert_eq!(finished.stderr, "", "{args:?}");
        finished.stdout
    };
    assert_eq!(run(&["groups", "create", "pickers"]).await, "");
    assert_eq!(run(&["keys", "rotate"]).await, "");
    assert!(run(&["groups", "list"]).await.contains("pickers"));
    assert!(run(&["clients", "create", "orders", "--scope", "stock.read"]).await.contains("secret:"));
    assert_eq!(run(&["groups", "delete", "pickers"]).await, "");
    let refused = place.run(&["-q", "groups", "delete", "pickers", "--yes"]).await;
    assert_eq!(refused.failed(1), "there is no group `pickers`");
    let told = place.run(&["groups", "create", "packers", "-q", "--json"]).await.succeeded();
    assert_eq!(told.object()["name"], "packers", "a program is told");
}

#[tokio::test]
async fn what_is_audited_stands_after_the_answer() {
    let place = Place::migrated().await;
    let merged = ["sh", "-c", r#"exec "$@" 2>&1"#, "sh"];
    let done = place.signet(&["groups", "create", "pickers"]).through(&merged).run().await.succeeded();
    let lines: Vec<_> = done.stdout.lines().collect();
    let is_event = |line: &str| line.starts_with('{') && line.contains("\"event\"");
    let first = lines.iter().position(|line| is_event(line)).expect("an event");
    assert!(first > 0 && lines[first..].iter().all(|line| is_event(line)), "{lines:?}");
}

#[tokio::test]
async fn a_log_in_json_leaves_nothing_else_on_standard_output() {
    let place = Place::new();
    let is_json = |text: &str| text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok());
    let mut service = place.signet(&["serve", "--log-format=json"]).start();
    let line = service.line().await.unwrap();
    assert!(is_json(&line), "{line}");
    service.stop_now();
    for args in [
        &["users", "list"][..],
        &["keys", "list"],
        &["groups", "create", "pickers"],
        &["migrate", "status"],
        &["jobs"],
    ] {
        let finished = place.signet(args).env("SIGNET_LOG_FORMAT", "json").run().await.succeeded();
        assert!(is_json(&finished.stdout), "{args:?}: {finished:?}");
        let text = place
            .signet(&[args, &["--log-format=text"]].concat())
            .env("SIGNET_LOG_FORMAT", "json")
            .run()
            .await;
        assert!(!is_json(&text.stdout) || text.stdout.is_empty(), "{args:?}: {text:?}");
    }
    let refused = place.signet(&["users", "show", "nobody"]).env("SIGNET_LOG_FORMAT", "json").run().await;
    assert!(is_json(&refused.stderr), "{refused:?}");
    let refused = place.signet(&["--nothing"]).env("SIGNET_LOG_FORMAT", "json").run().await;
    assert!(is_json(&refused.stderr), "{refused:?}");
}

#[tokio::test]
async fn shells_complete_commands_and_their_options() {
    let place = Place::new();
    let script = place.run(&["completions", "bash"]).await.succeeded().stdout;
    let script = place.write("signet.bash", &script);
    let complete = |words: &str| {
        let count = words.split(' ').count();
        let ask = format!(
            "source {script}; COMP_WORDS=({words} ''); COMP_CWORD={count}; _signet signet '' x; echo \"${{COMPREPLY[@]}}\""
        );
        let answer = Command::new("bash").args(["-c", &ask]).output().unwrap();
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).unwrap()
    };
    let has = |words: &str, word: &str| complete(words).split_whitespace().any(|known| known == word);
    assert!(has("signet", "users") && has("signet", "completions"));
    assert!(has("signet users", "create") && has("signet users", "delete"));
    assert!(has("signet users create", "--email") && has("signet users create", "--data-dir"));
    assert!(!has("signet users create", "--grpc-addr") && has("signet serve", "--grpc-addr"));
    for (shell, begins) in [("zsh", "#compdef signet"), ("fish", "# Print an optspec")] {
        let script = place.run(&["completions", shell]).await.succeeded().stdout;
        assert!(script.starts_with(begins), "{shell}: {}", script.lines().next().unwrap_or_default());
    }
    assert!(place.run(&["completions", "tcsh"]).await.failed(2).contains("bash, zsh, fish"));
}

#[tokio::test]
async fn each_command_has_a_manual_page() {
    let place = Place::new();
    let dir = place.path("man1");
    fs::create_dir(&dir).unwrap();
    place.run(&["man", &dir.display().to_string()]).await.succeeded();
    let page =
        |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(page("signet.1").contains("signet\\-users(1)"));
    let serve = page("signet-serve.1");
    assert!(serve.contains("\\-\\-grpc\\-addr") && serve.contains("SIGNET_STRICT_SETTINGS"));
    let create = page("signet-users-create.1");
    assert!(create.contains("\\-\\-email") && !create.contains("\\-\\-grpc\\-addr"));
    let nowhere = place.path("nowhere").display().to_string();
    assert!(place.run(&["man", &nowhere]).await.failed(1).contains(&nowhere));
}
