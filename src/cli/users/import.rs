//! Owns `signet users import`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{
    prehash::{GivenPrehash, KeptKey, PrehashArguments},
    report::{ReportFiles, Reporter, rate},
    source::{Source, SourceArguments},
    verify_one,
};
use crate::{
    base::{Clock, Entropy},
    cli::{CommandReason, Failure, Output, failure::NamedFailure, records::Records},
    config::{Config, duration_in_millis},
    identity::passwords::Prehashes,
    install::{Missing, own_files},
    transfer::{
        AccessCounts, AccessImport, AccessProblem, Import, ImportCounts, ImportSettings, OnConflict, Realm,
        Renames, RowOutcome, RowRules,
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Try one user's password on its hash, and write nothing. The user is one of the source; the password is asked for on a terminal, and
    /// read from standard input otherwise.
    #[arg(long, value_name = "USERNAME", conflicts_with_all = ["dry_run", "report", "id_map"])]
    verify_one: Option<String>,
    /// For users who differ here: skip, fail or update. That is a row whose user is there with another password, or under another id.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Conflict::Skip)]
    on_conflict: Conflict,
    /// What a login with a hash may cost. The hash is one that another system made, and docs/MIGRATING.md has a table of costs. It follows
    /// from the hash's parameters alone, so one file gets one answer on every machine. Rows beyond it are refused.
    #[arg(long, value_name = "TIME", default_value = "3200ms", value_parser = import_cost)]
    import_max_cost: Duration,
    /// Check everything, and write nothing. That is no user, no database, no migration.
    #[arg(long)]
    dry_run: bool,
    /// Give users other names, from a file of CSV. It has two columns and no first line of names: the name in the source, as it is written
    /// there, and the one here. For names that break the rules, or are one name here.
    #[arg(long, value_name = "FILE")]
    rename: Option<PathBuf>,
    /// Write what was refused or skipped to a new file. It gets each such row, and each whose username nobody could sign up with, as
    /// NDJSON. There must be no file of that name yet.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write which user each row has become to a new file. It is NDJSON, for those who know users by the ids of the source. A user whose
    /// `outcome` is `skipped` may be somebody else. There must be no file of that name yet. Not with --dry-run, which gives nobody an id.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    id_map: Option<PathBuf>,
    // Their headings would stand above what came after them.
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    prehash: PrehashArguments,
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
        // The database has the others.
        prehashes: Prehashes::default(),
        reserved,
        clock: clock.clone(),
        entropy: Entropy::system(),
        // The database has them, which is opened last.
        declared: Arc::default(),
        renames: arguments.rename.as_deref().map(renames).transpose()?.unwrap_or_default(),
    };
    arguments.source.check()?;
    let prehash = arguments.prehash.read()?;
    let files =
        ReportFiles::create(arguments.report.as_deref(), arguments.id_map.as_deref(), &own_files(config))?;
    let verify_one = arguments.verify_one;
    if verify_one.is_some() && arguments.source.is_standard_input() {
        let problem = "--verify-one: standard input is where the password comes from, so the rows must come from elsewhere";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let looked_through = source_of_key(&arguments.source, &prehash).await?;
    let source = arguments.source.open().await?;
    let dry_run = arguments.dry_run || verify_one.is_some();
    // Made here, it would be another than the service's wherever a setting or the directory is another.
    let records = if dry_run {
        Records::open_as_it_is(config).await?
    } else {
        Records::open(config, Missing::Refused).await?
    };
    // A bar would be drawn over the question for the password.
    let bar_output = if verify_one.is_some() { output.quietly() } else { output };
    let mut reporter = Reporter::new(bar_output, &source, files);
    let settings =
        ImportSettings { on_conflict: arguments.on_conflict.into(), dry_run, place: source.place() };
    let started = clock.monotonic();
    // On the heap: it holds what each row waits for.
    let result =
        if let Err(failure) = Box::pin(look_for_key(looked_through, &rules, &prehash, &records)).await {
            Err(failure)
        } else if let Some(username) = &verify_one {
            let verified = Box::pin(verify(username, (source, rules), &prehash, &records, output)).await;
            verified.map(|()| (ImportCounts::default(), None))
        } else {
            let records = (&records, config.tokens.audience.as_str());
            Box::pin(import(settings, (source, rules), &prehash, records, &mut reporter)).await
        };
    records.close().await;
    reporter.finish(result.is_ok())?;
    if verify_one.is_some() {
        return result.map(drop);
    }
    let seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
    let (tally, access) = result?;
    answer(tally, access, reporter.not_taken(), settings.dry_run, seconds, output)
}

/// The source once more, if it has to be looked through for hashes that name the key before any is taken in.
async fn source_of_key(source: &SourceArguments, prehash: &GivenPrehash) -> Result<Option<Source>, Failure> {
    if !prehash.has_key_for_named_alone() {
        return Ok(None);
    }
    if !source.can_be_read_twice() {
        let problem = "--password-prehash-key-file: without a recipe that takes the key (--password-prehash), the rows must come from a \
                       file, which is looked through for hashes that name it";
        return Err(Failure::Usage(problem.to_owned()));
    }
    source.clone().open().await.map(Some)
}

/// Refuses a key that no hash of `source` names, where it has no recipe: whoever gives one thinks that it is needed.
async fn look_for_key(
    source: Option<Source>,
    rules: &RowRules,
    prehash: &GivenPrehash,
    records: &Records,
) -> Result<(), Failure> {
    let Some(source) = source else { return Ok(()) };
    let prehashes = prehash.settle(records).await?;
    let rules = RowRules { declared: records.declarations().await?, prehashes, ..rules.clone() };
    let mut batches = source.read(rules);
    while let Some(batch) = batches.next().await? {
        if batch.rows.iter().any(|row| prehash.is_named_by(row)) {
            return Ok(());
        }
    }
    Err(prehash.unneeded_key())
}

/// The other names that `file` says.
fn renames(file: &Path) -> Result<Arc<Renames>, Failure> {
    let refused = |problem: String| Failure::Usage(format!("--rename: {} {problem}", file.display()));
    let opened = File::open(file).map_err(|error| Failure::of_input("--rename", file, &error))?;
    Renames::read(opened).map(Arc::new).map_err(refused)
}

/// Takes in what `source` holds, and the key of `prehash` with the first user who needs it. The service's own audience is `own`.
async fn import(
    settings: ImportSettings,
    (source, rules): (Source, RowRules),
    prehash: &GivenPrehash,
    (records, own): (&Records, &str),
    reporter: &mut Reporter,
) -> Result<(ImportCounts, Option<AccessCounts>), Failure> {
    let prehashes = prehash.settle(records).await?;
    let mut key = (!settings.dry_run).then(|| KeptKey::new(prehash, records));
    let realm = source.realm().cloned();
    let mut import = records.import(settings).await?;
    let rules = RowRules { declared: import.declared(), prehashes, ..rules };
    let access = match realm {
        Some(realm) => access_of(realm, records, own, settings.dry_run).await,
        None => Ok(None),
    };
    let result = match access {
        Ok(access) => take_all((&mut import, key.as_mut()), access, source, rules, reporter).await,
        Err(failure) => Err(failure),
    };
    let tally = import.end();
    let result = match key {
        Some(key) => {
            let settled = key.settle().await;
            result.and_then(|access| settled.map(|()| access))
        }
        None => result,
    };
    result.map(|access| (tally, access))
}

impl From<AccessProblem> for Failure {
    fn from(problem: AccessProblem) -> Self {
        match problem {
            // The file is the command's argument.
            AccessProblem::Conflict(error) => Self::Named(Box::new(NamedFailure {
                error,
                reason: Some(CommandReason::AccessConflict.name().to_owned()),
                is_usage: true,
                ..NamedFailure::default()
            })),
            AccessProblem::Failed(error) => error.into(),
        }
    }
}

/// What users have in `realm`, whose roles and groups are made. A `dry_run` only looks whether they can be, and nobody is given any.
async fn access_of<'a>(
    realm: Realm,
    records: &'a Records,
    own: &str,
    dry_run: bool,
) -> Result<Option<AccessImport<'a>>, Failure> {
    let mut access = AccessImport::begin(records.access_registry(), &records.operator, realm, own).await?;
    if dry_run {
        return Ok(None);
    }
    access.make().await?;
    Ok(Some(access))
}

