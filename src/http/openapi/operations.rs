//! Owns an RPC as an operation: what it does, takes and answers, and who may call it.

use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use super::{
    BEARER, CLIENT_CREDENTIALS, Described, PASSWORD,
    comments::{Comments, first_sentence, without_errors},
    reasons::Reasons,
    schema::Schemas,
};
use crate::auth::{Access, Requirements};

/// What operations are made of.
pub(super) struct Operations<'a, 'b> {
    pub(super) described: &'a Described,
    pub(super) comments: &'a Comments,
    pub(super) reasons: &'a Reasons,
    pub(super) schemas: &'b mut Schemas<'a>,
}

impl Operations<'_, '_> {
    /// The operation of `method`, which is called at `path`.
    pub(super) fn operation(&mut self, path: &str, method: &MethodDescriptor) -> Value {
        let service = method.parent_service();
        let (about, listed) = without_errors(self.comments.at(&method.parent_file(), method.path()));
        let access = self.described.policy.access(path);
        let head = self.comments.head(&method.parent_file());
        let mut responses = self.reasons.answers(method, listed, access, head);
        let (input, output) = (method.input(), method.output());
        let answer = json!({ "schema": self.schemas.of_answer(&output) });
        let success = self.comments.at(&output.parent_file(), output.path());
        responses.insert(
            "200".to_owned(),
            json!({ "description": success, "content": { "application/json": answer } }),
        );
        let schema = self.schemas.of_request(&input);
        let example = self.schemas.example(&input);
        json!({
            "operationId": format!("{}_{}", service.name(), method.name()),
            "tags": [service.full_name()],
            "summary": first_sentence(&about).replace('`', ""),
            "description": described(&about, access),
            "security": self.security(access),
            "requestBody": {
                "required": true,
                "content": { "application/json": { "schema": schema, "example": example } },
            },
            "responses": responses,
        })
    }

    /// What a caller must show, one of these; nothing if everybody may call.
    fn security(&self, access: Option<&Access>) -> Value {
        let Some(Access::Authenticated(Requirements { required_scopes, .. })) = access else {
            return json!([]);
        };
        let scopes: Vec<_> = required_scopes.iter().map(String::as_str).collect();
        Value::Array(security(self.described, &scopes))
    }
}

/// The ways to get a token that has `scopes`, of which a caller shows one: the flows that give it, and a token that is there.
pub(super) fn security(described: &Described, scopes: &[&str]) -> Vec<Value> {
    let by_password = if described.has_password_flow() { described.user_scopes() } else { Vec::new() };
    let flows = [(PASSWORD, by_password), (CLIENT_CREDENTIALS, described.client_scopes())];
    let gives_all = |given: &[&str]| !given.is_empty() && scopes.iter().all(|scope| given.contains(scope));
    let one =
        |scheme: &str, scopes: &[&str]| Value::Object(Map::from_iter([(scheme.to_owned(), json!(scopes))]));
    let flows = flows.iter().filter(|(_, given)| gives_all(given));
    flows.map(|(scheme, _)| one(scheme, scopes)).chain([one(BEARER, &[])]).collect()
}

/// What an operation does, and the scopes that it needs.
fn described(about: &str, access: Option<&Access>) -> String {
    match access {
        Some(Access::Authenticated(Requirements { required_scopes, .. })) if !required_scopes.is_empty() => {
            let names: Vec<_> = required_scopes.iter().map(|scope| format!("`{scope}`")).collect();
            format!("{about}\n\nNeeds a token with the scope {}.", names.join(" and "))
        }
        Some(Access::Authenticated(_)) => format!("{about}\n\nNeeds a token."),
        _ => about.to_owned(),
    }
}
