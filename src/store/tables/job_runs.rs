//! Owns the runs of shared jobs, in the table `leases`: which process runs a job now, and how its last run ended.
//!
//! Each change is one statement that is committed by itself, and conditional: of several processes one succeeds.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QueryOrder, UpdateMany,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{
    entity::leases::{ActiveModel, Column, Entity, Model},
    leases::TERM,
};
use crate::{base::Timestamp, model::Error, store::Store};

/// The longest time between two renewals of a lease, of which one may fail.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(TERM.as_secs() / 3);

/// How much of a sentence or a name is kept, in characters.
const MAX_PROBLEM: usize = 500;
const MAX_PROCESS_NAME: usize = 100;

/// A process among those that share the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The id by which it holds leases.
    pub id: Uuid,
    /// Its name for people: the machine, and the process id there.
    pub name: Arc<str>,
}

/// A lease, and what is known of the runs of its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// The job.
    pub name: String,
    /// Who had the lease last; none if nobody has had it.
    pub holder: Option<Uuid>,
    /// Until when it keeps others out. Of a lease that nobody has had: since when it exists.
    pub expire_time: Timestamp,
    /// When the newest run began.
    pub begin_time: Option<Timestamp>,
    /// When the last run that ended did.
    pub end_time: Option<Timestamp>,
    /// How it ended.
    pub result: Option<String>,
    /// Why it failed.
    pub problem: Option<String>,
    /// The process that began the newest run.
    pub process: Option<Process>,
}

/// How a run ended, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// When.
    pub time: Timestamp,
    /// How, in a word.
    pub result: &'static str,
    /// Why it failed.
    pub problem: Option<String>,
}

impl JobRow {
    /// Whether at `now` the lease keeps others than its holder out. One that would do so for longer than any lease is given for was
    /// taken by a clock that was wrong.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.holder.is_some() && self.expire_time > now && self.expire_time <= now.after(TERM * 2)
    }
}

impl From<Model> for JobRow {
    fn from(row: Model) -> Self {
        let Model { name, holder, expire_time, begin_time, end_time, result, problem, .. } = row;
        let process = row.process_id.zip(row.process_name);
        Self {
            name,
            holder,
            expire_time: Timestamp::from_micros(expire_time),
            begin_time: begin_time.map(Timestamp::from_micros),
            end_time: end_time.map(Timestamp::from_micros),
            result,
            problem,
            process: process.map(|(id, name)| Process { id, name: name.into() }),
        }
    }
}

impl Store {
    /// Adds the leases of `jobs` that do not exist yet, as of `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn add_jobs(&self, jobs: &[&str], now: Timestamp) -> Result<(), Error> {
        let known = self.jobs().await?;
        let new = jobs.iter().filter(|job| known.iter().all(|row| row.name != **job));
        let rows: Vec<_> = new
            .map(|job| ActiveModel {
                name: Set((*job).to_owned()),
                holder: NotSet,
                expire_time: Set(now.as_micros()),
                ..ActiveModel::default()
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        // Another process may add them at the same moment.
        let insert = || {
            let nothing = OnConflict::column(Column::Name).do_nothing_on([Column::Name]).to_owned();
            Entity::insert_many(rows.clone()).on_conflict(nothing)
        };
        self.ask(|| insert().exec_without_returning(&self.lanes.service.writer)).await.map(drop)
    }

    /// Every lease, by its name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn jobs(&self) -> Result<Vec<JobRow>, Error> {
        let query = Entity::find().order_by_asc(Column::Name);
        let rows = self.ask(|| query.clone().all(&self.lanes.service.reader)).await?;
        Ok(rows.into_iter().map(JobRow::from).collect())
    }

