//! Owns which scopes a token gets: those that were asked for, that the client may have, and that roles give.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    base::Timestamp,
    model::{
        AdminScope, AskedTyp, AudienceName, GroupName, NameSet, RoleId, RoleName,
        claims::{ACCOUNT_SCOPE, INTROSPECT_SCOPE, USER_SCOPE},
        role::is_admin_scope,
    },
};

/// How long a binding must still last to give something to a new token: with less, its user would get tokens of seconds, one after the
/// other.
const LEAST_LEFT: Duration = Duration::from_mins(1);

/// A role, as far as tokens go. Whoever has it shares it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RoleScopes {
    /// Its id, by which the feed tells of it.
    pub(crate) id: RoleId,
    /// Its name, which no other role of its audience has.
    pub(crate) name: RoleName,
    /// The audience whose scopes they are.
    pub(crate) audience: AudienceName,
    /// The scopes that it gives there.
    pub(crate) scopes: NameSet,
}

/// One way by which a user or a client has a role: a binding of its own, or one of a group that the user is in.
#[derive(Clone, Debug)]
pub(crate) struct HeldRole {
    pub(crate) role: Arc<RoleScopes>,
    /// The group that it comes by; none if the binding is the holder's own.
    pub(crate) group: Option<GroupName>,
    /// When the binding ends, if it does.
    pub(crate) end: Option<Timestamp>,
}

/// What holds at one audience, whoever the token stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AudienceRule {
    /// Whether it is Signet itself.
    pub(crate) is_signet: bool,
    /// The scopes of its role `everyone`: what each user has there.
    pub(crate) everyone: BTreeSet<String>,
    /// The scopes of all its roles, whether or not somebody has one of them. Who does not have such a scope lacks it.
    pub(crate) known: BTreeSet<String>,
    /// What tokens are called that are meant for it alone.
    pub(crate) typ: AskedTyp,
}

/// One audience of a token, and the roles that whoever the token stands for has there.
#[derive(Clone, Debug)]
pub(crate) struct Holding<'a> {
    pub(crate) audience: &'a AudienceRule,
    pub(crate) roles: Vec<&'a HeldRole>,
}

/// Which bindings count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// For a token that is issued now: those that last for a minute more.
    Issued(Timestamp),
    /// For a token that is shown now: those that have not ended.
    Shown(Timestamp),
}

/// What tokens say of roles besides the scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleNames {
    /// The names of the roles, in their order.
    pub roles: Vec<String>,
    /// The names of the groups by which one of them comes, in their order.
    pub groups: Vec<String>,
}

/// What is told of somebody's roles at one audience, put together once.
#[derive(Debug, Default)]
pub struct RolesAt {
    /// Their names, and those of the groups by which they come.
    pub names: RoleNames,
    /// The names of the roles separated by spaces, as a header tells them.
    pub joined: String,
}

impl From<RoleNames> for RolesAt {
    fn from(names: RoleNames) -> Self {
        Self { joined: names.roles.join(" "), names }
    }
}

impl RoleNames {
    /// Whether the role `name` is among them.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.binary_search_by(|role| role.as_str().cmp(name)).is_ok()
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.groups.is_empty()
    }
}

impl Moment {
    /// Whether a binding counts that ends at `end`.
    fn counts(self, end: Option<Timestamp>) -> bool {
        end.is_none_or(|end| match self {
            Self::Issued(now) => end >= now.after(LEAST_LEFT),
            Self::Shown(now) => end > now,
        })
    }
}

/// The scopes that `wish` asks for, all of which must be in `may`.
///
/// # Errors
/// The scopes that are asked for and may not be had.
pub(crate) fn asked(wish: &NameSet, may: &NameSet) -> Result<NameSet, NameSet> {
    if wish.is_empty() {
        return Ok(unasked(may));
    }
    let beyond = wish.without(may);
    if beyond.is_empty() { Ok(wish.clone()) } else { Err(beyond) }
}

/// The scopes of `may` that are given where none is asked for: all but those that must be named.
pub(crate) fn unasked(may: &NameSet) -> NameSet {
    may.keeping(|scope| !is_admin_scope(scope)).as_far_as_fits()
}

/// What a session keeps for its refreshes of what its login `asked` for and was `given`: what roles give later it may get later, but what
/// administers Signet needs another login.
pub(crate) fn kept(asked: &NameSet, given: &NameSet) -> NameSet {
    asked.keeping(|scope| !is_admin_scope(scope) || given.contains(scope))
}

