//! Owns the stream of changes as services meet it that verify tokens by themselves.

mod audiences;
mod bounds;
mod ends;
mod heartbeats;
mod large;
mod missed;
mod named;
mod news;
mod resumed;
mod scopes;
mod taken;
mod verified;
mod verifier;

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait, sea_query::Query};
use signet::{
    base::Timestamp,
    identity::Administrator,
    model::{ClientId, UserId},
    proto::identity::{
        events::v1::{
            Changes, Kind, Snapshot, WatchRequest, WatchResponse, event_service_client::EventServiceClient,
            watch_response::Part,
        },
        v1::{IssueTokenRequest, PasswordGrant, RevokeSessionRequest, issue_token_request::Grant},
    },
};
use tokio::time::timeout;
use tonic::{Status, Streaming, transport::Channel};
use uuid::Uuid;

use crate::{
    clients::{Registered, Service, Wanted, claims, request},
    harness::{Data, PASSWORD, TestServer, with_token},
    permissions::Operator,
};

/// Longer than anything takes to be told, by far.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes that one message may have.
const MESSAGE_BYTES: usize = 1_024 * 1_024;

/// How many rows one statement adds.
const BATCH: usize = 1_000;

/// What the shop's client may have for its users.
const SCOPES: &str = "stock.read stock.write profile account";

/// A service `stock` and a service `orders`, each of which watches as a client of its own, and a client by which users log in to them.
pub(super) struct Mesh {
    pub(super) service: Service,
    pub(super) operator: Operator,
    pub(super) app: Registered,
    pub(super) stock: Registered,
    pub(super) orders: Registered,
}

/// One stream.
pub(super) struct Watcher {
    stream: Streaming<WatchResponse>,
    /// The newest resume token.
    pub(super) token: Vec<u8>,
}

/// A row of the feed that another process wrote.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) subject: Uuid,
    pub(super) kind: &'a str,
    pub(super) effect: &'a str,
    pub(super) holder: Option<Uuid>,
    pub(super) audience: Option<&'a str>,
    pub(super) scopes: Option<String>,
    pub(super) time: Option<Timestamp>,
}

impl Mesh {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(super) async fn start_with(args: &[&str]) -> Self {
        let service = Service::start_with(&[&["--standing-cache-max-age=200ms"], args].concat()).await;
        let operator = Operator::of(&service);
        for audience in ["stock", "orders"] {
            operator.give_everyone(audience, "stock.read").await;
        }
        let wanted = Wanted { audiences: "stock orders signet", ..Wanted::confidential(SCOPES) };
        let app = service.register_alone("shop", wanted).await;
        let watching = |audiences| Wanted { audiences, ..Wanted::confidential("signet.events.watch") };
        let stock = service.register_alone("stock", watching("stock signet")).await;
        let orders = service.register_alone("orders", watching("orders signet")).await;
        Self { service, operator, app, stock, orders }
    }

    /// A token by which `who` may watch.
    pub(super) async fn watch_token(&self, who: &Registered) -> String {
        self.own_token(who, "signet.events.watch", "signet").await
    }

    pub(super) async fn own_token(&self, who: &Registered, scope: &str, audience: &str) -> String {
        let request = IssueTokenRequest {
            scope: scope.to_owned(),
            audiences: vec![audience.to_owned()],
            ..who.own_token()
        };
        self.service.issue(request).await.unwrap().access_token
    }

    /// What `who` is told from now on.
    pub(super) async fn watch(&self, who: &Registered) -> Watcher {
        self.watch_at(&self.service.server, who, WatchRequest::default()).await
    }

    /// The same, once it has read its snapshot.
    pub(super) async fn told(&self, who: &Registered) -> Watcher {
        let mut watcher = self.watch(who).await;
        watcher.snapshot().await;
        watcher
    }

    pub(super) async fn watch_at(
        &self,
        server: &TestServer,
        who: &Registered,
        request: WatchRequest,
    ) -> Watcher {
        let token = self.watch_token(who).await;
        Watcher::begin(server, &token, request).await.unwrap()
    }

    /// The access token of a login of `username` for `scope` at the audience.
    pub(super) async fn log_in(&self, username: &str, scope: &str, audience: &str) -> String {
        self.log_in_to(username, scope, &[audience]).await
    }

    /// The same at several audiences.
    pub(super) async fn log_in_to(&self, username: &str, scope: &str, audiences: &[&str]) -> String {
        let password = PasswordGrant { username: username.to_owned(), password: PASSWORD.to_owned() };
        let asked = request(Grant::Password(password), Some(self.app.by_secret()));
        let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
        let asked = IssueTokenRequest { scope: scope.to_owned(), audiences, ..asked };
        self.service.issue(asked).await.unwrap().access_token
    }

    /// The access token of a login of `username`, who may read the stock by it.
    pub(super) async fn session_token(&self, username: &str) -> String {
        self.log_in(username, "stock.read", "stock").await
    }

    /// Logs in for stock, and returns the session.
    pub(super) async fn session(&self, username: &str, audience: &str) -> String {
        sid(&self.log_in(username, "stock.read", audience).await)
    }

    /// The user ends a session of theirs, by another login.
    pub(super) async fn end(&self, username: &str, session: &str) {
        let token = self.service.client.clone().log_in(username, PASSWORD).await.unwrap().access_token;
        let request = RevokeSessionRequest { session_id: session.to_owned() };
        self.service.client.clone().0.revoke_session(with_token(request, &token)).await.unwrap();
    }

