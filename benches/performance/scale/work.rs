//! Owns what is measured at every size: the operations, and what each costs the service and its database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::RngExt;
use signet::{
    identity::users::UserFilter,
    model::{Prefix, UserId},
    proto::identity::v1::{
        IssueTokenRequest, PasswordGrant, RefreshTokenGrant, SignUpRequest, issue_token_request::Grant,
    },
};
use tokio::task::JoinSet;
use tonic::Code;

use super::{server::DatabaseServer, site::Site, users};
use crate::{
    Result,
    client::{self, Client, PASSWORD},
    process::{self, Server},
    stats::{float, micros},
};

/// How many callers there are at once.
pub(crate) const STREAMS: usize = 16;

/// How many users are listed at a time: as many as `signet users list` reads.
pub(crate) const PAGE: u64 = 500;

/// How many users are searched for at a time: as many as the admin API lists if nothing is said.
const SEARCH_PAGE: u64 = 50;

/// How often users who have many bindings log in in a round, and for how many calls they then show their tokens: there are few of them,
/// and of a user's sessions those end that are beyond a thousand.
const HOLDER_LOGINS: usize = 320;

/// How many pages are read in a round.
const PAGES: usize = 200;

/// How often what can be asked again is asked in a round: CPU time is told in hundredths of a second.
const PASSES: usize = 4;

/// What is measured, in this order: what comes later uses the tokens of what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    LookUp,
    LogIn,
    FirstSight,
    SeenAgain,
    RefreshUnknown,
    RefreshKnown,
    Remembered,
    HolderFirstSight,
    HolderRemembered,
    FirstPages,
    LastPages,
    Searched(Search),
}

/// By what users are searched: each has an order and an index of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    Username,
    Email,
    DisplayName,
}

impl Search {
    pub(crate) const ALL: [Self; 3] = [Self::Username, Self::Email, Self::DisplayName];

    /// Those who are near the user `number` by name; by what they are shown as, all.
    pub(crate) fn filter(self, number: usize) -> UserFilter {
        let mut name = users::name(number);
        name.truncate(name.len() - 2);
        let prefix = |text: &str| Prefix::parse(text).ok();
        match self {
            Self::Username => UserFilter { username: prefix(&name), ..UserFilter::default() },
            Self::Email => UserFilter { email: prefix(&name), ..UserFilter::default() },
            Self::DisplayName => UserFilter { display_name: prefix("alice"), ..UserFilter::default() },
        }
    }
}

impl Operation {
    pub(crate) const ALL: [Self; 14] = [
        Self::LookUp,
        Self::LogIn,
        Self::FirstSight,
        Self::SeenAgain,
        Self::RefreshUnknown,
        Self::RefreshKnown,
        Self::Remembered,
        Self::HolderFirstSight,
        Self::HolderRemembered,
        Self::FirstPages,
        Self::LastPages,
        Self::Searched(Search::Username),
        Self::Searched(Search::Email),
        Self::Searched(Search::DisplayName),
    ];

    /// Whether it is a call; the others are pages.
    pub(crate) const fn is_call(self) -> bool {
        !matches!(self, Self::FirstPages | Self::LastPages | Self::Searched(_))
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LookUp => "user looked up by name",
            Self::LogIn => "login, less the hash",
            Self::FirstSight => "GetMe, token's first sight",
            Self::SeenAgain => "GetMe, user not remembered",
            Self::RefreshUnknown => "refresh, session not remembered",
            Self::RefreshKnown => "refresh, all remembered",
            Self::Remembered => "GetMe, all remembered",
            Self::HolderFirstSight => "GetMe, first sight, 100 bindings",
            Self::HolderRemembered => "GetMe, remembered, 100 bindings",
            Self::FirstPages => "500 users listed, at the start",
            Self::LastPages => "500 users listed, at the end",
            Self::Searched(Search::Username) => "50 users searched by username",
            Self::Searched(Search::Email) => "50 users searched by e-mail",
            Self::Searched(Search::DisplayName) => "50 users searched by display name",
        }
    }
}

