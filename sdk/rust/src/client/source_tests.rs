//! Owns the tests of when tokens are got: the clock is turned by hand, and a stand-in answers for Signet.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll},
};

use signet::{auth::Error, base::Timestamp, proto::identity::v1::client_authentication::Credential};
use tokio::sync::watch;
use tonic::{
    body::Body,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;
use tower::Service;

use super::*;
use crate::{signing_key::SigningKey, time::ManualClock};

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

    fn source(
        &self,
        change: impl FnOnce(TokenSourceBuilder) -> TokenSourceBuilder,
    ) -> (TokenSource, ManualClock) {
        let (time, clock) = Time::manual(Timestamp::from_micros(1_000_000_000_000));
        let credential = ClientCredential::secret("client", "secret");
        let builder =
            TokenSource::builder(Signet::default(), credential, "stock").time(time, Random::of(|| 0.5));
        let this = self.clone();
        (change(builder).build_with(move |request| this.clone().answer(request)), clock)
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
    let (source, _clock) = signet.source(|it| it.scopes(["stock:read", "stock:write"]));
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
    let (source, clock) = signet.source(|it| it);
    assert_eq!(text(&source).await, "token-1");
    clock.advance(Duration::from_secs(79));
    assert_eq!((text(&source).await, signet.asked()), ("token-1".to_owned(), 1));
    clock.advance(Duration::from_secs(1));
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
    let (source, clock) = signet.source(|it| it);
    text(&source).await;
    signet.refuses(Some(Status::unavailable("it is away")));
    for second in 0..99 {
        assert_eq!(text(&source).await, "token-1", "{second}");
        settle().await;
        clock.advance(Duration::from_secs(1));
    }
    assert!((3..10).contains(&signet.asked()), "it is asked less and less often: {}", signet.asked());
    clock.advance(Duration::from_secs(1));
    let refused = source.token().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let asked = signet.asked();
    for _ in 0..100 {
        assert_eq!(source.token().await.unwrap_err().code(), Code::Unavailable);
    }
    assert!(signet.asked() <= asked + 1, "nobody asks in a hurry");
    signet.refuses(None);
    clock.advance(Duration::from_secs(30));
    assert!(text(&source).await.starts_with("token-"));
}

#[tokio::test]
async fn a_final_refusal_is_handed_up_with_its_reason_and_not_asked_about_for_a_while() {
    let signet = StandIn::new();
    let (source, clock) = signet.source(|it| it);
    signet.refuses(Some(Status::from(Error::InvalidClient)));
    for _ in 0..10 {
        let refused = source.token().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(refused.get_details_error_info().unwrap().reason, "INVALID_CLIENT");
    }
    assert_eq!(signet.asked(), 1);
    signet.refuses(None);
    clock.advance(Duration::from_secs(10));
    assert_eq!(text(&source).await, "token-2");
}

#[tokio::test]
async fn nobody_asks_again_before_the_time_that_signet_has_said_and_that_is_a_minute_at_most() {
    for (said, waits) in [(40, 40), (9 * 60 * 60, 60)] {
        let signet = StandIn::new();
        let (source, clock) = signet.source(|it| it);
        let retry_after = Duration::from_secs(said);
        signet.refuses(Some(Status::from(Error::Overloaded { what: "passwords", retry_after })));
        for _ in 0..waits {
            assert_eq!(source.token().await.unwrap_err().code(), Code::Unavailable);
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(signet.asked(), 1, "{said}");
        signet.refuses(None);
        assert_eq!(text(&source).await, "token-2", "{said}");
    }
}

#[tokio::test]
async fn a_token_that_was_refused_is_got_anew_once_in_seven_seconds() {
    let signet = StandIn::new();
    let (source, clock) = signet.source(|it| it);
    let first = source.token().await.unwrap();
    assert!(source.drop_token(&first));
    let second = source.token().await.unwrap();
    assert_eq!(second.as_str(), "token-2");
    assert!(source.drop_token(&first), "there is another by now");
    for _ in 0..7 {
        assert!(!source.drop_token(&second), "the one before was dropped only just");
        assert_eq!((text(&source).await, signet.asked()), ("token-2".to_owned(), 2));
        clock.advance(Duration::from_secs(1));
    }
    assert!(source.drop_token(&second));
    assert_eq!(text(&source).await, "token-3");
}

/// What an application does with refresh tokens: it keeps them, unless it cannot.
#[derive(Clone, Default)]
struct Store {
    is_away: Arc<AtomicBool>,
    called: Arc<AtomicUsize>,
    kept: Arc<Mutex<Vec<String>>>,
}

impl Store {
    fn is_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn called(&self) -> usize {
        self.called.load(Ordering::SeqCst)
    }

    /// A source of a user's tokens, whose first refresh token is `refresh-0`.
    fn source(&self, signet: &StandIn) -> (TokenSource, ManualClock) {
        let this = self.clone();
        signet.source(|it| {
            it.refresh_token("refresh-0", move |next| {
                this.called.fetch_add(1, Ordering::SeqCst);
                let stored =
                    if this.is_away.load(Ordering::SeqCst) { Err("the disk is full".into()) } else { Ok(()) };
                if stored.is_ok() {
                    this.kept.lock().unwrap().push(next);
                }
                std::future::ready(stored)
            })
        })
    }
}

impl StandIn {
    /// The refresh tokens that were exchanged.
    fn exchanged(&self) -> Vec<String> {
        let requests = self.0.requests.lock().unwrap();
        let token = |request: &IssueTokenRequest| match &request.grant {
            Some(Grant::RefreshToken(grant)) => grant.refresh_token.clone(),
            other => panic!("{other:?}"),
        };
        requests.iter().map(token).collect()
    }
}

#[tokio::test]
async fn while_the_next_refresh_token_cannot_be_kept_nothing_is_exchanged_again_and_the_access_token_is_not_used()
 {
    let (signet, store) = (StandIn::new(), Store::default());
    store.is_away(true);
    let (source, clock) = store.source(&signet);
    for attempt in 1..=10 {
        let refused = source.token().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "what is not kept is not used");
        assert!(refused.message().contains("the disk is full"), "{refused}");
        assert_eq!((store.called(), signet.asked()), (attempt, 1));
        // The longest pause is 30 s: the access token outlives three of them.
        clock.advance(if attempt < 5 { Duration::from_secs(15) } else { Duration::from_secs(30) });
    }
    store.is_away(false);
    assert_eq!(text(&source).await, "token-2", "the one of before has expired meanwhile");
    assert_eq!(*store.kept.lock().unwrap(), ["refresh-1", "refresh-2"]);
    assert_eq!(signet.exchanged(), ["refresh-0", "refresh-1"]);
}

#[tokio::test]
async fn an_answer_is_used_once_its_refresh_token_is_kept() {
    let (signet, store) = (StandIn::new(), Store::default());
    store.is_away(true);
    let (source, clock) = store.source(&signet);
    source.token().await.unwrap_err();
    store.is_away(false);
    clock.advance(Duration::from_secs(1));
    assert_eq!((text(&source).await, signet.asked()), ("token-1".to_owned(), 1));
    // Its life is counted from when it was asked for.
    clock.advance(Duration::from_secs(98));
    assert_eq!(text(&source).await, "token-1");
    clock.advance(Duration::from_secs(1));
    assert_eq!(text(&source).await, "token-2");
    assert_eq!(
        (signet.exchanged(), store.called()),
        (vec!["refresh-0".to_owned(), "refresh-1".to_owned()], 3)
    );
}

#[tokio::test]
async fn a_store_that_panics_or_hangs_is_one_that_fails() {
    let (signet, is_first) = (StandIn::new(), AtomicBool::new(true));
    let (source, clock) = signet.source(|it| {
        it.refresh_token("refresh-0", move |_| {
            assert!(!is_first.swap(false, Ordering::SeqCst), "a defect of the application");
            std::future::pending()
        })
    });
    assert_eq!(source.token().await.unwrap_err().code(), Code::Unavailable);
    clock.advance(Duration::from_secs(1));
    let mut waiting = Box::pin(source.token());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    settle().await;
    clock.advance(Duration::from_secs(10));
    assert_eq!(waiting.await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(signet.asked(), 1);
}

/// A replica of Signet that answers so, and keeps what it was asked.
#[derive(Clone)]
struct Replica {
    answer: Result<IssueTokenResponse, Status>,
    asked: Arc<Mutex<Vec<IssueTokenRequest>>>,
}

impl Replica {
    async fn serve(answer: Result<IssueTokenResponse, Status>) -> (Self, String) {
        let this = Self { answer, asked: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let routes = tonic::service::Routes::new(this.clone());
        tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
        (this, addr)
    }

    /// The assertion that it was sent, once.
    fn assertion(&self) -> String {
        let asked = self.asked.lock().unwrap();
        let [request] = asked.as_slice() else { panic!("{} requests", asked.len()) };
        match request.client.as_ref().unwrap().credential.clone().unwrap() {
            Credential::ClientAssertion(assertion) => assertion,
            Credential::ClientSecret(_) => panic!("a secret"),
        }
    }
}

impl NamedService for Replica {
    const NAME: &'static str = "identity.v1.IdentityService";
}

impl Service<http::Request<Body>> for Replica {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        let handler = tower::service_fn(move |request: tonic::Request<IssueTokenRequest>| {
            this.asked.lock().unwrap().push(request.into_inner());
            std::future::ready(this.answer.clone().map(tonic::Response::new))
        });
        let codec = ProstCodec::<IssueTokenResponse, IssueTokenRequest>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(handler, request).await) })
    }
}

#[tokio::test]
async fn each_replica_that_is_tried_has_an_assertion_of_its_own() {
    let (first, first_addr) = Replica::serve(Err(Status::unavailable("its answer is lost"))).await;
    let issued = IssueTokenResponse { access_token: "t".to_owned(), expires_in: 100, ..Default::default() };
    let (second, second_addr) = Replica::serve(Ok(issued)).await;
    let key = SigningKey::generate();
    let credential = ClientCredential::of_key("client", key, "https://id.example");
    let signet = Signet::at([first_addr, second_addr]);
    let source = TokenSource::builder(signet, credential, "stock").build().unwrap();
    assert_eq!(text(&source).await, "t");
    assert_ne!(first.assertion(), second.assertion());
}
