//! Owns how an error looks by Connect: JSON with the code, the sentence and the details of its gRPC status, and the status of HTTP.

use base64ct::{Base64Unpadded, Encoding};
use http::{HeaderMap, StatusCode};
use hyper::body::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Any;
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::{errors::connect_code, model::Error};

/// An error in JSON: a body of its own, or the end of a stream.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody {
    code: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail>,
    #[serde(skip)]
    pub(super) status: StatusCode,
}

/// A detail, as bytes for programs and as JSON for people.
#[derive(Debug, Serialize)]
struct Detail {
    r#type: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<DynamicMessage>,
}

impl ErrorBody {
    /// Of `status`, whose details are of the types in `details`, or unknown.
    pub(super) fn of(status: &Status, details: &DescriptorPool) -> Self {
        let (code, http_status) = connect_code(status.code());
        let http_status = StatusCode::from_u16(http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let inner = pb::Status::decode(status.details()).unwrap_or_default();
        let details = inner.details.iter().map(|detail| Detail::of(detail, details)).collect();
        Self { code, message: status.message().to_owned(), details, status: http_status }
    }

    /// The body of an answer.
    pub(super) fn json(mut self) -> Bytes {
        // Programs do without what people read, and that is all that may have no form in JSON.
        let json = serde_json::to_vec(&self).or_else(|_| {
            self.forget_debug();
            serde_json::to_vec(&self)
        });
        json.unwrap_or_default().into()
    }

    /// Leaves out of the details what people read.
    pub(super) fn forget_debug(&mut self) {
        for detail in &mut self.details {
            detail.debug = None;
        }
    }
}

impl Detail {
    fn of(detail: &Any, types: &DescriptorPool) -> Self {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default().to_owned();
        let debug = types
            .get_message_by_name(&name)
            .and_then(|known| DynamicMessage::decode(known, detail.value.as_slice()).ok());
        Self { r#type: name, value: Base64Unpadded::encode_string(&detail.value), debug }
    }
}

/// The status that `headers` or trailers end a call with; none if it has succeeded.
pub(super) fn failed(headers: &HeaderMap) -> Option<Status> {
    // As nearly every one does: there is nothing to be read of it.
    if headers.get(Status::GRPC_STATUS).is_some_and(|code| code == "0") {
        return None;
    }
    let status = Status::from_header_map(headers).unwrap_or_else(broken_off);
    (status.code() != Code::Ok).then_some(status)
}

/// The status of a call that ends without one: a defect.
pub(super) fn broken_off() -> Status {
    Error::internal("the call ended without a status").into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::proto::described::ERROR_DETAILS;

    #[test]
    fn a_detail_that_has_no_form_in_json_is_told_in_bytes_alone() {
        for (seconds, has_debug) in [(1, true), (i64::MAX, false)] {
            let info = pb::RetryInfo { retry_delay: Some(prost_types::Duration { seconds, nanos: 0 }) };
            let detail = Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
                value: info.encode_to_vec(),
            };
            let details =
                pb::Status { details: vec![detail], ..pb::Status::default() }.encode_to_vec().into();
            let status = Status::with_details(Code::Unavailable, "later", details);
            let told: Value = serde_json::from_slice(&ErrorBody::of(&status, &ERROR_DETAILS).json()).unwrap();
            assert_eq!((&told["code"], &told["message"]), (&"unavailable".into(), &"later".into()));
            let detail = &told["details"][0];
            assert_eq!(detail["type"], "google.rpc.RetryInfo");
            assert!(!detail["value"].as_str().unwrap().is_empty());
            assert_eq!(detail.get("debug").is_some(), has_debug, "{detail}");
        }
    }
}
