//! Owns `/`: to a browser, what this is, where its endpoints are, and whether it is ready; to others, what a path is that is not served.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use tokio::sync::watch;

use super::{EXPLORER, ExplorerGuard, OPENAPI_PATH, Refusal};
use crate::{
    http::{JWKS, oauth},
    identity::Ready,
    model::{Error, well_known::OPENID_CONFIGURATION},
};

/// What the page tells.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    /// Who issues the tokens.
    pub(crate) issuer: String,
    /// Whether it can serve.
    pub(crate) ready: watch::Receiver<Ready>,
    /// Whether the model service's API is served.
    pub(crate) model_api: bool,
}

/// Where what is told here is described, in the repository.
const DOCUMENTS: [(&str, &str); 5] = [
    ("README.md", "the first steps"),
    ("docs/EXPLORER.md", "this page, the document and the explorer"),
    ("docs/CONNECT.md", "the RPCs with JSON"),
    ("docs/HTTP.md", "the endpoints of OAuth 2.0"),
    ("docs/ERRORS.md", "every error"),
];

/// The page, if the request is a browser's.
pub(super) async fn front_page(
    State((front, guard)): State<(Arc<Front>, Option<ExplorerGuard>)>,
    request: Request,
) -> Response {
    let vary = [(header::VARY, "accept"), (header::CACHE_CONTROL, "no-store")];
    if !wants_page(request.headers()) {
        return (vary, Refusal::from(Error::Unimplemented)).into_response();
    }
    let has_explorer = guard.is_some_and(|guard| guard.allow(&request).is_ok());
    (vary, Html(front.page(has_explorer))).into_response()
}

/// Whether `Accept` names HTML: a browser does when somebody opens an address, and programs do not.
fn wants_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    ranges.any(|range| range.trim().eq_ignore_ascii_case("text/html"))
}

impl Front {
    fn page(&self, has_explorer: bool) -> String {
        let readiness = match *self.ready.borrow() {
            Ready::Yes => r#"<p class="ready">It is ready.</p>"#.to_owned(),
            Ready::No(cause) => {
                format!(r#"<p class="unready">It is not ready: {}.</p>"#, escaped(cause))
            }
        };
        let explorer = if has_explorer {
            format!(
                r#"<p><a class="explore" href="{}">Try every call in the explorer</a></p>"#,
                relative(EXPLORER)
            )
        } else {
            "<p>The explorer, where every call can be tried, is not served here (<code>--explorer</code>).</p>".to_owned()
        };
        let documents = DOCUMENTS.iter().fold(String::new(), |mut list, (path, about)| {
            let _ = write!(list, "<li><code>{path}</code>: {about}</li>");
            list
        });
        format!(
            r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Signet</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main class="page">
<h1>Signet {version}</h1>
<p>An identity service: people and services sign up, get tokens, and are recognised everywhere in a mesh.</p>
{readiness}
{explorer}
<h2>Endpoints</h2>
<p>The issuer is <code>{issuer}</code>.</p>
<table>
<thead><tr><th scope="col">Path</th><th scope="col">What it is</th></tr></thead>
<tbody>
{endpoints}</tbody>
</table>
<h2>Documents</h2>
<p>In the repository of Signet:</p>
<ul>{documents}</ul>
</main>
</body>
</html>
"#,
            style = include_str!("page.css"),
            version = env!("CARGO_PKG_VERSION"),
            issuer = escaped(&self.issuer),
            endpoints = self.endpoints(),
        )
    }

    fn endpoints(&self) -> String {
        let link = |path: &str| format!(r#"<a href="{}">{path}</a>"#, relative(path));
        let post = |path: &str| format!("<code>POST {path}</code>");
        let mut rows = vec![
            (link(OPENAPI_PATH), "All of this for programs (OpenAPI)"),
            (link(OPENID_CONFIGURATION), "Discovery: what this issuer supports"),
            (link(JWKS), "The public keys that verify tokens"),
            (
                post(oauth::TOKEN),
                "Exchanges a password, a refresh token or a client's credentials for tokens",
            ),
            (post(oauth::REVOKE), "Ends the session of a token"),
            (post(oauth::INTROSPECT), "Tells what a token is worth"),
            (format!("<code>GET {}</code>", oauth::USERINFO), "Tells who the bearer of a token is"),
        ];
        if self.model_api {
            rows.push((
                "<code>POST /auth/signup</code>, <code>POST /auth/token</code>, <code>GET /users/me</code>"
                    .to_owned(),
                "What a service built with FastAPI answers to its clients",
            ));
        }
        // A proxy that hands on the issuer's path alone does not lead to these: no links.
        rows.push(("<code>GET /livez</code>".to_owned(), "Whether the process answers"));
        rows.push(("<code>GET /readyz</code>".to_owned(), "Whether it can serve"));
        rows.into_iter().fold(String::new(), |mut table, (path, about)| {
            let _ = writeln!(table, "<tr><td>{path}</td><td>{about}</td></tr>");
            table
        })
    }
}

/// `path` as the page refers to it: the page may be below a path of which only a proxy knows.
fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// `text` as text of a page.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_browser_is_told_from_programs_by_what_it_accepts() {
        let wants = |accept: &'static str| {
            wants_page(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]))
        };
        for yes in [
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "*/*, TEXT/HTML;q=0.1",
        ] {
            assert!(wants(yes), "{yes}");
        }
        for no in ["*/*", "application/json", "", "text/plain"] {
            assert!(!wants(no), "{no}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn text_of_settings_is_no_markup() {
        let ready = watch::channel(Ready::Yes).1;
        let page = Front { issuer: "https://x\"><script>".to_owned(), ready, model_api: false }.page(true);
        assert!(page.contains("https://x&quot;&gt;&lt;script&gt;") && !page.contains("<script"), "{page}");
    }
}
