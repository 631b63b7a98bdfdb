//! Owns the audiences of the stream: by which names they are known, and who is told of what happens at them.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use crate::model::{AudienceName, NameSet};

/// How many sets of audiences are shared by those that have them: a set more is kept for each that has it.
const MOST_SHARED: usize = 10_000;

/// The audiences of something that has ended; none if they are not known, and everybody is told.
pub(super) type At = Option<Arc<[AudienceName]>>;

/// The names of audiences, as rows have them.
#[derive(Debug)]
pub(super) struct Names {
    /// Those of the service's own audience.
    own: NameSet,
    shared: HashMap<String, Arc<[AudienceName]>>,
}

impl Names {
    /// `own` is the service's own audience.
    pub(super) fn new(own: NameSet) -> Self {
        Self { own, shared: HashMap::new() }
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

    /// The same, once for all that have the same.
    pub(super) fn shared(&mut self, names: Option<&NameSet>) -> At {
        let names = names?;
        if let Some(shared) = self.shared.get(names.as_str()) {
            return Some(Arc::clone(shared));
        }
        let audiences: Arc<[_]> = self.of(names).into();
        if self.shared.len() < MOST_SHARED {
            self.shared.insert(names.as_str().to_owned(), Arc::clone(&audiences));
        }
        Some(audiences)
    }

    /// The name of `audience` as it stands in `aud`.
    pub(super) fn in_tokens(&self, audience: &AudienceName) -> String {
        let own = if audience.is_signet() { self.own.iter().next() } else { None };
        // A space before the name tells another's `signet` from the service itself.
        own.unwrap_or_else(|| audience.as_str().trim_start()).to_owned()
    }
}

/// The audiences of those who are told the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Heard(Arc<[AudienceName]>);

impl Heard {
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

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &AudienceName> {
        self.0.iter()
    }
}

/// All of both; none if either is not known.
pub(super) fn union(one: &At, other: &At) -> At {
    let (one, other) = (one.as_ref()?, other.as_ref()?);
    if one == other {
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
        let mut names = Names::new(set("idp"));
        assert_eq!(names.of(&NameSet::default()), names.of(&set("idp")), "nothing stands for its own");
        assert_eq!(names.in_tokens(&AudienceName::signet()), "idp");
        let another = names.of(&set("signet"));
        assert!(!another[0].is_signet(), "another service may be called so");
        assert_eq!(names.in_tokens(&another[0]), "signet");
        let stock = names.shared(Some(&set("stock")));
        let heard = Heard::new(names.of(&set("stock orders")));
        assert!(heard.has_one_of(&stock) && !heard.has_one_of(&names.shared(Some(&set("idp")))));
        assert!(heard.has_one_of(&None), "what is not known to be others'");
        assert!(Arc::ptr_eq(&stock.unwrap(), &names.shared(Some(&set("stock"))).unwrap()));
    }

    #[test]
    fn a_union_of_what_is_not_known_is_not_known() {
        let mut names = Names::new(set("idp"));
        let (stock, orders) = (names.shared(Some(&set("stock"))), names.shared(Some(&set("orders"))));
        assert_eq!(union(&stock, &orders).unwrap().len(), 2);
        assert_eq!(union(&stock, &None), None);
    }
}
