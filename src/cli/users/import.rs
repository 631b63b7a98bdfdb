//! Owns `signet users import`.

use std::{fmt::Write, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    report::{ReportFiles, Reporter, rate},
    source::{Source, SourceArguments},
};
use crate::{
    base::{Clock, Entropy},
    cli::{CommandReason, Failure, Output, records::Records},
    config::{Config, duration_in_millis},
    install::{Missing, own_files},
    transfer::{Import, ImportCounts, ImportSettings, OnConflict, RowRules},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// What becomes of a row whose user is there with another password, or under another id.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Conflict::Skip)]
    on_conflict: Conflict,
    /// What one login with a hash that another system made may cost, by the table in docs/MIGRATING.md. It follows from the hash's
    /// parameters alone, so one file gets one answer on every machine. Rows beyond it are refused.
    #[arg(long, value_name = "DURATION", default_value = "3200ms", value_parser = import_cost)]
    import_max_cost: Duration,
    /// Check everything, and write nothing: no user, no database, no migration.
    #[arg(long)]
    dry_run: bool,
    /// Write each row that was refused or skipped, or whose username nobody could sign up with, to this file, as NDJSON. There must be no
    /// file of that name yet.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write which user each row has become to this file, as NDJSON: for those who know users by the ids of the source. There must
    /// be no file of that name yet. Not with --dry-run, which gives nobody an id.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    id_map: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conflict {
    /// The user stays as it is, and the row is counted as skipped.
    Skip,
    /// The user stays as it is, and the row is refused.
    Fail,
    /// The user takes over the row's password hash, and what else it says. Another hash, or being disabled, ends the user's sessions.
    Update,
}

impl From<Conflict> for OnConflict {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Skip => Self::Skip,
            Conflict::Fail => Self::Fail,
            Conflict::Update => Self::Update,
        }
    }
}

/// From the cheapest hash that there is to a minute: no call lives longer than that by default.
fn import_cost(text: &str) -> Result<Duration, String> {
    duration_in_millis::<1, 60_000>(text)
}

pub(super) async fn run(arguments: Arguments, config: &Config, output: Output) -> Result<(), Failure> {
    // What the command line gets wrong is told before anything is made.
    let argon2 = config.passwords.argon2().map_err(|error| Failure::Usage(error.to_string()))?;
    let clock = Clock::system();
    let reserved = config.accounts.reserved_usernames.clone();
    let rules = RowRules {
        argon2,
        import_max_cost: arguments.import_max_cost,
        reserved,
        clock: clock.clone(),
        entropy: Entropy::system(),
        // The database has them, which is opened last.
        declared: Arc::default(),
    };
    arguments.source.check()?;
    let files =
        ReportFiles::create(arguments.report.as_deref(), arguments.id_map.as_deref(), &own_files(config))?;
    let source = arguments.source.open().await?;
    // Made here, it would be another than the service's wherever a setting or the directory is another.
    let records = if arguments.dry_run {
        Records::open_as_it_is(config).await?
    } else {
        Records::open(config, Missing::Refused).await?
    };
    let mut reporter = Reporter::new(output, &source, files);
    let settings = ImportSettings {
        on_conflict: arguments.on_conflict.into(),
        dry_run: arguments.dry_run,
        place: source.place(),
    };
    let started = clock.monotonic();
    let result = match records.import(settings).await {
        Ok(mut import) => {
            let rules = RowRules { declared: import.declared(), ..rules };
            let result = take_all(&mut import, source, rules, &mut reporter).await;
            let tally = import.end();
            result.map(|()| tally)
        }
        Err(error) => Err(error.into()),
    };
    records.close().await;
    reporter.finish(result.is_ok())?;
    answer(result?, settings.dry_run, clock.monotonic().saturating_sub(started).as_secs_f64(), output)
}

/// Takes in what `source` holds, while it is being read.
async fn take_all(
    import: &mut Import<'_>,
    source: Source,
    rules: RowRules,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let mut batches = source.read(rules);
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        reporter.tell_ignored(&batch.ignored_columns);
        let outcomes = import.take(&batch.rows).await?;
        for (row, outcome) in batch.rows.iter().zip(&outcomes) {
            reporter.tell(row, outcome)?;
        }
        reporter.progress(batch.bytes, import.tally().rows);
    }
    Ok(())
}

fn answer(tally: ImportCounts, dry_run: bool, seconds: f64, output: Output) -> Result<(), Failure> {
    let ImportCounts { rows, added, noted, updated, already_there, skipped, refused, inactive_since_empty } =
        tally;
    let rate = rate(rows, seconds);
    let what = if dry_run { "Checked" } else { "Imported" };
    let mut text = format!(
        "{what} {rows} rows in {seconds:.1} s ({rate} rows/s): {added} added, {updated} updated, {already_there} already there, \
         {skipped} skipped, {refused} refused."
    );
    if inactive_since_empty > 0 {
        let _ = write!(text, " Inactive, since is_active is empty: {inactive_since_empty}.");
    }
    if noted > 0 {
        let _ = write!(text, " Added with a name that nobody could sign up with: {noted} (--report).");
    }
    let object = json!({
        "dry_run": dry_run,
        "rows": rows,
        "added": added,
        "names_noted": noted,
        "updated": updated,
        "already_there": already_there,
        "skipped": skipped,
        "refused": refused,
        "inactive_since_empty": inactive_since_empty,
        "seconds": seconds,
        "rows_per_second": rate,
    });
    output.answer(&text, &object)?;
    if refused > 0 {
        return Err(Failure::because(
            CommandReason::RowsRefused,
            format!("{refused} of {rows} rows were refused"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::passwords::DEFAULT_IMPORT_MAX_COST;

    #[derive(clap::Parser)]
    struct Import {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_default_cost_is_the_one_that_the_documents_promise() {
        let import: Import = clap::Parser::parse_from(["import", "users.ndjson"]);
        assert_eq!(import.arguments.import_max_cost, DEFAULT_IMPORT_MAX_COST);
    }
}
