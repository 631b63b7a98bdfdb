//! Owns changing the tables `clients` and `client_secrets`: a client is changed as a whole, and judged by its old and its new state.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::Expr,
};

use crate::store::{
    Store,
    engine::{attempts::Failed, failure},
    tables::{
        access,
        administration::{AdminChange, Administering, Applied},
        audiences,
        changes::{self, ChangeEffect, ChangeKind},
        client_audiences::{self, TokenAudiences},
        client_makers::{self, Makers},
        clients::{self, SubjectColumns},
        entity::{
            client_secrets as secrets,
            clients::{ActiveModel, Column, Entity},
        },
        taken_scopes,
    },
};
use crate::{
    audit::{Field, FieldChange},
    base::Timestamp,
    model::{AdminScope, AudienceName, Client, ClientId, Error, NameSet, Principal},
};

/// How the feed is told of a client.
const CHANGED: (ChangeKind, ChangeEffect) = (ChangeKind::Client, ChangeEffect::Changed);

/// A client as it is stored.
struct Found {
    client: Client,
    /// Who made its credentials.
    makers: Makers,
    /// The audiences that it was registered with before; none if that is not known.
    past_audiences: Option<String>,
}

/// A client as it shall be, and what it is given by that.
#[derive(Clone, Debug)]
pub struct ChangedClient {
    /// The client.
    pub client: Client,
    /// The scopes that count from now on where they did not count before.
    pub granted: NameSet,
    /// The audiences where it is given something of which their owners decide.
    pub audiences: Vec<AudienceName>,
}

impl Store {
    /// Adds the client `new` with its secrets, unless another client has its name or SPIFFE ID.
    ///
    /// # Errors
    /// [`Error::ClientNameTaken`], [`Error::SpiffeIdTaken`]; why whoever adds it may not; [`Error::Unavailable`] or [`Error::Internal`],
    /// with the cause.
    pub async fn add_client(
        &self,
        new: &ChangedClient,
        change: AdminChange<'_>,
    ) -> Result<Applied<()>, Error> {
        let client = &new.client;
        self.change(change, |db| async move {
            may_grant(&db, new).await?;
            let makers = Makers::of(None, client, db.rights())?;
            must_be_free(&*db, client).await?;
            // A program of the release before does not wait for its turn.
            again_if_taken(Entity::insert(row(client, &makers)).exec_without_returning(&*db).await)?;
            audiences::ensure_all(&*db, &client.audiences, change.now, self.entropy()).await?;
            for (version, hash) in (0..).zip(client.secrets.iter().rev()) {
                insert_secret(&*db, client.id, *hash, version, change.now).await?;
            }
            db.done(client.id.0, differences(None, client), ()).await
        })
        .await
    }

    /// Replaces the client `id` by what `change_of` makes of it, and returns it as it was and as it is; none if there is no such client.
    /// What `change_of` refuses is not written, and neither is what it leaves as it was.
    ///
    /// # Errors
    /// What `change_of` refuses with; [`Error::ClientNameTaken`], [`Error::SpiffeIdTaken`]; why whoever changes it may not, or may not come
    /// to act as it, if it gets a credential by that; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn change_client(
        &self,
        id: ClientId,
        change_of: impl Fn(&Client) -> Result<ChangedClient, Error>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<(Client, Client)>>, Error> {
        let change_of = &change_of;
        self.change(change, |db| async move {
            let Some(found) = find(&*db, id).await? else { return Ok(Applied::Now(None)) };
            let Found { client: old, makers, past_audiences } = found;
            db.rights().must_have(AdminScope::ClientsWrite)?;
            db.may_change(Principal::Client(id)).await?;
            let of_tokens = TokenAudiences::of(&old, past_audiences.as_deref());
            let made = change_of(&old)?;
            may_grant(&db, &made).await?;
            let mut new = made.client;
            if client_makers::makes_a_credential(&old, &new) {
                db.may_become(Principal::Client(id)).await?;
            }
            let fields = differences(Some(&old), &new);
            if new != old {
                new.update_time = change.now;
                let makers = Makers::of(Some((&old, &makers)), &new, db.rights())?;
                let past = client_audiences::past(past_audiences, &old.audiences, &new.audiences);
                write(&*db, &old, &new, &makers, past).await?;
                audiences::ensure_all(&*db, &new.audiences, change.now, self.entropy()).await?;
            }
            // Also if it was so before: whoever asks again may have seen that a replica does not know.
            if old.is_active && !new.is_active {
                of_tokens.tell_end(&*db, &old, change.now).await?;
            } else {
                changes::tell(&*db, CHANGED, &[id.0], change.now).await?;
            }
            let taken = old.scopes.without(&new.scopes);
            taken_scopes::tell_of_client(&*db, id, &of_tokens, &taken, change.now).await?;
            if new == old {
                db.unchanged(id.0, Some((old, new))).await
            } else {
                db.done(id.0, fields, Some((old, new))).await
            }
        })
        .await
    }

