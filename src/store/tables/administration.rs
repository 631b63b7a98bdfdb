//! Owns what all changes by administrators share: they wait for each other, each is judged in the transaction that writes it, and a
//! repeated request changes nothing.
//!
//! The first statement counts up the row of the service's own audience. So a change finds everything as the one before it has left it, on
//! two nodes of Galera too (see [`attempts`](crate::store::engine::attempts)), and what is judged holds when it is committed.

mod admins;
mod parts;
mod standing;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
    sea_query::{Condition, Expr, ExprTrait, Query},
};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

pub(super) use self::admins::{has_admin, is_admin, is_member};

use self::parts::Held;
use crate::store::{
    Store,
    engine::{attempts::Failed, transaction::commit},
    tables::{
        access::INSTANCE,
        admin_requests, administrators, audit_events, bindings,
        client_makers::HoldingMore,
        entity::{audience_owners, audiences, clients, memberships},
        one_time_passwords,
    },
};
use crate::{
    audit::{Entry, FieldChange},
    base::{Entropy, Timestamp},
    model::{
        AdminScope, AudienceName, Authority, Binding, BindingId, BuiltInRole, ClientId, Error, GroupId,
        NameSet, Principal, RequestKey, Rights, RoleId, SessionId, Subject, UserId, role::is_admin_scope,
    },
};

/// A change of what somebody may do, or of whoever may do something.
#[derive(Clone, Copy, Debug)]
pub struct AdminChange<'a> {
    /// The authority of who makes it.
    pub authority: &'a Authority,
    /// When.
    pub now: Timestamp,
    /// The key by which a repetition of the request is known, if the caller gave one.
    pub request: Option<&'a RequestKey>,
    /// Whether only to judge it: nothing is written (AIP-163).
    pub validate_only: bool,
    /// The audit event, which is written in its transaction.
    pub entry: &'a Entry,
    /// The change that it is a part of, whose transaction it is made in; none if it has one of its own.
    pub(in crate::store) within: Option<&'a Administering<'a>>,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied<T> {
    /// It was made; or, if that alone was asked, it would be.
    Now(T),
    /// The same request has made it before, and it concerned the resource with this id.
    Before(Uuid),
}

/// A change in its transaction: nothing else changes who may do what until it ends.
#[derive(Debug)]
pub(in crate::store) struct Administering<'a> {
    db: Held<'a>,
    change: AdminChange<'a>,
    rights: Rights,
    /// The audiences whose ownership counts; none if it is what there is when each of them is asked for.
    owned: Option<Arc<BTreeSet<AudienceName>>>,
    /// The clients that hold more than the makers of their credentials did, before the change.
    holding_more: HoldingMore,
    /// Whether it, or the change that it is a part of, has taken something from an admin, who may have been the last one.
    takes_from_an_admin: Arc<AtomicBool>,
    entropy: Entropy,
    /// How the database failed in a part of the change.
    failed: Mutex<Option<Failed>>,
    /// Held until it ends; none of the operator's.
    _permit: Option<OwnedSemaphorePermit>,
}

/// How the audience is found whose roles or bindings are to be changed.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum RolesOf<'a> {
    /// By its name.
    Audience(&'a AudienceName),
    /// By one of its roles.
    Role(RoleId),
    /// By a binding to one of its roles.
    Binding(BindingId),
}

impl Store {
    /// Makes `change` in one transaction, in which nobody else changes who may do what: `make` judges, writes, and ends by
    /// [`Administering::done`] or [`Administering::unchanged`]. It may be run several times, and not at all if the same request has made
    /// the change before.
    ///
    /// # Errors
    /// As with [`Store::write`]; [`Error::RequestIdReused`]; [`Error::TokenRevoked`] if whoever asks must change nothing any more.
    pub(in crate::store) async fn change<'a, T, Making>(
        &self,
        change: AdminChange<'a>,
        make: impl Fn(Administering<'a>) -> Making,
    ) -> Result<Applied<T>, Error>
    where
        Making: Future<Output = Result<Applied<T>, Failed>>,
    {
        if let Some(outer) = change.within {
            change.entry.await_judgement();
            return make(outer.part(change)).await.map_err(|failed| outer.note_failure(failed));
        }
        self.write(|| async {
            change.entry.await_judgement();
            let permit = match change.authority {
                Authority::Operator => None,
                Authority::Caller { .. } => self.lanes.administrator().await,
            };
            let db = self.begin().await?;
            take_turn(&db).await?;
            let rights = match change.authority {
                Authority::Operator => Rights::OPERATOR,
                Authority::Caller { subject, scopes, .. } => {
                    let client_may = standing::must_stand(&db, *subject).await?;
                    let held = admin_scopes_of(&db, subject.principal(), change.now).await?;
                    Rights::of_caller(
                        scopes,
                        &client_may.map_or_else(|| held.clone(), |may| held.within(&may)),
                    )
                }
            };
            if let Some(request) = change.request
                && let Some(resource) = admin_requests::done_before(&db, request).await?
            {
                return Ok(Applied::Before(resource));
            }
            let holding_more = Box::pin(HoldingMore::find(&db, change.now)).await?;
            if !change.validate_only {
                // Whom the change takes it from, too, and nobody has noted: the release before did not.
                Box::pin(administrators::note(&db, change.now)).await?;
            }
            let entropy = self.entropy.clone();
            let (db, failed) = (Held::Own(Box::new(db)), Mutex::new(None));
            let making = Administering {
                db,
                change,
                rights,
                owned: None,
                holding_more,
                takes_from_an_admin: Arc::default(),
                entropy,
                failed,
                _permit: permit,
            };
            make(making).await
        })
        .await
    }

