//! Owns what a node of Galera may do to the service: fail, come back, be behind, and refuse what another node has changed.

use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    client::{PASSWORD, reason},
    cluster::Cluster,
    harness::{PATIENCE, Place, Service},
    load::{Load, by_default, clients, replicas},
    outage,
};

const NODES: [usize; 3] = [1, 2, 3];

/// The node that `HAProxy` leads to.
async fn serving(cluster: &Cluster) -> usize {
    let port = "SELECT @@port";
    let asked = cluster.sql(0, port).await;
    for node in NODES {
        if cluster.sql(node, port).await == asked {
            return node;
        }
    }
    panic!("HAProxy leads to a node at {asked}, which is none");
}

#[tokio::test]
async fn a_node_that_is_killed_and_comes_back_costs_nothing_that_was_acknowledged() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replicas(&place).await;
    let load = Load::on(&services).await;
    load.more(20).await;
    let serving = serving(&cluster).await;
    cluster.kill(serving).await;
    load.more(20).await;
    cluster.start(serving).await;
    load.more(10).await;
    load.judge(&place, &clients(&services).await).await;
}

/// A replica that speaks to one node each, past `HAProxy`.
async fn replica_of_each_node(cluster: &Cluster, place: &Place) -> Vec<Service> {
    let mut services = Vec::new();
    for node in NODES {
        let url = format!("--database-url={}", place.url_at(&cluster.addr(node).await));
        services.push(by_default(place, &[&url]).await);
    }
    services
}

/// How often the nodes have refused a transaction because another one had changed the same rows.
async fn conflicts(cluster: &Cluster) -> usize {
    let mut conflicts = 0;
    for node in NODES {
        let sum = "SELECT CAST(SUM(variable_value) AS UNSIGNED) FROM information_schema.global_status \
                   WHERE variable_name IN ('wsrep_local_cert_failures', 'wsrep_local_bf_aborts')";
        conflicts += cluster.sql(node, sum).await.parse::<usize>().unwrap();
    }
    conflicts
}

#[tokio::test]
async fn migrations_by_several_nodes_at_once_are_each_applied_once() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let mut urls = Vec::new();
    for node in NODES {
        urls.push(format!("--database-url={}", place.url_at(&cluster.addr(node).await)));
    }
    let migrate = async |url: &String| {
        let finished = place.run(&[url, "migrate", "up", "--json"]).await.succeeded();
        finished.object()["applied"].as_array().unwrap().len()
    };
    let (one, two, three) = tokio::join!(migrate(&urls[0]), migrate(&urls[1]), migrate(&urls[2]));
    let states = place.run(&["migrate", "status", "--json"]).await.succeeded().objects();
    assert!(states.iter().all(|state| state["applied"] == true), "{states:?}");
    assert_eq!(one + two + three, states.len());
}

#[tokio::test]
async fn every_call_of_a_session_may_reach_another_node_at_once() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replica_of_each_node(&cluster, &place).await;
    let clients = clients(&services).await;
    let mut chains = JoinSet::new();
    for number in 0..6 {
        let clients = clients.clone();
        chains.spawn(async move {
            let name = format!("user-{number}");
            clients[number % 3].sign_up(&name).await.unwrap();
            let mut tokens = clients[(number + 1) % 3].open_session(&name, PASSWORD).await.unwrap();
            for step in 0..40 {
                let client = &clients[(number + step) % 3];
                assert_eq!(reason(&client.get_me(&tokens.access_token).await), "OK", "step {step}");
                let next = client.refresh(&tokens.refresh_token.unwrap()).await;
                tokens = next.unwrap_or_else(|status| panic!("step {step}: {status:?}"));
            }
        });
    }
    chains.join_all().await;
}

#[tokio::test]
async fn a_node_that_is_behind_takes_nothing_for_ended_that_another_has_just_made() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replica_of_each_node(&cluster, &place).await;
    let clients = clients(&services).await;
    clients[0].sign_up("alice").await.unwrap();
    clients[1].log_in("alice", PASSWORD).await.unwrap();
    // As an operator who takes a backup: the node applies nothing until it is unlocked.
    let mut one = ConnectOptions::new(place.url_at(&cluster.addr(2).await));
    let lagging = Database::connect(one.max_connections(1).to_owned()).await.unwrap();
    lagging.execute_unprepared("FLUSH TABLES WITH READ LOCK").await.unwrap();
    let token = clients[0].log_in("alice", PASSWORD).await.unwrap();
    assert_eq!(reason(&clients[0].get_me(&token).await), "OK");
    assert_eq!(
        reason(&clients[1].get_me(&token).await),
        "UNAVAILABLE",
        "what it cannot know it does not judge"
    );
    lagging.execute_unprepared("UNLOCK TABLES").await.unwrap();
    let caught_up = async { while reason(&clients[1].get_me(&token).await) != "OK" {} };
    timeout(PATIENCE, caught_up).await.expect("it catches up");
}

