//! Owns reading the resources that a manifest names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::Value,
};
use uuid::Uuid;

use super::{
    Made,
    hanging::{self, Hanging},
    made_by,
    sets::{SetOwner, owner_of},
};
use crate::store::{
    BATCH,
    engine::attempts::Failed,
    tables::{
        access::{self, INSTANCE},
        attributes,
        audiences::asked_typ,
        bindings, clients,
        entity::{
            attributes as attribute_rows, audience_owners, audiences, bindings as binding_rows,
            client_secrets, clients as client_rows, groups, memberships, roles, users,
        },
    },
};
use crate::{
    base::Timestamp,
    model::{
        AttributeDeclaration, AudienceName, Binding, Client, ClientId, Group, GroupId, OwnedAudience,
        Principal, Role, RoleName, UserId,
    },
};

/// What a manifest names.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Its set.
    pub set: String,
    /// Attributes, by their names.
    pub attributes: BTreeSet<String>,
    /// Users, by their ids.
    pub users: BTreeSet<UserId>,
    /// Clients, by their names.
    pub clients: BTreeSet<String>,
    /// Groups, by their names.
    pub groups: BTreeSet<String>,
    /// Audiences, by their names.
    pub audiences: BTreeSet<String>,
    /// Roles.
    pub roles: BTreeSet<(AudienceName, RoleName)>,
    /// How much is read at most of what hangs on what its set has made and it names no longer; none if that is not to be deleted.
    pub hanging: Option<u64>,
}

/// What there is of it, and of what the set has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// What is declared of attributes.
    pub attributes: Vec<AttributeDeclaration>,
    /// The names of users.
    pub users: BTreeMap<UserId, String>,
    /// Clients; the built-in one too.
    pub clients: Vec<Client>,
    /// Groups; those too that the set has brought members.
    pub groups: Vec<Group>,
    /// Audiences, their owners in the order of kinds and ids.
    pub audiences: Vec<OwnedAudience>,
    /// All roles of the audiences, and those that the set has made or bound.
    pub roles: Vec<Role>,
    /// Who of the users is in which of the groups, and since when.
    pub memberships: BTreeMap<(GroupId, UserId), Timestamp>,
    /// What the users, groups and clients are bound to, and what the set has bound.
    pub bindings: Vec<Binding>,
    /// What the set has made, and when.
    pub made: BTreeMap<Made, Timestamp>,
    /// What goes with what the set has made and is named no longer; and what those are called whom the set has bound.
    pub hanging: Hanging,
    /// Whose the set is; nobody's if it is new.
    pub owner: Option<SetOwner>,
}

impl Named {
    /// Whether this names `made`, which is `present`: a client, a group or a role also where something is given to it, or by it.
    #[must_use]
    pub fn names(&self, made: Made, present: &Present) -> bool {
        match made {
            Made::Client(id) => {
                let is_named =
                    |client: &Client| client.id == id && self.clients.contains(client.name.as_str());
                present.clients.iter().any(is_named)
            }
            Made::Group(id) => {
                let is_named = |group: &Group| group.id == id && self.groups.contains(group.name.as_str());
                present.groups.iter().any(is_named)
            }
            Made::Role(id) => present.roles.iter().any(|role| {
                role.id == id && self.roles.contains(&(role.audience.clone(), role.name.clone()))
            }),
            Made::Attribute(id) => present
                .attributes
                .iter()
                .any(|declared| declared.id == id && self.attributes.contains(declared.name.as_str())),
            // They have no names: what is found of them as it is wanted is told where it is looked for.
            Made::Membership(..) | Made::Binding(_) => false,
        }
    }
}

impl Present {
    /// Whether what the set has made is still there, and no other in its place.
    #[must_use]
    pub fn has(&self, made: Made) -> bool {
        match made {
            Made::Client(id) => self.clients.iter().any(|client| client.id == id),
            Made::Role(id) => self.roles.iter().any(|role| role.id == id),
            Made::Group(id) => self.groups.iter().any(|group| group.id == id),
            Made::Binding(id) => self.bindings.iter().any(|binding| binding.id == id),
            Made::Attribute(id) => self.attributes.iter().any(|declared| declared.id == id),
            Made::Membership(group, user) => {
                let since = self.memberships.get(&(group, user));
                // Whoever has left and come again was not brought by the set.
                since.is_some() && since == self.made.get(&made)
            }
        }
    }

    /// What the set has made and is there no longer.
    pub(super) fn stale(&self) -> Vec<Made> {
        self.made.keys().copied().filter(|made| !self.has(*made)).collect()
    }
}