    /// Takes the lease of `row`, as it was read, for a run of `process` that begins at `now`. False if another process has it, or has
    /// begun a run meanwhile; true if this run has it already, since the answer was lost.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn begin_run(&self, row: &JobRow, process: &Process, now: Timestamp) -> Result<bool, Error> {
        let unchanged = match row.begin_time {
            Some(time) => Column::BeginTime.eq(time.as_micros()),
            None => Column::BeginTime.is_null(),
        };
        let free = Condition::any()
            .add(Column::Holder.eq(process.id))
            .add(Column::Holder.is_null())
            .add(Column::ExpireTime.lte(now.as_micros()))
            .add(Column::ExpireTime.gt(now.after(TERM * 2).as_micros()));
        let update = told_of(process)
            .col_expr(Column::Holder, Expr::value(process.id))
            .col_expr(Column::ExpireTime, Expr::value(now.after(TERM).as_micros()))
            .col_expr(Column::BeginTime, Expr::value(now.as_micros()))
            .filter(Column::Name.eq(row.name.as_str()))
            .filter(unchanged)
            .filter(free);
        if self.changes_one(&update).await? {
            return Ok(true);
        }
        let is_ours = Entity::find()
            .filter(Column::Name.eq(row.name.as_str()))
            .filter(Column::Holder.eq(process.id))
            .filter(Column::BeginTime.eq(now.as_micros()));
        let found = self.ask_for_one(|| is_ours.clone().all(&self.lanes.service.writer)).await?;
        Ok(found.is_some())
    }

    /// Keeps the lease of the run of `job` that `process` began at `begin_time`, from `now` on. False if another process has taken it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn renew_run(
        &self,
        job: &str,
        process: &Process,
        begin_time: Timestamp,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let update = of_run(Entity::update_many(), job, process, begin_time);
        self.changes_one(&update.col_expr(Column::ExpireTime, Expr::value(now.after(TERM).as_micros()))).await
    }

    /// Notes how the run of `job` ended that `process` began at `begin_time`, and gives the lease back. False if another process has taken
    /// it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn end_run(
        &self,
        job: &str,
        process: &Process,
        begin_time: Timestamp,
        end: RunEnd,
    ) -> Result<bool, Error> {
        let expired = Expr::value(end.time.as_micros());
        let update = of_run(ended(Entity::update_many(), end), job, process, begin_time);
        self.changes_one(&update.col_expr(Column::ExpireTime, expired)).await
    }

    /// Notes a run of `job` by `process` from `begin_time` on, whose lease was taken for a part of it, unless another process has the lease
    /// by now and has begun a run since.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn note_run(
        &self,
        job: &str,
        process: &Process,
        begin_time: Timestamp,
        end: RunEnd,
    ) -> Result<(), Error> {
        let newest = Condition::any()
            .add(Column::Holder.eq(process.id))
            .add(Column::BeginTime.is_null())
            .add(Column::BeginTime.lt(begin_time.as_micros()));
        let update = ended(told_of(process), end)
            .col_expr(Column::BeginTime, Expr::value(begin_time.as_micros()))
            .filter(Column::Name.eq(job))
            .filter(newest);
        self.changes_one(&update).await.map(drop)
    }

    async fn changes_one(&self, update: &UpdateMany<Entity>) -> Result<bool, Error> {
        let changed = self.ask(|| async {
            let changed = update.clone().exec(&self.lanes.service.writer).await?;
            Ok::<_, DbErr>(changed.rows_affected > 0)
        });
        changed.await
    }
}

/// An update that tells of `process`.
fn told_of(process: &Process) -> UpdateMany<Entity> {
    let name: String = process.name.chars().take(MAX_PROCESS_NAME).collect();
    Entity::update_many()
        .col_expr(Column::ProcessId, Expr::value(process.id))
        .col_expr(Column::ProcessName, Expr::value(name))
}

/// `update`, that tells of the `end` of a run.
fn ended(update: UpdateMany<Entity>, end: RunEnd) -> UpdateMany<Entity> {
    let problem: Option<String> = end.problem.map(|problem| problem.chars().take(MAX_PROBLEM).collect());
    update
        .col_expr(Column::EndTime, Expr::value(end.time.as_micros()))
        .col_expr(Column::Result, Expr::value(end.result))
        .col_expr(Column::Problem, Expr::value(problem))
}

/// `update`, if the lease is still that of the run that `process` began at `begin_time`.
fn of_run(
    update: UpdateMany<Entity>,
    job: &str,
    process: &Process,
    begin_time: Timestamp,
) -> UpdateMany<Entity> {
    update
        .filter(Column::Name.eq(job))
        .filter(Column::Holder.eq(process.id))
        .filter(Column::BeginTime.eq(begin_time.as_micros()))
}
