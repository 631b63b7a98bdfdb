//! Owns the tables `password_failures` and `password_failures_by_address`: how often the password of an account was wrong, whether or not
//! the account exists, and from where.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, Iterable,
    QueryFilter, QueryOrder, QueryResult, QuerySelect,
    sea_query::{Expr, OnConflict, Query, SimpleExpr},
};

use crate::store::{
    BATCH, Credentials, Store,
    engine::transaction::commit,
    tables::{
        entity::{
            one_time_passwords, password_failures as accounts, password_failures_by_address as by_address,
            sessions, users,
        },
        one_time_passwords::{OneTimeColumns, StoredOneTimePassword},
    },
};
use crate::{
    base::Timestamp,
    model::{Error, SessionLifetime, UserId, Username},
};

/// What stands for an account, or for an account and an address: an HMAC, for people type passwords as names.
pub type FailureKey = [u8; 32];

/// How many sessions of a user are looked at of each kind, with refresh tokens and without, the newest first: nobody has as many devices,
/// and each guess may have them read.
const SESSIONS: u64 = 100;

/// The rows that a password concerns.
#[derive(Clone, Copy, Debug)]
pub struct FailureKeys {
    /// The key of the account.
    pub account: FailureKey,
    /// The key of the account together with the address.
    pub from_here: FailureKey,
}

/// How often, and since or until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How often.
    pub number: u32,
    /// Since when, or when last.
    pub time: Timestamp,
}

/// The failed passwords of an account so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// When its allowance will be full again.
    pub full_time: Timestamp,
    /// How often addresses have failed that had not done so lately while there was none left, since when.
    pub spare: Count,
    /// How often the address has failed, and when last.
    pub from_here: Count,
    /// The same, of those failures that were charged to the address alone.
    pub familiar: Count,
}

/// Everything that a login is judged by, read in one statement.
#[derive(Debug)]
pub struct Login {
    /// The user and the hash of its password; none if there is no such user.
    pub credentials: Option<Credentials>,
    /// The failed passwords of the account so far.
    pub failures: Failures,
}

/// The allowance that a failure is charged to, beside that of the address at the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// The account: its allowance is full so much later.
    Account {
        /// How much.
        micros: i64,
    },
    /// What is left to addresses that have not failed lately; what was used by this time counts no longer.
    Spare {
        /// The time.
        forgotten: Timestamp,
    },
    /// The address alone, from which an open session of the user came.
    Address,
}

/// One more failure.
#[derive(Clone, Copy, Debug)]
pub struct NewFailure {
    /// Whose.
    pub keys: FailureKeys,
    /// The allowance that it is charged to.
    pub payer: Payer,
    /// When.
    pub now: Timestamp,
    /// If the address has failed last at this time or before, that counts no longer.
    pub forgotten: Timestamp,
}

impl Store {
    /// The user and the password hash that `name` means, and what has failed so far. See [`Strangers`](crate::store::Strangers).
    pub(in crate::store) async fn find_login(
        &self,
        name: Option<&Username>,
        keys: FailureKeys,
    ) -> Result<Login, Error> {
        let meaning = self.meaning(name).await?;
        self.read_login(meaning.condition(), keys, |found| meaning.choose(found)).await
    }

