//! Owns forward-auth: the same question by HTTP, of proxies that do not speak Envoy's protocol. Its answer is that of `Check`, as HTTP.

use std::{collections::BTreeMap, fmt};

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL},
    request::Parts,
};

use super::{ExtAuthzRpc, NOT_UNDERSTOOD, Shown, answer, rule::beginning};
use crate::{
    auth::bearer_token,
    model::Error,
    proto::envoy::{
        config::core::v3::{HeaderValue as Field, HeaderValueOption},
        service::auth::v3::{
            CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse,
        },
    },
};

/// The parameters, and the entries of a rule that they stand for.
const PARAMETERS: [(&str, &str); 4] = [
    ("scope", "signet.require_scope"),
    ("audience", "signet.require_audience"),
    ("role", "signet.require_role"),
    ("anonymous", "signet.anonymous"),
];

/// The parameters of a question, decoded.
pub(crate) type Parameters = Vec<(String, String)>;

/// Parameters that make no rule. What they were meant to ask for is unknown, so nothing passes.
#[derive(Debug, PartialEq, Eq)]
enum BrokenQuery<'a> {
    Malformed,
    Unknown(&'a str),
    Repeated(&'a str),
}

impl ExtAuthzRpc {
    /// What a proxy is answered that asks by a request with this `head`, whose query has `parameters`; none if it cannot be read.
    ///
    /// Method, path and host of the checked request are not looked at: the rule is the proxy's to choose. So there is no parameter for
    /// `signet.policy`, by which Envoy's question is read for the method that it calls.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nothing is decided.
    pub(crate) async fn verify(
        &self,
        head: &Parts,
        parameters: Option<&Parameters>,
    ) -> Result<Response<String>, Error> {
        // The proxy answers its client in HTTP, whatever that speaks.
        let client = answer::Client { is_grpc: false, request_id: head.extensions.get().copied() };
        let checked = match entries(parameters) {
            Ok(entries) => {
                let shown = Shown {
                    token: bearer_token(
                        head.headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes),
                    ),
                    verified: head.extensions.get().cloned(),
                    connection: head.extensions.get(),
                    http: None,
                };
                self.answer(client, ("the query of forward-auth", &entries), shown).await?
            }
            Err(broken) => self.misconfigured(client, &broken, Error::RouteMisconfigured(NOT_UNDERSTOOD))?,
        };
        response(checked)
    }
}

/// The rule that `parameters` stand for.
fn entries(parameters: Option<&Parameters>) -> Result<BTreeMap<String, String>, BrokenQuery<'_>> {
    let mut entries = BTreeMap::new();
    for (name, value) in parameters.ok_or(BrokenQuery::Malformed)? {
        let (_, key) =
            PARAMETERS.iter().find(|(known, _)| known == name).ok_or(BrokenQuery::Unknown(name))?;
        if entries.insert((*key).to_owned(), value.clone()).is_some() {
            return Err(BrokenQuery::Repeated(name));
        }
    }
    Ok(entries)
}

/// `checked` as HTTP. A proxy can overwrite by an answer what its client sent, and remove nothing, so every header is there: it is empty
/// where `Check` would have it removed.
fn response(checked: CheckResponse) -> Result<Response<String>, Error> {
    let (status, headers, body) = match checked.http_response {
        Some(HttpResponse::OkResponse(OkHttpResponse { headers, headers_to_remove, .. })) => {
            let told = headers.into_iter().filter_map(name_and_value);
            // The token goes to the proxy's service or not as the proxy is told by its own configuration.
            let untold = headers_to_remove.into_iter().filter(|name| AUTHORIZATION != name.as_str());
            let headers = told.chain(untold.map(|name| (name, String::new()))).collect::<Vec<_>>();
            (StatusCode::NO_CONTENT, headers, String::new())
        }
        Some(HttpResponse::DeniedResponse(DeniedHttpResponse { status, headers, body })) => {
            let code = status.and_then(|status| u16::try_from(status.code).ok()).unwrap_or_default();
            let status = StatusCode::from_u16(code).map_err(Error::internal)?;
            (status, headers.into_iter().filter_map(name_and_value).collect(), body)
        }
        _ => return Err(Error::internal("neither allowed nor denied")),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(Error::internal)?;
        response.headers_mut().insert(name, HeaderValue::try_from(value).map_err(Error::internal)?);
    }
    // It holds for this request alone.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn name_and_value(option: HeaderValueOption) -> Option<(String, String)> {
    option.header.map(|Field { key, value, .. }| (key, value))
}

impl fmt::Display for BrokenQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the query of forward-auth ")?;
        match self {
            Self::Malformed => f.write_str("cannot be read: it must be parameters, encoded as in a form"),
            Self::Unknown(name) => write!(f, "has {:?}, and there is no such parameter", beginning(name)),
            Self::Repeated(name) => write!(f, "has {name:?} more than once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_parameter_is_one_entry_and_nothing_else_is_taken() {
        let all = of(&[("scope", "a b"), ("audience", "orders"), ("role", "desk"), ("anonymous", "allow")]);
        let entries_of_all = entries(Some(&all)).unwrap();
        for (parameter, (name, key)) in all.iter().zip(PARAMETERS) {
            assert_eq!((parameter.0.as_str(), &parameter.1), (name, &entries_of_all[key]));
        }
        assert_eq!(entries_of_all.len(), all.len());
        assert_eq!(entries(Some(&of(&[]))), Ok(BTreeMap::new()));
        assert_eq!(entries(None), Err(BrokenQuery::Malformed));
        for unknown in ["scopes", "Scope", " scope", "", "forward_token", "signet.require_scope", "token"] {
            assert_eq!(entries(Some(&of(&[(unknown, "a")]))), Err(BrokenQuery::Unknown(unknown)));
        }
        for (name, _) in PARAMETERS {
            let twice = of(&[(name, "a"), (name, "a")]);
            assert_eq!(entries(Some(&twice)), Err(BrokenQuery::Repeated(name)));
        }
    }

    #[test]
    fn what_is_told_of_a_broken_query_is_short_and_one_line() {
        let text = BrokenQuery::Unknown(&"\n".repeat(500)).to_string();
        assert!(text.len() < 400 && !text.contains('\n'), "{text}");
    }
}