/// Says whether the hash of `username` takes a password.
async fn verify(
    username: &str,
    (source, rules): (Source, RowRules),
    prehash: &GivenPrehash,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let prehashes = prehash.settle(records).await?;
    let rules = RowRules { declared: records.declarations().await?, prehashes, ..rules };
    verify_one::run(username, (source, rules), prehash, records, output).await
}

/// Takes in what `source` holds, while it is being read, and the `key` of its hashes; and gives users what they have by `access`. Returns
/// how much that was.
async fn take_all(
    (import, mut key): (&mut Import<'_>, Option<&mut KeptKey<'_>>),
    mut access: Option<AccessImport<'_>>,
    source: Source,
    rules: RowRules,
    reporter: &mut Reporter,
) -> Result<Option<AccessCounts>, Failure> {
    let mut batches = source.read(rules);
    while let Some(batch) = batches.next().await? {
        reporter.tell_ignored(&batch.ignored_columns);
        reporter.note_not_taken(&batch.not_taken);
        if let Some(key) = &mut key {
            key.keep_for(&batch.rows).await?;
        }
        let outcomes = import.take(&batch.rows).await?;
        for (row, outcome) in batch.rows.iter().zip(&outcomes) {
            reporter.tell(row, outcome)?;
        }
        if let Some(access) = &mut access {
            for (grants, outcome) in batch.grants.iter().zip(&outcomes) {
                // Whoever has logged in since, or was changed here, may have been given other roles, too.
                let id = outcome.id().filter(|_| !matches!(outcome, RowOutcome::Skipped(_)));
                if let Some(id) = id {
                    access.give(id, grants).await?;
                }
            }
        }
        reporter.progress(batch.bytes, import.tally().rows);
    }
    Ok(access.map(|access| {
        let (counts, not_taken) = access.end();
        reporter.note_not_taken(&not_taken);
        counts
    }))
}

