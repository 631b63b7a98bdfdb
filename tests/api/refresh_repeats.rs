//! Owns what becomes of a refresh token that comes again: a lost answer and a second tab are answered, and a thief is seen.

use std::{fs, path::PathBuf, time::Duration};

use sea_orm::ConnectionTrait;
use serde_json::Value;
use signet::{
    model::SessionId,
    proto::identity::v1::{
        IssueTokenRequest, IssueTokenResponse, RefreshTokenGrant,
        identity_service_client::IdentityServiceClient, issue_token_request::Grant,
    },
};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    clients::{Service, Wanted, alice, claims, request},
    harness::{Client, PASSWORD, TestServer, assert_refused, eventually},
};

/// How long a repeat is answered from where the exchange came from, by default.
const WINDOW: Duration = Duration::from_mins(2);

/// How long access tokens live, by default.
const LIFETIME: Duration = Duration::from_mins(15);

const SECOND: Duration = Duration::from_secs(1);

/// Where the owner of a session is, and where nobody of theirs is.
const HOME: &str = "127.0.0.1";
const ELSEWHERE: &str = "127.0.0.2";

/// A server with the user `alice`, whose sessions come from [`HOME`].
struct Site {
    server: TestServer,
    owner: Client,
    audit_log: PathBuf,
    _dir: TempDir,
}

impl Site {
    async fn start(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let audit_log = dir.path().join("audit.log");
        let log = format!("--audit-log={}", audit_log.display());
        let server = TestServer::start(&[args, &[&log]].concat()).await;
        let mut owner = client_at(&server, HOME, "owner").await;
        owner.sign_up("alice", PASSWORD).await.unwrap();
        Self { server, owner, audit_log, _dir: dir }
    }

    async fn log_in(&mut self) -> String {
        self.owner.log_in("alice", PASSWORD).await.unwrap().refresh_token.unwrap()
    }

    /// Somebody else at `address`, by the same program as the owner.
    async fn somebody_at(&self, address: &str) -> Client {
        client_at(&self.server, address, "owner").await
    }

