//! Owns `signet apply` and `signet export` over the admin API: each is one call.

use serde_json::Value;

use super::{Shown, Work};
use crate::{
    cli::{
        Failure,
        remote::{Remote, answered},
    },
    identity::apply::{Action, Change, FieldDifference, Manifest, read_message, to_message},
    model::GroupName,
    proto::identity::admin::v1::{
        self as wire, ApplyManifestRequest, ExportManifestRequest, ManifestChange,
        manifest_change::Action as WireAction,
    },
};

/// Applies what is to be, or only has the service try it; if a plan was `seen` before, by its etag, that one.
pub(super) async fn apply(
    work: &Work,
    validate_only: bool,
    seen: Option<&str>,
    service: &Remote,
) -> Result<Shown, Failure> {
    let mut manifest: wire::Manifest =
        to_message(work.manifest.clone()).map_err(|problem| unwritable(&problem))?;
    for client in &mut manifest.clients {
        client.secret = work.secrets.get(&client.name).map(|secret| secret.to_string());
    }
    let request = ApplyManifestRequest {
        manifest: Some(manifest),
        prune: work.prune,
        take_over: work.take_over,
        validate_only,
        plan_etag: seen.unwrap_or_default().to_owned(),
    };
    let answer = answered(service.manifests().apply_manifest(request).await)?;
    Ok(Shown {
        changes: answer.changes.into_iter().map(change).collect(),
        left: answer.not_in_manifest,
        ended: answer.ended,
        etag: answer.plan_etag,
    })
}

/// What there is, as a manifest of the set `set`.
pub(super) async fn export(set: &GroupName, service: &Remote) -> Result<Manifest, Failure> {
    let request = ExportManifestRequest { set: set.as_str().to_owned() };
    let answer = answered(service.manifests().export_manifest(request).await)?;
    let mut manifest: Manifest =
        read_message(answer.manifest.unwrap_or_default()).map_err(|problem| unwritable(&problem))?;
    for client in &mut manifest.clients {
        // A set of keys, as it stands in a file.
        let text = client.public_keys.as_ref().and_then(Value::as_str);
        if let Some(keys) = text.and_then(|text| serde_json::from_str(text).ok()) {
            client.public_keys = Some(keys);
        }
    }
    Ok(manifest)
}

fn change(told: ManifestChange) -> Change {
    let action = match told.action() {
        WireAction::Create => Action::Create,
        WireAction::Delete => Action::Delete,
        WireAction::Update | WireAction::Unspecified => Action::Update,
    };
    let fields = told.fields.into_iter();
    let fields = fields.map(|it| FieldDifference { field: it.field, old: it.old, new: it.new });
    Change { action, resource: told.resource, fields: fields.collect() }
}

/// That a service of another release speaks of manifests in another way.
fn unwritable(problem: &serde_json::Error) -> Failure {
    Failure::Failed(format!("the service's manifests have another form: {problem}"))
}
