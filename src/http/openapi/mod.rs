//! Owns `/openapi.json`: what is served, as OpenAPI 3.1 describes it. The RPCs come from the descriptors: their comments, their fields,
//! their errors, and who may call them; the bounds of fields from the model.

mod comments;
mod endpoints;
mod examples;
mod lengths;
mod operations;
mod reasons;
mod schema;

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use super::{etag, oauth::grant_types};
use crate::{
    auth::Policy,
    model::claims::{ACCOUNT_SCOPE, INTROSPECT_SCOPE, USER_SCOPE},
};
use comments::Comments;
use lengths::Lengths;
use operations::Operations;
use reasons::{ERROR, Reasons};
use schema::Schemas;

/// The version of the specification that the document follows: not 3.2, which few programs read.
const OPENAPI_VERSION: &str = "3.1.1";

/// The schemes of what the lock of a page asks for.
const PASSWORD: &str = "password";
const CLIENT_CREDENTIALS: &str = "clientCredentials";
const BEARER: &str = "bearer";
const CLIENT: &str = "client";

/// What the document describes.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// What describes the RPCs.
    pub(crate) pool: DescriptorPool,
    /// The services that it tells of.
    pub(crate) services: Vec<&'static str>,
    /// Who may call them.
    pub(crate) policy: Policy,
    /// The scopes that administer the service, with what each is for; none where nothing is administered.
    pub(crate) admin_scopes: Vec<&'static str>,
    /// Whether passwords are exchanged for tokens by HTTP.
    pub(crate) password_grant: bool,
    /// The fewest characters of a new password.
    pub(crate) password_min_chars: usize,
    /// Which endpoints there are beside the RPCs.
    pub(crate) endpoints: EndpointsDescribed,
    /// Where the RPCs are if they are not at the origin of the document: a port, by TLS or not.
    pub(crate) rpcs_elsewhere: (&'static str, u16),
}

/// Which endpoints the document describes beside the RPCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointsDescribed {
    /// The token endpoint alone.
    Token,
    /// Those of OAuth 2.0, the keys and discovery.
    OAuth,
    /// These, and the model service's API.
    OAuthAndModelApi,
}

/// Whether the RPCs can be called at the origin of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rpcs {
    Here,
    Elsewhere,
}

/// The document, which is written when it is first asked for: that takes milliseconds, and few ever ask.
#[derive(Clone, Debug)]
pub(crate) struct Document(Arc<(Described, [OnceLock<Written>; 2])>);

/// Its text, and the tag of that.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) text: Bytes,
    pub(super) etag: String,
}

impl Document {
    pub(crate) fn new(described: Described) -> Self {
        Self(Arc::new((described, [OnceLock::new(), OnceLock::new()])))
    }

    /// As it is true for whoever finds the RPCs where `rpcs` says.
    pub(super) fn written(&self, rpcs: Rpcs) -> &Written {
        let (described, [here, elsewhere]) = &*self.0;
        let written = if rpcs == Rpcs::Here { here } else { elsewhere };
        written.get_or_init(|| {
            let text = Bytes::from(serde_json::to_vec(&write(described, rpcs)).unwrap_or_default());
            Written { etag: etag::of(&text), text }
        })
    }
}

fn write(described: &Described, rpcs: Rpcs) -> Value {
    let comments = Comments::of(&described.pool);
    let reasons = Reasons::of(&described.pool, &comments);
    let lengths = Lengths { password_min_chars: described.password_min_chars };
    let mut schemas = Schemas::new(&comments, lengths);
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    let mut operations =
        Operations { described, comments: &comments, reasons: &reasons, schemas: &mut schemas };
    for service in described.services.iter().filter_map(|name| described.pool.get_service_by_name(name)) {
        let about = comments.at(&service.parent_file(), service.path());
        tags.push(json!({ "name": service.full_name(), "description": about }));
        for method in
            service.methods().filter(|method| !method.is_client_streaming() && !method.is_server_streaming())
        {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let mut item = json!({ "post": operations.operation(&path, &method) });
            if rpcs == Rpcs::Elsewhere {
                item["servers"] = json!([elsewhere(described.rpcs_elsewhere)]);
            }
            paths.insert(path, item);
        }
    }
    let mut schemas = schemas.finish();
    schemas.insert(ERROR.to_owned(), reasons::schema());
    endpoints::add(described, &mut paths, &mut tags, &mut schemas);
    json!({
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Signet",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An identity service: people and services sign up, get tokens, and are recognised everywhere.",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "Where this document is." }],
        "tags": tags,
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes(described) },
    })
}

const ABOUT: &str = "Every RPC is a POST of JSON by the Connect protocol, to `/package.Service/Method`; gRPC and gRPC-Web speak of the same \
    ones. Fields may be left out unless they are required, fields that a message does not have are refused, and fields without a value are \
    left out of answers.\n\nThe endpoints of OAuth 2.0 take forms.";

/// Where `--grpc-addr` is, as far as can be told: its name only its operator knows.
fn elsewhere((scheme, port): (&str, u16)) -> Value {
    json!({
        "url": format!("{scheme}://{{host}}:{{port}}"),
        "description": "Where gRPC is served.",
        "variables": {
            "host": { "default": "localhost", "description": "The name of the machine." },
            "port": { "default": port.to_string(), "description": "The port of --grpc-addr, or of the proxy before it." },
        },
    })
}

fn security_schemes(described: &Described) -> Value {
    // Beside the document: a page may send nothing to another origin.
    let token_url = super::oauth::TOKEN;
    let scopes = |names: &[&str]| -> Map<String, Value> {
        names.iter().map(|name| ((*name).to_owned(), json!(about_scope(name)))).collect()
    };
    let mut schemes = json!({
        CLIENT_CREDENTIALS: {
            "type": "oauth2",
            "description": "A registered client's own token (`signet clients create`).",
            "flows": { "clientCredentials": { "tokenUrl": token_url, "scopes": scopes(&described.client_scopes()) } },
        },
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "description": "An access token that you have already.",
        },
        CLIENT: {
            "type": "http",
            "scheme": "basic",
            "description": "A registered client's id and secret, for the endpoints of OAuth 2.0.",
        },
    });
    if described.has_password_flow() {
        schemes[PASSWORD] = json!({
            "type": "oauth2",
            "description": "A user's name and password. Leave client_id and client_secret empty.",
            "flows": { "password": { "tokenUrl": token_url, "scopes": scopes(&described.user_scopes()) } },
        });
    }
    schemes
}

fn about_scope(name: &str) -> &'static str {
    match name {
        USER_SCOPE => "Reads the caller's own account.",
        ACCOUNT_SCOPE => "Changes the caller's own account.",
        INTROSPECT_SCOPE => "Asks what tokens are worth.",
        _ => "Administers the service.",
    }
}

impl Described {
    fn has_password_flow(&self) -> bool {
        grant_types(self.password_grant).contains(&PASSWORD)
    }

    /// The scopes that a user's token may have.
    fn user_scopes(&self) -> Vec<&'static str> {
        [&[USER_SCOPE, ACCOUNT_SCOPE][..], &self.admin_scopes].concat()
    }

    /// The scopes that a client's own token may have.
    fn client_scopes(&self) -> Vec<&'static str> {
        [&[INTROSPECT_SCOPE][..], &self.admin_scopes].concat()
    }
}
