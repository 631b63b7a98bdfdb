//! Owns `identity.admin.v1.ApplyService` on the wire.

use std::{collections::HashMap, mem::take};

use prost::Message as _;
use serde::{Serialize, de::DeserializeOwned};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{administrator, required};
use crate::{
    identity::apply::{
        Action, Asked, Change, Manifest, SharedManifests, TOLD_MAX_BYTES, read_message, to_message,
    },
    model::{Error, GroupName},
    proto::identity::admin::v1::{
        self as wire, ApplyManifestRequest, ApplyManifestResponse, ExportManifestRequest,
        ExportManifestResponse, ManifestChange,
        apply_service_server::ApplyService,
        manifest_change::{Action as WireAction, FieldDifference},
    },
};

/// How many bytes of a manifest are exported: those of the largest that can be applied.
pub(crate) const MANIFEST_MAX_BYTES: usize = TOLD_MAX_BYTES;

/// How many problems of a manifest are told: the headers that bring them have an end.
const MAX_PROBLEMS: usize = 10;

/// How long each of them may be, in characters.
const MAX_PROBLEM: usize = 160;

/// What an exported manifest says of its set, if nothing else is wanted.
const EXPORTED: &str = "exported";

/// Serves `ApplyService`.
#[derive(Debug)]
pub(crate) struct ApplyRpc(SharedManifests);

impl ApplyRpc {
    pub(crate) const fn new(manifests: SharedManifests) -> Self {
        Self(manifests)
    }
}

#[tonic::async_trait]
impl ApplyService for ApplyRpc {
    async fn apply_manifest(
        &self,
        request: Request<ApplyManifestRequest>,
    ) -> Result<Response<ApplyManifestResponse>, Status> {
        let by = administrator(&request)?;
        let ApplyManifestRequest { manifest, prune, take_over, validate_only, plan_etag } =
            request.into_inner();
        let by = by.validating(validate_only);
        let mut manifest = manifest.ok_or_else(|| required("manifest"))?;
        let secrets = secrets(&mut manifest);
        let manifest = read(manifest)?;
        let asked = Asked { manifest: &manifest, secrets: &secrets, prune, take_over, by: &by };
        let seen = Some(&*plan_etag).filter(|etag| !etag.is_empty());
        let plan = Box::pin(self.0.apply(asked, seen)).await.map_err(|mut refused| {
            refused.error = few(refused.error);
            Status::from(refused)
        })?;
        Ok(Response::new(ApplyManifestResponse {
            plan_etag: plan.etag().as_str().to_owned(),
            changes: plan.changes.into_iter().map(encode).collect(),
            not_in_manifest: plan.left,
            ended: plan.ended,
        }))
    }

    async fn export_manifest(
        &self,
        request: Request<ExportManifestRequest>,
    ) -> Result<Response<ExportManifestResponse>, Status> {
        let mut set = request.into_inner().set;
        if set.is_empty() {
            EXPORTED.clone_into(&mut set);
        }
        let set = GroupName::parse(&set).map_err(|rule| Error::InvalidFields(vec![rule.at("set")]))?;
        let manifest = Box::pin(self.0.export(set, MANIFEST_MAX_BYTES)).await?;
        let answer =
            ExportManifestResponse { manifest: Some(to_message(manifest).map_err(Error::internal)?) };
        if answer.encoded_len() > MANIFEST_MAX_BYTES {
            let (whose, most) = ("a manifest over the admin API".to_owned(), MANIFEST_MAX_BYTES as u64);
            return Err(Error::LimitReached { whose, what: "bytes", most }.into());
        }
        Ok(Response::new(answer))
    }
}

/// The secrets in `manifest`, by the names of their clients: they are taken out of it.
fn secrets(manifest: &mut wire::Manifest) -> HashMap<String, Zeroizing<String>> {
    let of_client = |client: &mut wire::manifest::Client| {
        let secret = client.secret.take().filter(|secret| !secret.is_empty())?;
        Some((client.name.clone(), Zeroizing::new(secret)))
    };
    manifest.clients.iter_mut().filter_map(of_client).collect()
}