/// What one operation cost in one round, in microseconds per call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) signet_cpu: f64,
    pub(crate) database_cpu: f64,
    pub(crate) time: f64,
}

impl Cost {
    /// Of both together.
    pub(crate) fn cpu(self) -> f64 {
        self.signet_cpu + self.database_cpu
    }
}

/// The tokens of a round's logins at one site.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Of logins at the server that remembers nothing.
    forgotten: Vec<Pair>,
    /// Of logins at the server that remembers all.
    known: Vec<Pair>,
}

/// What a login brings.
#[derive(Clone, Debug)]
struct Pair {
    access: String,
    refresh: String,
}

/// One call.
#[derive(Clone, Debug)]
enum Call {
    /// A sign-up under a name that is taken: it is refused before anything is hashed.
    LookUp(String),
    LogIn(String),
    GetMe(String),
    Refresh(String),
}

/// Does `operation` some `calls` times at `site`, each time for another user, and returns what a call cost.
pub(crate) async fn measure(
    operation: Operation,
    site: &Site,
    database: &DatabaseServer,
    tokens: &mut Tokens,
    calls: usize,
) -> Result<Cost> {
    let anybody = || {
        let mut rng = rand::rng();
        (0..calls).map(move |_| users::name(rng.random_range(0..site.users)))
    };
    let with =
        |tokens: &[Pair], call: fn(Pair) -> Call| -> Vec<Call> { tokens.iter().cloned().map(call).collect() };
    let get_me = |pair: Pair| Call::GetMe(pair.access);
    let (server, jobs): (&Server, Vec<Call>) = match operation {
        Operation::LookUp => {
            (&site.forgetful, (0..PASSES).flat_map(|_| anybody()).map(Call::LookUp).collect())
        }
        Operation::LogIn => (&site.forgetful, anybody().map(Call::LogIn).collect()),
        Operation::FirstSight => (&site.forgetful, with(&tokens.forgotten, get_me)),
        Operation::SeenAgain => (&site.forgetful, repeated(&with(&tokens.forgotten, get_me))),
        Operation::RefreshUnknown => {
            (&site.forgetful, with(&tokens.forgotten, |pair| Call::Refresh(pair.refresh)))
        }
        Operation::RefreshKnown => {
            // A login has its session and its user remembered.
            tokens.known = run(&site.remembering, database, anybody().map(Call::LogIn).collect()).await?.1;
            (&site.remembering, with(&tokens.known, |pair| Call::Refresh(pair.refresh)))
        }
        Operation::Remembered => {
            run(&site.remembering, database, with(&tokens.known, get_me)).await?;
            (&site.remembering, repeated(&with(&tokens.known, get_me)))
        }
        Operation::HolderFirstSight => {
            let logins = holders(site).map(Call::LogIn).collect();
            let brought = run(&site.forgetful, database, logins).await?.1;
            (&site.forgetful, with(&brought, get_me))
        }
        Operation::HolderRemembered => {
            let logins = holders(site).map(Call::LogIn).collect();
            let brought = run(&site.remembering, database, logins).await?.1;
            let calls = with(&brought, get_me);
            run(&site.remembering, database, calls.clone()).await?;
            let passes = (PASSES * tokens.known.len()).div_ceil(calls.len());
            (&site.remembering, (0..passes).flat_map(|_| calls.clone()).collect())
        }
        Operation::FirstPages => return pages(site, database, None).await,
        Operation::LastPages => return pages(site, database, Some(site.near_the_end)).await,
        Operation::Searched(search) => return searches(site, database, search).await,
    };
    let (cost, brought) = run(server, database, jobs).await?;
    if operation == Operation::LogIn {
        tokens.forgotten = brought;
    }
    Ok(cost)
}

/// Users who have many bindings.
fn holders(site: &Site) -> impl Iterator<Item = String> {
    let mut rng = rand::rng();
    (0..HOLDER_LOGINS).map(move |_| site.holders[rng.random_range(0..site.holders.len())].clone())
}

fn repeated(calls: &[Call]) -> Vec<Call> {
    (0..PASSES).flat_map(|_| calls.to_vec()).collect()
}

