//! Owns recording changes of policies, with who made them, and finding versions.

use super::PushedRules;
use crate::{
    audit::{Audit, Event, Field},
    base::Clock,
    identity::Administrator,
    model::{
        AudienceName, Error, FieldReason, NameSet, PolicyState, PolicyVersionId, PolicyVersionName,
        RuleViolation,
        policy::{Difference, MethodRules, PolicyVersion},
    },
    store::{Applied, PolicyStateChange, Store},
};

/// The policies of services in the hands of those who own them. Each act is recorded, and told to the other processes.
#[derive(Debug)]
pub struct PolicyRegistry {
    store: Store,
    clock: Clock,
    audit: Audit,
    /// The names of the service's own audience.
    own: NameSet,
}

/// A version that is pushed.
#[derive(Clone, Debug)]
pub struct NewPolicyVersion {
    /// The service.
    pub service: AudienceName,
    /// What it is called.
    pub name: PolicyVersionName,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// What it says.
    pub rules: PushedRules,
}

impl PolicyRegistry {
    /// What `store` has; `audit` is told of each act, and `own` is the service's own audience.
    #[must_use]
    pub const fn new(store: Store, clock: Clock, audit: Audit, own: NameSet) -> Self {
        Self { store, clock, audit, own }
    }

    /// Keeps a version, which does nothing yet. Pushed again, it is the same.
    ///
    /// # Errors
    /// [`Error::PolicyVersionExists`] if it is there with other rules, [`Error::LimitReached`]; [`Error::InvalidFields`] for the service
    /// itself; why whoever pushes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn push(&self, new: NewPolicyVersion, by: &Administrator) -> Result<PolicyVersion, Error> {
        let NewPolicyVersion { service, name, sha256, rules } = new;
        if service.is_signet() || self.own.contains(service.as_str()) {
            let rule = "must be another service: the rules of this one are those of its own protos";
            return Err(Error::InvalidFields(vec![
                RuleViolation::new(FieldReason::Malformed, rule).at("service"),
            ]));
        }
        let now = self.clock.now();
        let version = PolicyVersion {
            id: PolicyVersionId::new(now, self.store.entropy()),
            service,
            name,
            state: PolicyState::Pushed,
            sha256,
            methods: rules.rules().len() as u64,
            create_time: now,
            update_time: now,
        };
        let entry = by.entry(Event::PolicyPushed.done().audience(version.service.as_str()));
        let pending = self.audit.begin(entry.clone());
        let added = self.store.add_policy_version(&version, rules.rules(), by.change(&entry, now)).await;
        match by.settled(pending, added, |added| (added.id == version.id).then_some([Field::Version]))? {
            Applied::Now(version) => Ok(version),
            Applied::Before(_) => self.find(&version.service, &version.name).await,
        }
    }

    /// Has a version do something else, whose etag must be `etag` if one is said.
    ///
    /// # Errors
    /// [`Error::PolicyVersionNotFound`], [`Error::EtagMismatch`], [`Error::LimitReached`]; [`Error::PolicyWidens`] if calls would pass that
    /// are refused now, and that is not allowed; why whoever changes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the
    /// cause.
    pub async fn change_state(
        &self,
        (service, version): (&AudienceName, &PolicyVersionName),
        state: PolicyState,
        etag: Option<&str>,
        allow_widening: bool,
        by: &Administrator,
    ) -> Result<PolicyVersion, Error> {
        let wanted = &PolicyStateChange { service, version, state, etag, allow_widening };
        let event = match state {
            PolicyState::Active => Event::PolicyActivated,
            PolicyState::Shadow => Event::PolicyShadowed,
            PolicyState::Retired => Event::PolicyRetired,
            PolicyState::Pushed => {
                return Err(Error::internal("a version does not become a pushed one again"));
            }
        };
        let entry = by.entry(event.done().audience(service.as_str()));
        let pending = self.audit.begin(entry.clone());
        let changed = self.store.change_policy_state(wanted, by.change(&entry, self.clock.now())).await;
        let fields = |(old, new): &(PolicyVersion, PolicyVersion)| {
            (old.state != new.state).then_some([Field::Version, Field::State])
        };
        match by.settled(pending, changed, fields)? {
            Applied::Now((_, new)) => Ok(new),
            Applied::Before(_) => self.find(service, version).await,
        }
    }

    /// The version `name` of the policy of `service`.
    ///
    /// # Errors
    /// [`Error::PolicyVersionNotFound`]; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn find(
        &self,
        service: &AudienceName,
        name: &PolicyVersionName,
    ) -> Result<PolicyVersion, Error> {
        let found = self.store.policy_version(service, name).await?;
        found.ok_or_else(|| PolicyVersion::not_found(service, name))
    }

    /// The same, with its rules.
    ///
    /// # Errors
    /// As with [`Self::find`].
    pub async fn find_with_rules(
        &self,
        service: &AudienceName,
        name: &PolicyVersionName,
    ) -> Result<(PolicyVersion, MethodRules), Error> {
        let version = self.find(service, name).await?;
        let rules = self.store.policy_rules(version.id).await?;
        Ok((version, rules))
    }

    /// The versions after `after` in the order of their pushes, of `service` alone if one is said; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn page(
        &self,
        service: Option<&AudienceName>,
        after: Option<PolicyVersionId>,
        limit: u64,
    ) -> Result<Vec<PolicyVersion>, Error> {
        self.store.policy_versions(service, after, limit).await
    }

    /// What the version `new` has otherwise than `old`.
    ///
    /// # Errors
    /// As with [`Self::find`].
    pub async fn differences(
        &self,
        service: &AudienceName,
        old: &PolicyVersionName,
        new: &PolicyVersionName,
    ) -> Result<Vec<Difference>, Error> {
        let (_, old) = self.find_with_rules(service, old).await?;
        let (_, new) = self.find_with_rules(service, new).await?;
        Ok(Difference::between(service.as_str(), &old, &new))
    }
}
