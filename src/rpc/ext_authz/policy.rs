//! Owns deciding by the policy of the service behind: the rule of the method that a request calls, which the keys of the route only
//! tighten.

use std::sync::Arc;

use super::{ExtAuthzRpc, Rule, Shown, called::called};
use crate::{
    auth::Caller,
    identity::{RolesAt, policies::ShownNow, recognised},
    model::{
        Access, AudienceName, Error, Missing, NameSet, Requirements, Shows, UNDECLARED, UNKNOWN_METHOD,
        first_names,
        policy::{Called, Enforced, MethodRule, ServicePolicy},
    },
};

/// Whom a request comes from, with the roles at the audience of the route; none if nobody need be known.
pub(super) type Passed = Option<(Caller, Arc<RolesAt>)>;

/// Why a request does not pass.
#[derive(Debug)]
pub(super) enum Refused {
    /// The route can let nobody pass: why.
    Route(&'static str),
    /// The request: why, and the scopes that its rules name.
    Request(Error, NameSet),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Request(error, NameSet::default())
    }
}

/// Why a route refuses everybody.
const NO_VERSION: &str = "its policy has neither an active nor a SHADOW version";
const NO_KEY: &str = "its policy has SHADOW versions alone, and the route no `signet.require_*` key";

/// Why nobody may call what no active version knows.
const UNKNOWN: Error = Error::AccessUndeclared(UNKNOWN_METHOD);

impl ExtAuthzRpc {
    /// Whether a request passes by the policy of `service` and the other keys of the route.
    pub(super) async fn decide_by_policy(
        &self,
        service: &AudienceName,
        shown: Shown<'_>,
        rule: &Rule<'_>,
    ) -> Result<Passed, Refused> {
        let Some(policy) = self.policies.of(service).await? else {
            return Err(Refused::Route(NO_VERSION));
        };
        let called = shown.http.and_then(called);
        // Without the query, which is no part of it, and has what the call says: the log tells it.
        let path = shown.http.map_or("", |http| Called::of_path(&http.path).method);
        let token = shown.token.as_ref().ok().copied().flatten();
        let decided = match policy.enforced() {
            Enforced::Nothing => return Err(Refused::Route(NO_VERSION)),
            Enforced::RoutesAlone if rule.requires_something() => {
                // As if the route did not name a policy at all.
                self.decide(shown, rule).await.map_err(|error| Refused::Request(error, rule.scopes.clone()))
            }
            Enforced::RoutesAlone => Err(Refused::Route(NO_KEY)),
            Enforced::Versions => self.decide_by_versions(&policy, called, shown, rule).await,
        };
        if policy.has_shadow() {
            match &decided {
                Ok(passed) => {
                    let found = passed.as_ref().map(|(found, _)| found);
                    self.judge_in_shadow(&policy, path, called, found, token).await;
                }
                // What a version would have made of it changes nothing: scanners and expired tokens are no findings of a roll-out.
                Err(_) => self.shadow.refused_anyhow(&policy),
            }
        }
        decided
    }

    /// Whether a request passes by the active versions of `policy`.
    async fn decide_by_versions(
        &self,
        policy: &ServicePolicy,
        called: Option<Called<'_>>,
        shown: Shown<'_>,
        rule: &Rule<'_>,
    ) -> Result<Passed, Refused> {
        let called = called.ok_or(UNKNOWN)?;
        let rules = policy.active_rules(called.method);
        let required = required(&rules, called)?;
        let service = policy.service();
        if required.is_empty() && !rule.needs_token() {
            // A public method: a token that is sent is not looked at.
            return Ok(None);
        }
        let token = shown.token?.ok_or(Error::TokenMissing)?;
        let first = required.first().map(|rule| rule.audience(service));
        let audience = first.or(rule.audience).unwrap_or(service);
        let found = match shown.verified {
            Some(token) => self.authenticator.recognise_verified(token, audience, None).await?,
            None => self.authenticator.recognise(token, audience).await?,
        };
        if let Some(connection) = shown.connection {
            connection.note_caller(found.subject());
        }
        self.must_keep(&found, &required, service)?;
        self.must_keep_route(&found, rule, service)?;
        let standing = self.authenticator.standing();
        let roles_there = standing.roles_at(recognised(&found)?, rule.audience.unwrap_or(service));
        Ok(Some((found, roles_there)))
    }

