//! Owns `signet apply` and `signet export`: what is to be there, in files.

mod remote;

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Failure, Output,
    confirm::is_answered_yes,
    records::Records,
    remote::{Remote, WorksAt},
};
use crate::{
    config::Config,
    identity::{
        Administrator,
        apply::{Action, Asked, Change, Manifest, Plan},
    },
    install::{Missing, manifest_secrets, read_manifest},
    model::GroupName,
};

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Apply {
    /// The file, or the folder whose *.yaml, *.yml and *.json are read in the order of their names: at most 4 MiB in all.
    #[arg(short, long = "file", value_name = "FILE|DIR")]
    file: PathBuf,
    /// Show the plan and whether all of it can be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Delete what an earlier apply of the same `set` made and the files name no longer: nothing else.
    #[arg(long)]
    prune: bool,
    /// Do not ask before anything is written.
    #[arg(long)]
    yes: bool,
    /// Make the `set` of the files one's own, which belongs to whoever applied it first: another needs this.
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    place: WorksAt,
}

#[derive(Args, Debug)]
pub(super) struct Export {
    /// The file to write, as JSON if its name ends in `.json`; `-` is standard output. A file that is there is not replaced.
    #[arg(short, long = "file", value_name = "FILE|-")]
    file: PathBuf,
    /// The `set` that the file is to say.
    #[arg(long, value_name = "NAME", default_value = "exported", value_parser = set_name)]
    set: GroupName,
    #[command(flatten)]
    place: WorksAt,
}

fn set_name(text: &str) -> Result<GroupName, String> {
    GroupName::parse(text).map_err(|violation| violation.description)
}

/// What is to be applied, and how.
struct Work {
    manifest: Manifest,
    /// The secrets that it refers to, by the names of their clients.
    secrets: HashMap<String, Zeroizing<String>>,
    prune: bool,
    take_over: bool,
}

/// Where it is applied.
enum Target<'a> {
    Database(&'a Records),
    Service(&'a Remote),
}

/// What of a plan is shown.
struct Shown {
    changes: Vec<Change>,
    left: Vec<String>,
    ended: Vec<String>,
    etag: String,
}

pub(super) async fn apply(apply: Apply, config: &Config, output: Output) -> Result<(), Failure> {
    let Apply { file, dry_run, prune, yes, take_over, place } = apply;
    // What the files get wrong is told before anything is opened.
    let manifest = read_manifest(&file)?;
    let secrets = manifest_secrets(&manifest)?;
    let work = Work { manifest, secrets, prune, take_over };
    let how = How { dry_run, yes };
    if let Some(remote) = place.connect(config).await? {
        return run(&how, &work, &Target::Service(&remote), output).await;
    }
    let on_database = async |records: &Records| run(&how, &work, &Target::Database(records), output).await;
    Records::within(config, Missing::Refused, on_database).await
}

/// How far it is to go, and whether it is asked before.
struct How {
    dry_run: bool,
    yes: bool,
}

async fn run(how: &How, work: &Work, target: &Target<'_>, output: Output) -> Result<(), Failure> {
    let unchanged = "Nothing is to be changed.";
    if how.yes && !how.dry_run {
        let done = target.apply(work, None).await?;
        let is_any = !done.changes.is_empty();
        return show(&done, if is_any { "Applied." } else { unchanged }, is_any, output);
    }
    let plan = target.plan(work, how.dry_run).await?;
    if plan.changes.is_empty() {
        return show(&plan, unchanged, false, output);
    }
    if how.dry_run {
        return show(&plan, "Nothing was written: --dry-run.", false, output);
    }
    confirm(&plan)?;
    let done = target.apply(work, Some(&plan.etag)).await?;
    tell("Applied.", &done, true, output)
}

impl Target<'_> {
    /// What is to be changed. If it `is_tried`, it is done and undone: what would be refused is told then. A service always tries it.
    async fn plan(&self, work: &Work, is_tried: bool) -> Result<Shown, Failure> {
        let records = match self {
            Self::Service(service) => return remote::apply(work, true, None, service).await,
            Self::Database(records) => records,
        };
        let manifests = records.manifests();
        let plan = manifests.plan(work.asked(&records.operator)).await?;
        if is_tried && !plan.changes.is_empty() {
            manifests.apply(&plan, &records.operator.clone().validating(true)).await?;
        }
        Ok(Shown::of(plan))
    }

    /// Changes it, if that is what was `seen` before, by its etag.
    async fn apply(&self, work: &Work, seen: Option<&str>) -> Result<Shown, Failure> {
        let records = match self {
            Self::Service(service) => return remote::apply(work, false, seen, service).await,
            Self::Database(records) => records,
        };
        let (manifests, asked) = (records.manifests(), work.asked(&records.operator));
        let plan = match seen {
            Some(seen) => manifests.renew(seen, asked).await?,
            None => manifests.plan(asked).await?,
        };
        if !plan.changes.is_empty() {
            manifests.apply(&plan, &records.operator).await?;
        }
        Ok(Shown::of(plan))
    }
}

