//! Owns the table `applied_resources`, and applying a plan in one transaction: each change is judged and recorded as if it were made
//! alone.

mod hanging;
mod present;
mod sets;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::store::{
    Store, WhichBinding,
    engine::attempts::Failed,
    tables::{
        access::INSTANCE,
        administration::{AdminChange, Administering, Applied},
        changes,
        client_changes::ChangedClient,
        entity::applied_resources::{ActiveModel, Column, Entity, Model},
        signing_keys::{self, FirstKey},
    },
};
use crate::{
    audit::{Entry, Field, FieldChange},
    base::Timestamp,
    model::{
        AdminScope, AttributeDeclaration, AttributeId, AudienceChange, AudienceName, Binding, BindingId,
        ClientId, Error, Group, GroupId, RefusedChange, Role, RoleId, UserId,
    },
};

pub use hanging::Hanging;
pub use present::{Named, Present};
pub use sets::SetOwner;
pub(super) use sets::forget_owner;

/// How long all of it may take: a manifest may change thousands of rows.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// One change of a manifest.
#[derive(Clone, Debug)]
pub enum Step {
    /// An attribute is declared.
    AddAttribute(AttributeDeclaration),
    /// What is declared of an attribute becomes this.
    UpdateAttribute(AttributeDeclaration),
    /// An attribute is deleted, and what users have of it is nobody's.
    DeleteAttribute(AttributeId),
    /// A group is added.
    AddGroup(Group),
    /// A group is deleted, with its members and bindings.
    DeleteGroup(GroupId),
    /// A user comes into a group.
    AddMember(GroupId, UserId),
    /// A user leaves a group.
    RemoveMember(GroupId, UserId),
    /// A role is added, and its audience if it is new.
    AddRole(Role),
    /// A role becomes this one.
    UpdateRole(Role),
    /// A role is deleted, with its bindings.
    DeleteRole(RoleId),
    /// An audience gets other owners, or its tokens another type.
    UpdateAudience(AudienceName, AudienceChange),
    /// A client is added.
    AddClient(Box<ChangedClient>),
    /// A client becomes this one.
    ChangeClient(Box<ChangedClient>),
    /// A client is deleted.
    DeleteClient(ClientId),
    /// Somebody gets a role, or another end of it.
    Bind(Binding),
    /// A binding is deleted.
    Unbind(BindingId),
    /// The set of this name becomes that of whoever applies it; it was another's.
    TakeSet(String, SetOwner),
}

/// One change of a manifest, as it is to be made.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// The change.
    pub step: Step,
    /// What is recorded of it.
    pub entry: Entry,
    /// What is changed, in words.
    pub what: String,
}

/// What a manifest has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Made {
    /// A client.
    Client(ClientId),
    /// A role.
    Role(RoleId),
    /// A group.
    Group(GroupId),
    /// That a user is in a group.
    Membership(GroupId, UserId),
    /// A binding.
    Binding(BindingId),
    /// What is declared of an attribute.
    Attribute(AttributeId),
}

/// What is to be made of what is there.
#[derive(Clone, Copy, Debug)]
pub struct Applying<'a> {
    /// What was read to make the plan.
    pub named: &'a Named,
    /// What was found.
    pub basis: &'a Present,
    /// When the plan was made: what it creates is of that moment.
    pub time: Timestamp,
    /// The changes in their order.
    pub steps: &'a [PlannedStep],
    /// The first signing key, if all of it is only to be made with that.
    pub first_key: Option<&'a FirstKey>,
}

