//! Owns what several processes promise that start at once on the same data or the same port.

use std::fs;

use serde_json::{Value, json};

use crate::{client::PASSWORD, harness::Place, support::ports::free_addr, support::runner::Process};

/// How often a race is run: each has another outcome.
const ROUNDS: usize = 3;

#[tokio::test]
async fn services_that_start_at_once_on_fresh_data_share_one_key_and_accept_each_others_tokens() {
    for _ in 0..ROUNDS {
        let place = Place::on_database().await;
        let (one, other) = tokio::join!(place.serve(&[]), place.serve(&[]));
        assert_eq!(one.started["signing_key"], other.started["signing_key"]);
        let started = [&one.started, &other.started];
        let made = started.iter().filter(|started| started["master_key_made"] != Value::Null).count();
        assert_eq!(made, usize::from(place.is_embedded()), "{started:?}");
        let mut applied: Vec<_> =
            started.iter().flat_map(|started| started["migrations_applied"].as_array().unwrap()).collect();
        let all = applied.len();
        applied.sort_by_key(|name| name.as_str());
        applied.dedup();
        assert!(all > 0 && applied.len() == all, "each is applied by one of them: {started:?}");
        if place.is_embedded() {
            let mut names: Vec<_> =
                fs::read_dir(place.data("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.retain(|name| name != "signet.db-wal" && name != "signet.db-shm");
            names.sort();
            assert_eq!(names, ["master.key", "signet.db", "signet.db.lock"], "no draft is left");
        }

        let (one, other) = (one.client().await, other.client().await);
        let user = one.sign_up("alice").await.unwrap();
        let token = one.log_in("alice", PASSWORD).await.unwrap();
        assert_eq!(other.get_me(&token).await.unwrap(), user);
        let token = other.log_in("alice", PASSWORD).await.unwrap();
        assert_eq!(one.get_me(&token).await.unwrap(), user);
    }
}

#[tokio::test]
async fn of_services_that_start_at_once_on_one_port_one_serves_and_the_others_say_why_not() {
    let addr = free_addr().to_string();
    let places = [Place::new(), Place::new(), Place::new()];
    let processes: Vec<Process> =
        places.iter().map(|place| place.signet(&["--json", "--grpc-addr", &addr]).start()).collect();
    let (mut serving, mut refused) = (Vec::new(), 0);
    for mut process in processes {
        if process.line().await.is_some() {
            serving.push(process);
            continue;
        }
        let finished = process.finish().await;
        let line: Value = serde_json::from_str(finished.stderr.lines().last().unwrap()).unwrap();
        assert_eq!((finished.code, &line["error"]), (Some(2), &json!(taken(&addr))), "{finished:?}");
        refused += 1;
    }
    assert_eq!((serving.len(), refused), (1, 2));
}

fn taken(addr: &str) -> String {
    format!("--grpc-addr (SIGNET_GRPC_ADDR): {addr} cannot be taken: another process listens there")
}

#[tokio::test]
async fn of_commands_that_make_one_name_at_once_one_wins() {
    for _ in 0..ROUNDS {
        let place = Place::migrated().await;
        let usernames = ["alice", "Alice", "ALICE", "aLiCe"];
        let processes: Vec<Process> = usernames
            .iter()
            .map(|name| place.signet(&["users", "create", name, "--log-level=off"]).password().start())
            .collect();
        let mut won = 0;
        for process in processes {
            let finished = process.finish().await;
            if finished.code == Some(0) {
                won += 1;
            } else {
                assert_eq!(finished.failed(1), "the username is taken");
            }
        }
        assert_eq!(won, 1);
        assert_eq!(place.run(&["users", "list", "--json"]).await.succeeded().objects().len(), 1);
    }
}
