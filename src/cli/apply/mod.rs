//! Owns `signet apply` and `signet export`: what is to be there, in files.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Failure, Output, output::legible, records::Records, remote::only_there};
use crate::{
    config::Config,
    identity::apply::{Action, Manifest, Plan},
    install::{Missing, manifest_secrets, read_manifest},
    model::GroupName,
};

#[derive(Args, Debug)]
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
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// The service that other commands work on from afar: these two do not, and are not to take the database here for its.
#[derive(Args, Debug)]
struct Elsewhere {
    #[arg(long, env = "SIGNET_SERVER", value_name = "ADDR", hide = true)]
    server: Option<String>,
}

impl Elsewhere {
    fn must_not_be_said(&self, what: &str) -> Result<(), Failure> {
        let there = || only_there(what, "run it where the database is, without SIGNET_SERVER");
        self.server.as_ref().map_or(Ok(()), |_| Err(there()))
    }
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
    elsewhere: Elsewhere,
}

fn set_name(text: &str) -> Result<GroupName, String> {
    GroupName::parse(text).map_err(|violation| violation.description)
}

pub(super) async fn apply(apply: Apply, config: &Config, output: Output) -> Result<(), Failure> {
    apply.elsewhere.must_not_be_said("apply")?;
    // What the files get wrong is told before anything is opened.
    let manifest = read_manifest(&apply.file).map_err(Failure::Usage)?;
    let secrets = manifest_secrets(&manifest).map_err(Failure::Usage)?;
    let work = async |records: &Records| with_records(&apply, &manifest, &secrets, records, output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn with_records(
    apply: &Apply,
    manifest: &Manifest,
    secrets: &HashMap<String, Zeroizing<String>>,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let manifests = records.manifests();
    let mut plan = manifests.plan(manifest, secrets, apply.prune).await?;
    if plan.changes.is_empty() {
        return show(&plan, "Nothing is to be changed.", false, output);
    }
    if apply.dry_run {
        // It is done, and undone: what is refused is told here as it would be then.
        manifests.apply(&plan, &records.operator.clone().validating(true)).await?;
        return show(&plan, "Nothing was written: --dry-run.", false, output);
    }
    if !apply.yes {
        confirm(&plan)?;
        plan = manifests.renew(&plan, manifest, secrets, apply.prune).await?;
    }
    manifests.apply(&plan, &records.operator).await?;
    if apply.yes { show(&plan, "Applied.", true, output) } else { tell("Applied.", &plan, true, output) }
}

/// Shows the plan, and goes on if that is wanted.
fn confirm(plan: &Plan) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let problem = "there is nobody to ask whether to apply this: say --yes, or --dry-run to see the plan";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let mut asked = io::stderr();
    write!(asked, "{}\nApply this? (yes/no) ", legible(&in_words(plan)))?;
    asked.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Failed("nothing was written: it was not answered by `yes`".to_owned())),
    }
}

/// Tells what was, or would be, done.
fn show(plan: &Plan, end: &str, applied: bool, output: Output) -> Result<(), Failure> {
    tell(&format!("{}{end}", in_words(plan)), plan, applied, output)
}

/// The same, of which people are told `text`: whoever was asked has seen the plan.
fn tell(text: &str, plan: &Plan, applied: bool, output: Output) -> Result<(), Failure> {
    let object = json!({ "applied": applied, "changes": plan.changes, "not_in_manifest": plan.left, "ended": plan.ended });
    output.answer(text, &object)
}

/// The plan, like a diff.
fn in_words(plan: &Plan) -> String {
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
    export.elsewhere.must_not_be_said("export")?;
    let work = async |records: &Records| Ok(records.manifests().export(export.set.clone()).await?);
    let manifest = Records::within(config, Missing::Refused, work).await?;
    let is_json = export.file.extension().is_some_and(|extension| extension == "json");
    let text = manifest.write(is_json);
    let text =
        text.map_err(|problem| Failure::Failed(format!("the manifest cannot be written: {problem}")))?;
    if export.file.as_os_str() == "-" {
        return output.answer(text.trim_end(), &manifest);
    }
    let path = export.file.display();
    let written = crate::files::create_new(&export.file).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::Failed(format!("{path} cannot be written: {error}")))?;
    output.answer(&format!("Exported to {path}."), &json!({ "exported": path.to_string() }))
}