    /// Succeeds if whoever asks for `change` may change the roles of the audience that `of` finds, as far as is seen without waiting for
    /// the turn: what [`Administering::may_change_roles_of`] judges for good. Any token lets its holder ask for such a change, so who may
    /// not shall have nobody wait.
    ///
    /// # Errors
    /// [`Error::NotOwner`] and the other errors of that; [`Error::RoleNotFound`], [`Error::BindingNotFound`]; [`Error::Unavailable`] or
    /// [`Error::Internal`], with the cause.
    pub(in crate::store) async fn look_before_turn(
        &self,
        change: AdminChange<'_>,
        of: RolesOf<'_>,
    ) -> Result<(), Error> {
        change.entry.await_judgement();
        let Authority::Caller { subject, scopes, .. } = change.authority else { return Ok(()) };
        if change.within.is_some() || scopes.contains(AdminScope::BindingsWrite.name()) {
            return Ok(());
        }
        let found = match of {
            RolesOf::Audience(name) => Some(name.clone()),
            RolesOf::Role(id) => self.role(id).await?.map(|role| role.audience),
            RolesOf::Binding(id) => self.binding(id).await?.map(|(_, role)| role.audience),
        };
        let Some(found) = found else {
            // What the request has deleted is not found again.
            return match self.was_done(change.request).await? {
                Some(true) => Ok(()),
                Some(false) => Err(Error::RequestIdReused),
                None => Err(of.not_found()),
            };
        };
        if self.ask(|| owns(&self.db, subject.principal(), &found)).await? {
            return change.authority.may_decide_as_owner_of(&found);
        }
        Err(Error::not_owner(found.as_str()))
    }

    async fn was_done(&self, request: Option<&RequestKey>) -> Result<Option<bool>, Error> {
        let Some(request) = request else { return Ok(None) };
        self.ask(|| admin_requests::was_done(&self.db, request)).await
    }
}

impl<'a> AdminChange<'a> {
    /// One in a transaction of its own.
    #[must_use]
    pub const fn new(
        authority: &'a Authority,
        now: Timestamp,
        request: Option<&'a RequestKey>,
        validate_only: bool,
        entry: &'a Entry,
    ) -> Self {
        Self { authority, now, request, validate_only, entry, within: None }
    }
}

impl RolesOf<'_> {
    fn not_found(self) -> Error {
        match self {
            Self::Audience(name) => Error::AudienceNotFound(name.as_str().to_owned()),
            Self::Role(id) => Error::RoleNotFound { role: id.to_string(), audience: None },
            Self::Binding(id) => Error::BindingNotFound(format!("there is no binding `{id}`")),
        }
    }
}