/// What there is of `asked`, read by `db`.
pub(super) async fn read(db: &impl ConnectionTrait, asked: &Named) -> Result<Present, Failed> {
    let made: BTreeMap<_, _> = made_by(db, &asked.set).await?.into_iter().collect();
    let of = |pick: fn(&Made) -> Option<Uuid>| made.keys().filter_map(pick).collect::<Vec<_>>();
    let mut present = Present {
        clients: clients_of(
            db,
            asked,
            &of(|made| if let Made::Client(id) = made { Some(id.0) } else { None }),
        )
        .await?,
        ..Present::default()
    };
    let of_groups = of(|made| match made {
        Made::Group(id) | Made::Membership(id, _) => Some(id.0),
        Made::Client(_) | Made::Role(_) | Made::Binding(_) | Made::Attribute(_) => None,
    });
    present.groups = in_instance::<groups::Entity, _>(
        db,
        [groups::Column::OrganizationId, groups::Column::Name, groups::Column::Id],
        (&asked.groups, &of_groups),
        |row| row.id,
        |row| Some(Group::from(row)),
    )
    .await?;
    audiences_of(db, asked, &mut present).await?;
    users_of(db, asked, &made, &mut present).await?;
    let bound = of(|made| if let Made::Binding(id) = made { Some(id.0) } else { None });
    bindings_of(db, &bound, &mut present).await?;
    let mut of_roles = of(|made| if let Made::Role(id) = made { Some(id.0) } else { None });
    // What a binding gives, and to whom, is told by its name.
    let bound = present.bindings.iter().filter(|binding| made.contains_key(&Made::Binding(binding.id)));
    let (roles, subjects): (Vec<_>, BTreeSet<_>) =
        bound.map(|binding| (binding.role.0, binding.subject)).unzip();
    of_roles.extend(roles);
    present.roles = in_instance::<roles::Entity, _>(
        db,
        [roles::Column::OrganizationId, roles::Column::Audience, roles::Column::Id],
        (&asked.audiences, &of_roles),
        |row| row.id,
        |row| Some(Role::from(row)),
    )
    .await?;
    let declared = of(|made| if let Made::Attribute(id) = made { Some(id.0) } else { None });
    present.attributes = in_instance::<attribute_rows::Entity, _>(
        db,
        [attribute_rows::Column::OrganizationId, attribute_rows::Column::Name, attribute_rows::Column::Id],
        (&asked.attributes, &declared),
        |row| row.id,
        attributes::declared,
    )
    .await?;
    present.owner = owner_of(db, &asked.set, !made.is_empty()).await?;
    present.made = made;
    if let Some(most) = asked.hanging {
        present.hanging = hanging::read(db, asked, &present, most).await?;
    }
    let called = access::names(db, &subjects.into_iter().collect::<Vec<_>>()).await?;
    present.hanging.names.extend(called);
    Ok(present)
}

/// The rows of `all` that are named so, and those that the set has made, in the order of their ids.
async fn named_or_made<E: EntityTrait>(
    db: &impl ConnectionTrait,
    all: Select<E>,
    (name, names): (E::Column, &BTreeSet<String>),
    (id, made): (E::Column, &[Uuid]),
    id_of: fn(&E::Model) -> Uuid,
) -> Result<Vec<E::Model>, DbErr> {
    let mut rows = rows_with(db, &all, name, names.iter().map(String::as_str)).await?;
    rows.extend(rows_with(db, &all, id, made.iter().copied()).await?);
    Ok(each_once(rows, id_of))
}

/// What there is in the instance of what is named so, and of what the set has made, in the order of the ids: each row as `read` has it. The
/// columns are those of the organization, of the names and of the ids.
async fn in_instance<E: EntityTrait, Thing>(
    db: &impl ConnectionTrait,
    [organization, name, id]: [E::Column; 3],
    (names, made): (&BTreeSet<String>, &[Uuid]),
    id_of: fn(&E::Model) -> Uuid,
    read: fn(E::Model) -> Option<Thing>,
) -> Result<Vec<Thing>, DbErr> {
    let all = E::find().filter(organization.eq(INSTANCE));
    let rows = named_or_made(db, all, (name, names), (id, made), id_of).await?;
    Ok(rows.into_iter().filter_map(read).collect())
}

/// The rows of `all` that have one of `values` in `column`.
async fn rows_with<E: EntityTrait, V: Into<Value>>(
    db: &impl ConnectionTrait,
    all: &Select<E>,
    column: E::Column,
    values: impl IntoIterator<Item = V>,
) -> Result<Vec<E::Model>, DbErr> {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    let mut rows = Vec::new();
    for values in values.chunks(BATCH) {
        rows.extend(all.clone().filter(column.is_in(values.iter().cloned())).all(db).await?);
    }
    Ok(rows)
}

/// `rows`, each once, in the order of their ids.
fn each_once<Row>(mut rows: Vec<Row>, id_of: fn(&Row) -> Uuid) -> Vec<Row> {
    rows.sort_by_key(id_of);
    rows.dedup_by_key(|row| id_of(row));
    rows
}

