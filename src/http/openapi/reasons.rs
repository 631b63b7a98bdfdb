//! Owns which errors an RPC answers: what the comments of the proto name, by the status of HTTP that Connect gives each.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::comments::{Comments, first_sentence};
use crate::{auth::Access, errors::connect_status};

/// The enum of all reasons, and what its values begin with.
const REASONS: &str = "identity.v1.ErrorReason";
const PREFIX: &str = "ERROR_REASON_";

/// The file whose head says what any RPC may answer, and how it says that.
const GENERAL: &str = "identity/v1/identity_service.proto";
const OF_ANY: &str = "any RPC may answer";

/// How the head of a file says what each of its RPCs may answer besides.
const OF_FILE: &str = "also answer";

/// The schema of an error by Connect.
pub(super) const ERROR: &str = "connect.Error";

/// Every reason, and which of them any RPC may answer.
pub(super) struct Reasons {
    all: BTreeMap<String, Reason>,
    of_any: BTreeSet<String>,
    of_authenticated: BTreeSet<String>,
}

struct Reason {
    status: u16,
    /// When it comes, in a sentence.
    when: String,
}

impl Reasons {
    pub(super) fn of(pool: &DescriptorPool, comments: &Comments) -> Self {
        let mut all = BTreeMap::new();
        for value in
            pool.get_enum_by_name(REASONS).iter().flat_map(|reasons| reasons.values().collect::<Vec<_>>())
        {
            let comment = comments.at(&value.parent_enum().parent_file(), value.path());
            // It begins with the code.
            let (code, when) = comment.split_at(comment.find(['.', ';']).unwrap_or(comment.len()));
            if let Some(status) = connect_status(code) {
                let when = when.trim_start_matches(['.', ';', ' ']);
                let name = value.name().trim_start_matches(PREFIX).to_owned();
                all.insert(name, Reason { status, when: first_sentence(when).to_owned() });
            }
        }
        let mut reasons = Self { all, of_any: BTreeSet::new(), of_authenticated: BTreeSet::new() };
        if let Some(file) = pool.get_file_by_name(GENERAL) {
            let (of_any, of_authenticated) =
                sentence(comments.head(&file), OF_ANY).split_once(';').unwrap_or_default();
            (reasons.of_any, reasons.of_authenticated) =
                (reasons.named(of_any), reasons.named(of_authenticated));
        }
        reasons
    }

    /// The answers of `method` that are errors, by their status: `listed` is the paragraph that names them.
    pub(super) fn answers(
        &self,
        method: &MethodDescriptor,
        listed: &str,
        access: Option<&Access>,
        head: &str,
    ) -> Map<String, Value> {
        let mut named = self.named(listed);
        named.extend(self.of_any.iter().cloned());
        named.extend(self.named(sentence(head, OF_FILE)));
        if matches!(access, Some(Access::Authenticated(_))) {
            named.extend(self.of_authenticated.iter().cloned());
        }
        if method.input().fields().len() == 0 {
            named.remove("INVALID_FIELDS");
        }
        let mut by_status = BTreeMap::<u16, Vec<String>>::new();
        for name in named {
            let Reason { status, when } = &self.all[&name];
            by_status.entry(*status).or_default().push(format!("- `{name}`: {when}."));
        }
        let answer = |(status, lines): (u16, Vec<String>)| (status.to_string(), error(&lines.join("\n")));
        by_status.into_iter().map(answer).collect()
    }

    /// The reasons that `text` names.
    fn named(&self, text: &str) -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        words.filter(|word| self.all.contains_key(*word)).map(str::to_owned).collect()
    }
}

/// An answer that is an error by Connect.
fn error(description: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{ERROR}") });
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

/// The schema of [`ERROR`].
pub(super) fn schema() -> Value {
    let detail = json!({
        "type": "object",
        "required": ["type", "value"],
        "properties": {
            "type": { "type": "string", "description": "The full name of the message, such as `google.rpc.ErrorInfo`." },
            "value": { "type": "string", "description": "The message in protobuf, in base64 without padding." },
            "debug": { "type": "object", "description": "The message in JSON, for people." },
        },
    });
    json!({
        "type": "object",
        "description": "An error by Connect. Programs go by the `reason` of the detail `google.rpc.ErrorInfo`.",
        "required": ["code"],
        "properties": {
            "code": { "type": "string", "description": "The code of gRPC, such as `invalid_argument`." },
            "message": { "type": "string", "description": "A sentence for people." },
            "details": { "type": "array", "items": detail },
        },
    })
}

/// The sentence of `text` that has `words`, and from there.
fn sentence<'a>(text: &'a str, words: &str) -> &'a str {
    let from = text.find(words).map_or("", |at| &text[at..]);
    from.split_once(". ").map_or(from, |(sentence, _)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_that_the_proto_promises_is_found_with_a_status() {
        let api = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
        let api = prost_reflect::DescriptorPool::decode(&api[..]).unwrap();
        let comments = Comments::of(&api);
        let reasons = Reasons::of(&api, &comments);
        let declared = api.get_enum_by_name(REASONS).unwrap().values().len();
        assert_eq!(reasons.all.len(), declared - 1, "all but the one that is never sent");
        assert_eq!(reasons.all["USERNAME_TAKEN"].status, 409);
        let any: Vec<_> = reasons.of_any.iter().map(String::as_str).collect();
        let expected = [
            "ACCESS_UNDECLARED",
            "DEADLINE_EXCEEDED",
            "HEADERS_TOO_LARGE",
            "INTERNAL",
            "MALFORMED_REQUEST",
            "MESSAGE_TOO_LARGE",
            "ORIGIN_NOT_ALLOWED",
            "OVERLOADED",
            "UNAVAILABLE",
        ];
        assert_eq!(any, expected);
        assert!(reasons.of_authenticated.contains("TOKEN_EXPIRED") && reasons.of_authenticated.len() == 5);
    }
}
