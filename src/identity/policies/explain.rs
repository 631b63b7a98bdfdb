//! Owns why a call passes or not: each rule that judges it, what it lacks, and what would have sufficed.

use std::sync::Arc;

use super::{PoliciesInForce, ShownNow};
use crate::{
    auth::Authenticator,
    identity::{GoodStanding, Keyring, recognised},
    model::{
        AudienceName, Error, PolicyState, Shows,
        policy::{Enforced, MethodRule},
    },
};

/// What a call would be answered, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Whether the policy lets it pass.
    pub passes: bool,
    /// What decides, in one sentence.
    pub summary: String,
    /// Each version in force, and what it says.
    pub rules: Vec<Explained>,
    /// The scopes that the token gives now; none if no token counts.
    pub scopes: Option<String>,
    /// The names of the roles of whoever it stands for, at the service.
    pub roles: Option<String>,
    /// Why the token does not count, if one was shown and does not.
    pub token_problem: Option<String>,
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
    /// Why a call of `method` of `service` that shows `token` passes or not, at this moment.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn explain(
        &self,
        service: &AudienceName,
        method: &str,
        token: Option<&str>,
        authenticator: &Authenticator<Arc<Keyring>, GoodStanding>,
    ) -> Result<Explanation, Error> {
        let policy = self.of(service).await?;
        let (caller, token_problem) = match token {
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
            for (version, state, rule) in policy.judging(method) {
                rules.push(explained(version.as_str(), state, rule, service.as_str(), shown.as_ref()));
            }
        }
        let enforced = policy.as_ref().map_or(Enforced::Nothing, |policy| policy.enforced());
        let active = || rules.iter().filter(|rule| rule.state == PolicyState::Active);
        let is_known = active().any(|rule| rule.passes.is_some());
        let passes =
            enforced == Enforced::Versions && is_known && active().all(|rule| rule.passes != Some(false));
        Ok(Explanation {
            passes,
            summary: summary(enforced, is_known, passes),
            scopes: caller.as_ref().map(|caller| caller.claims().scope.clone()),
            roles: caller.as_ref().map(|_| roles_at(service.as_str()).joined.clone()),
            rules,
            token_problem,
        })
    }
}

fn summary(enforced: Enforced, is_known: bool, passes: bool) -> String {
    match (enforced, is_known, passes) {
        (Enforced::Nothing, ..) => "refused: the policy has neither an active nor a SHADOW version",
        (Enforced::RoutesAlone, ..) => {
            "undecided here: there are versions in SHADOW alone, so the other keys of the route decide; a route without any is refused"
        }
        (Enforced::Versions, false, _) => "refused: no active version knows the method",
        (Enforced::Versions, true, true) => "passes: it keeps the rule of every active version that knows the method",
        (Enforced::Versions, true, false) => "refused: it does not keep the rule of every active version that knows the method",
    }
    .to_owned()
}

fn explained(
    version: &str,
    state: PolicyState,
    rule: Option<&MethodRule>,
    service: &str,
    shown: Option<&impl Shows>,
) -> Explained {
    let missing = rule.map(|rule| rule.access.missing(service, shown));
    Explained {
        version: version.to_owned(),
        state,
        rule: rule.map(ToString::to_string),
        passes: missing.as_ref().map(Vec::is_empty),
        missing: missing.unwrap_or_default().iter().map(ToString::to_string).collect(),
    }
}
