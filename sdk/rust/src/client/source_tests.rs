//! Owns the tests of when tokens are got: the clock is turned by hand, and a stand-in answers for Signet.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signet::{auth::Error, base::Timestamp};
use tokio::sync::watch;
use tonic_types::StatusExt;

use super::*;
use crate::time::Hand;

/// Answers for Signet: with a new token each time, or with a refusal, once it may.
#[derive(Clone)]
struct StandIn(Arc<Script>);

struct Script {
    asked: AtomicUsize,
    requests: Mutex<Vec<IssueTokenRequest>>,
    refusal: Mutex<Option<Status>>,
    may_answer: watch::Sender<bool>,
}

impl StandIn {
    fn new() -> Self {
        let (may_answer, _) = watch::channel(true);
        let (asked, requests, refusal) = (AtomicUsize::new(0), Mutex::default(), Mutex::default());
        Self(Arc::new(Script { asked, requests, refusal, may_answer }))
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn refuses(&self, status: Option<Status>) {
        *self.0.refusal.lock().unwrap() = status;
    }

    async fn answer(self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        let number = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.requests.lock().unwrap().push(request);
        self.0.may_answer.subscribe().wait_for(|may| *may).await.unwrap();
        if let Some(status) = self.0.refusal.lock().unwrap().clone() {
            return Err(status);
        }
        Ok(IssueTokenResponse {
            access_token: format!("token-{number}"),
            expires_in: 100,
            refresh_token: Some(format!("refresh-{number}")),
            ..IssueTokenResponse::default()
        })
    }

    fn source(&self, change: impl FnOnce(TokenSourceBuilder) -> TokenSourceBuilder) -> (TokenSource, Hand) {
        let (time, hand) = Time::by_hand(Timestamp::from_micros(1_000_000_000_000));
        let credential = ClientCredential::secret("client", "secret");
        let builder =
            TokenSource::builder(Signet::default(), credential, "stock").time(time, Chance::of(|| 0.5));
        let this = self.clone();
        (change(builder).build_with(move |request| this.clone().answer(request)), hand)
    }
}

async fn text(source: &TokenSource) -> String {
    source.token().await.unwrap().as_str().to_owned()
}

/// Lets the tasks in the background do what they can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_who_wait_share_one_request_and_the_token_is_kept() {
    let signet = StandIn::new();
    signet.0.may_answer.send_replace(false);
    let (source, _hand) = signet.source(|it| it.scopes(["stock:read", "stock:write"]));
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { text(&source).await })
        })
        .collect();
    settle().await;
    signet.0.may_answer.send_replace(true);
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap(), "token-1");
    }
    assert_eq!((text(&source).await, signet.asked()), ("token-1".to_owned(), 1));
    let request = signet.0.requests.lock().unwrap()[0].clone();
    assert_eq!(
        (request.scope.as_str(), request.audiences),
        ("stock:read stock:write", vec!["stock".to_owned()])
    );
    assert!(matches!(request.grant, Some(Grant::ClientCredentials(_))));
    assert!(!format!("{source:?}").contains("secret"));
}

#[tokio::test]
async fn it_is_renewed_while_calls_go_on_with_the_old_one() {
    let signet = StandIn::new();
    let (source, hand) = signet.source(|it| it);
    assert_eq!(text(&source).await, "token-1");
    hand.turn(Duration::from_secs(79));
    assert_eq!((text(&source).await, signet.asked()), ("token-1".to_owned(), 1));
    hand.turn(Duration::from_secs(1));
    signet.0.may_answer.send_replace(false);
    for _ in 0..10 {
        assert_eq!(text(&source).await, "token-1", "nobody waits");
        settle().await;
    }
    assert_eq!(signet.asked(), 2);
    signet.0.may_answer.send_replace(true);
    settle().await;
    assert_eq!((text(&source).await, signet.asked()), ("token-2".to_owned(), 2));
}

#[tokio::test]
async fn while_signet_is_away_calls_fail_only_when_no_token_lives() {
    let signet = StandIn::new();
    let (source, hand) = signet.source(|it| it);
    text(&source).await;
    signet.refuses(Some(Status::unavailable("it is away")));
    for second in 0..99 {
        assert_eq!(text(&source).await, "token-1", "{second}");
        settle().await;
        hand.turn(Duration::from_secs(1));
    }
    assert!((3..10).contains(&signet.asked()), "it is asked less and less often: {}", signet.asked());
    hand.turn(Duration::from_secs(1));
    let refused = source.token().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let asked = signet.asked();
    for _ in 0..100 {
        assert_eq!(source.token().await.unwrap_err().code(), Code::Unavailable);
    }
    assert!(signet.asked() <= asked + 1, "nobody asks in a hurry");
    signet.refuses(None);
    hand.turn(Duration::from_secs(30));
    assert!(text(&source).await.starts_with("token-"));
}

#[tokio::test]
async fn a_final_refusal_is_handed_up_with_its_reason_and_not_asked_about_for_a_while() {
    let signet = StandIn::new();
    let (source, hand) = signet.source(|it| it);
    signet.refuses(Some(Status::from(Error::InvalidClient)));
    for _ in 0..10 {
        let refused = source.token().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "INVALID_CLIENT");
    }
    assert_eq!(signet.asked(), 1);
    signet.refuses(None);
    hand.turn(Duration::from_secs(10));
    assert_eq!(text(&source).await, "token-2");
}

#[tokio::test]
async fn a_token_that_was_refused_is_got_anew_once() {
    let signet = StandIn::new();
    let (source, _hand) = signet.source(|it| it);
    let first = source.token().await.unwrap();
    source.drop_token(&first);
    assert_eq!(text(&source).await, "token-2");
    source.drop_token(&first);
    assert_eq!((text(&source).await, signet.asked()), ("token-2".to_owned(), 2));
}

#[tokio::test]
async fn the_next_refresh_token_is_kept_before_the_access_token_is_used() {
    let (signet, kept) = (StandIn::new(), Arc::new(Mutex::new(Vec::new())));
    let is_full = Arc::new(AtomicBool::new(true));
    let store = {
        let (kept, is_full) = (Arc::clone(&kept), Arc::clone(&is_full));
        move |next: String| {
            let stored = if is_full.load(Ordering::SeqCst) { Err("the disk is full".into()) } else { Ok(()) };
            if stored.is_ok() {
                kept.lock().unwrap().push(next);
            }
            std::future::ready(stored)
        }
    };
    let (source, hand) = signet.source(|it| it.refresh_token("refresh-0", store));
    assert_eq!(source.token().await.unwrap_err().code(), Code::Unavailable, "what is not kept is not used");
    is_full.store(false, Ordering::SeqCst);
    hand.turn(Duration::from_secs(1));
    assert_eq!(text(&source).await, "token-2");
    assert_eq!(*kept.lock().unwrap(), ["refresh-2"]);
    hand.turn(Duration::from_secs(100));
    assert_eq!(text(&source).await, "token-3");
    let sent: Vec<_> = signet
        .0
        .requests
        .lock()
        .unwrap()
        .iter()
        .map(|request| match &request.grant {
            Some(Grant::RefreshToken(grant)) => grant.refresh_token.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sent, ["refresh-0", "refresh-0", "refresh-2"]);
}