/// Has the callers make all calls, over one connection, and returns what one cost, and the tokens that they brought. All must
/// end as they should.
async fn run(server: &Server, database: &DatabaseServer, calls: Vec<Call>) -> Result<(Cost, Vec<Pair>)> {
    let client = client::connect(server.grpc_addr).await?;
    let count = float(calls.len());
    let calls = Arc::new(calls);
    let (server_before, database_before, started) = (server.cpu()?, database.cpu()?, Instant::now());
    let mut callers = JoinSet::new();
    for caller in 0..STREAMS {
        let (mut client, calls) = (client.clone(), Arc::clone(&calls));
        callers.spawn(async move {
            let mut brought = Vec::new();
            for call in calls.iter().skip(caller).step_by(STREAMS) {
                brought.extend(make(call.clone(), &mut client).await?);
            }
            Result::Ok(brought)
        });
    }
    let mut brought = Vec::new();
    while let Some(caller) = callers.join_next().await {
        brought.extend(caller??);
    }
    let per_call = |time: Duration| micros(time) / count;
    let cost = Cost {
        time: per_call(started.elapsed()),
        signet_cpu: per_call(server.cpu()?.saturating_sub(server_before)),
        database_cpu: per_call(database.cpu()?.saturating_sub(database_before)),
    };
    Ok((cost, brought))
}

/// Makes one call, and returns the tokens that it brings, if it is one that does.
async fn make(call: Call, client: &mut Client) -> Result<Option<Pair>> {
    let grant = match call {
        Call::LookUp(username) => {
            let request =
                SignUpRequest { username, password: PASSWORD.to_owned(), ..SignUpRequest::default() };
            return match client.sign_up(request).await {
                Err(refusal) if refusal.code() == Code::AlreadyExists => Ok(None),
                other => Err(format!("a taken name: {other:?}").into()),
            };
        }
        Call::GetMe(token) => {
            client.get_me(client::get_me_request(client::authorization(&token)?)).await?;
            return Ok(None);
        }
        Call::LogIn(username) => Grant::Password(PasswordGrant { username, password: PASSWORD.to_owned() }),
        Call::Refresh(refresh_token) => Grant::RefreshToken(RefreshTokenGrant { refresh_token }),
    };
    let request = IssueTokenRequest { grant: Some(grant), ..IssueTokenRequest::default() };
    let answer = client.issue_token(request).await?.into_inner();
    let refresh = answer.refresh_token.ok_or("no refresh token")?;
    Ok(Some(Pair { access: answer.access_token, refresh }))
}

/// Reads the page of users after `after` again and again, and returns what that cost.
async fn pages(site: &Site, database: &DatabaseServer, after: Option<UserId>) -> Result<Cost> {
    read_pages(database, PAGE, async || Ok(site.store.users(after, PAGE).await?.len())).await
}

/// Searches again and again, for others each time, and returns what that cost.
async fn searches(site: &Site, database: &DatabaseServer, search: Search) -> Result<Cost> {
    let page = async || {
        let number = rand::rng().random_range(0..site.users);
        let page = site.directory.search(&search.filter(number), None, SEARCH_PAGE).await;
        Ok(page.map_err(|error| error.to_string())?.users.len())
    };
    read_pages(database, SEARCH_PAGE, page).await
}

/// Reads pages of `size` users by `read`, one by one, in this process, and returns what one cost.
async fn read_pages(
    database: &DatabaseServer,
    size: u64,
    read: impl AsyncFn() -> Result<usize>,
) -> Result<Cost> {
    let cpu = || process::cpu_of(std::process::id());
    let (own_before, database_before, started) = (cpu()?, database.cpu()?, Instant::now());
    for _ in 0..PAGES {
        let found = read().await?;
        if found as u64 != size {
            return Err(format!("a page of {found} users").into());
        }
    }
    let per_page = |time: Duration| micros(time) / float(PAGES);
    Ok(Cost {
        time: per_page(started.elapsed()),
        signet_cpu: per_page(cpu()?.saturating_sub(own_before)),
        database_cpu: per_page(database.cpu()?.saturating_sub(database_before)),
    })
}
