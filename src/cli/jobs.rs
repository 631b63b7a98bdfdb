//! Owns `signet jobs`.

use serde_json::json;

use super::{Failure, Output};
use crate::{
    base::{Clock, Timestamp},
    config::Config,
    install::{Missing, OpenDatabase},
    jobs::{self, ListedJob},
};

pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let store = OpenDatabase::for_command(&config.storage, Missing::Refused).await?.store;
    let jobs = jobs::list(&store, &Clock::system()).await?;
    store.close().await;
    output.heading(&format!(
        "{:<17}  {:<8}  {:<24}  {:<27}  {:<27}  LAST RESULT",
        "JOB", "PERIOD", "LEASE HOLDER", "LAST RUN", "NEXT DUE"
    ))?;
    jobs.iter().try_for_each(|job| output.answer(&text(job), &object(job)))
}

fn text(job: &ListedJob) -> String {
    let shown = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| time.to_string());
    let period = job.period.map_or("-".to_owned(), |period| humantime::format_duration(period).to_string());
    let holder = job.holder.as_deref().unwrap_or("-");
    let problem = job.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    format!(
        "{:<17}  {period:<8}  {holder:<24}  {:<27}  {:<27}  {}{problem}",
        job.name,
        shown(job.begin_time),
        shown(job.due_time),
        job.result
    )
}

fn object(job: &ListedJob) -> serde_json::Value {
    let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "name": job.name,
        "period_seconds": job.period.map(|period| period.as_secs()),
        "lease_holder": job.holder,
        "last_begin_time": shown(job.begin_time),
        "last_end_time": shown(job.end_time),
        "last_process": job.process,
        "last_result": job.result,
        "last_problem": job.problem,
        "next_due_time": shown(job.due_time),
    })
}
