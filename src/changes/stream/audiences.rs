//! Owns the audiences of the stream: by which names they are known, and who is told of what happens at them.

use std::{collections::HashMap, mem::size_of, sync::Arc};

use uuid::Uuid;

use crate::model::{AudienceName, NameSet};

/// How many sets of audiences are shared by those that have them at a time.
const MOST_SHARED: usize = 10_000;

/// The audiences of something that has ended; none if they are not known, and everybody is told.
pub(super) type At = Option<Arc<[AudienceName]>>;

/// Sets of so few are few, so that most who have one share it.
const FEW: usize = 4;

/// The names of audiences, as rows and tokens have them.
#[derive(Debug)]
pub(super) struct Names {
    /// Those of the service's own audience.
    own: NameSet,
}

/// Sets of audiences, each once for all that have it.
#[derive(Debug, Default)]
pub(super) struct Shared(HashMap<String, Arc<[AudienceName]>>);

impl Names {
    /// `own` is the service's own audience.
    pub(super) const fn new(own: NameSet) -> Self {
        Self { own }
    }

    /// The audiences `names`, as they stand in `aud`; the service's own if there are none.
    pub(super) fn of(&self, names: &NameSet) -> Vec<AudienceName> {
        let mut audiences: Vec<_> = names.iter().map(|name| AudienceName::of(name, &self.own)).collect();
        if audiences.is_empty() {
            audiences.push(AudienceName::signet());
        }
        audiences.sort_unstable();
        audiences.dedup();
        audiences
    }

    /// The name of `audience` as it stands in `aud`.
    pub(super) fn in_tokens(&self, audience: &AudienceName) -> String {
        let own = if audience.is_signet() { self.own.iter().next() } else { None };
        // A space before the name tells another's `signet` from the service itself.
        own.unwrap_or_else(|| audience.as_str().trim_start()).to_owned()
    }
}

impl Shared {
    /// The audiences `names`, of which nothing is known if they are not; as [`Names::of`].
    pub(super) fn of(&mut self, stored: Option<&NameSet>, names: &Names) -> At {
        let stored = stored?;
        if let Some(shared) = self.0.get(stored.as_str()) {
            return Some(Arc::clone(shared));
        }
        if self.0.len() >= MOST_SHARED {
            self.0.clear();
        }
        let audiences: Arc<[_]> = names.of(stored).into();
        self.0.insert(stored.as_str().to_owned(), Arc::clone(&audiences));
        Some(audiences)
    }
}

/// The audiences of those who are told the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WatchedAudiences(Arc<[AudienceName]>);

impl WatchedAudiences {
    /// `audiences`, which are sorted.
    pub(super) fn new(audiences: Vec<AudienceName>) -> Self {
        Self(audiences.into())
    }

    /// Whether `audience` is one of them.
    pub(super) fn has(&self, audience: &AudienceName) -> bool {
        self.0.binary_search(audience).is_ok()
    }

    /// Whether one of `at` is one of them.
    pub(super) fn has_one_of(&self, at: &At) -> bool {
        at.as_ref().is_none_or(|at| at.iter().any(|audience| self.has(audience)))
    }

    /// The one of this key.
    pub(super) fn with_key(&self, key: Uuid) -> Option<&AudienceName> {
        self.0.iter().find(|audience| audience.key() == key)
    }

    /// What tells them from others, in another process too: of sets that differ it differs, but for a chance of one in 2^64.
    pub(super) fn mark(&self) -> u64 {
        self.iter().fold(0, |mark, audience| mark ^ audience.key().as_u64_pair().0)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &AudienceName> {
        self.0.iter()
    }
}

/// How many bytes the set `at` takes, as if nobody shared it; none if it is one of those that are shared by many.
pub(super) fn bytes(at: &[AudienceName]) -> usize {
    let names = || at.iter().map(|audience| size_of::<AudienceName>() + audience.as_str().len());
    if at.len() > FEW { names().sum() } else { 0 }
}

/// All of both; none if either is not known.
pub(super) fn union(one: &At, other: &At) -> At {
    let (one, other) = (one.as_ref()?, other.as_ref()?);
    if one == other || other.iter().all(|audience| one.binary_search(audience).is_ok()) {
        return Some(Arc::clone(one));
    }
    let mut all: Vec<_> = one.iter().chain(other.iter()).cloned().collect();
    all.sort_unstable();
    all.dedup();
    Some(all.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &str) -> NameSet {
        NameSet::parse(names).unwrap()
    }

    #[test]
    fn who_is_meant_does_not_depend_on_how_the_services_own_audience_is_called() {
        let (names, mut shared) = (Names::new(set("idp")), Shared::default());
        assert_eq!(names.of(&NameSet::default()), names.of(&set("idp")), "nothing stands for its own");
        assert_eq!(names.in_tokens(&AudienceName::signet()), "idp");
        let another = names.of(&set("signet"));
        assert!(!another[0].is_signet(), "another service may be called so");
        assert_eq!(names.in_tokens(&another[0]), "signet");
        let stock = shared.of(Some(&set("stock")), &names);
        let heard = WatchedAudiences::new(names.of(&set("stock orders")));
        assert!(heard.has_one_of(&stock) && !heard.has_one_of(&shared.of(Some(&set("idp")), &names)));
        assert!(heard.has_one_of(&None), "what is not known to be others'");
        assert!(Arc::ptr_eq(&stock.unwrap(), &shared.of(Some(&set("stock")), &names).unwrap()));
    }

    #[test]
    fn a_union_of_what_is_not_known_is_not_known() {
        let (names, mut shared) = (Names::new(set("idp")), Shared::default());
        let (stock, orders) =
            (shared.of(Some(&set("stock")), &names), shared.of(Some(&set("orders")), &names));
        assert_eq!(union(&stock, &orders).unwrap().len(), 2);
        assert_eq!(union(&stock, &None), None);
    }
}