impl Work {
    const fn asked<'a>(&'a self, by: &'a Administrator) -> Asked<'a> {
        let Self { manifest, secrets, prune, take_over } = self;
        Asked { manifest, secrets, prune: *prune, take_over: *take_over, by }
    }
}

impl Shown {
    fn of(plan: Plan) -> Self {
        let etag = plan.etag().as_str().to_owned();
        Self { changes: plan.changes, left: plan.left, ended: plan.ended, etag }
    }
}

/// Shows the plan, and goes on if that is wanted.
fn confirm(plan: &Shown) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let problem = "there is nobody to ask whether to apply this: say --yes, or --dry-run to see the plan";
        return Err(Failure::Usage(problem.to_owned()));
    }
    if is_answered_yes(&format!("{}\nApply this?", in_words(plan)))? {
        return Ok(());
    }
    Err(Failure::Failed("nothing was written: it was not answered by `yes`".to_owned()))
}

/// Tells what was, or would be, done.
fn show(plan: &Shown, end: &str, applied: bool, output: Output) -> Result<(), Failure> {
    tell(&format!("{}{end}", in_words(plan)), plan, applied, output)
}

/// The same, of which people are told `text`: whoever was asked has seen the plan.
fn tell(text: &str, plan: &Shown, applied: bool, output: Output) -> Result<(), Failure> {
    let object = json!({
        "applied": applied,
        "changes": plan.changes,
        "not_in_manifest": plan.left,
        "ended": plan.ended,
    });
    output.answer(text, &object)
}

/// The plan, like a diff.
fn in_words(plan: &Shown) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let sign = match change.action {
            Action::Create => '+',
            Action::Update => '~',
            Action::Delete => '-',
        };
        // Text takes everything.
        let _ = writeln!(text, "{sign} {}", change.resource);
        for field in &change.fields {
            let name = &field.field;
            let _ = match (&*field.old, &*field.new) {
                ("", "") => writeln!(text, "    {name}: another one"),
                ("", new) => writeln!(text, "    {name}: {new}"),
                (old, "") => writeln!(text, "    {name}: {old} -> none"),
                (old, new) => writeln!(text, "    {name}: {old} -> {new}"),
            };
        }
    }
    for ended in &plan.ended {
        let _ = writeln!(text, "  {ended}: it has ended, and gives nothing");
    }
    for left in &plan.left {
        let _ = writeln!(text, "  {left} is no longer in the manifest: --prune deletes it");
    }
    text
}

pub(super) async fn export(export: Export, config: &Config, output: Output) -> Result<(), Failure> {
    let Export { file, set, place } = export;
    let manifest = if let Some(remote) = place.connect(config).await? {
        remote::export(&set, &remote).await?
    } else {
        let work = async |records: &Records| Ok(records.manifests().export(set.clone()).await?);
        Records::within(config, Missing::Refused, work).await?
    };
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let text = manifest.write(is_json);
    let text =
        text.map_err(|problem| Failure::Failed(format!("the manifest cannot be written: {problem}")))?;
    if file.as_os_str() == "-" {
        return output.answer(text.trim_end(), &manifest);
    }
    let path = file.display();
    let written = crate::files::create_new(&file).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::of_new_file(&error, format!("{path} cannot be written: {error}")))?;
    output.answer(&format!("Exported to {path}."), &json!({ "exported": path.to_string() }))
}
