//! Owns what the audit events in the database promise: a change and its event are there together or not at all, each is found by what is
//! asked of it, what strangers do is merged, and what is old goes.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use signet::{
    audit::{Actor, Entry, Event, Field, FieldChange, KeptChange, KeptEvent, Outcome, Reason},
    base::{Clock, Entropy},
    identity::{AuditTrail, EventFilter},
    model::{
        Authority, ClientId, GroupId, Origin, Principal, RequestId, RequestKey, RoleId, SessionId, UserId,
        id::uuid_v7,
    },
    store::{AdminChange, Applied, Store},
};
use uuid::Uuid;

use crate::harness::{PASSWORD, START, TestServer, assert_refused, eventually};

const DAY: Duration = Duration::from_hours(24);

struct Events {
    server: TestServer,
    store: Store,
    db: DatabaseConnection,
}

impl Events {
    async fn start(args: &[&str]) -> Self {
        let server = TestServer::start(args).await;
        let (store, db) = (server.store().await, server.data.connect().await);
        Self { server, store, db }
    }

    async fn user(&self, name: &str) -> UserId {
        let user = self.server.client().await.sign_up(name, PASSWORD).await.unwrap();
        UserId(user.id.parse().unwrap())
    }

    fn trail(&self) -> AuditTrail {
        AuditTrail::of_command(self.store.clone(), None)
    }

    /// The newest events that `filter` means.
    async fn of(&self, filter: EventFilter) -> Vec<KeptEvent> {
        let page = self.trail().list(&filter, None, 500).await.unwrap();
        page.events.into_iter().map(|listed| listed.event).collect()
    }

    async fn named(&self, event: Event) -> Vec<KeptEvent> {
        self.of(EventFilter { event: Some(event.name().to_owned()), ..EventFilter::default() }).await
    }

    /// Keeps `entries`, one a second from the start on.
    async fn keep(&self, entries: impl IntoIterator<Item = Entry>) {
        let at = |seconds| START.after(Duration::from_secs(seconds));
        let events: Vec<_> =
            (0..).zip(entries).map(|(second, entry)| entry.kept(at(second), 0, &Entropy::system())).collect();
        self.store.for_strangers().keep_events(&events).await.unwrap();
    }

    async fn execute(&self, sql: &str) {
        self.db.execute_unprepared(sql).await.unwrap();
    }
}

/// The change that `entry` tells of, by the operator.
fn change<'a>(entry: &'a Entry, request: Option<&'a RequestKey>) -> AdminChange<'a> {
    AdminChange::new(&Authority::Operator, START, request, false, entry)
}

#[tokio::test]
async fn a_change_and_its_event_are_committed_together_or_not_at_all() {
    let on = Events::start(&[]).await;
    let alice = on.user("alice").await;
    let is_active = async || on.store.user(alice).await.unwrap().unwrap().is_active;
    let entry = || Event::UserDisabled.done().user(alice).by(Actor::Service);
    let key = RequestKey { caller: Principal::User(alice), id: Uuid::from_u128(1), sha256: [7; 32] };

    // The event cannot be written; and then what comes after it cannot.
    for table in ["audit_events", "admin_requests"] {
        on.execute(&format!("ALTER TABLE {table} RENAME TO elsewhere")).await;
        on.store.set_active(alice, false, change(&entry(), Some(&key))).await.unwrap_err();
        on.execute(&format!("ALTER TABLE elsewhere RENAME TO {table}")).await;
        assert!(is_active().await, "{table}");
        assert_eq!(on.named(Event::UserDisabled).await, [], "{table}");
    }

    let judged = entry();
    let judging = AdminChange::new(&Authority::Operator, START, Some(&key), true, &judged);
    on.store.set_active(alice, false, judging).await.unwrap();
    assert_eq!(on.named(Event::UserDisabled).await, [], "it was only judged");

    on.store.set_active(alice, false, change(&entry(), Some(&key))).await.unwrap();
    let [event] = &on.named(Event::UserDisabled).await[..] else { panic!("one event") };
    assert!(!is_active().await);
    assert_eq!((event.user_id, event.time, event.outcome.as_str()), (Some(alice.0), START, "success"));

    // Neither a repeated request, nor what is so already, is another event.
    let again = on.store.set_active(alice, false, change(&entry(), Some(&key))).await.unwrap();
    assert!(matches!(again, Applied::Before(id) if id == alice.0));
    on.store.set_active(alice, false, change(&entry(), None)).await.unwrap();
    assert_eq!(on.named(Event::UserDisabled).await.len(), 1);
}