async fn clients_of(db: &impl ConnectionTrait, asked: &Named, made: &[Uuid]) -> Result<Vec<Client>, Failed> {
    use client_rows::{Column, Entity};
    let (by_name, by_id) = ((Column::Name, &asked.clients), (Column::Id, made));
    let rows = named_or_made(db, Entity::find(), by_name, by_id, |row| row.id).await?;
    let mut secrets: HashMap<Uuid, Vec<client_secrets::Model>> = HashMap::new();
    let ids: Vec<_> = rows.iter().map(|row| ClientId(row.id)).collect();
    for ids in ids.chunks(BATCH) {
        for secret in clients::find_secrets(db, ids).await? {
            secrets.entry(secret.client_id).or_default().push(secret);
        }
    }
    let mut found = Vec::with_capacity(rows.len() + 1);
    for row in rows {
        let of_row = secrets.remove(&row.id).unwrap_or_default();
        found.push(clients::client(row, of_row)?);
    }
    let built_in = Client::built_in();
    if asked.clients.contains(built_in.name.as_str()) && !found.iter().any(|client| client.id == built_in.id)
    {
        // It is there even if somebody has deleted its row.
        found.push(built_in);
    }
    Ok(found)
}

async fn audiences_of(db: &impl ConnectionTrait, asked: &Named, present: &mut Present) -> Result<(), DbErr> {
    let names: Vec<_> = asked.audiences.iter().cloned().collect();
    for names in names.chunks(BATCH) {
        use audiences::{Column, Entity};
        let names = || names.iter().map(String::as_str);
        let rows =
            Entity::find().filter(Column::OrganizationId.eq(INSTANCE)).filter(Column::Name.is_in(names()));
        let owners = audience_owners::Entity::find()
            .filter(audience_owners::Column::OrganizationId.eq(INSTANCE))
            .filter(audience_owners::Column::Audience.is_in(names()));
        let owners = owners.all(db).await?;
        for row in rows.order_by_asc(Column::Name).all(db).await? {
            let of_it = owners.iter().filter(|owner| owner.audience == row.name);
            let mut owners: Vec<_> =
                of_it.filter_map(|owner| Principal::of(&owner.owner_kind, owner.owner_id)).collect();
            owners.sort_unstable();
            present.audiences.push(OwnedAudience {
                token_typ: asked_typ(&row).now,
                name: AudienceName::from_stored(row.name),
                owners,
                create_time: Timestamp::from_micros(row.create_time),
            });
        }
    }
    Ok(())
}

/// The users, and who of them is in which of the groups.
async fn users_of(
    db: &impl ConnectionTrait,
    asked: &Named,
    made: &BTreeMap<Made, Timestamp>,
    present: &mut Present,
) -> Result<(), DbErr> {
    let members =
        made.keys().filter_map(|made| if let Made::Membership(_, user) = made { Some(*user) } else { None });
    let ids: BTreeSet<_> = asked.users.iter().copied().chain(members).collect();
    let ids: Vec<_> = ids.into_iter().map(|UserId(id)| id).collect();
    let groups: BTreeSet<_> = present.groups.iter().map(|group| group.id).collect();
    for ids in ids.chunks(BATCH) {
        let found = users::Entity::find().filter(users::Column::Id.is_in(ids.iter().copied()));
        let found = found.select_only().columns([users::Column::Id, users::Column::Username]);
        let found: Vec<(Uuid, String)> = found.into_tuple().all(db).await?;
        present.users.extend(found.into_iter().map(|(id, name)| (UserId(id), name)));
        // A user is in 128 groups at most.
        let rows = memberships::Entity::find()
            .filter(memberships::Column::OrganizationId.eq(INSTANCE))
            .filter(memberships::Column::UserId.is_in(ids.iter().copied()));
        for row in rows.all(db).await? {
            let key = (GroupId(row.group_id), UserId(row.user_id));
            if groups.contains(&key.0) {
                present.memberships.insert(key, Timestamp::from_micros(row.create_time));
            }
        }
    }
    Ok(())
}

/// What the users, groups and clients that are there are bound to, and what was `made`.
async fn bindings_of(db: &impl ConnectionTrait, made: &[Uuid], present: &mut Present) -> Result<(), DbErr> {
    use binding_rows::{Column, Entity};
    let all = Entity::find().filter(Column::OrganizationId.eq(INSTANCE));
    let users = present.users.keys().map(|id| Principal::User(*id));
    let groups = present.groups.iter().map(|group| Principal::Group(group.id));
    let clients = present.clients.iter().map(|client| Principal::Client(client.id));
    let subjects: Vec<_> = users.chain(groups).chain(clients).collect();
    let mut rows = Vec::new();
    // A subject has 32 of an audience at most.
    for same in subjects.chunk_by(|one, other| one.kind() == other.kind()) {
        let of_kind = all.clone().filter(Column::SubjectKind.eq(same[0].kind()));
        let ids = same.iter().map(|subject| subject.id());
        rows.extend(rows_with(db, &of_kind, Column::SubjectId, ids).await?);
    }
    rows.extend(rows_with(db, &all, Column::Id, made.iter().copied()).await?);
    let rows = each_once(rows, |row| row.id);
    present.bindings = rows.iter().filter_map(bindings::read).collect();
    Ok(())
}
