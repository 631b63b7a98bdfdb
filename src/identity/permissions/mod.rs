//! Owns what users and clients may do at this moment: by their roles, which are cached until the feed names them.

mod audience_rules;
mod hearing;
mod held_roles;
mod resolve;

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use uuid::Uuid;

use super::clients::RegisteredClient;
use crate::{
    base::{Clock, Tally, Timestamp},
    changes::{Known, RowCache, Turns, Watermark},
    model::{
        AdminScope, Audience, AudienceName, Claims, Client, ClientId, Error, Grant, NameSet, NamedAttributes,
        RoleId, TokenTyp, UserId,
    },
    store::{HeldGrants, Store},
};

pub use hearing::Hearing;
pub(crate) use held_roles::{HeldRoles, Left};
pub use resolve::{RoleNames, RolesAt};
pub(super) use resolve::{kept, unasked};

use audience_rules::{AudienceRules, Rules, RulesReading};
use hearing::Heard;
use held_roles::{Kept, Seen, Shown};
use resolve::{HeldRole, Holding, Moment, RoleScopes};

/// How many roles are kept to be shared.
const MAX_ROLES: usize = 10_000;

/// What tokens may say of roles, by the names that a client's setting has.
pub const ROLES_CLAIM: &str = "roles";

/// The claim that lists the groups of a token's user.
pub const GROUPS_CLAIM: &str = "groups";

/// The permissions of users and clients.
///
/// A call whose token was seen before costs one look at what is remembered of its user, which has the answer for that token beside the
/// roles. Changes of one user's bindings have that user forgotten; those of roles and groups, which can concern anybody, are counted:
/// whoever calls after one is looked at, and is read anew if it has the role or is in the group.
#[derive(Debug)]
pub struct Permissions {
    store: Store,
    clock: Clock,
    /// The service's own audience.
    own: NameSet,
    max_age: Duration,
    /// How long after a change, by its clock, another process may still issue tokens as of before.
    late: Duration,
    watermark: Arc<Watermark>,
    held: RowCache<Uuid, HeldRoles>,
    /// Of calls at once of one user one reads its roles.
    readings: Turns,
    audiences: AudienceRules,
    /// Roles as they were read last, so that a thousand users who have one share it.
    roles: Cache<RoleId, Arc<RoleScopes>>,
    heard: Heard,
}

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct PermissionSettings {
    /// How many users and clients are remembered.
    pub cache_size: usize,
    /// For how long: how long a change by another process may stay unseen.
    pub cache_max_age: Duration,
    /// How far the clocks of two processes may be apart.
    pub clock_leeway: Duration,
}

/// The scopes and names of roles that a token gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Its scopes.
    pub(crate) scope: NameSet,
    /// When it has something no longer that it has by a binding.
    pub(crate) end: Option<Timestamp>,
    /// The names of roles and groups that the token lists.
    pub(crate) names: RoleNames,
    /// What it says of the attributes of its user.
    pub(crate) attributes: NamedAttributes,
    /// What its header calls it.
    pub(crate) typ: TokenTyp,
}

/// Whom a token is for: what decides what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipient<'a> {
    /// The audiences of the token.
    pub(crate) audience: &'a NameSet,
    /// What it shall say of roles: [`ROLES_CLAIM`], [`GROUPS_CLAIM`].
    pub(crate) claims: &'a NameSet,
}

impl Permissions {
    /// By the roles in `store`; `own` is the service's own audience.
    #[must_use]
    pub fn new(
        store: Store,
        own: NameSet,
        settings: PermissionSettings,
        clock: Clock,
        watermark: Arc<Watermark>,
    ) -> Self {
        let PermissionSettings { cache_size, cache_max_age: max_age, clock_leeway } = settings;
        let held = RowCache::new(cache_size, max_age, clock.clone(), Arc::clone(&watermark));
        Self {
            store,
            clock,
            own,
            max_age,
            late: max_age + clock_leeway,
            watermark,
            held,
            readings: Turns::default(),
            audiences: AudienceRules::default(),
            roles: Cache::new(MAX_ROLES),
            heard: Heard::default(),
        }
    }