    /// Succeeds if `caller` keeps all rules that the versions have.
    fn must_keep(&self, caller: &Caller, required: &[&Requirements], service: &str) -> Result<(), Refused> {
        let found = recognised(caller)?;
        let roles_at = |audience: &str| self.authenticator.standing().roles_at(found, audience);
        let shown = ShownNow { caller, roles_at };
        let missing = required.iter().flat_map(|rule| rule.missing(service, &shown)).next();
        let Some(missing) = missing else { return Ok(()) };
        let named = match missing {
            Missing::AnyScope(scopes) => first_names(scopes),
            _ => NameSet::default().with(
                required
                    .iter()
                    .flat_map(|rule| &rule.required_scopes)
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            ),
        };
        Err(Refused::Request(missing.into(), named))
    }

    /// Succeeds if `caller` has what the keys of the route ask for besides.
    ///
    /// For whom the token must be meant hangs on the route alone, whatever the versions ask for: one version more never lets a token pass
    /// that was meant for somebody else before.
    fn must_keep_route(&self, caller: &Caller, rule: &Rule<'_>, service: &str) -> Result<(), Refused> {
        let audience = rule.audience.unwrap_or(service);
        if rule.needs_token() && !caller.is_meant_for(audience) {
            return Err(Error::from(Missing::Audience(audience)).into());
        }
        if let Err(error) = caller.must_have(rule.scopes.iter()) {
            return Err(Refused::Request(error, rule.scopes.clone()));
        }
        if let (Some(role), Some(audience)) = (rule.role, rule.audience) {
            let roles = self.authenticator.standing().roles_at(recognised(caller)?, audience);
            if !roles.names.has_role(role) {
                return Err(Error::InsufficientRole(role.to_owned()).into());
            }
        }
        Ok(())
    }

    /// Tells what each SHADOW version of `policy` would have made of a call that passes: by `passed`, or else by whoever `token` stands
    /// for, at whom nobody had to look.
    async fn judge_in_shadow(
        &self,
        policy: &ServicePolicy,
        path: &str,
        called: Option<Called<'_>>,
        passed: Option<&Caller>,
        token: Option<&str>,
    ) {
        let Some(called) = called else { return self.shadow.tell_unknown(policy, path) };
        let proven = match (passed, token) {
            (Some(passed), _) => Some(passed.clone()),
            (None, Some(token)) => match self.authenticator.recognise_for_anyone(token).await {
                Ok(found) => Some(found),
                // Whether the token counts is not known, so neither is the verdict.
                Err(Error::Unavailable { .. } | Error::Internal(_) | Error::DeadlineExceeded) => return,
                Err(_) => None,
            },
            (None, None) => None,
        };
        let found = proven.as_ref().and_then(|caller| recognised(caller).ok());
        let roles_at = |audience: &str| {
            found.map(|found| self.authenticator.standing().roles_at(found, audience)).unwrap_or_default()
        };
        let shown = proven.as_ref().map(|caller| ShownNow { caller, roles_at: &roles_at });
        self.shadow.judge(policy, called, shown.as_ref());
    }
}

/// What the `rules` of the method that is `called` ask for: all of it is needed.
///
/// # Errors
/// [`UNKNOWN`] if there are none, or one of them does not let it be called so; [`UNDECLARED`] if one lets nobody in.
fn required<'a>(rules: &[&'a MethodRule], called: Called<'_>) -> Result<Vec<&'a Requirements>, Error> {
    if rules.is_empty() {
        return Err(UNKNOWN);
    }
    let mut required = Vec::with_capacity(rules.len());
    for rule in rules {
        if called.by_get && !rule.has_no_side_effects {
            return Err(UNKNOWN);
        }
        match &rule.access {
            Access::Public => {}
            Access::Authenticated(rule) => required.push(rule),
            Access::Undeclared | Access::NotUnderstood => return Err(Error::AccessUndeclared(UNDECLARED)),
        }
    }
    Ok(required)
}