impl Administering<'_> {
    /// When it is made.
    pub(in crate::store) const fn now(&self) -> Timestamp {
        self.change.now
    }

    /// The rights of who makes the change.
    pub(in crate::store) const fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The session of whoever makes the change; none of the operator and of a client.
    pub(in crate::store) const fn session(&self) -> Option<SessionId> {
        match self.change.authority {
            Authority::Caller { subject: Subject::User(_, session), .. } => Some(*session),
            Authority::Operator | Authority::Caller { subject: Subject::Client(_), .. } => None,
        }
    }

    /// More is to be done for the same request in another transaction, the last of which notes it: what is cut short between them goes on
    /// where it is repeated.
    pub(in crate::store) const fn goes_on(&mut self) {
        self.change.request = None;
    }

    /// Succeeds if `who` may be changed: who has no scope that administers the service, or none that whoever changes it lacks. Whether
    /// it is active does not matter.
    ///
    /// # Errors
    /// [`Error::HoldsMore`].
    pub(in crate::store) async fn may_change(&self, who: Principal) -> Result<(), Failed> {
        let held = admin_scopes_of(&**self, who, self.change.now).await?;
        Ok(self.rights.must_equal(&held)?)
    }

    /// Succeeds if whoever makes the change may come to act as `who`, by a password, a secret, a key or a certificate that it gives `who`:
    /// who may be changed, and owns no audience that whoever makes the change does not own, too.
    ///
    /// # Errors
    /// [`Error::HoldsMore`]; [`Error::NotOwner`].
    pub(in crate::store) async fn may_become(&self, who: Principal) -> Result<(), Failed> {
        self.may_change(who).await?;
        // Whoever sets owners could be one.
        if self.rights.have(AdminScope::AudiencesAdmin) {
            return Ok(());
        }
        for audience in owned_by(&**self, who).await? {
            match self.must_own(&audience).await {
                Err(Failed::Refused(Error::NotOwner { audience, .. })) => {
                    return Err(Error::NotOwner { audience, acts_as_owner: true }.into());
                }
                judged => judged?,
            }
        }
        Ok(())
    }

    /// Succeeds if the roles and bindings of `audience` may be changed: by its owners, and by who has `signet.bindings.write`.
    ///
    /// # Errors
    /// [`Error::NotOwner`]; [`Error::InsufficientScope`] of an owner whose token lacks what that takes.
    pub(in crate::store) async fn may_change_roles_of(&self, audience: &AudienceName) -> Result<(), Failed> {
        if self.rights.have(AdminScope::BindingsWrite) { Ok(()) } else { self.must_own(audience).await }
    }

    /// Succeeds if whoever makes the change owns `audience`, or is the operator.
    ///
    /// # Errors
    /// As [`Self::may_change_roles_of`].
    pub(in crate::store) async fn must_own(&self, audience: &AudienceName) -> Result<(), Failed> {
        let Authority::Caller { subject, .. } = self.change.authority else { return Ok(()) };
        let owns = match &self.owned {
            Some(owned) => owned.contains(audience),
            None => owns(&**self, subject.principal(), audience).await?,
        };
        if owns {
            return Ok(self.change.authority.may_decide_as_owner_of(audience)?);
        }
        Err(Error::not_owner(audience.as_str()).into())
    }

    /// Whether the user is an admin, who may be the last one, active or not.
    pub(in crate::store) async fn is_admin(&self, user: UserId) -> Result<bool, Failed> {
        Ok(is_admin(&**self, user).await?)
    }

    /// Has the change refused where the whole ends, if it leaves no admin: a later part may make one, or void the password of one whom
    /// an earlier part has made.
    pub(in crate::store) fn must_leave_an_admin(&self) {
        self.takes_from_an_admin.store(true, Ordering::Relaxed);
    }

    /// The same, if it is the role of admins, without an end, that `binding` gave and gives no longer.
    pub(in crate::store) fn must_leave_an_admin_but(&self, binding: &Binding) {
        if binding.role == BuiltInRole::Admin.id() && binding.expire_time.is_none() {
            self.must_leave_an_admin();
        }
    }

    /// Whether something of it, so far, has taken something from an admin.
    pub(in crate::store) fn takes_from_an_admin(&self) -> bool {
        self.takes_from_an_admin.load(Ordering::Relaxed)
    }

    /// Ends the change, which concerned `resource` and changed `fields` of it: its event is committed with it.
    pub(in crate::store) async fn done<T>(
        self,
        resource: Uuid,
        fields: impl IntoIterator<Item = FieldChange>,
        value: T,
    ) -> Result<Applied<T>, Failed> {
        if !self.change.validate_only {
            let event = self.change.entry.kept(self.change.now, 0, &self.entropy).changing(fields);
            audit_events::keep(&*self, [event]).await?;
        }
        self.unchanged(resource, value).await
    }

    /// Ends a change of several `users`, found again by `resource`: each has an event with what was changed of it, all committed with the
    /// change.
    pub(in crate::store) async fn done_to<T>(
        self,
        users: Vec<(UserId, Vec<FieldChange>)>,
        resource: Uuid,
        value: T,
    ) -> Result<Applied<T>, Failed> {
        if !self.change.validate_only {
            let event = |(id, fields)| {
                let entry = self.change.entry.clone().user(id);
                entry.kept(self.change.now, 0, &self.entropy).changing(fields)
            };
            audit_events::keep(&*self, users.into_iter().map(event)).await?;
        }
        self.unchanged(resource, value).await
    }

    /// Ends a change that found `resource` as it was to become: that is no event.
    ///
    /// # Errors
    /// [`Error::MakerLacksScope`]; [`Error::LastAdmin`] if it took something from an admin and no active user who can log in is one without
    /// an end, after all that it has written. The operator may leave none: whoever has the shell makes the next one.
    pub(in crate::store) async fn unchanged<T>(self, resource: Uuid, value: T) -> Result<Applied<T>, Failed> {
        let must_leave_an_admin = self.takes_from_an_admin() && *self.change.authority != Authority::Operator;
        let Self { db, change, holding_more, entropy, .. } = self;
        let db = match db {
            Held::Own(db) => *db,
            // What follows is done once, where the whole ends.
            Held::Outer(_) => {
                change.entry.leave_to_transaction();
                return Ok(Applied::Now(value));
            }
        };
        // Here, so that no way to give somebody something can forget it.
        // Boxed, all three: they are part of the future of every change, and seldom have something to do.
        Box::pin(HoldingMore::find(&db, change.now)).await?.must_not_exceed(&holding_more)?;
        // Before it is judged who is left, also where that alone was asked: whose password it voids cannot log in.
        Box::pin(one_time_passwords::void_of_gainers(&db, &entropy, change.now)).await?;
        if must_leave_an_admin && !has_admin(&db).await? {
            return Err(Error::LastAdmin.into());
        }
        if change.validate_only {
            return Ok(Applied::Now(value));
        }
        Box::pin(administrators::note(&db, change.now)).await?;
        if let Some(request) = change.request {
            admin_requests::note(&db, request, resource, change.now).await?;
        }
        change.entry.leave_to_transaction();
        commit(db, Applied::Now(value)).await
    }
}

