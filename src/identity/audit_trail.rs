//! Owns the audit events in the database: writing those that come with no change, listing them, and deleting them when they are old.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{
    audit::{ActorKind, KeptEvent, Outbox},
    base::{Clock, Timestamp},
    model::{ClientId, Error, GroupId, Principal, RoleId, UserId},
    store::{Store, Strangers},
};

pub use crate::{audit::KeptChange, store::EventFilter};

/// How many events are written at once.
const BATCH: usize = 500;

/// How long to wait for more once there is one: what logs in meanwhile is written by one transaction.
const LINGER: Duration = Duration::from_millis(200);

/// How many rows are read at most for one page of a list.
const MAX_READ: u64 = 5_000;

/// How many are read at a time where not each that is read is meant.
const CHUNK: u64 = 500;

/// The audit events in the database.
#[derive(Debug)]
pub struct AuditTrail {
    store: Store,
    strangers: Strangers,
    clock: Clock,
    /// The events that wait to be written; none if none do.
    outbox: Option<Outbox>,
    /// How long events are kept.
    retention: Duration,
    /// Held by whoever writes: one at a time.
    writing: Mutex<()>,
}

/// A page of events.
#[derive(Debug)]
pub struct EventPage {
    /// The newest first.
    pub events: Vec<ListedEvent>,
    /// After which the next page begins; none if this is the last.
    pub next: Option<Uuid>,
}

/// An event, and what those are called now whom it names.
#[derive(Clone, Debug)]
pub struct ListedEvent {
    /// The event.
    pub event: KeptEvent,
    /// The present name of the user or client who did it; none if it no longer exists.
    pub actor_name: Option<String>,
    /// The present name of the user.
    pub username: Option<String>,
    /// The present name of the client.
    pub client_name: Option<String>,
    /// The present name of the role.
    pub role_name: Option<String>,
    /// The present name of the group.
    pub group_name: Option<String>,
}

impl AuditTrail {
    /// The events in `store`, which are kept for `retention`; to which those are added that wait in `outbox`.
    #[must_use]
    pub fn new(store: Store, outbox: Option<Outbox>, retention: Duration, clock: Clock) -> Self {
        Self { strangers: store.for_strangers(), store, clock, outbox, retention, writing: Mutex::default() }
    }

    /// The same for a command, which deletes none: by the clock of its machine.
    #[must_use]
    pub fn of_command(store: Store, outbox: Option<Outbox>) -> Self {
        Self::new(store, outbox, Duration::MAX, Clock::system())
    }

    /// Waits until there are events to write, and writes them, many together.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the cause: they are the first to be written the next time. [`Error::Internal`] if the database does not
    /// take them as they are: they are lost, which is counted.
    pub async fn write_events(&self) -> Result<(), Error> {
        let Some(outbox) = &self.outbox else { return std::future::pending().await };
        outbox.arrived().await;
        sleep(LINGER).await;
        self.write_oldest(outbox).await
    }

    /// Writes all that waits, as far as that can be had `within` so long. Returns whether it was.
    pub async fn write_rest(&self, within: Duration) -> bool {
        let Some(outbox) = &self.outbox else { return true };
        let writing = async {
            while !outbox.is_empty() {
                if let Err(error) = self.write_oldest(outbox).await {
                    tracing::debug!(error = %error, "audit events are not written");
                    return false;
                }
            }
            true
        };
        timeout(within, writing).await.unwrap_or(false)
    }

    async fn write_oldest(&self, outbox: &Outbox) -> Result<(), Error> {
        let _alone = self.writing.lock().await;
        let batch = outbox.oldest(BATCH);
        let rows = batch.rows(self.clock.now(), self.store.entropy());
        match self.strangers.keep_events(&rows).await {
            Ok(()) => outbox.kept(&batch),
            Err(error) => {
                if matches!(error, Error::Internal(_)) {
                    outbox.give_up(&batch);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Deletes the events that are kept no longer as of `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause; the next run goes on there.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.store.delete_events_before(now.before(self.retention)).await
    }

    /// The events of `filter` before the one with the id `before`, the newest first; `size` at most. Not more than 5,000 rows are read for
    /// it: a page may be short, or empty, and not be the last.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn list(
        &self,
        filter: &EventFilter,
        before: Option<Uuid>,
        size: usize,
    ) -> Result<EventPage, Error> {
        // One more than is asked for shows whether there is another page.
        let wanted = u64::try_from(size).unwrap_or(MAX_READ).min(MAX_READ) + 1;
        let chunk = if filter.is_led() { wanted } else { CHUNK };
        let (mut found, mut last, mut read) = (Vec::new(), before, 0);
        let mut next = None;
        while read < MAX_READ {
            let rows = self.store.leading_events(filter, last, chunk).await?;
            let is_end = (rows.len() as u64) < chunk;
            for row in rows {
                read += 1;
                let id = row.id;
                if filter.admits(&row) {
                    if found.len() == size {
                        return self.page(found, last).await;
                    }
                    found.push(row);
                }
                last = Some(id);
            }
            if is_end {
                next = None;
                break;
            }
            next = last;
        }
        self.page(found, next).await
    }

    /// The event `id`; none if there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn event(&self, id: Uuid) -> Result<Option<ListedEvent>, Error> {
        let found = self.store.event(id).await?;
        Ok(self.named(found.into_iter().collect()).await?.pop())
    }

    async fn page(&self, events: Vec<KeptEvent>, next: Option<Uuid>) -> Result<EventPage, Error> {
        Ok(EventPage { events: self.named(events).await?, next })
    }

    async fn named(&self, events: Vec<KeptEvent>) -> Result<Vec<ListedEvent>, Error> {
        let mut principals: Vec<_> = events.iter().flat_map(principals).flatten().collect();
        principals.sort_unstable_by_key(|principal| (principal.kind(), principal.id()));
        principals.dedup();
        let mut roles: Vec<_> = events.iter().filter_map(|event| event.role_id.map(RoleId)).collect();
        roles.sort_unstable_by_key(|role| role.0);
        roles.dedup();
        let names = self.store.names_of(&principals).await?;
        let roles = self.store.role_names(&roles).await?;
        let listed = |event: KeptEvent| {
            let role_name = event.role_id.and_then(|id| roles.get(&RoleId(id)).cloned());
            ListedEvent { role_name, ..ListedEvent::new(event, &names) }
        };
        Ok(events.into_iter().map(listed).collect())
    }
}

/// Who did it, and the user, the client and the group that it concerns.
fn principals(event: &KeptEvent) -> [Option<Principal>; 4] {
    let user = |id| Principal::User(UserId(id));
    let client = |id| Principal::Client(ClientId(id));
    let actor = event.actor_id.and_then(|id| match &event.actor_kind {
        kind if kind == ActorKind::User.name() => Some(user(id)),
        kind if kind == ActorKind::Client.name() => Some(client(id)),
        _ => None,
    });
    let group = event.group_id.map(|id| Principal::Group(GroupId(id)));
    [actor, event.user_id.map(user), event.client_id.map(client), group]
}

impl ListedEvent {
    fn new(event: KeptEvent, names: &HashMap<Principal, String>) -> Self {
        let called = |principal: Option<Principal>| names.get(&principal?).cloned();
        let [actor_name, username, client_name, group_name] = principals(&event).map(called);
        Self { event, actor_name, username, client_name, role_name: None, group_name }
    }
}
