//! Owns what a failover of PostgreSQL costs: a moment, and nothing that was acknowledged.

use crate::{
    cluster::Cluster,
    harness::Place,
    load::{Load, replicas},
};

#[tokio::test]
async fn a_standby_that_takes_over_has_all_that_was_acknowledged() {
    let (cluster, place) = (Cluster::new(), Place::on_database().await);
    let services = replicas(&place, 3).await;
    let mut clients = Vec::new();
    for service in &services {
        clients.push(service.client().await);
    }
    let load = Load::on(&services).await;
    // There, and back again.
    for (primary, standby) in [(1, 2), (2, 1)] {
        load.more(20).await;
        cluster.kill(primary).await;
        load.more_refusals(5).await;
        cluster.promote(standby).await;
        load.more(20).await;
        cluster.rejoin(primary).await;
    }
    load.more(20).await;
    load.judge(&place, &clients).await;
}
