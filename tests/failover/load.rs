//! Owns people who use the service while its database fails: they try again what had no answer, and remember what they were told.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    client::{Client, PASSWORD, reason},
    harness::{PATIENCE, Place, Service},
};

/// How long any call may take: two seconds, and thrice as much for a machine that is busy with the databases themselves. What hangs would
/// be ended by `--request-timeout` after ten.
pub(crate) const CALL_BOUND: Duration = Duration::from_secs(2 + 6);

/// How many people there are at each replica.
const PEOPLE: usize = 3;

/// How many judge at once.
const JUDGES: usize = 12;

/// How often a life refreshes.
const REFRESHES: usize = 4;

/// Three replicas on the database behind `HAProxy`.
pub(crate) async fn replicas(place: &Place) -> [Service; 3] {
    tokio::join!(by_default(place, &[]), by_default(place, &[]), by_default(place, &[])).into()
}

/// A client of each.
pub(crate) async fn clients(services: &[Service]) -> Vec<Client> {
    let mut clients = Vec::new();
    for service in services {
        clients.push(service.client().await);
    }
    clients
}

/// A replica whose time limits are the defaults, which are what is promised.
pub(crate) async fn by_default(place: &Place, args: &[&str]) -> Service {
    let signet = place.signet(args);
    let limits = ["DATABASE_ACQUIRE_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT", "REQUEST_TIMEOUT"];
    let signet = limits.iter().fold(signet, |signet, name| signet.without_env(&format!("SIGNET_{name}")));
    signet.serve().await
}

/// What somebody was told.
struct Life {
    name: String,
    /// Every refresh token, in the order of the answers.
    refresh_tokens: Vec<String>,
    access_token: String,
    /// Whether the end of all sessions was acknowledged.
    is_revoked: bool,
}

/// What all of them together have seen.
#[derive(Default)]
struct Tally {
    lives: AtomicUsize,
    calls: AtomicUsize,
    unavailable: AtomicUsize,
    longest_micros: AtomicUsize,
    stop: AtomicUsize,
}

/// People who use the service without end.
pub(crate) struct Load {
    people: JoinSet<Vec<Life>>,
    tally: Arc<Tally>,
}

impl Load {
    /// At each of `services`.
    pub(crate) async fn on(services: &[Service]) -> Self {
        let (mut people, tally) = (JoinSet::new(), Arc::new(Tally::default()));
        for (replica, service) in services.iter().enumerate() {
            for number in 0..PEOPLE {
                let person = Person { client: service.client().await, tally: Arc::clone(&tally) };
                people.spawn(person.live(format!("user-{replica}-{number}")));
            }
        }
        Self { people, tally }
    }

    /// Waits until `count` more lives have been lived.
    pub(crate) async fn more(&self, count: usize) {
        let wanted = self.tally.lives.load(Ordering::Relaxed) + count;
        let lived = async {
            while self.tally.lives.load(Ordering::Relaxed) < wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE * 2, lived).await.expect("the service is of use");
    }

    /// Waits until `count` more calls have been refused as UNAVAILABLE.
    pub(crate) async fn more_refusals(&self, count: usize) {
        let wanted = self.tally.unavailable.load(Ordering::Relaxed) + count;
        let refused = async {
            while self.tally.unavailable.load(Ordering::Relaxed) < wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, refused).await.expect("calls are refused");
    }

    /// Ends the load, and judges by what the service at `clients` has: whatever was acknowledged is there, and there is nothing twice.
    pub(crate) async fn judge(self, place: &Place, clients: &[Client]) {
        self.tally.stop.store(1, Ordering::Relaxed);
        let lives: Vec<_> = self.people.join_all().await.into_iter().flatten().collect();
        let users = place.run(&["users", "list", "--json", "--limit=1000"]).await.succeeded().objects();
        let names: Vec<_> = users.iter().map(|user| user["username"].as_str().unwrap()).collect();
        let unique: BTreeSet<_> = names.iter().copied().collect();
        let told: BTreeSet<_> = lives.iter().map(|life| life.name.as_str()).collect();
        assert_eq!(names.len(), unique.len(), "no user is there twice");
        assert_eq!(unique, told, "every acknowledged user is there, and no other");
        let lives = Arc::new(lives);
        let mut judges = JoinSet::new();
        for judge in 0..JUDGES {
            let (client, lives) = (clients[judge % clients.len()].clone(), Arc::clone(&lives));
            judges.spawn(async move {
                for life in lives.iter().skip(judge).step_by(JUDGES) {
                    life.judge(&client).await;
                }
            });
        }
        judges.join_all().await;
        let longest = Duration::from_micros(self.tally.longest_micros.load(Ordering::Relaxed) as u64);
        let refreshes = lives.iter().map(|life| life.refresh_tokens.len() - 1).sum::<usize>();
        println!(
            "{} sign-ups, {refreshes} refreshes and {} revocations were acknowledged, and are there once; of {} calls {} were \
             UNAVAILABLE at first; the longest took {longest:?}",
            lives.len(),
            lives.iter().filter(|life| life.is_revoked).count(),
            self.tally.calls.load(Ordering::Relaxed),
            self.tally.unavailable.load(Ordering::Relaxed),
        );
    }
}