/// What a client may ask for in the name of its users, of the scopes that it is registered with.
pub(crate) fn for_users(registered: &NameSet) -> NameSet {
    registered.keeping(|scope| scope != INTROSPECT_SCOPE && is_known(scope))
}

/// What a user's token for the audiences of `holdings` has of `asked`, all of which the client may have.
pub(crate) fn of_user(asked: &NameSet, holdings: &[Holding<'_>], moment: Moment) -> NameSet {
    let bound = bound_scopes(holdings, moment);
    let is_held =
        |scope: &str, at: usize| holdings[at].audience.gives_everyone(scope) || bound[at].contains(scope);
    asked.keeping(|scope| scope != INTROSPECT_SCOPE && comes(scope, holdings, |at| is_held(scope, at)))
}

/// What a client's own token for the audiences of `holdings` may have: what it is `registered` with, and what roles give that are bound to
/// it, at each of the audiences. The owners of all of them have agreed to what it is registered with; to a role those of its own alone, who
/// may call a scope as they like.
pub(crate) fn of_client(registered: &NameSet, holdings: &[Holding<'_>], moment: Moment) -> NameSet {
    let may = |scope: &str| {
        let is_for_users = scope == USER_SCOPE || scope == ACCOUNT_SCOPE;
        !is_for_users && may_be_in_a_token_for(holdings, scope)
    };
    let own = registered.keeping(may);
    let bound = bound_scopes(holdings, moment);
    let mut seen = HashSet::new();
    let roles = holdings.iter().flat_map(|at| at.live_roles(moment)).flat_map(|held| held.role.scopes.iter());
    let given = roles.filter(|scope| {
        let is_held_at_each = || bound.iter().all(|scopes| scopes.contains(scope));
        may(scope) && may_come_by_a_role(holdings, scope) && seen.insert(*scope) && is_held_at_each()
    });
    own.with(given)
}

/// The names of the roles at `holding`, and of the groups by which they come.
pub(crate) fn role_names(holding: &Holding<'_>, moment: Moment) -> RoleNames {
    let live = || holding.live_roles(moment);
    let roles: BTreeSet<_> = live().map(|held| held.role.name.as_str()).collect();
    let groups: BTreeSet<_> = live().filter_map(|held| held.group.as_ref()).map(GroupName::as_str).collect();
    let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    RoleNames { roles: owned(roles), groups: owned(groups) }
}

/// When something changes by itself for whoever has the roles at `holdings`: when the first of the bindings ends, if one does.
pub(crate) fn next_end(holdings: &[Holding<'_>], moment: Moment) -> Option<Timestamp> {
    holdings.iter().flat_map(|at| at.live_roles(moment)).filter_map(|held| held.end).min()
}

/// When a user's token that was given `scope` by [`of_user`] has one of them no longer; none if it has them for as long as nobody changes
/// anything. A scope that two bindings give lasts as long as the last of them.
pub(crate) fn end_of_user(scope: &NameSet, holdings: &[Holding<'_>], moment: Moment) -> Option<Timestamp> {
    earliest_end(scope, holdings, moment, |scope, at| holdings[at].audience.gives_everyone(scope))
}

/// The same of a client's own token, which was given `scope` by [`of_client`]. What the client is `registered` with it has without a
/// binding.
pub(crate) fn end_of_client(
    scope: &NameSet,
    registered: &NameSet,
    holdings: &[Holding<'_>],
    moment: Moment,
) -> Option<Timestamp> {
    earliest_end(&scope.without(registered), holdings, moment, |_, _| false)
}

/// When one of `names` is no longer that of a role at `holding`, or of a group by which one comes.
pub(crate) fn end_of_names(names: &RoleNames, holding: &Holding<'_>, moment: Moment) -> Option<Timestamp> {
    next_end(std::slice::from_ref(holding), moment)?;
    let (mut roles, mut groups) = (HashMap::new(), HashMap::new());
    for held in holding.live_roles(moment) {
        extend(&mut roles, held.role.name.as_str(), held.end);
        if let Some(group) = &held.group {
            extend(&mut groups, group.as_str(), held.end);
        }
    }
    let ends = names.roles.iter().map(|name| roles.get(name.as_str()));
    let ends = ends.chain(names.groups.iter().map(|name| groups.get(name.as_str())));
    ends.filter_map(|end| end.copied().flatten()).min()
}

/// The earliest time at which a scope of `scope` is lost at one of the audiences of `holdings`, at each of which `is_unbound` says whether
/// it is had there without a binding.
fn earliest_end(
    scope: &NameSet,
    holdings: &[Holding<'_>],
    moment: Moment,
    is_unbound: impl Fn(&str, usize) -> bool,
) -> Option<Timestamp> {
    next_end(holdings, moment)?;
    let ends_at = |at: &Holding<'_>| {
        let mut ends = HashMap::new();
        for held in at.live_roles(moment) {
            for scope in held.role.scopes.iter() {
                extend(&mut ends, scope, held.end);
            }
        }
        scope.iter().map(|scope| ends.get(scope).copied().flatten()).collect::<Vec<_>>()
    };
    let of_audience = |(at, holding): (usize, &Holding<'_>)| {
        let ends = ends_at(holding);
        scope.iter().zip(ends).filter(|(scope, _)| !is_unbound(scope, at)).filter_map(|(_, end)| end).min()
    };
    holdings.iter().enumerate().filter_map(of_audience).min()
}

/// Has what is of `name` last until `end`, if that is later; none is never.
fn extend<'a>(ends: &mut HashMap<&'a str, Option<Timestamp>>, name: &'a str, end: Option<Timestamp>) {
    ends.entry(name)
        .and_modify(|known| *known = known.zip(end).map(|(known, end)| known.max(end)))
        .or_insert(end);
}

/// Whether this release knows what `scope` means, as far as that is its business: a later release has written what administers Signet and
/// this one does not know, and here it counts for nothing.
fn is_known(scope: &str) -> bool {
    !is_admin_scope(scope) || AdminScope::named(scope).is_some()
}

/// Whether a token for the audiences of `holdings` may have `scope`: what administers Signet comes in tokens for Signet alone.
fn may_be_in_a_token_for(holdings: &[Holding<'_>], scope: &str) -> bool {
    !is_admin_scope(scope) || (are_signet_alone(holdings) && AdminScope::named(scope).is_some())
}

/// Whether a role may give a client `scope` in a token for the audiences of `holdings`: who judges tokens, Signet's own roles alone say.
fn may_come_by_a_role(holdings: &[Holding<'_>], scope: &str) -> bool {
    scope != INTROSPECT_SCOPE || are_signet_alone(holdings)
}

/// Whether `scope` comes into a user's token for the audiences of `holdings`, at each of which `is_held` says whether it is held: it must
/// be at one of them, and at each one that knows it. A name that two services use for two things so never comes by one of them alone
/// (RFC 9068 sections 2.2.3 and 5).
fn comes(scope: &str, holdings: &[Holding<'_>], is_held: impl Fn(usize) -> bool) -> bool {
    if !may_be_in_a_token_for(holdings, scope) {
        return false;
    }
    let mut held_somewhere = false;
    for (at, holding) in holdings.iter().enumerate() {
        let held = is_held(at);
        if !held && holding.audience.knows(scope) {
            return false;
        }
        held_somewhere |= held;
    }
    held_somewhere
}

/// The scopes of the roles that are had at each of `holdings`, looked through once: a user may have thousands of roles.
fn bound_scopes<'a>(holdings: &[Holding<'a>], moment: Moment) -> Vec<HashSet<&'a str>> {
    let of = |at: &Holding<'a>| at.live_roles(moment).flat_map(|held| held.role.scopes.iter()).collect();
    holdings.iter().map(of).collect()
}

fn are_signet_alone(holdings: &[Holding<'_>]) -> bool {
    matches!(holdings, [only] if only.audience.is_signet)
}

impl AudienceRule {
    fn gives_everyone(&self, scope: &str) -> bool {
        !is_admin_scope(scope) && self.everyone.contains(scope)
    }

    /// Whether `scope` means something here, so that who has it elsewhere must have it here too. What Signet's own methods ask for it
    /// knows whether or not a role has it.
    fn knows(&self, scope: &str) -> bool {
        let is_signets = [USER_SCOPE, ACCOUNT_SCOPE, INTROSPECT_SCOPE].contains(&scope);
        self.known.contains(scope) || self.everyone.contains(scope) || (self.is_signet && is_signets)
    }
}

impl<'a> Holding<'a> {
    fn live_roles(&self, moment: Moment) -> impl Iterator<Item = &'a HeldRole> {
        self.roles.iter().copied().filter(move |held| moment.counts(held.end))
    }
}

#[cfg(test)]
mod tests;