/// Waits for every other change of who may do what, and has those that come wait, until the transaction ends.
///
/// # Errors
/// [`Error::Internal`] if the row is not there by which they wait: then none may go on.
pub(in crate::store) async fn take_turn(db: &impl ConnectionTrait) -> Result<(), Failed> {
    let counted = audiences::Entity::update_many()
        .col_expr(audiences::Column::Revision, Expr::col(audiences::Column::Revision).add(1))
        .filter(audiences::Column::OrganizationId.eq(INSTANCE))
        .filter(audiences::Column::Name.eq(AudienceName::SIGNET))
        .exec(db)
        .await?;
    if counted.rows_affected == 0 {
        return Err(Error::internal("the table `audiences` lacks the row of the service itself").into());
    }
    Ok(())
}

/// The scopes that administer the service and that `who` has at `now`: by bindings, by groups, and a client as it is registered; active or
/// not.
pub(in crate::store) async fn admin_scopes_of(
    db: &impl ConnectionTrait,
    who: Principal,
    now: Timestamp,
) -> Result<NameSet, DbErr> {
    let mut scopes = NameSet::default();
    for grant in bindings::grants_in(db, who).await? {
        if grant.role.audience.is_signet() && grant.holds_at(now) {
            scopes = scopes.with(grant.role.scopes.iter().filter(|scope| is_admin_scope(scope)));
        }
    }
    if let Principal::Client(ClientId(id)) = who {
        let row = clients::Entity::find_by_id(id).select_only().column(clients::Column::Scopes);
        let registered: Vec<String> = row.into_tuple().all(db).await?;
        for set in registered {
            scopes = scopes.with(NameSet::from_stored(set).iter().filter(|scope| is_admin_scope(scope)));
        }
    }
    Ok(scopes)
}

/// Whether `who` owns `audience`, itself or by a group.
async fn owns(db: &impl ConnectionTrait, who: Principal, audience: &AudienceName) -> Result<bool, DbErr> {
    let of_audience = owning(who).filter(audience_owners::Column::Audience.eq(audience.as_str()));
    Ok(of_audience.count(db).await? > 0)
}

/// The audiences that `who` owns, itself or by a group.
pub(super) async fn owned_by(
    db: &impl ConnectionTrait,
    who: Principal,
) -> Result<BTreeSet<AudienceName>, DbErr> {
    let names = owning(who).select_only().column(audience_owners::Column::Audience);
    let names: Vec<String> = names.into_tuple().all(db).await?;
    Ok(names.into_iter().map(AudienceName::from_stored).collect())
}

/// The rows that make `who` an owner, itself or by a group.
fn owning(who: Principal) -> Select<audience_owners::Entity> {
    use audience_owners::{Column, Entity};
    let is_owner = |principal: Principal| {
        Condition::all().add(Column::OwnerKind.eq(principal.kind())).add(Column::OwnerId.eq(principal.id()))
    };
    let mut any = Condition::any().add(is_owner(who));
    if let Principal::User(UserId(user)) = who {
        let groups = Query::select()
            .column(memberships::Column::GroupId)
            .from(memberships::Entity)
            .and_where(Expr::col(memberships::Column::OrganizationId).eq(INSTANCE))
            .and_where(Expr::col(memberships::Column::UserId).eq(user))
            .to_owned();
        let kind = Principal::Group(GroupId(Uuid::nil())).kind();
        any = any
            .add(Condition::all().add(Column::OwnerKind.eq(kind)).add(Column::OwnerId.in_subquery(groups)));
    }
    Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(any)
}
