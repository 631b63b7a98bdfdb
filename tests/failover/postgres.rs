//! Owns what a failover of `PostgreSQL` costs: a moment, and nothing that was acknowledged.

use crate::{
    cluster::Cluster,
    harness::Place,
    load::{Load, clients, replicas},
    outage,
};

/// The primary and the standby.
async fn roles(cluster: &Cluster) -> [usize; 2] {
    if cluster.sql(1, "SELECT pg_is_in_recovery()").await == "f" { [1, 2] } else { [2, 1] }
}

#[tokio::test]
async fn a_standby_that_takes_over_has_all_that_was_acknowledged() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replicas(&place).await;
    let load = Load::on(&services).await;
    load.more(20).await;
    let [primary, standby] = roles(&cluster).await;
    cluster.kill(primary).await;
    load.more_refusals(5).await;
    cluster.promote(standby).await;
    load.more(20).await;
    // While the old one is made anew, everything goes on; then commits wait for it.
    cluster.rejoin(primary).await;
    load.more(10).await;
    load.judge(&place, &clients(&services).await).await;
}

#[tokio::test]
async fn a_primary_that_is_away_and_comes_back_is_waited_for() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let [primary, _] = roles(&cluster).await;
    outage::service_survives(&place, cluster.kill(primary), cluster.start(primary)).await;
}
