//! Owns what a node of Galera may do to the service: fail, come back, be behind, and refuse what another node has changed.

use crate::{
    cluster::Cluster,
    harness::Place,
    load::{Load, replicas},
};

#[tokio::test]
async fn a_node_that_is_killed_and_comes_back_costs_nothing_that_was_acknowledged() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replicas(&place, 3).await;
    let mut clients = Vec::new();
    for service in &services {
        clients.push(service.client().await);
    }
    let load = Load::on(&services).await;
    load.more(20).await;
    let serving = cluster.sql(0, "SELECT SUBSTR(@@wsrep_node_name, 5)").await.parse().unwrap();
    cluster.kill(serving).await;
    load.more_refusals(1).await;
    load.more(20).await;
    cluster.start(serving).await;
    load.more(20).await;
    load.judge(&place, &clients).await;
}