    /// Deletes the client `id` of which `may` allows it, with its secrets and all that gives it roles, and returns it as it was; none if
    /// there is no such client. The sessions that were opened with it are worth nothing from then on, and go with the next sweep
    /// ([`Store::sweep_sessions`]): there may be millions of them.
    ///
    /// # Errors
    /// What `may` refuses with; why whoever deletes it may not; [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_client(
        &self,
        id: ClientId,
        may: impl Fn(&Client) -> Result<(), Error>,
        change: AdminChange<'_>,
    ) -> Result<Applied<Option<Client>>, Error> {
        let may = &may;
        self.change(change, |db| async move {
            let Some(found) = find(&*db, id).await? else { return Ok(Applied::Now(None)) };
            let Found { client: old, past_audiences, .. } = found;
            db.rights().must_have(AdminScope::ClientsWrite)?;
            db.may_change(Principal::Client(id)).await?;
            may(&old)?;
            Entity::delete_by_id(id.0).exec(&*db).await?;
            access::take_all(&*db, Principal::Client(id), change.now).await?;
            secrets::Entity::delete_many().filter(secrets::Column::ClientId.eq(id.0)).exec(&*db).await?;
            TokenAudiences::of(&old, past_audiences.as_deref()).tell_end(&*db, &old, change.now).await?;
            db.done(id.0, FieldChange::of(Field::Name, old.name.as_str(), ""), Some(old)).await
        })
        .await
    }
}

/// Succeeds if whoever makes the change may give the client what it is given.
async fn may_grant(db: &Administering<'_>, new: &ChangedClient) -> Result<(), Failed> {
    db.rights().must_have(AdminScope::ClientsWrite)?;
    db.rights().must_have_to_grant(&new.granted)?;
    for audience in &new.audiences {
        db.may_change_roles_of(audience).await?;
    }
    Ok(())
}

/// The client `id`, whose row is locked until the transaction ends. The row of the built-in one is made if somebody has deleted it.
async fn find(db: &impl ConnectionTrait, id: ClientId) -> Result<Option<Found>, Failed> {
    let found = Entity::find_by_id(id.0).lock_exclusive().all(db).await?.pop();
    match found {
        Some(row) => {
            let makers = Makers::from_stored([
                row.secret_makers.clone(),
                row.key_makers.clone(),
                row.certificate_makers.clone(),
            ]);
            let past_audiences = row.past_audiences.clone();
            let client = clients::client(row, clients::find_secrets(db, &[id]).await?)?;
            Ok(Some(Found { client, makers, past_audiences }))
        }
        None if id.is_built_in() => {
            let (client, makers) = (Client::built_in(), Makers::default());
            again_if_taken(Entity::insert(row(&client, &makers)).exec_without_returning(db).await)?;
            Ok(Some(Found { client, makers, past_audiences: None }))
        }
        None => Ok(None),
    }
}

