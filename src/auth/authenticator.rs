//! Owns the step from a request's headers to its caller.

use std::{future::Future, sync::Arc};

use http::{HeaderMap, header::AUTHORIZATION};

use super::{Caller, Keys, Verifier};
use crate::model::{Claims, Error};

/// Whether what a genuine token stands for still stands: its user or client active, its session not ended.
pub trait Standing: Send + Sync + 'static {
    /// Succeeds if it does.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`] if it does not, [`Error::Unavailable`] if that cannot be told.
    fn check(&self, claims: &Claims) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Finds the caller that a request's headers prove.
#[derive(Debug)]
pub struct Authenticator<K, S> {
    verifier: Arc<Verifier<K>>,
    standing: S,
}

impl<K: Keys, S: Standing> Authenticator<K, S> {
    /// An authenticator that believes `verifier` and asks `standing`.
    pub const fn new(verifier: Arc<Verifier<K>>, standing: S) -> Self {
        Self { verifier, standing }
    }

    /// The caller that the bearer token in `headers` proves (RFC 6750 section 2.1).
    ///
    /// # Errors
    /// [`Error::TokenMissing`], [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenRevoked`];
    /// [`Error::Unavailable`] if the keys in force or the token's standing cannot be told.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        let claims = self.verifier.verify(bearer_token(headers)?).await?;
        self.standing.check(&claims).await?;
        Ok(Caller::new(claims))
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, Error> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Error::TokenMissing)?;
    if values.next().is_some() {
        // Which of two a proxy in front looked at cannot be known.
        return Err(Error::TokenInvalid("there is more than one `authorization`"));
    }
    let malformed = Error::TokenInvalid("`authorization` must be `Bearer <access_token>`");
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(malformed);
    };
    // The scheme is compared without case (RFC 9110 section 11.1).
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(malformed);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token(values: &[&'static str]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer_token(&headers).map(str::to_owned)
    }

    #[test]
    fn exactly_one_bearer_token_is_read() {
        assert_eq!(token(&["Bearer abc"]).unwrap(), "abc");
        assert_eq!(token(&["bearer abc"]).unwrap(), "abc");
        assert!(matches!(token(&[]), Err(Error::TokenMissing)));
        for bad in ["Bearer", "Bearer ", "abc", "Basic YTpi", ""] {
            assert!(matches!(token(&[bad]), Err(Error::TokenInvalid(_))), "{bad:?}");
        }
        assert!(matches!(token(&["Bearer a", "Bearer b"]), Err(Error::TokenInvalid(_))));
    }
}