#[tokio::test]
async fn each_filter_finds_what_is_asked_page_by_page() {
    let on = Events::start(&[]).await;
    let (alice, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let (client, role, group) =
        (ClientId(Uuid::from_u128(3)), RoleId(Uuid::from_u128(4)), GroupId(Uuid::from_u128(5)));
    let from = |address: &str| Origin { address: Some(address.to_owned()), ..Origin::default() };
    on.keep([
        Event::Login.done().user(alice).origin(&from("10.0.0.1")),
        Event::Login.refused(Reason::WrongPassword).user(alice).origin(&from("10.0.0.2")),
        Event::UserDisabled.done().user(alice).by(Actor::User(bob)),
        Event::ClientDisabled.done().client(client.to_string()).by(Actor::Client(client)),
        Event::RoleBound.done().role(role).group(group).audience("stock").by(Actor::User(bob)),
    ])
    .await;
    let all = EventFilter { from: Some(START), before: Some(START.after(DAY)), ..EventFilter::default() };
    let is = async |filter: EventFilter, expected: &[u64]| {
        let found = on.of(filter.clone()).await;
        let seconds: Vec<_> = found.iter().map(|event| event.time.since(START).as_secs()).collect();
        assert_eq!(seconds, expected, "{filter:?}");
        // One at a time it is the same.
        let (mut before, mut paged) = (None, Vec::new());
        loop {
            let page = on.trail().list(&filter, before, 1).await.unwrap();
            paged.extend(page.events.into_iter().map(|listed| listed.event));
            let Some(next) = page.next else { break };
            before = Some(next);
        }
        assert_eq!(paged, found, "{filter:?}");
    };
    let second = |second| Some(START.after(Duration::from_secs(second)));
    let by = |set: fn(&mut EventFilter, Uuid), id: Uuid| {
        let mut filter = all.clone();
        set(&mut filter, id);
        filter
    };
    is(EventFilter { before: second(5), ..all.clone() }, &[4, 3, 2, 1, 0]).await;
    is(EventFilter { from: second(1), before: second(3), ..all.clone() }, &[2, 1]).await;
    is(by(|filter, id| filter.actor = Some(id), bob.0), &[4, 2]).await;
    is(by(|filter, id| filter.actor = Some(id), alice.0), &[0]).await;
    is(by(|filter, id| filter.user = Some(id), alice.0), &[2, 1, 0]).await;
    is(by(|filter, id| filter.client = Some(id), client.0), &[3]).await;
    is(by(|filter, id| filter.role = Some(id), role.0), &[4]).await;
    is(by(|filter, id| filter.group = Some(id), group.0), &[4]).await;
    let login = EventFilter { event: Some(Event::Login.name().to_owned()), ..all.clone() };
    is(login.clone(), &[1, 0]).await;
    let outcome = |outcome: Outcome| Some(outcome.name().to_owned());
    is(EventFilter { outcome: outcome(Outcome::Failure), ..login.clone() }, &[1]).await;
    is(EventFilter { outcome: outcome(Outcome::Unknown), ..login.clone() }, &[]).await;
    is(EventFilter { address: Some("10.0.0.1".to_owned()), ..all.clone() }, &[0]).await;
    is(EventFilter { user: Some(alice.0), actor: Some(bob.0), ..all.clone() }, &[2]).await;
}

#[tokio::test]
async fn a_page_reads_no_more_than_it_may_and_may_be_empty_before_the_last() {
    let on = Events::start(&[]).await;
    let (alice, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let origin = Origin { address: Some("10.0.0.1".to_owned()), ..Origin::default() };
    let of = |user| Event::Login.done().user(user).origin(&origin);
    on.keep([of(bob)].into_iter().chain((0..5_001).map(|_| of(alice)))).await;
    let filter = EventFilter {
        event: Some(Event::Login.name().to_owned()),
        role: None,
        address: Some("10.0.0.1".to_owned()),
        outcome: Some("failure".to_owned()),
        ..EventFilter::default()
    };
    let page = on.trail().list(&filter, None, 50).await.unwrap();
    assert_eq!(page.events.len(), 0);
    let page = on.trail().list(&filter, Some(page.next.unwrap()), 50).await.unwrap();
    assert_eq!((page.events.len(), page.next), (0, None));
    // Where an index leads, the first page has it.
    let of_bob = EventFilter { user: Some(bob.0), ..EventFilter::default() };
    assert_eq!(on.of(of_bob).await.len(), 1);
}

#[tokio::test]
async fn what_was_changed_is_kept_with_its_old_and_its_new_value() {
    let on = Events::start(&[]).await;
    let change = FieldChange::of(Field::Scopes, "a", "a \"ß\" \u{1f600}").unwrap();
    on.keep([Event::RoleUpdated.done().changed([change, Field::Description.into()])]).await;
    let [event] = &on.named(Event::RoleUpdated).await[..] else { panic!("one event") };
    let kept = |field: &str, old: Option<&str>, new: Option<&str>| KeptChange {
        field: field.to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    };
    let scopes = kept("scopes", Some("a"), Some("a \"ß\" \u{1f600}"));
    assert_eq!(event.changes, [scopes, kept("description", None, None)]);
    // Written again, since its answer was lost, it is there once.
    on.store.for_strangers().keep_events(std::slice::from_ref(event)).await.unwrap();
    assert_eq!(on.named(Event::RoleUpdated).await.len(), 1);
}

#[tokio::test]
async fn an_event_shows_how_somebody_is_called_now_and_the_id_of_who_is_gone() {
    let on = Events::start(&[]).await;
    let (alice, bob) = (on.user("alice").await, on.user("bob").await);
    on.keep([Event::UserDisabled.done().user(alice).by(Actor::User(bob))]).await;
    let listed = async || {
        let filter =
            EventFilter { event: Some(Event::UserDisabled.name().to_owned()), ..EventFilter::default() };
        on.trail().list(&filter, None, 1).await.unwrap().events.remove(0)
    };
    let names = async || {
        let listed = listed().await;
        (listed.actor_name, listed.username)
    };
    assert_eq!(names().await, (Some("bob".to_owned()), Some("alice".to_owned())));
    on.execute("UPDATE users SET username = 'Alicia' WHERE username = 'alice'").await;
    assert_eq!(names().await.1.as_deref(), Some("Alicia"));
    on.store.delete_user(alice, None, START).await.unwrap();
    assert_eq!(names().await, (Some("bob".to_owned()), None));
    assert_eq!(listed().await.event.user_id, Some(alice.0), "what happened to it is still there");
}

#[tokio::test]
async fn what_strangers_do_comes_into_the_database_merged_and_goes_when_it_is_old() {
    let on = Events::start(&["--audit-retention=30days"]).await;
    let alice = on.user("alice").await;
    let mut client = on.server.client().await;
    for _ in 0..4 {
        let failed = client.log_in("alice", "wrong-staple-battery").await;
        assert_refused(failed, tonic::Code::Unauthenticated, "INVALID_CREDENTIALS");
    }
    client.log_in("alice", PASSWORD).await.unwrap();
    let logins = async || on.of(EventFilter { user: Some(alice.0), ..EventFilter::default() }).await;
    eventually("it is there", async || {
        logins().await.iter().any(|event| event.event == "login" && event.outcome == "success")
    })
    .await;
    let failures = async || {
        let failures = logins().await.into_iter().filter(|event| event.outcome == "failure");
        failures.map(|event| (event.event, event.reason.unwrap(), event.repeats)).collect::<Vec<_>>()
    };
    let failure = |repeats| ("login".to_owned(), "wrong_password".to_owned(), repeats);
    assert_eq!(failures().await, [failure(0)], "the others are told together");
    on.server.clock.advance(Duration::from_mins(10));
    eventually("the ten minutes are over", async || failures().await.len() == 2).await;
    assert!(failures().await.contains(&failure(3)));

    on.server.clock.advance(31 * DAY);
    eventually("they are deleted", async || logins().await.is_empty()).await;
}

#[tokio::test]
async fn without_logins_a_sign_up_is_kept_and_a_login_is_not() {
    let on = Events::start(&["--audit-database=changes"]).await;
    let alice = on.user("alice").await;
    on.server.client().await.log_in("alice", PASSWORD).await.unwrap();
    on.server.client().await.log_in("nobody", PASSWORD).await.unwrap_err();
    let Events { server, store, db } = on;
    // What is recorded is written before the service has ended.
    let (data, clock) = server.stop().await;
    let server = TestServer::start_in(data, clock, &[]).await;
    let on = Events { server, store, db };
    let of_alice = on.of(EventFilter { user: Some(alice.0), ..EventFilter::default() }).await;
    let names: Vec<_> = of_alice.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["user.signed_up"]);
    assert_eq!(on.named(Event::Login).await, []);
}

/// How large the database is, in bytes.
async fn bytes(db: &DatabaseConnection) -> i64 {
    let sql = match db.get_database_backend() {
        DbBackend::Sqlite => "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        DbBackend::Postgres => "SELECT pg_database_size(current_database())",
        _ => {
            "SELECT CAST(SUM(data_length + index_length) AS SIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = 'audit_events'"
        }
    };
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test]
#[ignore = "measures, and promises nothing: docs/OPERATIONS.md says how to run it"]
async fn what_a_login_takes_in_the_database() {
    const EVENTS: u64 = 100_000;
    let on = Events::start(&[]).await;
    let origin = Origin {
        address: Some("2001:db8:1234:5678::9abc".to_owned()),
        user_agent: Some("grpc-java-netty/1.70.0 signet-example/1.2".to_owned()),
        request_id: RequestId::parse(Uuid::nil().to_string().as_bytes()),
        ..Origin::default()
    };
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let before = bytes(&on.db).await;
    let mut took = Duration::ZERO;
    for batch in 0..EVENTS / 500 {
        let events: Vec<_> = (0..500)
            .map(|number| {
                let time = START.after(Duration::from_millis(batch * 500 + number));
                let user = UserId::new(time, &entropy);
                let login = Event::Login.done().user(user).session(SessionId(uuid_v7(time, &entropy)));
                login.origin(&origin).kept(time, 0, &entropy)
            })
            .collect();
        let begun = clock.monotonic();
        on.store.for_strangers().keep_events(&events).await.unwrap();
        took += clock.monotonic().saturating_sub(begun);
    }
    let grown = bytes(&on.db).await - before;
    let each = (took / u32::try_from(EVENTS).unwrap(), grown / i64::try_from(EVENTS).unwrap());
    println!("{:?}: {:?} and {} bytes a login", on.db.get_database_backend(), each.0, each.1);
}
