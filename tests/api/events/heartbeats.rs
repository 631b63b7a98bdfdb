//! Owns the heartbeats of those who are told nothing else.

use std::time::Duration;

use signet::proto::identity::events::v1::watch_response::Part;

use super::{Mesh, Watcher};

/// Less than the feed may go unread.
const STEP: Duration = Duration::from_millis(2_500);

impl Watcher {
    async fn heartbeat(&mut self) {
        self.token.clear();
        let part = self.part().await.unwrap();
        assert!(matches!(part, Some(Part::Heartbeat(_))), "{part:?}");
        assert!(!self.token.is_empty(), "it says where to go on");
    }
}

impl Mesh {
    /// Lets 5 seconds pass, in which the feed is read as ever.
    async fn five_seconds(&self) {
        for _ in 0..2 {
            self.service.server.pass_and_read_the_feed(STEP).await;
        }
    }
}

#[tokio::test]
async fn a_heartbeat_comes_each_ten_seconds_also_while_others_begin_to_watch() {
    let mesh = Mesh::start().await;
    let mut first = mesh.told(&mesh.stock).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        for _ in 0..2 {
            mesh.five_seconds().await;
            let other = mesh.told(&mesh.stock).await;
            others.push(other);
        }
        first.heartbeat().await;
    }
    assert_eq!(others.len(), 4);
    others[0].heartbeat().await;
}
