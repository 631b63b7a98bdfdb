//! Owns how versions of policies, their rules and their differences are shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    cli::{
        Failure, Output,
        table::{ID, TIME, Table, WHOLE, when},
    },
    model::{CallerKind, PolicyState, policy::PolicyVersion},
    proto::identity::{
        policy::v1::{ExplainCallResponse, MethodRule, diff_policy_versions_response::Difference},
        v1::access::Callers,
    },
};

/// How many rules are told that let nobody in: `policy show` has all.
const TOLD: usize = 20;

/// How versions are listed.
const TABLE: Table<5> =
    Table([("ID", ID), ("PUSHED", TIME), ("STATE", 7), ("SERVICE", 16), ("VERSION", WHOLE)]);

pub(super) fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

pub(super) fn list_one(version: &PolicyVersion, output: Output) -> Result<(), Failure> {
    let id = version.id.to_string();
    let pushed = when(version.create_time);
    let cells = [&*id, &*pushed, version.state.name(), version.service.as_str(), version.name.as_str()];
    output.row(&TABLE.row(cells), &object(version))
}

/// That `version` is what was asked for.
pub(super) fn tell(what: &str, version: &PolicyVersion, output: Output) -> Result<(), Failure> {
    let PolicyVersion { service, name, methods, .. } = version;
    let text = format!("The version {name} of {} is {what}; it knows {methods} method(s).", service.as_str());
    output.answer(&text, &object(version))
}

/// That nobody may call the methods of these rules, which may not be meant.
pub(super) fn warn_of_closed(closed: &[MethodRule], output: Output) {
    let warn = |text: String| output.row_problem(&format!("warning: {text}"), &json!({ "warning": text }));
    for MethodRule { method, is_not_understood, .. } in closed.iter().take(TOLD) {
        let why = if *is_not_understood { "its rule is not understood" } else { "it declares no access" };
        warn(format!("nobody may call {method}: {why}"));
    }
    if closed.len() > TOLD {
        warn(format!("nobody may call {} more: `signet policy show` has them", closed.len() - TOLD));
    }
}

/// That nothing of `service` is enforced any more, if none of its versions, which are in `states`, is active.
pub(super) fn warn_of_retired(service: &str, states: &[PolicyState], output: Output) {
    let text = if states.contains(&PolicyState::Active) {
        return;
    } else if states.contains(&PolicyState::Shadow) {
        format!("{service} has no active version any more: the other keys of each route decide")
    } else {
        format!(
            "{service} has no active version any more: its routes refuse every call, and to activate one again widens"
        )
    };
    output.row_problem(&format!("warning: {text}"), &json!({ "warning": text }));
}

/// A version and its rules.
pub(super) fn show(version: &PolicyVersion, rules: &[MethodRule], output: Output) -> Result<(), Failure> {
    let mut text = format!(
        "id:       {}\nservice:  {}\nversion:  {}\nstate:    {}\nsha256:   {}\npushed:   {}\nchanged:  {}\nmethods:  {}",
        version.id,
        version.service.as_str(),
        version.name,
        version.state.name(),
        version.sha256,
        version.create_time,
        version.update_time,
        version.methods,
    );
    for rule in rules {
        let _ = write!(text, "\n{}\n    {}", rule.method, rule.description);
    }
    let mut object = object(version);
    object["rules"] = rules.iter().map(rule_object).collect();
    output.answer(&text, &object)
}

/// Each method whose rule is another one.
pub(super) fn tell_differences(found: &[Difference], output: Output) -> Result<(), Failure> {
    for difference in found {
        let words = |rule: &Option<MethodRule>| match rule {
            Some(rule) => rule.description.clone(),
            None => "unknown, so nobody".to_owned(),
        };
        let mark = if difference.widens { "WIDENS  " } else { "        " };
        let mut text = format!(
            "{mark}{}\n        old: {}\n        new: {}",
            difference.method,
            words(&difference.old_rule),
            words(&difference.new_rule)
        );
        let is_renamed = !difference.renamed_scope.is_empty();
        if is_renamed {
            let Difference { renamed_to, renamed_scope, .. } = difference;
            let _ = write!(
                text,
                "\n        warning: {renamed_to} in the place of {renamed_scope} refuses calls that are valid now; rename a scope in three \
                 steps (docs/POLICY.md)"
            );
        }
        let renamed =
            is_renamed.then(|| json!({ "old": difference.renamed_scope, "new": difference.renamed_to }));
        let object = json!({
            "method": difference.method,
            "old": difference.old_rule.as_ref().map(rule_object),
            "new": difference.new_rule.as_ref().map(rule_object),
            "widens": difference.widens,
            "renamed_scope": renamed,
        });
        output.row(&text, &object)?;
    }
    if found.is_empty() && !output.is_json() {
        return output.answer("No method has another rule.", &json!({}));
    }
    Ok(())
}

/// Why a call passes or not.
pub(super) fn explain(method: &str, found: &ExplainCallResponse, output: Output) -> Result<(), Failure> {
    let or_none = |names: &[String]| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
    let caller = match found.caller() {
        Callers::Unspecified => None,
        Callers::User => Some(CallerKind::User),
        Callers::Client => Some(CallerKind::Client),
    };
    let token = match (caller, &*found.authentication_problem) {
        (Some(caller), _) => format!("of {}, for {}", caller.in_words(), or_none(&found.audiences)),
        (None, "") => "-".to_owned(),
        (None, problem) => format!("does not count: {problem}"),
    };
    let mut text = format!(
        "{method}: {}\ntoken:    {token}\nscopes:   {}\nroles:    {}",
        found.summary,
        or_none(&found.scopes),
        or_none(&found.roles)
    );
    let mut rules = Vec::new();
    for rule in &found.rules {
        let state = rule.state().as_str_name().trim_start_matches("STATE_").to_owned();
        let verdict = match (rule.knows_method, rule.passes) {
            (false, _) => "does not know the method".to_owned(),
            (true, true) => format!("passes: {}", rule.description),
            (true, false) => format!("refuses: {}; missing: {}", rule.description, rule.missing.join(", ")),
        };
        let _ = write!(text, "\n{} ({state}) {verdict}", rule.version);
        rules.push(json!({
            "version": rule.version,
            "state": state,
            "knows_method": rule.knows_method,
            "rule": rule.description,
            "passes": rule.passes,
            "missing": rule.missing,
        }));
    }
    let object = json!({
        "method": method,
        "verdict": found.verdict().as_str_name().trim_start_matches("VERDICT_"),
        "summary": found.summary,
        "caller": caller.map(CallerKind::name),
        "audiences": found.audiences,
        "scopes": found.scopes,
        "roles": found.roles,
        "authentication_problem": found.authentication_problem,
        "rules": rules,
    });
    output.answer(&text, &object)
}

fn rule_object(rule: &MethodRule) -> Value {
    json!({
        "method": rule.method,
        "rule": rule.description,
        "is_not_understood": rule.is_not_understood,
        "has_no_side_effects": rule.has_no_side_effects,
    })
}

/// A version, for programs.
fn object(version: &PolicyVersion) -> Value {
    json!({
        "id": version.id.to_string(),
        "service": version.service.as_str(),
        "version": version.name.as_str(),
        "state": version.state.name(),
        "sha256": version.sha256,
        "methods": version.methods,
        "create_time": version.create_time.to_string(),
        "update_time": version.update_time.to_string(),
    })
}