/// What `manifest` says: its fields are the keys of a file.
///
/// # Errors
/// [`Error::ManifestRefused`], with what has not the form that it must have: so much of it as fits into headers.
fn read(mut manifest: wire::Manifest) -> Result<Manifest, Error> {
    let mut problems = Problems::default();
    let set = GroupName::parse(&manifest.set).map_err(|rule| format!("`set` {}", rule.description));
    let set = set.map_err(|problem| problems.add(problem)).ok();
    let whole = Manifest {
        set: set.unwrap_or_else(|| GroupName::from_stored(String::new())),
        attributes: items("attributes", take(&mut manifest.attributes), &mut problems),
        audiences: items("audiences", take(&mut manifest.audiences), &mut problems),
        clients: items("clients", take(&mut manifest.clients), &mut problems),
        roles: items("roles", take(&mut manifest.roles), &mut problems),
        groups: items("groups", take(&mut manifest.groups), &mut problems),
        bindings: items("bindings", take(&mut manifest.bindings), &mut problems),
    };
    if problems.told.is_empty() { Ok(whole) } else { Err(problems.into_error()) }
}

/// What each of `all` says, which is at `place`; what is wrong goes to `problems`.
fn items<Wire: Serialize, Item: DeserializeOwned>(
    place: &str,
    all: Vec<Wire>,
    problems: &mut Problems,
) -> Vec<Item> {
    let mut found = Vec::new();
    for (at, item) in all.into_iter().enumerate() {
        match read_message(item) {
            Ok(item) => found.push(item),
            Err(problem) => problems.add(format!("{place}[{at}]: {problem}")),
        }
    }
    found
}

/// `error`, with so many of its problems that they fit into headers.
fn few(error: Error) -> Error {
    let Error::ManifestRefused(all) = error else { return error };
    let mut problems = Problems::default();
    for problem in all {
        problems.add(problem);
    }
    problems.into_error()
}

/// The problems of a manifest that are told, and how many there are beside them: there may be millions.
#[derive(Debug, Default)]
struct Problems {
    told: Vec<String>,
    more: usize,
}

impl Problems {
    fn add(&mut self, mut problem: String) {
        if self.told.len() == MAX_PROBLEMS {
            self.more += 1;
            return;
        }
        if let Some((end, _)) = problem.char_indices().nth(MAX_PROBLEM) {
            problem.truncate(end);
            problem.push('…');
        }
        self.told.push(problem);
    }

    fn into_error(mut self) -> Error {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        Error::ManifestRefused(self.told)
    }
}

fn encode(change: Change) -> ManifestChange {
    let action = match change.action {
        Action::Create => WireAction::Create,
        Action::Update => WireAction::Update,
        Action::Delete => WireAction::Delete,
    };
    let fields = change.fields.into_iter();
    ManifestChange {
        action: action.into(),
        resource: change.resource,
        fields: fields.map(|it| FieldDifference { field: it.field, old: it.old, new: it.new }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_problems_a_few_are_told_and_the_others_counted() {
        let bindings = vec![wire::manifest::Binding::default(); 1_000];
        let refused = read(wire::Manifest { set: "shop".to_owned(), bindings, ..wire::Manifest::default() });
        let Err(Error::ManifestRefused(problems)) = refused else { panic!("{refused:?}") };
        assert_eq!((problems.len(), &*problems[MAX_PROBLEMS]), (MAX_PROBLEMS + 1, "and 990 more"));
        assert!(problems[0].starts_with("bindings[0]: "), "{problems:?}");
        let long = few(Error::ManifestRefused(vec!["é".repeat(2 * MAX_PROBLEM)]));
        let Error::ManifestRefused(long) = long else { panic!("{long:?}") };
        assert_eq!(long, [format!("{}…", "é".repeat(MAX_PROBLEM))]);
    }
}
