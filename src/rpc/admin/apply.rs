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

/// How many problems of a manifest are told.
const MAX_PROBLEMS: usize = 10;

/// How long they are in all, in bytes as `grpc-message` has them: the details say them again, and grpc-java takes 8 KiB of headers.
const MAX_PROBLEMS_BYTES: usize = 2_700;

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
    let mut found = Vec::with_capacity(all.len());
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
    bytes: usize,
    more: usize,
}

impl Problems {
    /// Tells `problem` too, if there is room for the whole of it. Of the first so much is told as there is room for.
    fn add(&mut self, mut problem: String) {
        let mut bytes = self.bytes;
        let end = problem.char_indices().find(|(_, char)| {
            bytes += escaped_len(*char);
            bytes > MAX_PROBLEMS_BYTES
        });
        match end {
            Some((end, _)) if self.told.is_empty() => {
                problem.truncate(end);
                problem.push('…');
            }
            None if self.told.len() < MAX_PROBLEMS && self.more == 0 => {}
            _ => {
                self.more += 1;
                return;
            }
        }
        self.bytes = bytes;
        self.told.push(problem);
    }

    fn into_error(mut self) -> Error {
        if self.more > 0 {
            self.told.push(format!("and {} more", self.more));
        }
        Error::ManifestRefused(self.told)
    }
}

/// How many bytes `char` has in `grpc-message`, where three stand for each that HTTP or the escaping itself would take for something else.
const fn escaped_len(char: char) -> usize {
    match char {
        ' ' | '"' | '#' | '%' | '<' | '>' | '?' | '`' | '{' | '}' => 3,
        _ if char.is_ascii_graphic() => 1,
        _ => 3 * char.len_utf8(),
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
    }

    #[test]
    fn a_problem_is_told_whole_as_long_as_headers_have_room_for_it() {
        let told = |problems: Vec<String>| match few(Error::ManifestRefused(problems)) {
            Error::ManifestRefused(told) => told,
            other => panic!("{other:?}"),
        };
        let long = "x".repeat(2_000);
        assert_eq!(told(vec![long.clone()]), std::slice::from_ref(&long));
        // What does not fit is counted, and so is what comes behind it.
        let short = "y".to_owned();
        let all = told(vec![long.clone(), long.clone(), short.clone()]);
        assert_eq!(all, [&*long, "and 2 more"]);
        assert_eq!(told(vec![short.clone(), long.clone()]), [short, long]);
        let longest = told(vec!["é".repeat(MAX_PROBLEMS_BYTES)]);
        assert_eq!(longest, [format!("{}…", "é".repeat(MAX_PROBLEMS_BYTES / 6))]);
        // tonic escapes what is counted.
        for char in (' '..='~').chain(['é', '…', '𝕏']) {
            let mut headers = http::HeaderMap::new();
            Status::internal(char.to_string()).add_header(&mut headers).unwrap();
            assert_eq!(headers["grpc-message"].len(), escaped_len(char), "{char:?}");
        }
    }
}
