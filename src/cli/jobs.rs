//! Owns `signet jobs`.

use serde_json::json;

use super::{
    Failure, Output,
    table::{TIME, Table, WHOLE, when_if},
};
use crate::{
    base::{Clock, Timestamp},
    config::Config,
    install::{Missing, OpenDatabase},
    jobs::{self, ListedJob},
};

/// How jobs are shown. Where each runs, and has run, is in the JSON.
const TABLE: Table<5> =
    Table([("JOB", 20), ("PERIOD", 8), ("LAST RUN", TIME), ("NEXT DUE", TIME), ("LAST RESULT", WHOLE)]);

pub(super) async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let store = OpenDatabase::for_command(&config.storage, Missing::Refused).await?.store;
    let jobs = store.within(async |store| jobs::list(store, &Clock::system()).await).await?;
    output.heading(&TABLE.heading())?;
    jobs.iter().try_for_each(|job| output.row(&text(job), &object(job)))
}

fn text(job: &ListedJob) -> String {
    let period = job.period.map_or("-".to_owned(), |period| humantime::format_duration(period).to_string());
    let result = match &job.problem {
        Some(problem) => format!("{}: {problem}", job.result),
        None => job.result.clone(),
    };
    let (begun, due) = (when_if(job.begin_time), when_if(job.due_time));
    TABLE.row([&job.name, &period, &begun, &due, &result])
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