/// Makes `new` of `old`, whose credentials `makers` have made then, and that was registered with `past_audiences` before.
async fn write(
    db: &impl ConnectionTrait,
    old: &Client,
    new: &Client,
    makers: &Makers,
    past_audiences: Option<String>,
) -> Result<(), Failed> {
    must_be_free(db, new).await?;
    let SubjectColumns { spiffe_id, spiffe_id_hash, tls_san_dns } =
        SubjectColumns::of(new.certificate.as_ref());
    let [secret_makers, key_makers, certificate_makers] = makers.stored();
    let updated = Entity::update_many()
        .col_expr(Column::Name, Expr::value(new.name.as_str()))
        .col_expr(Column::Scopes, Expr::value(new.scopes.as_str()))
        .col_expr(Column::Audiences, Expr::value(new.audiences.as_str()))
        .col_expr(Column::PastAudiences, Expr::value(past_audiences))
        .col_expr(Column::Jwks, Expr::value(new.jwks.clone()))
        .col_expr(Column::SpiffeId, Expr::value(spiffe_id))
        .col_expr(Column::SpiffeIdHash, Expr::value(spiffe_id_hash))
        .col_expr(Column::TlsSanDns, Expr::value(tls_san_dns))
        .col_expr(Column::MayClaimAddress, Expr::value(new.may_claim_address))
        .col_expr(Column::TokenClaims, Expr::value(new.token_claims.as_str()))
        .col_expr(Column::SecretMakers, Expr::value(secret_makers))
        .col_expr(Column::KeyMakers, Expr::value(key_makers))
        .col_expr(Column::CertificateMakers, Expr::value(certificate_makers))
        .col_expr(Column::IsActive, Expr::value(new.is_active))
        .col_expr(Column::UpdateTime, Expr::value(new.update_time.as_micros()))
        .filter(Column::Id.eq(new.id.0))
        .exec(db)
        .await;
    again_if_taken(updated)?;
    let present = clients::find_secrets(db, &[new.id]).await?;
    let mut version = present.first().map_or(0, |newest| newest.version.saturating_add(1));
    for gone in old.secrets.iter().filter(|hash| !new.secrets.contains(hash)) {
        secrets::Entity::delete_by_id(gone.to_vec()).exec(db).await?;
    }
    for made in new.secrets.iter().rev().filter(|hash| !old.secrets.contains(hash)) {
        insert_secret(db, new.id, *made, version, new.update_time).await?;
        version = version.saturating_add(1);
    }
    Ok(())
}

/// Succeeds if no other client has the name or SPIFFE ID of `client`.
async fn must_be_free(db: &impl ConnectionTrait, client: &Client) -> Result<(), Failed> {
    let others = || Entity::find().select_only().column(Column::Id).filter(Column::Id.ne(client.id.0));
    let named = others().filter(Column::Name.eq(client.name.as_str()));
    if named.into_tuple::<uuid::Uuid>().all(db).await?.pop().is_some() {
        return Err(Error::ClientNameTaken.into());
    }
    if let Some(hash) = SubjectColumns::of(client.certificate.as_ref()).spiffe_id_hash {
        let of_spiffe_id = others().filter(Column::SpiffeIdHash.eq(hash));
        if of_spiffe_id.into_tuple::<uuid::Uuid>().all(db).await?.pop().is_some() {
            return Err(Error::SpiffeIdTaken.into());
        }
    }
    Ok(())
}

/// Nothing of the transaction counts once another one has taken what it writes: the next attempt finds that.
fn again_if_taken<T>(written: Result<T, DbErr>) -> Result<(), Failed> {
    match written {
        Ok(_) => Ok(()),
        Err(error) if failure::is_duplicate(&error) => Err(Failed::Database { error, again: true }),
        Err(error) => Err(error.into()),
    }
}