    /// The same of the user `id`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn login_of(&self, id: UserId, keys: FailureKeys) -> Result<Login, Error> {
        let is_user = Condition::all().add(users::Column::Id.eq(id.0));
        self.read_login(is_user, keys, |found| found.into_iter().next()).await
    }

    /// What `choose` takes of the users whom `condition` finds, and what has failed so far: in one statement, so that neither is known
    /// without the other.
    async fn read_login(
        &self,
        condition: Condition,
        keys: FailureKeys,
        choose: impl Fn(Vec<users::Model>) -> Option<users::Model>,
    ) -> Result<Login, Error> {
        // A row that is there in any case, so that what is said of a name that nobody has is found too.
        let always = Query::select().expr_as(Expr::cust("1"), "always").to_owned();
        let is_of = |id: SimpleExpr, key: FailureKey| id.eq(key.to_vec());
        let mut query = Query::select();
        query
            .from_subquery(always, "asked")
            .left_join(users::Entity, condition)
            .left_join(
                accounts::Entity,
                is_of(Expr::col((accounts::Entity, accounts::Column::Id)), keys.account),
            )
            .left_join(
                by_address::Entity,
                is_of(Expr::col((by_address::Entity, by_address::Column::Id)), keys.from_here),
            )
            .left_join(one_time_passwords::Entity, OneTimeColumns::are_of_user())
            .columns(users::Column::iter().map(|column| (users::Entity, column)))
            .column((accounts::Entity, accounts::Column::FullTime))
            .column((accounts::Entity, accounts::Column::SpareStartTime))
            .column((accounts::Entity, accounts::Column::SpareUsed))
            .column((by_address::Entity, by_address::Column::Failures))
            .column((by_address::Entity, by_address::Column::LastTime))
            .column((by_address::Entity, by_address::Column::FamiliarFailures))
            .column((by_address::Entity, by_address::Column::FamiliarTime));
        OneTimeColumns::select(&mut query);
        self.ask(|| async {
            let rows = self.db.query_all(&query).await?;
            let row = rows.first();
            let row = row.ok_or_else(|| DbErr::RecordNotFound("a row that is always there".to_owned()))?;
            let users = rows.iter().map(user).collect::<Result<Vec<_>, _>>()?;
            let found = choose(users.into_iter().flatten().collect());
            let of_user = |row: &&QueryResult| {
                let id: Option<uuid::Uuid> = row.try_get("", "id").ok().flatten();
                id.is_some() && id == found.as_ref().map(|user| user.id)
            };
            let one_time = rows.iter().find(of_user).map(OneTimeColumns::read).transpose()?.flatten();
            Ok((found, one_time, Failures::from_row(row)?))
        })
        .await
        .and_then(|(found, one_time, failures)| {
            let one_time = one_time.map(StoredOneTimePassword::try_from).transpose()?;
            let credentials = found.map(|row| Credentials { one_time, ..Credentials::from(row) });
            Ok(Login { credentials, failures })
        })
    }

    /// Notes `failures`. Returns of each when the account's allowance will be full again, if it was charged. See
    /// [`Strangers`](crate::store::Strangers).
    pub(in crate::store) async fn insert_failures(
        &self,
        failures: &[NewFailure],
    ) -> Result<Vec<Option<Timestamp>>, Error> {
        // In the order of their rows, so that two who write the same ones do not wait for each other.
        let mut in_order: Vec<_> = failures.iter().enumerate().collect();
        in_order.sort_by_key(|(_, new)| (new.keys.account, new.keys.from_here));
        self.write(|| async {
            let db = self.begin().await?;
            let mut full_times = vec![None; failures.len()];
            for (index, new) in &in_order {
                full_times[*index] = insert_failure(&db, new).await?;
            }
            commit(db, full_times).await
        })
        .await
    }

    /// When the allowance of each of `accounts` is full, of those that have failed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn account_full_times(
        &self,
        accounts: &[FailureKey],
    ) -> Result<HashMap<FailureKey, Timestamp>, Error> {
        let mut full_times = HashMap::new();
        for keys in accounts.chunks(BATCH) {
            let keys = keys.iter().map(|key| key.to_vec());
            let query = accounts::Entity::find().filter(accounts::Column::Id.is_in(keys));
            for row in self.ask(|| query.clone().all(&self.db)).await? {
                if let Ok(key) = FailureKey::try_from(row.id) {
                    full_times.insert(key, Timestamp::from_micros(row.full_time));
                }
            }
        }
        Ok(full_times)
    }

    /// Deletes what counts no longer: an account whose allowance is full at `now`, and of which nothing was spared since
    /// `spare_forgotten`; an address that has not failed since `forgotten`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn delete_settled_failures(
        &self,
        now: Timestamp,
        spare_forgotten: Timestamp,
        forgotten: Timestamp,
    ) -> Result<(), Error> {
        let settled = Condition::all()
            .add(accounts::Column::FullTime.lte(now.as_micros()))
            .add(accounts::Column::SpareStartTime.lte(spare_forgotten.as_micros()));
        let page = accounts::Entity::find().filter(settled.clone()).order_by_asc(accounts::Column::FullTime);
        let page = page.select_only().column(accounts::Column::Id).limit(BATCH as u64);
        loop {
            let ids: Vec<Vec<u8>> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            self.delete_rows::<accounts::Entity, _>(accounts::Column::Id, &ids, settled.clone()).await?;
            if ids.len() < BATCH {
                break;
            }
        }
        let settled = Condition::all().add(by_address::Column::LastTime.lte(forgotten.as_micros()));
        let page = by_address::Entity::find().filter(settled.clone());
        let page = page.order_by_asc(by_address::Column::LastTime);
        let page = page.select_only().column(by_address::Column::Id).limit(BATCH as u64);
        loop {
            let ids: Vec<Vec<u8>> = self.ask(|| page.clone().into_tuple().all(&self.db)).await?;
            self.delete_rows::<by_address::Entity, _>(by_address::Column::Id, &ids, settled.clone()).await?;
            if ids.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// From where the newest sessions of `user` were opened that have not expired by `now`. See [`Strangers`](crate::store::Strangers).
    pub(in crate::store) async fn find_session_addresses(
        &self,
        user: UserId,
        lifetime: SessionLifetime,
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        let of_user = sessions::Entity::find()
            .filter(sessions::Column::UserId.eq(user.0))
            .filter(sessions::Column::LastUseTime.gt(now.before(lifetime.idle).as_micros()))
            .filter(sessions::Column::CreateTime.gt(now.before(lifetime.absolute).as_micros()))
            .select_only()
            .column(sessions::Column::Address)
            .order_by_desc(sessions::Column::Id)
            .limit(SESSIONS);
        let mut addresses = Vec::new();
        // Apart: a script that logs in at each call makes no device unknown, and is known itself.
        for kind in [sessions::Column::EndTime.is_null(), sessions::Column::EndTime.gt(now.as_micros())] {
            let query = of_user.clone().filter(kind);
            let found: Vec<Option<String>> = self.ask(|| query.clone().into_tuple().all(&self.db)).await?;
            addresses.extend(found.into_iter().flatten());
        }
        Ok(addresses)
    }
}

/// Deletes what the account has failed, within a transaction; false if that is nothing.
pub(in crate::store) async fn forget(db: &impl ConnectionTrait, account: FailureKey) -> Result<bool, DbErr> {
    let done = accounts::Entity::delete_by_id(account.to_vec()).exec(db).await?;
    Ok(done.rows_affected > 0)
}

/// The row of `users` that is in `row`, if there is one.
fn user(row: &QueryResult) -> Result<Option<users::Model>, DbErr> {
    let id: Option<uuid::Uuid> = row.try_get("", "id")?;
    id.map(|_| users::Model::from_query_result(row, "")).transpose()
}

impl Failures {
    fn from_row(row: &QueryResult) -> Result<Self, DbErr> {
        let time = |column| -> Result<_, DbErr> {
            Ok(Timestamp::from_micros(row.try_get::<Option<i64>>("", column)?.unwrap_or_default()))
        };
        let number = |column| -> Result<_, DbErr> {
            let number = row.try_get::<Option<i32>>("", column)?.unwrap_or_default();
            Ok(u32::try_from(number).unwrap_or_default())
        };
        Ok(Self {
            full_time: time("full_time")?,
            spare: Count { number: number("spare_used")?, time: time("spare_start_time")? },
            from_here: Count { number: number("failures")?, time: time("last_time")? },
            familiar: Count { number: number("familiar_failures")?, time: time("familiar_time")? },
        })
    }
}

/// Notes a failure, within a transaction. Returns when the account's allowance will be full again, if it was charged.
async fn insert_failure(db: &impl ConnectionTrait, new: &NewFailure) -> Result<Option<Timestamp>, DbErr> {
    let mut full_time = None;
    match new.payer {
        Payer::Account { micros } => {
            charge_account(db, new.keys.account, new.now, micros).await?;
            let found = accounts::Entity::find_by_id(new.keys.account.to_vec()).all(db).await?;
            full_time = found.first().map(|row| Timestamp::from_micros(row.full_time));
        }
        Payer::Spare { forgotten } => charge_spare(db, new.keys.account, new.now, forgotten).await?,
        Payer::Address => {}
    }
    charge_address(db, new).await?;
    Ok(full_time)
}

/// Has the allowance of the account be full `micros` later than it would be, within a transaction.
async fn charge_account(
    db: &impl ConnectionTrait,
    account: FailureKey,
    now: Timestamp,
    micros: i64,
) -> Result<(), DbErr> {
    let now = now.as_micros();
    let full_time = || Expr::col((accounts::Entity, accounts::Column::FullTime));
    let from: SimpleExpr = Expr::case(full_time().gt(now), full_time()).finally(now).into();
    let row = accounts::ActiveModel {
        id: Set(account.to_vec()),
        full_time: Set(now.saturating_add(micros)),
        spare_start_time: Set(0),
        spare_used: Set(0),
    };
    let again = OnConflict::column(accounts::Column::Id)
        .value(accounts::Column::FullTime, from.add(micros))
        .to_owned();
    accounts::Entity::insert(row).on_conflict(again).exec_without_returning(db).await.map(drop)
}

/// Charges what is left to addresses that have not failed lately, within a transaction.
async fn charge_spare(
    db: &impl ConnectionTrait,
    account: FailureKey,
    now: Timestamp,
    forgotten: Timestamp,
) -> Result<(), DbErr> {
    let now = now.as_micros();
    let column = |column| Expr::col((accounts::Entity, column));
    let counts = || column(accounts::Column::SpareStartTime).gt(forgotten.as_micros());
    let used: SimpleExpr = Expr::case(counts(), column(accounts::Column::SpareUsed).add(1)).finally(1).into();
    let start: SimpleExpr =
        Expr::case(counts(), column(accounts::Column::SpareStartTime)).finally(now).into();
    let row = accounts::ActiveModel {
        id: Set(account.to_vec()),
        full_time: Set(now),
        spare_start_time: Set(now),
        spare_used: Set(1),
    };
    // In this order: MySQL sets one after the other, and the first is judged by what the second was.
    let again = OnConflict::column(accounts::Column::Id)
        .value(accounts::Column::SpareUsed, used)
        .value(accounts::Column::SpareStartTime, start)
        .to_owned();
    accounts::Entity::insert(row).on_conflict(again).exec_without_returning(db).await.map(drop)
}

/// Counts a failure of the address at the account, within a transaction.
async fn charge_address(db: &impl ConnectionTrait, new: &NewFailure) -> Result<(), DbErr> {
    use by_address::Column;

    let now = new.now.as_micros();
    let column = |column| Expr::col((by_address::Entity, column));
    let one_more = |count: Column, last: Column| -> SimpleExpr {
        let counts = column(last).gt(new.forgotten.as_micros());
        Expr::case(counts, column(count).add(1)).finally(1).into()
    };
    let is_familiar = new.payer == Payer::Address;
    let row = by_address::ActiveModel {
        id: Set(new.keys.from_here.to_vec()),
        failures: Set(1),
        last_time: Set(now),
        familiar_failures: Set(is_familiar.then_some(1)),
        familiar_time: Set(is_familiar.then_some(now)),
    };
    // In this order: see above.
    let mut again = OnConflict::column(Column::Id)
        .value(Column::Failures, one_more(Column::Failures, Column::LastTime))
        .value(Column::LastTime, now)
        .to_owned();
    if is_familiar {
        again
            .value(Column::FamiliarFailures, one_more(Column::FamiliarFailures, Column::FamiliarTime))
            .value(Column::FamiliarTime, now);
    }
    by_address::Entity::insert(row).on_conflict(again).exec_without_returning(db).await.map(drop)
}