    /// Where what the audit log calls `event` came from, once there are `count`.
    async fn audited(&self, event: &str, count: usize) -> Vec<String> {
        let addresses = || {
            let text = fs::read_to_string(&self.audit_log).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let lines = lines.filter(|line| line["event"] == event);
            lines.map(|line| line["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        eventually("it is in the audit log", async || addresses().len() >= count).await;
        let addresses = addresses();
        assert_eq!(addresses.len(), count, "{event}");
        addresses
    }
}

async fn client_at(server: &TestServer, address: &str, user_agent: &'static str) -> Client {
    let endpoint = Channel::from_shared(server.uri()).unwrap().user_agent(user_agent).unwrap();
    let endpoint = endpoint.local_address(Some(address.parse().unwrap()));
    Client(IdentityServiceClient::new(endpoint.connect().await.unwrap()))
}

fn next_of(answer: &IssueTokenResponse) -> String {
    answer.refresh_token.clone().unwrap()
}

/// The members of an access token by which it is known.
fn known_by(answer: &IssueTokenResponse) -> [Value; 3] {
    let claims = claims(&answer.access_token);
    ["jti", "iat", "exp"].map(|member| claims[member].clone())
}

#[track_caller]
fn assert_replay(answer: Result<IssueTokenResponse, Status>) {
    assert_refused(answer, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
}

#[tokio::test]
async fn a_repeat_within_the_window_gives_the_tokens_of_the_exchange_again() {
    let mut site = Site::start(&[]).await;
    let token = site.log_in().await;
    site.server.clock.advance(SECOND * 600);
    let first = site.owner.refresh(&token).await.unwrap();
    assert_eq!(first.expires_in, 900);
    // Whether or not the access token was used: a second tab comes at any time.
    site.owner.get_me(&first.access_token).await.unwrap();
    site.server.clock.advance(WINDOW);
    let again = site.somebody_at(HOME).await.refresh(&token).await.unwrap();
    assert_eq!(next_of(&again), next_of(&first));
    assert_eq!(
        known_by(&again),
        known_by(&first),
        "there is one access token, however often it is asked for"
    );
    assert_eq!((again.expires_in, &again.scope), (780, &first.scope));
    site.owner.get_me(&again.access_token).await.unwrap();
    // It expires when the first one does.
    site.server.clock.advance(LIFETIME.saturating_sub(WINDOW) + SECOND * 6);
    for answer in [&first, &again] {
        let refused = site.owner.get_me(&answer.access_token).await;
        assert_refused(refused, Code::Unauthenticated, "TOKEN_EXPIRED");
    }
    site.owner.refresh(&next_of(&again)).await.unwrap();
}

#[tokio::test]
async fn a_repeat_with_another_scope_or_audience_has_its_own_id_and_the_same_expiry() {
    let mut service = Service::start().await;
    let wanted = Wanted { audiences: "orders stock", ..Wanted::public("profile orders.read") };
    let app = service.register("app", wanted).await;
    let client = Some(app.with(None));
    let token = next_of(&service.issue(request(alice(), client.clone())).await.unwrap());
    let mut refresh = async |scope: &str, audiences: &[&str]| {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.clone() });
        let request = IssueTokenRequest {
            scope: scope.to_owned(),
            audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
            ..request(grant, client.clone())
        };
        service.server.clock.advance(SECOND);
        known_by(&service.client.0.issue_token(request).await.unwrap().into_inner())
    };
    let all = refresh("", &[]).await;
    let narrow = refresh("orders.read", &[]).await;
    let elsewhere = refresh("", &["stock"]).await;
    let ids = [&all[0], &narrow[0], &elsewhere[0]];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    assert_eq!(all[1..], narrow[1..]);
    assert_eq!(all[1..], elsewhere[1..]);
    assert_eq!(refresh("orders.read", &[]).await, narrow);
    assert_eq!(refresh("", &[]).await, all);
}

/// What gave 1,836 access tokens in a second, and for 14 days.
#[tokio::test]
async fn an_exchange_is_repeated_ten_times_over_all_replicas_and_more_ends_nothing() {
    let mut site = Site::start(&[]).await;
    let other = site.server.replica(&[]).await;
    let mut there = client_at(&other, HOME, "owner").await;
    let token = site.log_in().await;
    let first = site.owner.refresh(&token).await.unwrap();
    for number in 0..10 {
        let client = if number % 2 == 0 { &mut site.owner } else { &mut there };
        let again = client.refresh(&token).await.unwrap();
        assert_eq!((next_of(&again), known_by(&again)), (next_of(&first), known_by(&first)));
    }
    for number in 0..200 {
        let client = if number % 2 == 0 { &mut site.owner } else { &mut there };
        let refused = client.refresh(&token).await;
        let status = assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_REPEATS");
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(SECOND));
    }
    there.get_me(&first.access_token).await.unwrap();
    site.owner.refresh(&next_of(&first)).await.unwrap();
    site.audited("refresh_token.repeated", 0).await;
}

#[tokio::test]
async fn fifty_at_once_at_three_replicas_log_nobody_out() {
    let mut site = Site::start(&[]).await;
    let replicas = [site.server.replica(&[]).await, site.server.replica(&[]).await];
    let there = [client_at(&replicas[0], HOME, "owner").await, client_at(&replicas[1], HOME, "owner").await];
    let clients = [site.owner.clone(), there[0].clone(), there[1].clone()];
    let token = site.log_in().await;
    let mut tabs = JoinSet::new();
    for number in 0..50 {
        let (mut client, token) = (clients[number % 3].clone(), token.clone());
        tabs.spawn(async move { client.refresh(&token).await });
    }
    let mut answered = Vec::new();
    for tab in tabs.join_all().await {
        match tab {
            Ok(answer) => answered.push(answer),
            // It reads what another tab has stored.
            refused => drop(assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_REPEATS")),
        }
    }
    let first = answered.first().expect("one exchanged it");
    for answer in &answered {
        assert_eq!((next_of(answer), known_by(answer)), (next_of(first), known_by(first)));
        site.owner.get_me(&answer.access_token).await.unwrap();
    }
    site.owner.refresh(&next_of(first)).await.unwrap();
}

/// A thief copies a refresh token once, and then refreshes in turn with the owner, `pause` apart, the thief first if `is_first`. Returns
/// the round in which that is seen.
async fn rounds(site: &mut Site, thief_at: &str, is_first: bool, pause: Duration) -> Option<usize> {
    let mut thief = site.somebody_at(thief_at).await;
    let (mut of_owner, mut of_thief) = (site.log_in().await, String::new());
    of_thief.clone_from(&of_owner);
    for round in 1..=30 {
        site.server.clock.advance(LIFETIME);
        for is_thief in [is_first, !is_first] {
            let (client, token) =
                if is_thief { (&mut thief, &mut of_thief) } else { (&mut site.owner, &mut of_owner) };
            match client.refresh(token).await {
                Ok(answer) => {
                    *token = next_of(&answer);
                    // The thief shows its access tokens to others, who verify them by the published keys.
                    if !is_thief {
                        client.get_me(&answer.access_token).await.unwrap();
                    }
                }
                refused => {
                    assert_replay(refused);
                    return Some(round);
                }
            }
            site.server.clock.advance(pause);
        }
    }
    None
}

#[tokio::test]
async fn a_silent_thief_who_refreshes_in_turn_with_the_owner_is_seen_in_the_second_round() {
    let late = WINDOW + SECOND;
    for (thief_at, pause) in [(ELSEWHERE, SECOND), (ELSEWHERE, WINDOW), (HOME, late)] {
        let mut site = Site::start(&[]).await;
        assert_eq!(rounds(&mut site, thief_at, true, pause).await, Some(2), "{thief_at} {pause:?}");
        assert_eq!(site.audited("refresh_token.repeated", 1).await, [HOME], "the owner's, after the thief");
        assert_eq!(site.audited("refresh_token.replayed", 1).await, [HOME]);
    }
    // From elsewhere and late it is seen at once; and if the owner was first, whose access token Signet has seen.
    for (thief_at, is_first, pause) in
        [(ELSEWHERE, true, late), (ELSEWHERE, false, SECOND), (HOME, false, late), (ELSEWHERE, false, late)]
    {
        let mut site = Site::start(&[]).await;
        let seen = rounds(&mut site, thief_at, is_first, pause).await;
        assert_eq!(seen, Some(1), "{thief_at} {is_first} {pause:?}");
        site.audited("refresh_token.repeated", 0).await;
    }
}

/// What docs/SECURITY.md says is not seen.
#[tokio::test]
async fn a_thief_at_the_owners_own_address_within_the_window_passes_for_a_second_tab() {
    let mut site = Site::start(&[]).await;
    assert_eq!(rounds(&mut site, HOME, true, WINDOW).await, None);
    site.audited("refresh_token.repeated", 0).await;
}

#[tokio::test]
async fn a_phone_that_changes_its_network_or_sleeps_is_answered_once_in_24_hours() {
    for (address, pause) in [(ELSEWHERE, WINDOW), (HOME, WINDOW + SECOND), (HOME, LIFETIME * 2)] {
        let mut site = Site::start(&[]).await;
        let mut phone = site.somebody_at(address).await;
        let mut token = site.log_in().await;
        for day in 0..3 {
            let lost = site.owner.refresh(&token).await.unwrap();
            site.server.clock.advance(pause);
            let again = phone.refresh(&token).await.unwrap();
            assert_eq!((next_of(&again), known_by(&again)), (next_of(&lost), known_by(&lost)), "day {day}");
            let left = LIFETIME.saturating_sub(pause);
            assert_eq!(u64::try_from(again.expires_in).unwrap(), left.as_secs());
            token = next_of(&again);
            site.audited("refresh_token.repeated", day + 1).await;
            site.server.clock.advance(Duration::from_hours(24).saturating_sub(pause));
        }
        // The second within a day.
        let lost = site.owner.refresh(&token).await.unwrap();
        site.server.clock.advance(pause);
        token = next_of(&phone.refresh(&token).await.unwrap());
        drop(lost);
        site.owner.refresh(&token).await.unwrap();
        site.server.clock.advance(pause);
        assert_replay(phone.refresh(&token).await);
        assert_eq!(site.audited("refresh_token.repeated", 4).await[3], address);
        assert_eq!(site.audited("refresh_token.replayed", 1).await, [address]);
    }
}

#[tokio::test]
async fn what_is_elsewhere_and_what_is_not() {
    let mut site = Site::start(&["--trusted-proxy-addresses=127.0.0.1"]).await;
    let mut browser = client_at(&site.server, HOME, "browser").await;
    let refresh = async |client: &mut Client, token: &str, from: &str| {
        let grant = Grant::RefreshToken(RefreshTokenGrant { refresh_token: token.to_owned() });
        let mut request =
            Request::new(IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() });
        request.metadata_mut().insert("x-forwarded-for", from.parse().unwrap());
        client.0.issue_token(request).await.map(tonic::Response::into_inner)
    };
    let mut owner = site.owner.clone();
    // Of an IPv6 network addresses come and go, each is its owner's: the access token may have been seen.
    let token = site.log_in().await;
    let first = refresh(&mut owner, &token, "2001:db8:1:2::1").await.unwrap();
    owner.get_me(&first.access_token).await.unwrap();
    refresh(&mut owner, &token, "2001:db8:1:2:ffff::2").await.unwrap();
    assert_replay(refresh(&mut owner, &token, "2001:db8:1:3::1").await);

    let token = site.log_in().await;
    let first = refresh(&mut owner, &token, "192.0.2.1").await.unwrap();
    owner.get_me(&first.access_token).await.unwrap();
    refresh(&mut owner, &token, "::ffff:192.0.2.1").await.unwrap();
    assert_replay(refresh(&mut browser, &token, "192.0.2.1").await);
}

/// The session that an access token is of.
fn session_of(answer: &IssueTokenResponse) -> SessionId {
    SessionId(claims(&answer.access_token)["sid"].as_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn whichever_replica_sees_the_access_token_first_tells_the_others() {
    let mut site = Site::start(&[]).await;
    let other = site.server.replica(&[]).await;
    let mut there = client_at(&other, HOME, "owner").await;
    let store = site.server.store().await;
    let is_seen = async |id| store.session(id).await.unwrap().unwrap().exchange.is_seen;
    let token = site.log_in().await;
    let first = site.owner.refresh(&token).await.unwrap();
    let id = session_of(&first);
    assert!(!is_seen(id).await);
    there.get_me(&first.access_token).await.unwrap();
    eventually("the other replica has noted it", async || is_seen(id).await).await;
    // The next exchange has not been seen, whatever comes of older ones.
    let second = site.owner.refresh(&next_of(&first)).await.unwrap();
    for client in [&mut site.owner, &mut there] {
        client.get_me(&first.access_token).await.unwrap();
    }
    site.server.clock.advance(WINDOW + SECOND);
    let again = site.owner.refresh(&next_of(&first)).await.unwrap();
    assert_eq!(known_by(&again), known_by(&second));
    assert!(!is_seen(id).await);
    there.get_me(&second.access_token).await.unwrap();
    eventually("the other replica has noted it", async || is_seen(id).await).await;
    site.server.clock.advance(Duration::from_hours(25));
    assert_replay(site.owner.refresh(&next_of(&first)).await);
}

#[tokio::test]
async fn a_server_that_is_stopped_has_noted_what_it_saw() {
    let mut site = Site::start(&[]).await;
    let token = site.log_in().await;
    let answer = site.owner.refresh(&token).await.unwrap();
    site.owner.get_me(&answer.access_token).await.unwrap();
    let (data, _) = site.server.stop().await;
    let stored = data.store().await.session(session_of(&answer)).await.unwrap().unwrap();
    assert!(stored.exchange.is_seen);
}

/// The release before does not know of any of this: it exchanges, and leaves what is noted of an exchange before as it is.
#[tokio::test]
async fn exchanges_of_the_release_before_are_repeated_within_the_window_and_are_unseen() {
    for leftovers in [true, false] {
        let mut site = Site::start(&[]).await;
        let db = site.server.data.connect().await;
        let mut token = site.log_in().await;
        if leftovers {
            let answer = site.owner.refresh(&token).await.unwrap();
            site.owner.get_me(&answer.access_token).await.unwrap();
            for _ in 0..10 {
                site.owner.refresh(&token).await.unwrap();
            }
            let store = site.server.store().await;
            let id = session_of(&answer);
            let is_seen = async || store.session(id).await.unwrap().unwrap().exchange.is_seen;
            eventually("it is noted", is_seen).await;
            token = next_of(&answer);
        }
        site.server.clock.advance(LIFETIME);
        let first = site.owner.refresh(&token).await.unwrap();
        let undo = if leftovers {
            "UPDATE sessions SET exchange_time = last_use_time - 900000000, exchange_repeats = 10"
        } else {
            "UPDATE sessions SET exchange_time = NULL, exchange_origin = NULL, exchange_repeats = NULL"
        };
        db.execute_unprepared(undo).await.unwrap();
        let mut elsewhere = site.somebody_at(ELSEWHERE).await;
        for _ in 0..10 {
            assert_eq!(next_of(&elsewhere.refresh(&token).await.unwrap()), next_of(&first));
        }
        let refused = elsewhere.refresh(&token).await;
        assert_refused(refused, Code::ResourceExhausted, "TOO_MANY_REPEATS");
        site.audited("refresh_token.repeated", 0).await;
        // Who came first is where it came from, as far as can be told.
        site.owner.refresh(&token).await.unwrap();
        site.audited("refresh_token.repeated", 1).await;
    }
}

#[tokio::test]
async fn the_window_is_a_setting_and_fits_the_access_tokens() {
    for (args, window) in [
        (&["--access-token-ttl=1m"][..], Duration::from_secs(30)),
        (&["--refresh-repeat-window=1s"], SECOND),
        (&["--refresh-repeat-window=450s"], Duration::from_secs(450)),
    ] {
        let mut site = Site::start(args).await;
        let token = site.log_in().await;
        let answer = site.owner.refresh(&token).await.unwrap();
        site.owner.get_me(&answer.access_token).await.unwrap();
        site.server.clock.advance(window);
        site.owner.refresh(&token).await.unwrap();
        site.server.clock.advance(Duration::from_millis(2));
        assert_replay(site.owner.refresh(&token).await);
    }
}
