//! Owns asking an issuer for its keys over HTTP: each answer bounded in size, no redirect followed, no way from https to http.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use super::{
    RemoteKeysError,
    locate::{Issuer, is_https},
    refresh::{Fetched, KeySource},
};
use crate::model::error;

/// The largest answer in bytes. Key sets have a few hundred for each key.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Where the keys are fetched from.
pub(super) struct HttpSource {
    client: Client<HttpsConnector<HttpConnector>, Empty<&'static [u8]>>,
    issuer: Issuer,
    jwks: JwksAddress,
}

/// Where the keys are.
enum JwksAddress {
    /// Where the settings say.
    Given(Uri),
    /// Where the issuer's metadata say, once they have been read.
    Discovered(Option<Uri>),
}

/// An answer that can be used.
struct Answer {
    body: Vec<u8>,
    max_age: Option<Duration>,
}

impl HttpSource {
    /// The keys of `issuer`, at `jwks_uri` or where its metadata say.
    ///
    /// # Errors
    /// [`RemoteKeysError::NoRoots`] if https is needed and the system knows no certification authority.
    pub(super) fn new(issuer: Issuer, jwks_uri: Option<Uri>) -> Result<Self, RemoteKeysError> {
        let mut roots = RootCertStore::empty();
        // Those that SSL_CERT_FILE and SSL_CERT_DIR name, where they are set.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::trusting(roots, issuer, jwks_uri)
    }

    /// The same, with the certification authorities `roots`.
    pub(super) fn trusting(
        roots: RootCertStore,
        issuer: Issuer,
        jwks_uri: Option<Uri>,
    ) -> Result<Self, RemoteKeysError> {
        let is_https = jwks_uri.as_ref().map_or(issuer.is_https(), is_https);
        if is_https && roots.is_empty() {
            return Err(RemoteKeysError::NoRoots);
        }
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(roots)?);
        let connector = if is_https { connector.https_only() } else { connector.https_or_http() };
        let client = Client::builder(TokioExecutor::new())
            // Between two fetches lie minutes: a connection that was kept would be found dead.
            .pool_max_idle_per_host(0)
            .build(connector.enable_http1().build());
        let jwks = jwks_uri.map_or(JwksAddress::Discovered(None), JwksAddress::Given);
        Ok(Self { client, issuer, jwks })
    }

    async fn jwks_address(&mut self) -> Result<Uri, String> {
        match &self.jwks {
            JwksAddress::Given(uri) | JwksAddress::Discovered(Some(uri)) => Ok(uri.clone()),
            JwksAddress::Discovered(None) => {
                let uri = self.discover().await?;
                self.jwks = JwksAddress::Discovered(Some(uri.clone()));
                Ok(uri)
            }
        }
    }

    async fn discover(&self) -> Result<Uri, String> {
        let mut problem = String::new();
        for address in self.issuer.metadata_addresses() {
            let uri: Uri = address.parse().map_err(|_| format!("{address} is no address"))?;
            match self.get(&uri).await {
                Ok(answer) => {
                    return self.issuer.jwks_address(&answer.body).map_err(|it| format!("{uri} {it}"));
                }
                Err(it) => problem = it,
            }
        }
        Err(problem)
    }

    async fn get(&self, uri: &Uri) -> Result<Answer, String> {
        let request = Request::get(uri.clone())
            .header(header::ACCEPT, "application/json, application/jwk-set+json")
            // What a cache on the way has kept is as old as what is known here.
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::USER_AGENT, concat!("signet/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|problem| format!("{uri}: {problem}"))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|problem| format!("{uri}: {}", error::chain(&problem)))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{uri} answered {}", answer.status()));
        }
        let max_age = max_age(answer.headers());
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
        let body = body.map_err(|problem| format!("{uri}: {problem}"))?.to_bytes().to_vec();
        Ok(Answer { body, max_age })
    }
}

impl KeySource for HttpSource {
    async fn fetch(&mut self) -> Result<Fetched, String> {
        let uri = self.jwks_address().await?;
        match self.get(&uri).await {
            Ok(Answer { body, max_age }) => Ok(Fetched { from: uri.to_string(), document: body, max_age }),
            Err(problem) => {
                if let JwksAddress::Discovered(address) = &mut self.jwks {
                    // It may have moved.
                    *address = None;
                }
                Err(problem)
            }
        }
    }
}

fn tls(roots: RootCertStore) -> Result<ClientConfig, RemoteKeysError> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|problem| RemoteKeysError::Tls(Box::new(problem)))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// For how long an answer with these headers is fresh (RFC 9111 section 4.2.1); none if it does not say.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        values.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase());
    let seconds = directives.find_map(|directive| match directive.as_str() {
        "no-store" | "no-cache" => Some(0),
        other => other.strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok(),
    })?;
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.trim().parse::<u64>().ok());
    Some(Duration::from_secs(seconds.saturating_sub(age.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_the_issuer_says_of_freshness_is_heeded() {
        let fresh = |cache_control: &'static str, age: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
            if let Some(age) = age {
                headers.insert(header::AGE, HeaderValue::from_static(age));
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(fresh("public, max-age=300", None), Some(300));
        assert_eq!(fresh("Max-Age=\"300\"", Some("100")), Some(200));
        assert_eq!(fresh("max-age=300", Some("1000")), Some(0));
        assert_eq!(fresh("no-cache, max-age=300", None), Some(0));
        assert_eq!(fresh("max-age=-1", None), None);
        assert_eq!(fresh("s-maxage=5", None), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