    /// How often the roles of a user or client were known, and how often not.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.held.tally()
    }

    /// What a user's token is given of `asked`, all of which its client may have.
    pub(crate) async fn for_user(
        &self,
        user: UserId,
        asked: &NameSet,
        recipient: Recipient<'_>,
    ) -> Result<Given, Error> {
        let held = self.of_user(user).await?;
        let rules = self.rules(recipient.audience.iter()).await?;
        let (holdings, moment) = (held.at(&rules), Moment::Issued(self.clock.now()));
        let scope = resolve::of_user(asked, &holdings, moment);
        let end = resolve::end_of_user(&scope, &holdings, moment);
        Ok(given(scope, end, &holdings, recipient.claims, moment))
    }

    /// What a client's own token is given of what is wished for.
    ///
    /// # Errors
    /// [`Error::InvalidScope`] with what it may not have.
    pub(crate) async fn for_client(
        &self,
        client: &Client,
        wish: &NameSet,
        recipient: Recipient<'_>,
    ) -> Result<Given, Error> {
        let held = self.of_client(client.id).await?;
        let rules = self.rules(recipient.audience.iter()).await?;
        let (holdings, moment) = (held.at(&rules), Moment::Issued(self.clock.now()));
        let may = resolve::of_client(&client.scopes, &holdings, moment);
        let scope = resolve::asked(wish, &may).map_err(Error::InvalidScope)?;
        let end = resolve::end_of_client(&scope, &client.scopes, &holdings, moment);
        Ok(given(scope, end, &holdings, recipient.claims, moment))
    }

    /// Whether `client` has `scope` in its own name at the service itself: as it is registered, whatever audience that is for, or by a role
    /// that is bound to it there.
    pub(super) async fn client_has(&self, client: &Client, scope: &str) -> Result<bool, Error> {
        let held = self.of_client(client.id).await?;
        let rules = self.rules(self.own.iter()).await?;
        let moment = Moment::Shown(self.clock.now());
        Ok(resolve::of_client(&client.scopes, &held.at(&rules), moment).contains(scope))
    }

    /// What is left of the scope of a token whose holder has `held`. `client` is the one that asked for it.
    pub(super) async fn left_of(
        &self,
        held: &HeldRoles,
        claims: &Claims,
        client: &Arc<RegisteredClient>,
    ) -> Result<Left, Error> {
        let shown = Shown { client, scope: &claims.scope, audience: &claims.aud };
        if let Some(left) = held.recall(&shown, |kept| self.still_holds(kept)) {
            return Ok(left);
        }
        let rules = self.rules(claims.aud.names().iter().map(String::as_str)).await?;
        let (holdings, moment) = (held.at(&rules), Moment::Shown(self.clock.now()));
        let scope = NameSet::from_stored(claims.scope.clone());
        let client = client.client();
        let holds = match claims.sid {
            Some(_) => resolve::of_user(&scope.within(&for_users(client)), &holdings, moment),
            None => scope.within(&resolve::of_client(&client.scopes, &holdings, moment)),
        };
        let left = if holds == scope { Left::All } else { Left::Only(holds) };
        let until = resolve::next_end(&holdings, moment);
        held.keep(&shown, Kept::new(&rules, until, left.clone()));
        self.held.reweigh(held.id(), held, held.weight());
        Ok(left)
    }

    /// Whether the type of a token counts, whose claims these are and which has been verified: `JWT` does where its audience asks for
    /// it, or did when it was issued. The service itself never does.
    pub(crate) async fn counts_as(&self, claims: &Claims) -> Result<bool, Error> {
        if claims.typ == TokenTyp::AtJwt {
            return Ok(true);
        }
        let [only] = claims.aud.names() else { return Ok(false) };
        if self.takes_jwt(only, claims.iat).await? {
            return Ok(true);
        }
        // Another process may have issued it as of a change that this one has not heard of yet.
        self.audiences.forget(&AudienceName::of(only, &self.own));
        self.takes_jwt(only, claims.iat).await
    }

    async fn takes_jwt(&self, audience: &str, iat: i64) -> Result<bool, Error> {
        let rules = self.rules(std::iter::once(audience)).await?;
        let time = Timestamp::from_micros(iat.saturating_mul(1_000_000));
        Ok(rules.rules.iter().all(|(_, rule)| rule.typ.takes_jwt_of(time, self.late)))
    }

    /// What would be left of a session's scope in a token of this moment.
    pub(super) async fn left_of_session(
        &self,
        user: UserId,
        asked: &NameSet,
        audience: &NameSet,
        client: &RegisteredClient,
    ) -> Result<NameSet, Error> {
        let held = self.of_user(user).await?;
        let rules = self.rules(audience.iter()).await?;
        let moment = Moment::Shown(self.clock.now());
        Ok(resolve::of_user(&asked.within(&for_users(client.client())), &held.at(&rules), moment))
    }

    /// The names of the roles and groups that `held` has at `audience`, as it stands in `aud`.
    pub(crate) fn names_at(&self, held: &HeldRoles, audience: &str) -> Arc<RolesAt> {
        if held.are_none() {
            return Arc::default();
        }
        let named = held.names_at(&AudienceName::of(audience, &self.own), self.clock.now());
        if named.is_new {
            self.held.reweigh(held.id(), held, held.weight());
        }
        named.names
    }

    /// The roles of the user `id`, as they were at most the bound of the cache ago.
    pub(crate) async fn of_user(&self, id: UserId) -> Result<Arc<HeldRoles>, Error> {
        self.known_or(id.0, || self.store.held_by_user(id)).await
    }

    /// The roles of the client `id`, as they were at most the bound of the cache ago.
    pub(crate) async fn of_client(&self, id: ClientId) -> Result<Arc<HeldRoles>, Error> {
        let held = async || {
            let grants = self.store.grants_of_client(id).await?;
            Ok(HeldGrants { grants, groups: Vec::new() })
        };
        self.known_or(id.0, held).await
    }

    fn known(&self, id: Uuid) -> Option<Arc<HeldRoles>> {
        let Known(held) = self.held.get(id)?;
        held.filter(|held| held.are_as_they_were(&self.heard))
    }

    async fn known_or<F: Future<Output = Result<HeldGrants, Error>>>(
        &self,
        id: Uuid,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<HeldRoles>, Error> {
        if let Some(held) = self.known(id) {
            return Ok(held);
        }
        let turn = self.readings.take(id).await;
        if turn.is_none()
            && let Some(held) = self.known(id)
        {
            return Ok(held);
        }
        // Before the reading: what is heard of later, it may not have seen.
        let (seen, reading) = (Seen::all(&self.heard), self.held.begin());
        let HeldGrants { grants, groups } = read().await?;
        let roles = grants.into_iter().map(|grant| self.shared(grant)).collect();
        let groups = groups.into_iter().map(|group| group.0).collect();
        let held = Arc::new(HeldRoles::new(id, roles, groups, seen));
        self.held.put_weighing(id, Some(Arc::clone(&held)), reading, held.weight());
        Ok(held)
    }

    /// What `grant` gives, with the role that others have, too, kept once.
    fn shared(&self, grant: Grant) -> HeldRole {
        let Grant { role, group, expire_time: end, .. } = grant;
        let read = RoleScopes { id: role.id, name: role.name, audience: role.audience, scopes: role.scopes };
        let known = self.roles.get(&role.id).filter(|known| **known == read);
        let role = known.unwrap_or_else(|| {
            let role_scopes = Arc::new(read);
            self.roles.insert(role.id, Arc::clone(&role_scopes));
            role_scopes
        });
        HeldRole { role, group: group.map(|group| group.name), end }
    }

    /// What holds at `audiences`, as they stand in `aud`.
    async fn rules(&self, audiences: impl Iterator<Item = &str>) -> Result<Rules, Error> {
        let names = audiences.map(|name| AudienceName::of(name, &self.own)).collect();
        let now = || RulesReading { begun: self.clock.monotonic(), roles: self.heard.roles.count() };
        self.audiences.find(names, now, |read| self.vouches_for(*read), &self.store).await
    }

    /// Whether nothing is known to have changed at an audience since it was read.
    fn vouches_for(&self, read: RulesReading) -> bool {
        read.roles == self.heard.roles.count()
            && self.watermark.vouches_for(read.begun, self.clock.monotonic(), self.max_age)
    }

    fn still_holds(&self, kept: &Kept) -> bool {
        self.vouches_for(kept.read) && kept.until.is_none_or(|until| self.clock.now() < until)
    }
}

