//! Owns for whom the running task works: bounds that lie far below those who know a caller, as those of the database do, are shared by
//! that too.

use super::Network;

tokio::task_local! {
    static CALLER: Option<Network>;
}

/// Does `work` for a caller of `network`, if that is known.
pub(crate) async fn for_caller<Work: Future>(network: Option<Network>, work: Work) -> Work::Output {
    CALLER.scope(network, work).await
}

/// The network of the caller for whom this task works; none if it is not known, or the task works for nobody.
pub(crate) fn caller_network() -> Option<Network> {
    CALLER.try_with(|network| *network).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_for_whoever_it_was_begun_for() {
        let network = |host: u8| Some(Network::of([192, 0, 2, host].into()));
        assert_eq!(caller_network(), None);
        let work = |host| {
            for_caller(network(host), async {
                tokio::task::yield_now().await;
                caller_network()
            })
        };
        assert_eq!(tokio::join!(work(1), work(2)), (network(1), network(2)));
        assert_eq!(for_caller(network(1), for_caller(None, async { caller_network() })).await, None);
    }
}
