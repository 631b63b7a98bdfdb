//! Owns the roles of one user or client, and what follows from them for the tokens that were shown last.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use uuid::Uuid;

use super::{
    Audience, AudienceName, NameSet, RegisteredClient, RolesAt, Timestamp,
    audience_rules::{Rules, RulesReading},
    hearing::Heard,
    resolve::{self, HeldRole, Holding, Moment},
};
use crate::model::user_attributes::ROW_BYTES;

/// For how many tokens that differ the answer is kept. A user has some at a time, and those of one session are alike.
const MAX_KEPT: usize = 4;

/// What of that goes for a holder without roles, groups and tokens.
const BARE_BYTES: usize = 250;

/// The roles of a user or a client.
#[derive(Debug)]
pub(crate) struct HeldRoles {
    /// Whose they are.
    id: Uuid,
    roles: Vec<HeldRole>,
    /// The groups that the user is in, whether or not a role comes by them.
    groups: Box<[Uuid]>,
    /// Up to which changes of roles and of groups nothing had changed that concerns them.
    seen: Seen,
    kept: Mutex<Vec<Kept>>,
    names: Mutex<Vec<KeptNames>>,
}

/// How many changes had been heard of.
#[derive(Debug)]
pub(super) struct Seen {
    roles: AtomicU64,
    groups: AtomicU64,
}

/// A token, as far as it decides on what is left of its scope.
pub(super) struct Shown<'a> {
    pub(super) client: &'a Arc<RegisteredClient>,
    pub(super) scope: &'a str,
    pub(super) audience: &'a Audience,
}

/// What a token's holder still has of its scope.
#[derive(Clone, Debug)]
pub(crate) enum Left {
    /// All of it.
    All,
    /// No more than this.
    Only(NameSet),
}

/// What is left of the scope of such a token.
#[derive(Debug)]
pub(super) struct Kept {
    /// None until it is kept, like what follows.
    client: Option<Arc<RegisteredClient>>,
    scope: String,
    audience: Option<Audience>,
    /// When the rules of its audiences were read.
    pub(super) read: RulesReading,
    /// From when on it may be less.
    pub(super) until: Option<Timestamp>,
    left: Left,
}

/// The names of roles, and whether they were put together just now.
pub(super) struct Named {
    pub(super) names: Arc<RolesAt>,
    pub(super) is_new: bool,
}

/// The names of the roles at one audience.
#[derive(Debug)]
struct KeptNames {
    audience: AudienceName,
    until: Option<Timestamp>,
    names: Arc<RolesAt>,
}

impl Kept {
    /// What is `left` by `rules`, until one of the bindings ends.
    pub(super) fn new(rules: &Rules, until: Option<Timestamp>, left: Left) -> Self {
        Self { client: None, scope: String::new(), audience: None, read: rules.read, until, left }
    }

    fn bytes(&self) -> usize {
        let audience: usize = self.audience.iter().flat_map(Audience::names).map(String::len).sum();
        let left = if let Left::Only(left) = &self.left { left.as_str().len() } else { 0 };
        size_of::<Self>() + self.scope.len() + audience + left
    }

    fn is_of(&self, shown: &Shown<'_>) -> bool {
        // A client that has changed is another one.
        let same_client = self.client.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, shown.client));
        same_client && self.scope == shown.scope && self.audience.as_ref() == Some(shown.audience)
    }
}

impl Seen {
    /// What has been `heard` of by now.
    pub(super) fn all(heard: &Heard) -> Self {
        Self { roles: heard.roles.count().into(), groups: heard.groups.count().into() }
    }
}

impl KeptNames {
    fn bytes(&self) -> usize {
        let RolesAt { names, joined } = &*self.names;
        let names = names.roles.iter().chain(&names.groups);
        size_of::<Self>() + joined.len() + names.map(|name| size_of::<String>() + name.len()).sum::<usize>()
    }
}

