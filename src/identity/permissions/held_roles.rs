//! Owns the roles of one user or client, and what follows from them for the tokens that were shown last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Audience, AudienceName, NameSet, RegisteredClient, RoleNames, Timestamp,
    audience_rules::{Reading, Rules},
    hearing::{Counts, Heard},
    resolve::{self, HeldRole, Holding, Moment},
};

/// For how many tokens that differ the answer is kept. A user has some at a time, and those of one session are alike.
const MAX_KEPT: usize = 4;

/// The roles of a user or a client.
#[derive(Debug)]
pub(crate) struct HeldRoles {
    roles: Vec<HeldRole>,
    /// What had been heard of before they were read.
    heard: Counts,
    kept: Mutex<Vec<Kept>>,
    names: Mutex<Vec<KeptNames>>,
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
    pub(super) read: Reading,
    /// From when on it may be less.
    pub(super) until: Option<Timestamp>,
    left: Left,
}

/// The names of the roles at one audience.
#[derive(Debug)]
struct KeptNames {
    audience: AudienceName,
    until: Option<Timestamp>,
    names: Arc<RoleNames>,
}

impl Kept {
    /// What is `left` by `rules`, until one of the bindings ends.
    pub(super) fn new(rules: &Rules, until: Option<Timestamp>, left: Left) -> Self {
        Self { client: None, scope: String::new(), audience: None, read: rules.read, until, left }
    }

    fn is_of(&self, shown: &Shown<'_>) -> bool {
        // A client that has changed is another one.
        let same_client = self.client.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, shown.client));
        same_client && self.scope == shown.scope && self.audience.as_ref() == Some(shown.audience)
    }
}

impl HeldRoles {
    pub(super) fn new(roles: Vec<HeldRole>, heard: Counts) -> Self {
        Self { roles, heard, kept: Mutex::default(), names: Mutex::default() }
    }

    /// Whether they were read after all that has been `heard` of. Who has no role by a binding lost none with a change of one.
    pub(super) fn was_read_after(&self, heard: &Heard) -> bool {
        let now = heard.counts();
        self.heard.groups == now.groups && (self.roles.is_empty() || self.heard.roles == now.roles)
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
    pub(super) fn names_at(&self, audience: &AudienceName, now: Timestamp) -> Arc<RoleNames> {
        if self.roles.is_empty() {
            return Arc::default();
        }
        let mut kept = lock(&self.names);
        let is_good =
            |kept: &&KeptNames| kept.audience == *audience && kept.until.is_none_or(|until| now < until);
        if let Some(found) = kept.iter().find(is_good) {
            return Arc::clone(&found.names);
        }
        let at = |held: &&HeldRole| held.role.audience == *audience;
        let (nothing, moment) = (resolve::AudienceRule::default(), Moment::Shown(now));
        let holdings = [Holding { audience: &nothing, roles: self.roles.iter().filter(at).collect() }];
        let names = Arc::new(resolve::role_names(&holdings[0], moment));
        let until = resolve::next_end(&holdings, moment);
        kept.retain(|kept| kept.audience != *audience);
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push(KeptNames { audience: audience.clone(), until, names: Arc::clone(&names) });
        names
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
