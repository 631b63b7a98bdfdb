//! Owns the tables `policy_versions` and `policy_rules`: the rules of services, by version.

mod stored_rule;

use std::fmt::Write as _;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select, sea_query::Expr,
};
use uuid::Uuid;

use crate::store::{
    Store,
    engine::attempts::Failed,
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Administering, Applied},
        audiences,
        changes::{self, ChangeEffect, ChangeKind},
        entity::{
            policy_rules as rules,
            policy_versions::{ActiveModel, Column, Entity, Model},
        },
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{
        Access, AdminScope, AudienceName, Authority, Error, PolicyState, PolicyVersionId, PolicyVersionName,
        policy::{
            MethodRules, POLICY_MAX_IN_FORCE, POLICY_MAX_NAMES, POLICY_MAX_VERSIONS, PolicyVersion,
            ServicePolicy, Widening,
        },
    },
};

/// How many rules one statement inserts: every database takes that, whatever stands in them.
const RULES: usize = 200;

/// How many bytes a refusal takes that lists methods, and one line of it: it comes in headers, twice, where libraries of gRPC leave 8 KiB.
const LISTED_MAX_BYTES: usize = 1_500;
const LINE_MAX_BYTES: usize = 300;

/// The state of a version that was deleted to make room: what is left is its name, which no other version gets, so that whoever has judged
/// one finds that one by its name, or none.
const DELETED: &str = "DELETED";

/// How the feed is told of a service's policy.
const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Policy, ChangeEffect::Changed);

/// What a version is to become.
#[derive(Clone, Debug)]
pub struct PolicyStateChange<'a> {
    /// Its service.
    pub service: &'a AudienceName,
    /// Which it is.
    pub version: &'a PolicyVersionName,
    /// What it is to do.
    pub state: PolicyState,
    /// The etag that it must still have, if one is said.
    pub etag: Option<&'a str>,
    /// Whether calls may pass then that are refused now.
    pub allow_widening: bool,
}