    /// The id of the new user `username`.
    pub(super) async fn user(&self, username: &str) -> UserId {
        let user = self.service.client.clone().sign_up(username, PASSWORD).await.unwrap();
        UserId(user.id.parse().unwrap())
    }

    /// The id of alice, who is there.
    pub(super) async fn alice(&self) -> UserId {
        let token = self.log_in("alice", "stock.read", "stock").await;
        UserId(claims(&token)["sub"].as_str().unwrap().parse().unwrap())
    }

    pub(super) async fn set_active(&self, client: ClientId, active: bool) {
        let by = Administrator::operator();
        self.service.operator.set_active(&client.into(), active, None, &by).await.unwrap();
    }
}

/// The session of a token.
pub(super) fn sid(token: &str) -> String {
    claims(token)["sid"].as_str().unwrap().to_owned()
}

impl Watcher {
    pub(super) async fn begin(
        server: &TestServer,
        token: &str,
        request: WatchRequest,
    ) -> Result<Self, Status> {
        Self::begin_by(server.channel().await, token, request).await
    }

    pub(super) async fn begin_by(
        channel: Channel,
        token: &str,
        request: WatchRequest,
    ) -> Result<Self, Status> {
        let resumed = request.resume_token.clone();
        let mut client = EventServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES);
        let stream = client.watch(with_token(request, token)).await?.into_inner();
        Ok(Self { stream, token: resumed })
    }

    /// The next part; none at the end of the stream.
    pub(super) async fn part(&mut self) -> Result<Option<Part>, Status> {
        let message = timeout(PATIENCE, self.stream.message()).await.expect("something is told")?;
        let Some(WatchResponse { resume_token, part }) = message else { return Ok(None) };
        if !resume_token.is_empty() {
            self.token = resume_token;
        }
        Ok(Some(part.expect("this client knows every kind of part")))
    }

    /// The snapshot, which comes now.
    pub(super) async fn snapshot(&mut self) -> Snapshot {
        let mut whole = Snapshot::default();
        loop {
            let Some(Part::Snapshot(part)) = self.part().await.unwrap() else { panic!("no snapshot") };
            let told = part.changes.unwrap_or_default();
            let changes = whole.changes.get_or_insert_default();
            add(changes, told);
            whole.keep_for = whole.keep_for.or(part.keep_for);
            whole.tokens_not_before = whole.tokens_not_before.or(part.tokens_not_before);
            if part.is_last {
                assert!(!self.token.is_empty(), "it says where to go on");
                return whole;
            }
        }
    }

    /// What it is told first, until `is_there`: the snapshot may be that of one who began a moment before, and is followed by what has
    /// changed since.
    pub(super) async fn first(&mut self, is_there: impl Fn(&Changes) -> bool) -> Changes {
        let mut all = self.snapshot().await.changes.unwrap();
        while !is_there(&all) {
            let next = self.changes().await;
            add(&mut all, next);
        }
        all
    }

    /// Asserts that the next that is told is that something may have been missed.
    pub(super) async fn resync(&mut self) {
        let part = self.part().await.unwrap();
        assert!(matches!(part, Some(Part::Resync(_))), "{part:?}");
    }

    /// What is told next, but heartbeats.
    pub(super) async fn changes(&mut self) -> Changes {
        loop {
            match self.part().await.unwrap() {
                Some(Part::Changes(changes)) => return changes,
                Some(Part::Heartbeat(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What is told until `is_there`.
    pub(super) async fn until(&mut self, is_there: impl Fn(&Changes) -> bool) -> Changes {
        let mut all = Changes::default();
        while !is_there(&all) {
            let next = self.changes().await;
            add(&mut all, next);
        }
        all
    }

    /// Waits for the end of the stream, whatever is told before.
    pub(super) async fn end(&mut self) -> Result<(), Status> {
        while self.part().await?.is_some() {}
        Ok(())
    }
}

/// Adds `rows` to the feed in `data`, all at once; at `now` those that have no time.
pub(super) async fn tell(data: &Data, now: Timestamp, rows: &[Row<'_>]) {
    let db = data.connect().await.begin().await.unwrap();
    for rows in rows.chunks(BATCH) {
        let mut insert = Query::insert();
        insert.into_table("changes");
        insert.columns(["subject", "kind", "effect", "holder", "audience", "scopes", "create_time"]);
        for row in rows {
            insert.values_panic([
                row.subject.into(),
                row.kind.into(),
                row.effect.into(),
                row.holder.into(),
                row.audience.into(),
                row.scopes.clone().into(),
                row.time.unwrap_or(now).as_micros().into(),
            ]);
        }
        db.execute(&insert).await.unwrap();
    }
    db.commit().await.unwrap();
}

fn add(all: &mut Changes, next: Changes) {
    all.ended_sessions.extend(next.ended_sessions);
    all.ended_user_sessions.extend(next.ended_user_sessions);
    all.ended_clients.extend(next.ended_clients);
    all.taken_scopes.extend(next.taken_scopes);
    all.keys_changed |= next.keys_changed;
    all.changed_policies.extend(next.changed_policies);
}

/// A request for these kinds.
pub(super) fn of_kinds(kinds: &[Kind]) -> WatchRequest {
    WatchRequest { kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(), ..WatchRequest::default() }
}