impl Life {
    async fn judge(&self, client: &Client) {
        let name = &self.name;
        assert_eq!(reason(&client.log_in(name, PASSWORD).await), "OK", "{name} was acknowledged");
        let newest = self.refresh_tokens.last().unwrap();
        if self.is_revoked {
            assert_eq!(reason(&client.refresh(newest).await), "REFRESH_TOKEN_INVALID", "{name}");
        } else {
            assert_eq!(
                reason(&client.refresh(newest).await),
                "OK",
                "{name}: its last refresh was acknowledged"
            );
            // Were it still the newest, the last refresh would have been lost, or there would be two branches.
            let older = &self.refresh_tokens[self.refresh_tokens.len() - 2];
            assert_eq!(reason(&client.refresh(older).await), "REFRESH_TOKEN_REUSED", "{name}");
        }
        assert_eq!(reason(&client.get_me(&self.access_token).await), "TOKEN_REVOKED", "{name}");
    }
}

/// What came of a call that was made until it had an answer.
struct Answer<T> {
    result: Result<T, Status>,
    /// Whether it may have been done before by an attempt that had none.
    is_repeated: bool,
}

impl<T> Answer<T> {
    /// What was answered, or none if an earlier attempt had done it already, as `refusal` says.
    fn or_done(self, refusal: &str) -> Option<T> {
        match self.result {
            Ok(value) => Some(value),
            Err(status) => {
                let found = reason(&Err::<(), _>(status.clone()));
                assert!(self.is_repeated && found == refusal, "{status:?}");
                None
            }
        }
    }
}

struct Person {
    client: Client,
    tally: Arc<Tally>,
}

impl Person {
    async fn live(self, prefix: String) -> Vec<Life> {
        let mut lives = Vec::new();
        while self.tally.stop.load(Ordering::Relaxed) == 0 {
            lives.push(self.life(format!("{prefix}-{}", lives.len()), lives.len() % 2 == 0).await);
            self.tally.lives.fetch_add(1, Ordering::Relaxed);
        }
        lives
    }

    async fn life(&self, name: String, is_revoked: bool) -> Life {
        let Self { client, .. } = self;
        self.patiently(|| client.sign_up(&name)).await.or_done("USERNAME_TAKEN");
        let mut tokens = self.patiently(|| client.open_session(&name, PASSWORD)).await.result.unwrap();
        let mut refresh_tokens = Vec::new();
        for _ in 0..REFRESHES {
            let token = tokens.refresh_token.take().unwrap();
            tokens = self.patiently(|| client.refresh(&token)).await.result.expect("nobody is logged out");
            refresh_tokens.push(token);
            let me = self.patiently(|| client.get_me(&tokens.access_token)).await.result;
            assert_eq!(me.expect("its session goes on").username, name);
        }
        refresh_tokens.push(tokens.refresh_token.take().unwrap());
        let unique: BTreeSet<_> = refresh_tokens.iter().collect();
        assert_eq!(unique.len(), 1 + REFRESHES, "each refresh was done once");
        if is_revoked {
            self.patiently(|| client.revoke_all(&tokens.access_token)).await.or_done("TOKEN_REVOKED");
        }
        Life { name, refresh_tokens, access_token: tokens.access_token, is_revoked }
    }

    /// Makes the call again as long as it is answered UNAVAILABLE, when the answer says.
    async fn patiently<T, Call>(&self, call: impl Fn() -> Call) -> Answer<T>
    where
        Call: Future<Output = Result<T, Status>>,
    {
        let mut is_repeated = false;
        loop {
            let start = Instant::now();
            let result = call().await;
            let took = start.elapsed();
            assert!(took < CALL_BOUND, "{took:?}");
            let micros = usize::try_from(took.as_micros()).unwrap();
            self.tally.longest_micros.fetch_max(micros, Ordering::Relaxed);
            self.tally.calls.fetch_add(1, Ordering::Relaxed);
            match result {
                Err(status) if status.code() == Code::Unavailable => {
                    assert_eq!(reason(&Err::<(), _>(status.clone())), "UNAVAILABLE", "{status:?}");
                    self.tally.unavailable.fetch_add(1, Ordering::Relaxed);
                    is_repeated = true;
                    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
                    sleep(retry.expect("it says when to come back")).await;
                }
                result => return Answer { result, is_repeated },
            }
        }
    }
}