async fn insert_secret(
    db: &impl ConnectionTrait,
    id: ClientId,
    hash: [u8; 32],
    version: i32,
    now: Timestamp,
) -> Result<(), Failed> {
    let row = secrets::ActiveModel {
        hash: Set(hash.to_vec()),
        client_id: Set(id.0),
        version: Set(version),
        create_time: Set(now.as_micros()),
    };
    secrets::Entity::insert(row).exec_without_returning(db).await.map_err(|error| -> Failed {
        // Only a manifest brings a secret that somebody else has made.
        let problem = || "the secret is another client's: each has one of its own".to_owned();
        let is_taken = failure::is_duplicate(&error);
        if is_taken { Error::ManifestRefused(vec![problem()]).into() } else { error.into() }
    })?;
    Ok(())
}

/// The row of `client`, whose credentials `makers` have made.
fn row(client: &Client, makers: &Makers) -> ActiveModel {
    let SubjectColumns { spiffe_id, spiffe_id_hash, tls_san_dns } =
        SubjectColumns::of(client.certificate.as_ref());
    let [secret_makers, key_makers, certificate_makers] = makers.stored();
    ActiveModel {
        id: Set(client.id.0),
        name: Set(client.name.as_str().to_owned()),
        kind: Set(client.kind.name().to_owned()),
        scopes: Set(client.scopes.as_str().to_owned()),
        audiences: Set(client.audiences.as_str().to_owned()),
        // The built-in one is made anew where somebody has deleted it.
        past_audiences: Set((!client.id.is_built_in()).then(String::new)),
        jwks: Set(client.jwks.clone()),
        spiffe_id: Set(spiffe_id),
        spiffe_id_hash: Set(spiffe_id_hash),
        tls_san_dns: Set(tls_san_dns),
        may_claim_address: Set(client.may_claim_address),
        token_claims: Set(Some(client.token_claims.as_str().to_owned())),
        secret_makers: Set(secret_makers),
        key_makers: Set(key_makers),
        certificate_makers: Set(certificate_makers),
        is_active: Set(client.is_active),
        create_time: Set(client.create_time.as_micros()),
        update_time: Set(client.update_time.as_micros()),
    }
}

/// In what `new` differs from `old`, or from a client that has nothing. Of keys it is told that they are others, and of secrets no more
/// than how many there are. That a new one is active is not told.
pub(crate) fn differences(old: Option<&Client>, new: &Client) -> Vec<FieldChange> {
    let certificate =
        |client: &Client| client.certificate.as_ref().map(ToString::to_string).unwrap_or_default();
    let text = |read: fn(&Client) -> &str| (old.map_or("", read), read(new));
    let (name, scopes) = (text(|client| client.name.as_str()), text(|client| client.scopes.as_str()));
    let audiences = text(|client| client.audiences.as_str());
    let claims = text(|client| client.token_claims.as_str());
    let may = text(|client| if client.may_claim_address { "true" } else { "false" });
    let changed = [
        FieldChange::of(Field::Name, name.0, name.1),
        FieldChange::of(Field::Scopes, scopes.0, scopes.1),
        FieldChange::of(Field::Audiences, audiences.0, audiences.1),
        FieldChange::of(Field::TokenClaims, claims.0, claims.1),
        (old.and_then(|old| old.jwks.as_deref()) != new.jwks.as_deref()).then(|| Field::PublicKeys.into()),
        FieldChange::of(Field::Certificate, &old.map(certificate).unwrap_or_default(), &certificate(new)),
        FieldChange::of(Field::MayClaimAddress, may.0, may.1),
        old.and_then(|old| of_secrets(&old.secrets, &new.secrets)),
        old.filter(|old| old.is_active != new.is_active).map(|_| FieldChange::of_activity(new.is_active)),
    ];
    changed.into_iter().flatten().collect()
}

fn of_secrets(old: &[[u8; 32]], new: &[[u8; 32]]) -> Option<FieldChange> {
    let count = |secrets: &[_]| Some(secrets.len().to_string());
    (old != new).then(|| FieldChange { field: Field::Secrets, old: count(old), new: count(new) })
}
