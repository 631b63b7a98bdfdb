//! Owns `POST /auth/signup`: `SignUp` for clients of the model service.

use axum::{
    Extension, Json,
    body::{self, Bytes},
    extract::{Request, State},
    http::{HeaderMap, header},
};
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    ModelApi,
    detail::{Problem, Refused},
};
use crate::{base::Deadline, http::sender::Sender, identity::NewAccount, model::Error};

/// The user that was made.
#[derive(Serialize)]
pub(super) struct NewUser {
    username: String,
    id: String,
}

pub(super) async fn sign_up(
    State(api): State<ModelApi>,
    Extension(deadline): Extension<Deadline>,
    sender: Sender,
    request: Request,
) -> Result<Json<NewUser>, Refused> {
    let (head, body) = request.into_parts();
    // It has been read, and its size bounded, on its way here.
    let body = body::to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
    let mut fields = object(&head.headers, &body).map_err(|problem| Refused::Unprocessable(vec![problem]))?;
    let (username, password) = match (text(&mut fields, "username"), text(&mut fields, "password")) {
        (Ok(username), Ok(password)) => (username, password),
        (username, password) => {
            return Err(Refused::Unprocessable(username.err().into_iter().chain(password.err()).collect()));
        }
    };
    let new = NewAccount { username: &username, password: &password, email: None, display_name: None };
    let user = api.accounts.sign_up(new, &sender.origin, deadline).await?;
    Ok(Json(NewUser { username: user.username.typed().to_owned(), id: user.id.to_string() }))
}

/// The members of the JSON object in `body`; otherwise what is wrong with it, as `FastAPI` tells that. Of members of one name the last one
/// counts, and unknown ones do not.
fn object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Err(Problem::of_body("missing", "Field required"));
    }
    let not_an_object = || {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Problem::of_body("model_attributes_type", msg)
    };
    if !is_json(headers) {
        return Err(not_an_object());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(not_an_object()),
        Err(_) => Err(Problem::of_body("json_invalid", "JSON decode error")),
    }
}

/// Whether the content type is JSON, or made of it (RFC 6839 section 3.1). A page of another site cannot send it unasked.
fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let subtype = essence.to_ascii_lowercase().strip_prefix("application/").map(str::to_owned);
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// The text of the member `name`.
fn text(members: &mut Map<String, Value>, name: &'static str) -> Result<Zeroizing<String>, Problem> {
    match members.remove(name) {
        Some(Value::String(text)) => Ok(Zeroizing::new(text)),
        Some(_) => Err(Problem::of_field(name, "string_type", "Input should be a valid string")),
        None => Err(Problem::of_field(name, "missing", "Field required")),
    }
}