fn answer(
    tally: ImportCounts,
    access: Option<AccessCounts>,
    not_taken: &BTreeMap<&'static str, u64>,
    dry_run: bool,
    seconds: f64,
    output: Output,
) -> Result<(), Failure> {
    let ImportCounts { rows, added, noted, updated, already_there, skipped, refused, inactive_since_empty } =
        tally;
    let rate = rate(rows, seconds);
    let (what, would, are) = if dry_run { ("Checked", "would be ", "are ") } else { ("Imported", "", "") };
    let mut text = format!(
        "{what} {rows} rows in {seconds:.1} s ({rate} rows/s): {added} {would}added, {updated} {would}updated, {already_there} \
         {are}already there, {skipped} {would}skipped, {refused} {would}refused."
    );
    if inactive_since_empty > 0 {
        let _ = write!(text, " Inactive, since is_active is empty: {inactive_since_empty}.");
    }
    if noted > 0 {
        let added = if dry_run { "Would be added" } else { "Added" };
        let _ = write!(text, " {added} with a name that nobody could sign up with: {noted} (--report).");
    }
    if let Some(AccessCounts { roles, groups, members, bindings }) = access {
        let _ = write!(
            text,
            " {roles} roles and {groups} groups are new; users are in groups {members} times, and roles were given {bindings} times."
        );
    }
    if !not_taken.is_empty() {
        let counts = not_taken.iter().map(|(kind, count)| format!("{} {count}", kind.replace('_', " ")));
        let _ = write!(text, " Not taken: {}.", counts.collect::<Vec<_>>().join(", "));
    }
    let mut object = json!({
        "dry_run": dry_run,
        "rows": rows,
        "added": added,
        "names_noted": noted,
        "updated": updated,
        "already_there": already_there,
        "skipped": skipped,
        "refused": refused,
        "inactive_since_empty": inactive_since_empty,
        "not_taken": not_taken,
        "seconds": seconds,
        "rows_per_second": rate,
    });
    if let Some(AccessCounts { roles, groups, members, bindings }) = access {
        object["access"] =
            json!({ "roles": roles, "groups": groups, "members": members, "bindings": bindings });
    }
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