impl Store {
    /// What there is of what a manifest names, and of what its set has made.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn present(&self, named: &Named) -> Result<Present, Error> {
        self.write(|| async { present::read(&self.db, named).await }).await
    }

    /// Makes all of `applying` in one transaction, if what is there still is what the plan was made for. Each change is judged by what
    /// whoever makes it has before all of them, and owns. False, and nothing is made, if it was to be with the first signing key, and
    /// there is one.
    ///
    /// # Errors
    /// [`Error::PlanOutdated`], [`Error::SetOfAnother`]; what a change by itself is refused with, which is named then;
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn apply(
        &self,
        applying: Applying<'_>,
        change: AdminChange<'_>,
    ) -> Result<bool, RefusedChange> {
        let Applying { named, basis, time, steps, first_key } = applying;
        let patient = Self { time_limit: TIME_LIMIT, ..self.clone() };
        let (store, by, set) = (&patient, SetOwner::of(change.authority), &*named.set);
        let is_taken = steps.iter().any(|planned| matches!(planned.step, Step::TakeSet(..)));
        // The change that is refused; and the first that took something from an admin, which is refused where all of it ends.
        let (refused, took) = (&AtomicUsize::new(usize::MAX), &AtomicUsize::new(usize::MAX));
        let making = store.change(change, |mut db| async move {
            refused.store(usize::MAX, Ordering::Relaxed);
            took.store(usize::MAX, Ordering::Relaxed);
            db.rights().must_have(AdminScope::ManifestsApply)?;
            if let Some(first) = first_key
                && !signing_keys::add_first(&*db, first, change.now).await?
            {
                return db.unchanged(INSTANCE, false).await;
            }
            // Nobody else changes it until this ends.
            if Box::pin(present::read(&*db, named)).await? != *basis {
                return Err(Error::PlanOutdated.into());
            }
            if !is_taken {
                by.must_have(set, basis.owner)?;
            }
            if basis.owner.is_none() {
                sets::give(&db, set, by).await?;
            }
            let newest = changes::newest(&*db).await?;
            db.judge_by_what_is_owned_now().await?;
            forget(&*db, basis.stale()).await?;
            for (at, PlannedStep { step, entry, .. }) in steps.iter().enumerate() {
                let part =
                    AdminChange { entry, within: Some(&db), request: None, validate_only: false, ..change };
                // On the heap: it is the future of every kind of change.
                if let Err(error) = Box::pin(store.take(step, part)).await {
                    let failed = db.failure(error);
                    if matches!(failed, Failed::Refused(_)) {
                        refused.store(at, Ordering::Relaxed);
                    }
                    return Err(failed);
                }
                if db.takes_from_an_admin() {
                    took.fetch_min(at, Ordering::Relaxed);
                }
                note(&db, set, step, time).await?;
            }
            if !store.late_changes().is_zero() {
                // The first of them took their ids up to a minute ago, longer than the feed looks back.
                changes::tell_again(&*db, newest, change.now).await?;
            }
            db.done(INSTANCE, FieldChange::of(Field::Set, "", set), true).await
        });
        let made = making.await.map_err(|error| {
            let at = if matches!(error, Error::LastAdmin) { took } else { refused };
            let planned = steps.get(at.load(Ordering::Relaxed));
            RefusedChange { change: planned.map(|planned| planned.what.clone()), error }
        })?;
        Ok(made != Applied::Now(false))
    }

    async fn take(&self, step: &Step, change: AdminChange<'_>) -> Result<(), Error> {
        match step {
            Step::AddAttribute(declared) => self.add_attribute(declared, change).await.map(drop),
            Step::UpdateAttribute(declared) => {
                self.update_attribute(declared.id, None, |_| Ok(declared.clone()), change).await.map(drop)
            }
            Step::DeleteAttribute(id) => self.delete_attribute(*id, None, change).await.map(drop),
            Step::AddGroup(group) => self.add_group(group, change).await.map(drop),
            Step::DeleteGroup(id) => self.delete_group(*id, None, change).await.map(drop),
            Step::AddMember(group, user) => self.add_member(*group, *user, change).await.map(drop),
            Step::RemoveMember(group, user) => self.remove_member(*group, *user, change).await.map(drop),
            Step::AddRole(role) => self.add_role(role, change).await.map(drop),
            Step::UpdateRole(role) => {
                self.update_role(role.id, None, |_| Ok(role.clone()), change).await.map(drop)
            }
            Step::DeleteRole(id) => self.delete_role(*id, None, change).await.map(drop),
            Step::UpdateAudience(name, becoming) => {
                self.update_audience(name, None, |old| Ok(becoming.of(old)), change).await.map(drop)
            }
            Step::AddClient(new) => self.add_client(new, change).await.map(drop),
            Step::ChangeClient(new) => {
                self.change_client(new.client.id, |_| Ok((**new).clone()), change).await.map(drop)
            }
            Step::DeleteClient(id) => self.delete_client(*id, |_| Ok(()), change).await.map(drop),
            Step::Bind(binding) => self.bind(binding, change).await.map(drop),
            Step::Unbind(id) => self.unbind(WhichBinding::Id(*id), None, change).await.map(drop),
            Step::TakeSet(set, from) => self.take_set(set, *from, change).await.map(drop),
        }
    }
}

