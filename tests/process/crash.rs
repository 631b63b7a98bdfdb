//! Owns what a crash promises: whatever was acknowledged is there after it.

use tokio::sync::mpsc;

use crate::{
    client::{PASSWORD, reason},
    harness::{Place, Service},
};

const CLIENTS: usize = 4;

/// After so many acknowledgements the process is killed: amid others, wherever they are.
const ROUNDS: [usize; 3] = [1, 17, 60];

/// Signs up users without end, on `CLIENTS` connections, until the connections break. Tells the names that were acknowledged,
/// and with an error the one that was not.
async fn sign_up_without_end(service: &Service, round: usize) -> mpsc::UnboundedReceiver<(String, bool)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for number in 0..CLIENTS {
        let (client, sender) = (service.client().await, sender.clone());
        tokio::spawn(async move {
            for count in 0.. {
                let username = format!("user-{round}-{number}-{count}");
                let acknowledged = client.sign_up(&username).await.is_ok();
                let _ = sender.send((username, acknowledged));
                if !acknowledged {
                    break;
                }
            }
        });
    }
    receiver
}

#[tokio::test]
async fn every_user_that_was_acknowledged_logs_in_after_a_kill() {
    let place = Place::migrated().await;
    let mut acknowledged = Vec::new();
    let mut service = place.serve(&[]).await;
    for (round, kill_after) in ROUNDS.into_iter().enumerate() {
        let mut answers = sign_up_without_end(&service, round).await;
        let mut cut = Vec::new();
        for _ in 0..kill_after {
            let (username, ok) = answers.recv().await.unwrap();
            assert!(ok, "{username}");
            acknowledged.push(username);
        }
        service.kill().await;
        while let Some((username, ok)) = answers.recv().await {
            if ok { acknowledged.push(username) } else { cut.push(username) }
        }
        assert_eq!(cut.len(), CLIENTS, "every client was amid a sign-up");

        service = place.serve(&[]).await;
        let client = service.client().await;
        for username in &acknowledged {
            let token = client.log_in(username, PASSWORD).await;
            assert_eq!(reason(&token), "OK", "{username} was acknowledged in round {round}");
        }
        // Whoever had no answer tries again: the account is there whole, or not at all.
        for username in cut {
            let again = reason(&client.sign_up(&username).await);
            assert!(["OK", "USERNAME_TAKEN"].contains(&again.as_str()), "{username}: {again}");
            client.log_in(&username, PASSWORD).await.unwrap();
        }
    }
}