impl Store {
    /// Adds the version `new` with its `rules`, which does nothing yet. One of the name that was made of the same is left as it is.
    ///
    /// Beyond the most versions, the oldest that is not in force is deleted, but for its name.
    ///
    /// # Errors
    /// [`Error::PolicyVersionExists`], [`Error::AudienceNotFound`], [`Error::LimitReached`]; why whoever adds it may not;
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_policy_version(
        &self,
        new: &PolicyVersion,
        rules: &MethodRules,
        change: AdminChange<'_>,
    ) -> Result<Applied<PolicyVersion>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::PoliciesWrite)?;
            db.must_own(&new.service).await?;
            if *change.authority == Authority::Operator {
                audiences::ensure(&*db, &new.service, change.now, self.entropy()).await?;
            }
            if let Some(old) = find_any(&*db, &new.service, &new.name).await? {
                if old.state == DELETED {
                    return Err(exists(new).into());
                }
                let old = version(old);
                if old.sha256 == new.sha256 && rules_in(&*db, old.id.0).await? == *rules {
                    return db.unchanged(old.id.0, old).await;
                }
                return Err(exists(new).into());
            }
            make_room(&db, &new.service).await?;
            Entity::insert(row(new)).exec_without_returning(&*db).await?;
            let all: Vec<_> = rules.iter().collect();
            for some in all.chunks(RULES) {
                let some = some.iter().map(|(method, rule)| rules::ActiveModel {
                    organization_id: Set(INSTANCE),
                    version_id: Set(new.id.0),
                    method: Set((*method).clone()),
                    rule: Set(stored_rule::write(rule)),
                });
                rules::Entity::insert_many(some).exec_without_returning(&*db).await?;
            }
            let fields = FieldChange::of(Field::Version, "", new.name.as_str());
            db.done(new.id.0, fields, new.clone()).await
        })
        .await
    }

    /// Has a version do something else. Returns it as it was, and as it is.
    ///
    /// # Errors
    /// [`Error::PolicyVersionNotFound`], [`Error::EtagMismatch`], [`Error::LimitReached`], [`Error::PolicyWidens`]; why whoever changes it
    /// may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn change_policy_state(
        &self,
        wanted: &PolicyStateChange<'_>,
        change: AdminChange<'_>,
    ) -> Result<Applied<(PolicyVersion, PolicyVersion)>, Error> {
        self.change(change, |db| async move {
            db.rights().must_have(AdminScope::PoliciesWrite)?;
            db.must_own(wanted.service).await?;
            let Some(old) = find(&*db, wanted.service, wanted.version).await? else {
                return Err(PolicyVersion::not_found(wanted.service, wanted.version).into());
            };
            old.etag().must_match(wanted.etag)?;
            if old.state == wanted.state {
                return db.unchanged(old.id.0, (old.clone(), old)).await;
            }
            // What is judged here holds when it is committed: no other change of a policy comes between.
            let before = in_force(&*db, wanted.service).await?;
            let own = rules_in(&*db, old.id.0).await?;
            let after = before.with(wanted.version, wanted.state, own);
            if after.count() as u64 > POLICY_MAX_IN_FORCE && after.count() > before.count() {
                let whose = format!("the policy of `{}`", wanted.service.as_str());
                let what = "versions that are active or in SHADOW";
                return Err(Error::LimitReached { whose, what, most: POLICY_MAX_IN_FORCE }.into());
            }
            let widened = Widening::between(&before, &after);
            let may_widen = wanted.allow_widening && db.rights().have(AdminScope::PoliciesWiden);
            if !widened.is_empty() && !may_widen {
                return Err(Error::PolicyWidens(in_words(&widened)).into());
            }
            let new = PolicyVersion { state: wanted.state, update_time: change.now, ..old.clone() };
            Entity::update_many()
                .col_expr(Column::State, Expr::value(new.state.name()))
                .col_expr(Column::UpdateTime, Expr::value(new.update_time.as_micros()))
                .filter(Column::OrganizationId.eq(INSTANCE))
                .filter(Column::Id.eq(old.id.0))
                .exec(&*db)
                .await?;
            changes::tell(&*db, CHANGED, &[wanted.service.key()], change.now).await?;
            let fields = [
                FieldChange::from_text(Field::Version, new.name.as_str()),
                FieldChange {
                    field: Field::State,
                    old: Some(old.state.name().to_owned()),
                    new: Some(new.state.name().to_owned()),
                },
            ];
            db.done(new.id.0, fields, (old, new)).await
        })
        .await
    }

    /// The version `name` of the policy of `service`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn policy_version(
        &self,
        service: &AudienceName,
        name: &PolicyVersionName,
    ) -> Result<Option<PolicyVersion>, Error> {
        self.ask(|| find(&self.db, service, name)).await
    }

    /// The version with this id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn policy_version_with(&self, id: PolicyVersionId) -> Result<Option<PolicyVersion>, Error> {
        let query = Entity::find_by_id((INSTANCE, id.0)).filter(Column::State.ne(DELETED));
        Ok(self.ask_for_one(|| query.clone().all(&self.db)).await?.map(version))
    }

    /// The versions after `after` in the order of their ids, which is that of their pushes; of `service` alone, if one is said; at most
    /// `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn policy_versions(
        &self,
        service: Option<&AudienceName>,
        after: Option<PolicyVersionId>,
        limit: u64,
    ) -> Result<Vec<PolicyVersion>, Error> {
        let mut query =
            Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(Column::State.ne(DELETED));
        query = query.order_by_asc(Column::Id).limit(limit);
        if let Some(service) = service {
            query = query.filter(Column::Service.eq(service.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(Column::Id.gt(after.0));
        }
        Ok(self.ask(|| query.clone().all(&self.db)).await?.into_iter().map(version).collect())
    }

    /// The rules of a version.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn policy_rules(&self, id: PolicyVersionId) -> Result<MethodRules, Error> {
        self.ask(|| rules_in(&self.db, id.0)).await
    }

    /// What is in force of the policy of `service`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn policy_in_force(&self, service: &AudienceName) -> Result<ServicePolicy, Error> {
        self.ask(|| in_force(&self.db, service)).await
    }
}

/// Deletes the oldest version of `service` that is not in force, if it has as many as there may be; and the oldest name of one deleted.
async fn make_room(db: &Administering<'_>, service: &AudienceName) -> Result<(), Failed> {
    let query =
        of_service(service).select_only().columns([Column::Id, Column::State]).order_by_asc(Column::Id);
    let all: Vec<(Uuid, String)> = query.into_tuple().all(&**db).await?;
    let (gone, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, state)| state == DELETED);
    let surplus =
        |there: usize, most: u64| (there + 1).saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    let wanted = surplus(kept.len(), POLICY_MAX_VERSIONS);
    let is_unused = |state: &str| PolicyState::named(state).is_some_and(|state| !state.is_in_force());
    let ids: Vec<_> =
        kept.iter().filter(|(_, state)| is_unused(state)).map(|(id, _)| *id).take(wanted).collect();
    if ids.len() < wanted {
        let whose = format!("the policy of `{}`", service.as_str());
        return Err(Error::LimitReached { whose, what: "versions", most: POLICY_MAX_VERSIONS }.into());
    }
    for id in ids {
        rules::Entity::delete_many()
            .filter(rules::Column::OrganizationId.eq(INSTANCE))
            .filter(rules::Column::VersionId.eq(id))
            .exec(&**db)
            .await?;
        Entity::update_many()
            .col_expr(Column::State, Expr::value(DELETED))
            .filter(Column::OrganizationId.eq(INSTANCE))
            .filter(Column::Id.eq(id))
            .exec(&**db)
            .await?;
    }
    let names = gone.len() + kept.len();
    for (id, _) in gone.into_iter().take(surplus(names, POLICY_MAX_NAMES)) {
        Entity::delete_by_id((INSTANCE, id)).exec(&**db).await?;
    }
    Ok(())
}

