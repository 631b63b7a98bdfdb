//! Owns users in the hands of those who manage them: searching, changing and deleting them, and what an upgrade makes of those that were
//! there. Run on every database.

mod changes;
mod search;
mod upgrade;

use std::time::Duration;

use signet::{
    base::{Clock, Entropy, Timestamp},
    identity::{
        UserDirectory, UserRegistry,
        users::{FoundUser, UserFilter},
    },
    model::{
        Prefix, User, UserAttributes, UserId, Username,
        profile::{DisplayName, Email},
    },
    store::{Store, StoredUser},
};

use crate::harness::{Data, START, TestServer, unaudited};

/// A database, and what is asked of its users.
struct Users {
    store: Store,
    directory: UserDirectory,
    registry: UserRegistry,
}

impl Users {
    /// An empty database, which no server is on.
    async fn empty() -> (Self, Data, Clock) {
        let (data, clock) = TestServer::start(&[]).await.stop().await;
        (Self::of(data.store().await, &clock), data, clock)
    }

    fn of(store: Store, clock: &Clock) -> Self {
        let directory = UserDirectory::new(store.clone());
        let registry = UserRegistry::new(store.clone(), clock.clone(), unaudited(clock));
        Self { store, directory, registry }
    }

    /// Adds `users`, by few statements.
    async fn add(&self, users: &[StoredUser]) {
        for users in users.chunks(500) {
            self.store.add_users(users, START).await.unwrap().unwrap();
        }
    }

    /// All that `filter` wants, by pages of `size`, and how many pages there were.
    async fn walk(&self, filter: &UserFilter, size: u64) -> (Vec<FoundUser>, usize) {
        let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = self.directory.search(filter, after, size).await.unwrap();
            assert!(page.users.len() as u64 <= size);
            (pages, after) = (pages + 1, page.next);
            all.extend(page.users);
            if after.is_none() {
                return (all, pages);
            }
        }
    }

    async fn names(&self, filter: &UserFilter) -> Vec<String> {
        self.walk(filter, 10)
            .await
            .0
            .into_iter()
            .map(|found| found.user.username.typed().to_owned())
            .collect()
    }
}

/// A user who cannot log in, made so many minutes after the start.
fn user(name: &str, minutes: u64) -> StoredUser {
    let time = minute(minutes);
    let user = User {
        id: UserId::new(time, &Entropy::system()),
        username: Username::parse(name).unwrap(),
        email: None,
        display_name: None,
        attributes: UserAttributes::default(),
        is_active: true,
        create_time: time,
        update_time: time,
    };
    StoredUser { user, password_hash: "none".to_owned(), login_time: None }
}

fn with_profile(name: &str, email: Option<&str>, display_name: Option<&str>) -> StoredUser {
    let mut stored = user(name, 0);
    stored.user.email = email.map(|email| Email::parse(email).unwrap());
    stored.user.display_name = display_name.map(|name| DisplayName::parse(name).unwrap());
    stored
}

fn minute(minutes: u64) -> Timestamp {
    START.after(Duration::from_mins(minutes))
}

fn prefix(text: &str) -> Prefix {
    Prefix::parse(text).unwrap()
}
