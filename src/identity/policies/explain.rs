//! Owns why a call passes or not: each rule that judges it, what it lacks, and what would have sufficed.

use std::sync::Arc;

use super::{PoliciesInForce, ShownNow};
use crate::{
    auth::Authenticator,
    identity::{GoodStanding, Keyring, recognised},
    model::{
        AudienceName, CallerKind, Error, PolicyState, Shows,
        policy::{Called, Enforced},
    },
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The policy lets it pass.
    Passes,
    /// The policy refuses it.
    Refused,
    /// The other keys of the route decide: SHADOW versions stand alone.
    RouteDecides,
}

/// What a call would be answered, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What becomes of it by the policy.
    pub verdict: Verdict,
    /// What decides, in one sentence.
    pub summary: String,
    /// Each version in force, and what it says.
    pub rules: Vec<Explained>,
    /// The scopes that the token gives now; none if no token counts.
    pub scopes: Option<String>,
    /// The names of the roles of whoever it stands for, at the service.
    pub roles: Option<String>,
    /// Whom the token stands for; none if no token counts.
    pub caller: Option<CallerKind>,
    /// Whom it is meant for.
    pub audiences: Vec<String>,
    /// Why the token does not count, if one was shown and does not.
    pub authentication_problem: Option<String>,
}

/// What one version says of the call.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The version.
    pub version: String,
    /// What it does.
    pub state: PolicyState,
    /// Who may call the method by its rule, in words; none if it does not know the method.
    pub rule: Option<String>,
    /// Whether it lets the call pass; if it does not know the method, others decide.
    pub passes: Option<bool>,
    /// What the call lacks: any of these alone would not suffice, all together would.
    pub missing: Vec<String>,
}

impl PoliciesInForce {
    /// Why a call of `path` of `service` that shows `token` passes or not, at this moment. What stands behind the first `?` of the path
    /// says only whether it is a GET: with `connect=v1`, as Connect has it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn explain(
        &self,
        service: &AudienceName,
        path: &str,
        token: Option<&str>,
        authenticator: &Authenticator<Arc<Keyring>, GoodStanding>,
    ) -> Result<Explanation, Error> {
        let asked = Called::of_path(path);
        let policy = self.of(service).await?;
        let (caller, authentication_problem) = match token {
            None => (None, None),
            Some(token) => match authenticator.recognise_for_anyone(token).await {
                Ok(caller) => (Some(caller), None),
                Err(error @ (Error::Unavailable { .. } | Error::Internal(_) | Error::DeadlineExceeded)) => {
                    return Err(error);
                }
                Err(refusal) => (None, Some(refusal.to_string())),
            },
        };
        let found = caller.as_ref().map(recognised).transpose()?;
        let roles_at = |audience: &str| {
            found.map(|found| authenticator.standing().roles_at(found, audience)).unwrap_or_default()
        };
        let shown = caller.as_ref().map(|caller| ShownNow { caller, roles_at: &roles_at });
        let mut rules = Vec::new();
        if let Some(policy) = &policy {
            for (version, state, rule) in policy.judging(asked.method) {
                let missing = rule.map(|rule| rule.missing(asked.by_get, service.as_str(), shown.as_ref()));
                rules.push(Explained {
                    version: version.as_str().to_owned(),
                    state,
                    rule: rule.map(ToString::to_string),
                    passes: missing.as_ref().map(Vec::is_empty),
                    missing: missing.unwrap_or_default().iter().map(ToString::to_string).collect(),
                });
            }
        }
        let enforced = policy.as_ref().map_or(Enforced::Nothing, |policy| policy.enforced());
        let active = || rules.iter().filter(|rule| rule.state == PolicyState::Active);
        let is_known = active().any(|rule| rule.passes.is_some());
        let verdict = match enforced {
            Enforced::RoutesAlone => Verdict::RouteDecides,
            Enforced::Versions if is_known && active().all(|rule| rule.passes != Some(false)) => {
                Verdict::Passes
            }
            Enforced::Versions | Enforced::Nothing => Verdict::Refused,
        };
        Ok(Explanation {
            verdict,
            summary: summary(asked, enforced, is_known, verdict),
            caller: caller.as_ref().map(Shows::kind),
            audiences: caller.as_ref().map(|caller| caller.claims().aud.names().to_vec()).unwrap_or_default(),
            scopes: caller.as_ref().map(|caller| caller.claims().scope.clone()),
            roles: caller.as_ref().map(|_| roles_at(service.as_str()).joined.clone()),
            rules,
            authentication_problem,
        })
    }
}

/// What decides, in one sentence.
fn summary(asked: Called<'_>, enforced: Enforced, is_known: bool, verdict: Verdict) -> String {
    match (enforced, is_known, verdict) {
        (Enforced::Nothing, ..) => "refused: the policy has neither an active nor a SHADOW version",
        (Enforced::RoutesAlone, ..) => {
            "undecided here: there are versions in SHADOW alone, so the other keys of the route decide; a route without any is refused"
        }
        (Enforced::Versions, false, _) if !asked.method.starts_with('/') => {
            "refused: no active version knows the method; a path begins with `/`"
        }
        (Enforced::Versions, false, _) => {
            "refused: no active version knows the method, which must be spelled byte for byte as in `policy show`"
        }
        (Enforced::Versions, true, Verdict::Passes) => {
            "passes: it keeps the rule of every active version that knows the method"
        }
        (Enforced::Versions, true, _) => {
            "refused: it does not keep the rule of every active version that knows the method"
        }
    }
    .to_owned()
}