#[tokio::test]
async fn what_nodes_refuse_because_of_each_other_is_done_again() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replica_of_each_node(&cluster, &place).await;
    let clients = clients(&services).await;
    clients[0].sign_up("alice").await.unwrap();
    let before = conflicts(&cluster).await;
    // Each login writes the row of its user: on three nodes at once.
    let mut logins = JoinSet::new();
    for number in 0..90 {
        let client = clients[number % 3].clone();
        logins.spawn(async move { client.open_session("alice", PASSWORD).await });
    }
    let mut sessions = Vec::new();
    for login in logins.join_all().await {
        sessions.push(login.expect("a conflict is not the caller's to know"));
    }
    // One token on all nodes at once.
    for session in sessions.into_iter().take(20) {
        let token = session.refresh_token.unwrap();
        let calls =
            tokio::join!(clients[0].refresh(&token), clients[1].refresh(&token), clients[2].refresh(&token));
        let next = [calls.0, calls.1, calls.2].map(|call| call.unwrap().refresh_token.unwrap());
        assert!(next.iter().all(|token| *token == next[0]), "there is one successor");
    }
    // One name on all nodes at once. Their connections are new, so that statements are prepared meanwhile: whose transaction a node
    // takes back while it prepares one, it tells nothing of.
    for round in 0..100 {
        let name = format!("bob-{round}");
        let calls =
            tokio::join!(clients[0].sign_up(&name), clients[1].sign_up(&name), clients[2].sign_up(&name));
        let mut reasons = [reason(&calls.0), reason(&calls.1), reason(&calls.2)];
        reasons.sort();
        assert_eq!(reasons, ["OK", "USERNAME_TAKEN", "USERNAME_TAKEN"], "round {round}");
    }
    let refused = conflicts(&cluster).await - before;
    assert!(refused > 0, "nothing was put to the test");
    println!("{refused} transactions were refused because of another node's, and done again");
}

#[tokio::test]
async fn a_cluster_without_its_majority_serves_nothing_until_it_is_told_to() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let down = async {
        cluster.kill(1).await;
        cluster.kill(2).await;
    };
    outage::service_survives(&place, down, cluster.bootstrap(3)).await;
    for node in [1, 2] {
        cluster.start(node).await;
    }
}

#[tokio::test]
async fn a_server_that_only_reads_costs_writes_alone_and_its_user_needs_no_more_than_is_said() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    place.run(&["migrate", "up"]).await.succeeded();
    let database = place.url_at("").rsplit_once('/').unwrap().1.to_owned();
    // A server that only reads lets whoever administers it write all the same.
    let user = format!(
        "CREATE OR REPLACE USER server@'127.0.0.1'; GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO server@'127.0.0.1'"
    );
    cluster.sql(0, &user).await;
    let url = place.database_url().replace("root@", "server@");
    let signet = place.signet(&[]).env("SIGNET_DATABASE_URL", &url).without_env("SIGNET_AUTO_MIGRATE");
    let mut service = signet.serve().await;
    let client = service.client().await;
    client.sign_up("alice").await.unwrap();
    let token = client.log_in("alice", PASSWORD).await.unwrap();

    for node in NODES {
        cluster.sql(node, "SET GLOBAL read_only = 1").await;
    }
    assert_eq!(reason(&client.sign_up("bob").await), "UNAVAILABLE");
    assert_eq!(reason(&client.log_in("alice", PASSWORD).await), "UNAVAILABLE");
    client.get_me(&token).await.unwrap();
    service.logs("--read-only option").await;

    for node in NODES {
        cluster.sql(node, "SET GLOBAL read_only = 0").await;
    }
    client.sign_up("bob").await.expect("nothing of it had been written");
    client.log_in("alice", PASSWORD).await.unwrap();
    service.stop().await;
}