impl HeldRoles {
    /// The `roles` of whom `id` is, who is in `groups`, read after all was `seen`.
    pub(super) fn new(id: Uuid, roles: Vec<HeldRole>, groups: Box<[Uuid]>, seen: Seen) -> Self {
        Self { id, roles, groups, seen, kept: Mutex::default(), names: Mutex::default() }
    }

    /// Whose they are.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    /// Whether nothing has changed since they were read, of all that was `heard` of, that concerns them: no role that they have, and no
    /// group that the user is in.
    pub(super) fn are_as_they_were(&self, heard: &Heard) -> bool {
        let is_held =
            |changed: &HashSet<Uuid>| self.roles.iter().any(|held| changed.contains(&held.role.id.0));
        let is_in = |changed: &HashSet<Uuid>| self.groups.iter().any(|group| changed.contains(group));
        heard.groups.is_as_it_was(&self.seen.groups, is_in)
            && heard.roles.is_as_it_was(&self.seen.roles, is_held)
    }

    /// How many usual rows take as much memory.
    pub(super) fn weight(&self) -> u64 {
        let group_names = self.roles.iter().filter_map(|held| held.group.as_ref());
        let group_names: usize = group_names.map(|group| group.as_str().len()).sum();
        let held = size_of_val(&*self.roles) + group_names + size_of_val(&*self.groups);
        let kept: usize = lock(&self.kept).iter().map(Kept::bytes).sum();
        let named: usize = lock(&self.names).iter().map(KeptNames::bytes).sum();
        let rows = (BARE_BYTES + held + kept + named + ROW_BYTES / 2) / ROW_BYTES;
        u64::try_from(rows).unwrap_or(u64::MAX).max(1)
    }

    /// Whether there is no role at all.
    pub(super) const fn are_none(&self) -> bool {
        self.roles.is_empty()
    }

    /// The roles at each of the audiences of `rules`.
    pub(super) fn at<'a>(&'a self, rules: &'a Rules) -> Vec<Holding<'a>> {
        let at = |name: &AudienceName| self.roles.iter().filter(|held| held.role.audience == *name).collect();
        rules.rules.iter().map(|(name, audience)| Holding { audience, roles: at(name) }).collect()
    }

    /// What was left of `shown` when it was last asked, if that `holds` still.
    pub(super) fn recall(&self, shown: &Shown<'_>, holds: impl Fn(&Kept) -> bool) -> Option<Left> {
        let kept = lock(&self.kept);
        kept.iter().find(|kept| kept.is_of(shown) && holds(kept)).map(|kept| kept.left.clone())
    }

    /// Keeps what is left of `shown`.
    pub(super) fn keep(&self, shown: &Shown<'_>, answer: Kept) {
        let mut kept = lock(&self.kept);
        kept.retain(|kept| !kept.is_of(shown));
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        let (client, scope) = (Some(Arc::clone(shown.client)), shown.scope.to_owned());
        kept.push(Kept { client, scope, audience: Some(shown.audience.clone()), ..answer });
    }

    /// The names of the roles at `audience` at `now`.
    pub(super) fn names_at(&self, audience: &AudienceName, now: Timestamp) -> Named {
        let mut kept = lock(&self.names);
        let is_good =
            |kept: &&KeptNames| kept.audience == *audience && kept.until.is_none_or(|until| now < until);
        if let Some(found) = kept.iter().find(is_good) {
            return Named { names: Arc::clone(&found.names), is_new: false };
        }
        let at = |held: &&HeldRole| held.role.audience == *audience;
        let (nothing, moment) = (resolve::AudienceRule::default(), Moment::Shown(now));
        let holdings = [Holding { audience: &nothing, roles: self.roles.iter().filter(at).collect() }];
        let names = Arc::new(RolesAt::from(resolve::role_names(&holdings[0], moment)));
        let until = resolve::next_end(&holdings, moment);
        kept.retain(|kept| kept.audience != *audience);
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push(KeptNames { audience: audience.clone(), until, names: Arc::clone(&names) });
        Named { names, is_new: true }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
