//! Owns the cache of what is in force of each service's policy: until the feed names the service.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    base::Clock,
    changes::{Known, RowCache, Subscriber, Turns, Watermark},
    model::{AudienceName, Error, policy::ServicePolicy},
    store::{Change, ChangeKind, Store},
};

/// How much is remembered, in units of [`UNIT`] bytes: 32 MiB, which is some hundreds of services.
const CAPACITY: usize = 4_096;

/// How many bytes weigh as much as a service with none.
const UNIT: usize = 8_192;

/// What is in force of the policies of services. What is remembered costs one look.
#[derive(Debug)]
pub struct PoliciesInForce {
    store: Store,
    known: RowCache<Uuid, ServicePolicy>,
    readings: Turns,
}

impl PoliciesInForce {
    /// Those of `store`, which are remembered for `max_age` while the feed cannot be read.
    #[must_use]
    pub fn new(store: Store, max_age: Duration, clock: Clock, watermark: Arc<Watermark>) -> Self {
        Self { store, known: RowCache::new(CAPACITY, max_age, clock, watermark), readings: Turns::default() }
    }

    /// What is in force of the policy of `service`; none if nothing is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn of(&self, service: &AudienceName) -> Result<Option<Arc<ServicePolicy>>, Error> {
        let key = service.key();
        if let Some(Known(known)) = self.known(key, service) {
            return Ok(known);
        }
        let turn = self.readings.take(key).await;
        if turn.is_none()
            && let Some(Known(known)) = self.known(key, service)
        {
            return Ok(known);
        }
        let fill = self.known.begin();
        let read = self.store.policy_in_force(service).await?;
        let read = (read.count() > 0).then(|| Arc::new(read));
        let weight = read.as_ref().map_or(1, |policy| 1 + policy.size() / UNIT);
        self.known.put_weighing(key, read.clone(), fill, weight as u64);
        Ok(read)
    }

    /// What is remembered: that there is something, or nothing.
    fn known(&self, key: Uuid, service: &AudienceName) -> Option<Known<ServicePolicy>> {
        let Known(known) = self.known.get(key)?;
        // Of another service, if anybody had found two names with one key.
        let is_another = known.as_ref().is_some_and(|policy| policy.service() != service.as_str());
        (!is_another).then_some(Known(known))
    }
}

impl Subscriber for PoliciesInForce {
    fn hear(&self, change: &Change) {
        if change.concerns_by_name(ChangeKind::Policy) {
            self.known.forget(change.subject);
        }
    }

    fn forget_everything(&self) {
        self.known.forget_all();
    }
}
