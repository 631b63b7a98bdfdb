//! Owns at which audiences there may be tokens of a client: those that it is registered with, and those that it was before, since a
//! session has the audience for life with which it was opened.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::{
    access::INSTANCE,
    changes::{self, ChangeEffect, ChangeKind, Detailed},
    entity::audiences,
};
use crate::{
    base::Timestamp,
    model::{AudienceName, Client, NameSet},
};

/// How the feed is told.
const ENDED: (ChangeKind, ChangeEffect) = (ChangeKind::Client, ChangeEffect::Ended);

/// The longest list of names that is kept.
const MAX_BYTES: usize = 1_024;

/// The audiences of the tokens of a client and of its users.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenAudiences {
    /// Their names, as they stand in `aud`.
    names: BTreeSet<String>,
    /// Whether the service's own is one of them, whatever it is called.
    has_own: bool,
    /// Whether there may be others.
    has_more: bool,
}

impl TokenAudiences {
    /// Those of `client`, which was registered with those of `past` before, as they are stored.
    pub(super) fn of(client: &Client, past: Option<&str>) -> Self {
        let past_names = past.unwrap_or_default().split(' ').filter(|name| !name.is_empty());
        let names: BTreeSet<_> = client.audiences.iter().chain(past_names).map(str::to_owned).collect();
        let has_own = client.audiences.is_empty()
            || client.id.is_built_in()
            || past.is_none()
            // Among others, it stands for the service's own, too.
            || names.contains(AudienceName::SIGNET);
        Self { names, has_own, has_more: past.is_none() }
    }

    /// Tells that no token of `client` counts any more, within the transaction that ends it. Whose audiences are not known is told of to
    /// everybody: the row says no more than an id.
    pub(super) async fn tell_end(
        &self,
        db: &impl ConnectionTrait,
        client: &Client,
        now: Timestamp,
    ) -> Result<(), DbErr> {
        let ended = |audience| Detailed { subject: client.id.0, holder: None, audience, scopes: None };
        let rows = if self.has_more {
            vec![ended(None)]
        } else {
            let names = NameSet::default().with(self.names.iter().map(String::as_str));
            // Nothing stands for the service's own.
            let own = self.has_own.then(String::new);
            let sets = changes::in_rows(&names).into_iter().map(|names| names.as_str().to_owned());
            sets.chain(own).map(|set| ended(Some(set))).collect()
        };
        changes::tell_in_detail(db, ENDED, rows, now).await
    }

    /// Each of them, as roles have it; all that are known, if it is not known which.
    pub(super) async fn each(&self, db: &impl ConnectionTrait) -> Result<BTreeSet<AudienceName>, DbErr> {
        let mut all: BTreeSet<_> = self.names.iter().cloned().map(AudienceName::from_stored).collect();
        if self.has_more {
            let known = audiences::Entity::find()
                .select_only()
                .column(audiences::Column::Name)
                .filter(audiences::Column::OrganizationId.eq(INSTANCE));
            let known: Vec<String> = known.into_tuple().all(db).await?;
            all.extend(known.into_iter().map(AudienceName::from_stored));
        }
        if self.has_own {
            all.insert(AudienceName::signet());
            // Where the service's own audience has another name, this is somebody else's.
            all.insert(AudienceName::of(AudienceName::SIGNET, &NameSet::default()));
        }
        Ok(all)
    }
}

/// What is kept of the audiences that a client was registered with before, if `past` was while it had those of `old`, and it has those of
/// `new` from now on; none if it is not known.
pub(super) fn past(past: Option<String>, old: &NameSet, new: &NameSet) -> Option<String> {
    if old == new {
        return past;
    }
    let past = NameSet::from_stored(past?);
    // None is the service's own alone.
    let all = if old.is_empty() { past.with([AudienceName::SIGNET]) } else { past.with(old.iter()) };
    let past = all.without(new).as_str().to_owned();
    (past.len() <= MAX_BYTES).then_some(past)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClientId;

    fn set(names: &str) -> NameSet {
        NameSet::parse(names).unwrap()
    }

    fn client(audiences: &str) -> Client {
        let id = ClientId(uuid::Uuid::from_u128(7));
        Client { id, audiences: set(audiences), ..Client::built_in() }
    }

    fn names(audiences: &TokenAudiences) -> Vec<&str> {
        audiences.names.iter().map(String::as_str).collect()
    }

    #[test]
    fn what_a_client_was_registered_with_before_is_kept() {
        let kept = past(Some(String::new()), &set("orders"), &set("stock"));
        assert_eq!(kept.as_deref(), Some("orders"));
        let kept = past(kept, &set("stock"), &set("stock"));
        assert_eq!(kept.as_deref(), Some("orders"));
        let kept = past(kept, &set("stock"), &set("orders parts"));
        assert_eq!(kept.as_deref(), Some("stock"));
        let kept = past(kept, &set("orders parts"), &set(""));
        assert_eq!(kept.as_deref(), Some("stock orders parts"));
        assert_eq!(past(kept, &set(""), &set("stock")).as_deref(), Some("orders parts signet"));
        assert_eq!(past(None, &set("orders"), &set("stock")), None, "an earlier release kept none");
        let long = "x".repeat(1_000);
        assert_eq!(past(Some(long), &set(&"y".repeat(30)), &set("stock")), None, "more than is kept");
    }

    #[test]
    fn a_client_has_tokens_where_it_is_registered_and_was() {
        let of_orders = TokenAudiences::of(&client("stock"), Some("orders"));
        assert_eq!((names(&of_orders), of_orders.has_own), (vec!["orders", "stock"], false));
        assert!(TokenAudiences::of(&client(""), Some("")).has_own, "none are the service's own");
        assert!(TokenAudiences::of(&client("stock signet"), Some("")).has_own);
        let unknown = TokenAudiences::of(&client("stock"), None);
        assert!(unknown.has_own && unknown.has_more);
        let built_in = Client { audiences: set("stock"), ..Client::built_in() };
        let of_built_in = TokenAudiences::of(&built_in, Some(""));
        assert!(of_built_in.has_own && !of_built_in.has_more, "its own are the service's, too");
    }
}