impl Step {
    /// What it makes, if it makes something that can be deleted; true, or deletes, false.
    fn made(&self) -> Option<(Made, bool)> {
        match self {
            Self::AddGroup(group) => Some((Made::Group(group.id), true)),
            Self::DeleteGroup(id) => Some((Made::Group(*id), false)),
            Self::AddMember(group, user) => Some((Made::Membership(*group, *user), true)),
            Self::RemoveMember(group, user) => Some((Made::Membership(*group, *user), false)),
            Self::AddRole(role) if role.is_everyone() => None,
            Self::AddRole(role) => Some((Made::Role(role.id), true)),
            Self::DeleteRole(id) => Some((Made::Role(*id), false)),
            Self::AddClient(new) => Some((Made::Client(new.client.id), true)),
            Self::DeleteClient(id) => Some((Made::Client(*id), false)),
            Self::Unbind(id) => Some((Made::Binding(*id), false)),
            Self::AddAttribute(declared) => Some((Made::Attribute(declared.id), true)),
            Self::DeleteAttribute(id) => Some((Made::Attribute(*id), false)),
            Self::Bind(_)
            | Self::UpdateRole(_)
            | Self::UpdateAudience(..)
            | Self::ChangeClient(_)
            | Self::UpdateAttribute(_)
            | Self::TakeSet(..) => None,
        }
    }
}

impl Made {
    const fn kind(self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Role(_) => "role",
            Self::Group(_) => "group",
            Self::Membership(..) => "membership",
            Self::Binding(_) => "binding",
            Self::Attribute(_) => "attribute",
        }
    }

    /// Its id, and that of the user of a membership.
    const fn ids(self) -> (Uuid, Uuid) {
        match self {
            Self::Client(ClientId(id))
            | Self::Role(RoleId(id))
            | Self::Group(GroupId(id))
            | Self::Binding(BindingId(id))
            | Self::Attribute(AttributeId(id)) => (id, Uuid::nil()),
            Self::Membership(GroupId(group), UserId(user)) => (group, user),
        }
    }

    /// That of `row`; none if a later release wrote what it is.
    fn of(row: &Model) -> Option<Self> {
        let (id, part) = (row.resource_id, row.part_id);
        let all = [
            Self::Client(ClientId(id)),
            Self::Role(RoleId(id)),
            Self::Group(GroupId(id)),
            Self::Membership(GroupId(id), UserId(part)),
            Self::Binding(BindingId(id)),
            Self::Attribute(AttributeId(id)),
        ];
        all.into_iter().find(|made| made.kind() == row.kind)
    }
}

/// Notes what `step` has made for the set `set`, or that it is no more.
async fn note(db: &Administering<'_>, set: &str, step: &Step, time: Timestamp) -> Result<(), DbErr> {
    let made = match step {
        // What was there already, with another end, is no other's from now on.
        Step::Bind(binding) if binding.create_time == time => Some((Made::Binding(binding.id), true)),
        other => other.made(),
    };
    let Some((made, is_new)) = made else { return Ok(()) };
    forget(&**db, [made]).await?;
    if !is_new {
        return Ok(());
    }
    let (id, part) = made.ids();
    let row = ActiveModel {
        organization_id: Set(INSTANCE),
        kind: Set(made.kind().to_owned()),
        resource_id: Set(id),
        part_id: Set(part),
        set_name: Set(set.to_owned()),
        create_time: Set(db.now().as_micros()),
    };
    Entity::insert(row).exec_without_returning(&**db).await.map(drop)
}

/// Forgets which set has made each of `all`.
async fn forget(db: &impl ConnectionTrait, all: impl IntoIterator<Item = Made>) -> Result<(), DbErr> {
    for made in all {
        let (id, part) = made.ids();
        Entity::delete_by_id((INSTANCE, made.kind().to_owned(), id, part)).exec(db).await?;
    }
    Ok(())
}

/// Forgets which sets have brought the user `id` into groups.
pub(super) async fn forget_user(db: &impl ConnectionTrait, id: UserId) -> Result<(), DbErr> {
    let brought = Entity::delete_many()
        .filter(Column::OrganizationId.eq(INSTANCE))
        .filter(Column::Kind.eq("membership"))
        .filter(Column::PartId.eq(id.0));
    brought.exec(db).await.map(drop)
}

/// What the set `set` has made, and when.
async fn made_by(db: &impl ConnectionTrait, set: &str) -> Result<Vec<(Made, Timestamp)>, DbErr> {
    let rows = Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(Column::SetName.eq(set));
    let made = |row: Model| Some((Made::of(&row)?, Timestamp::from_micros(row.create_time)));
    Ok(rows.all(db).await?.into_iter().filter_map(made).collect())
}