/// The versions of `service` that are in force, with their rules.
///
/// What a state of a later release does is not known here: it may refuse calls, so it counts as active, and lets nobody in.
async fn in_force(db: &impl ConnectionTrait, service: &AudienceName) -> Result<ServicePolicy, DbErr> {
    let idle = [PolicyState::Pushed.name(), PolicyState::Retired.name(), DELETED];
    let found =
        of_service(service).filter(Column::State.is_not_in(idle)).order_by_asc(Column::Id).all(db).await?;
    let mut versions = Vec::with_capacity(found.len());
    for row in found {
        let mut rules = rules_in(db, row.id).await?;
        if PolicyState::named(&row.state).is_none() {
            for rule in rules.values_mut() {
                rule.access = Access::NotUnderstood;
            }
        }
        let found = version(row);
        versions.push((found.name, found.state, rules));
    }
    Ok(ServicePolicy::new(service.as_str(), versions))
}

async fn rules_in(db: &impl ConnectionTrait, id: Uuid) -> Result<MethodRules, DbErr> {
    let query = rules::Entity::find()
        .filter(rules::Column::OrganizationId.eq(INSTANCE))
        .filter(rules::Column::VersionId.eq(id));
    let rows = query.all(db).await?;
    Ok(rows.into_iter().map(|row| (row.method, stored_rule::read(&row.rule))).collect())
}

async fn find(
    db: &impl ConnectionTrait,
    service: &AudienceName,
    name: &PolicyVersionName,
) -> Result<Option<PolicyVersion>, DbErr> {
    Ok(find_any(db, service, name).await?.filter(|row| row.state != DELETED).map(version))
}

/// The same, also if it was deleted.
async fn find_any(
    db: &impl ConnectionTrait,
    service: &AudienceName,
    name: &PolicyVersionName,
) -> Result<Option<Model>, DbErr> {
    of_service(service).filter(Column::Version.eq(name.as_str())).one(db).await
}

fn of_service(service: &AudienceName) -> Select<Entity> {
    Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(Column::Service.eq(service.as_str()))
}

fn version(row: Model) -> PolicyVersion {
    PolicyVersion {
        id: PolicyVersionId(row.id),
        service: AudienceName::from_stored(row.service),
        name: PolicyVersionName::from_stored(row.version),
        // One of a later release may refuse calls there: it lets nobody in here ([`in_force`]).
        state: PolicyState::named(&row.state).unwrap_or(PolicyState::Active),
        sha256: row.sha256,
        methods: u64::try_from(row.methods).unwrap_or_default(),
        create_time: Timestamp::from_micros(row.create_time),
        update_time: Timestamp::from_micros(row.update_time),
    }
}

fn row(version: &PolicyVersion) -> ActiveModel {
    ActiveModel {
        organization_id: Set(INSTANCE),
        id: Set(version.id.0),
        service: Set(version.service.as_str().to_owned()),
        version: Set(version.name.as_str().to_owned()),
        state: Set(version.state.name().to_owned()),
        sha256: Set(version.sha256.clone()),
        methods: Set(i64::try_from(version.methods).unwrap_or(i64::MAX)),
        create_time: Set(version.create_time.as_micros()),
        update_time: Set(version.update_time.as_micros()),
    }
}

/// The first of what is `widened`, and how many there are besides: the methods first of all.
fn in_words(widened: &[Widening]) -> String {
    let mut text = String::new();
    for (at, one) in widened.iter().enumerate() {
        let line = one.to_string();
        let end = line.floor_char_boundary(LINE_MAX_BYTES);
        let cut = if end < line.len() { "..." } else { "" };
        if at > 0 && text.len() + end > LISTED_MAX_BYTES {
            let _ = write!(text, "; and {} more, which `signet policy diff` shows", widened.len() - at);
            break;
        }
        let _ = write!(text, "{}{}{cut}", if at > 0 { "; " } else { "" }, &line[..end]);
    }
    text
}

fn exists(new: &PolicyVersion) -> Error {
    let (service, version) = (new.service.as_str().to_owned(), new.name.as_str().to_owned());
    Error::PolicyVersionExists { service, version }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widening(method: &str, rule: &str) -> Widening {
        Widening { method: Some(method.to_owned()), before: "nobody".to_owned(), after: rule.to_owned() }
    }

    #[test]
    fn what_a_refusal_lists_fits_into_headers_whatever_the_rules_are() {
        let few = [widening("/s.S/A", "everybody"), widening("/s.S/B", "everybody")];
        assert_eq!(in_words(&few), "/s.S/A: now nobody, then everybody; /s.S/B: now nobody, then everybody");
        let many: Vec<_> = (0..2_000).map(|at| widening(&format!("/s.S/M{at}"), &"é".repeat(400))).collect();
        let told = in_words(&many);
        assert!(told.len() < LISTED_MAX_BYTES + 100, "{}", told.len());
        assert!(
            told.starts_with("/s.S/M0: now nobody")
                && told.ends_with("more, which `signet policy diff` shows"),
            "{told}"
        );
    }
}