/// What `client` may have for its users. The built-in one may be asked for whatever administers this release: otherwise nobody could
/// grant what a later one adds.
pub(super) fn for_users(client: &Client) -> NameSet {
    let registered = resolve::for_users(&client.scopes);
    if client.id.is_built_in() {
        registered.with(AdminScope::ALL.iter().map(|scope| scope.name()))
    } else {
        registered
    }
}

/// What a token is given, whose scopes last until `scope_end`.
fn given(
    scope: NameSet,
    scope_end: Option<Timestamp>,
    holdings: &[Holding<'_>],
    claims: &NameSet,
    moment: Moment,
) -> Given {
    let (names, names_end) = match holdings {
        // Whose roles they are could not be told among several.
        [only] if !claims.is_empty() => {
            let RoleNames { roles, groups } = resolve::role_names(only, moment);
            let wants = |claim| claims.contains(claim);
            let names = RoleNames {
                roles: if wants(ROLES_CLAIM) { roles } else { Vec::new() },
                groups: if wants(GROUPS_CLAIM) { groups } else { Vec::new() },
            };
            let end = resolve::end_of_names(&names, only, moment);
            (names, end)
        }
        _ => (RoleNames::default(), None),
    };
    let end = scope_end.into_iter().chain(names_end).min();
    let typ = match holdings {
        [only] => only.audience.typ.now,
        _ => TokenTyp::AtJwt,
    };
    Given { scope, end, names, attributes: NamedAttributes::new(), typ }
}
