//! Owns the step from a request's headers to its caller.

use std::{future::Future, net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::{Caller, CallerSlot, Keys, VerifiedToken, Verifier, caller::ToldRoles};
use crate::model::{Claims, Error, Missing, NameSet, Requirements, first_names};

/// What is found where a token stands.
#[derive(Debug)]
pub struct Stands<T> {
    /// What is found of the caller on the way, such as its user; none if there is nothing to find.
    pub found: Option<Arc<T>>,
    /// What is left of the token's scopes, if the caller no longer has all of them.
    pub left: Option<NameSet>,
}

impl<T> Stands<T> {
    /// With all of its scopes.
    #[must_use]
    pub const fn whole(found: Option<Arc<T>>) -> Self {
        Self { found, left: None }
    }
}

/// Whether what a genuine token stands for still stands: its user or client active, its session not ended.
pub trait Standing: Send + Sync + 'static {
    /// What is found of the caller on the way, such as its user. Handlers have it from [`Caller::found`], and need not read it again.
    type Found: Send + Sync + 'static;

    /// Succeeds if it does, with what was found of the caller, and with what is left of the token's scopes.
    ///
    /// # Errors
    /// [`Error::TokenRevoked`] if it does not, [`Error::Unavailable`] if that cannot be told.
    fn check(&self, claims: &Claims) -> impl Future<Output = Result<Stands<Self::Found>, Error>> + Send;

    /// The roles that the holder of `token` has, which says `claims` and had no room for them (`roles_omitted`).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if that cannot be told, as is so unless somebody may be asked; [`Error::TokenRevoked`] if it turns out that
    /// the token no longer stands.
    fn roles(&self, token: &str, claims: &Claims) -> impl Future<Output = Result<Vec<String>, Error>> + Send {
        let _ = (token, claims);
        let source = "the token had no room for them, and nobody may be asked".into();
        std::future::ready(Err(Error::Unavailable { what: "roles of the caller", source }))
    }
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
    /// [`Error::TokenMissing`], and those of [`recognise`](Self::recognise).
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        self.authenticate_from(headers, None).await
    }

    /// The same, in a call from the address `caller`: what it may cost to look for keys is shared by address.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_from(
        &self,
        headers: &HeaderMap,
        caller: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        self.authenticate_for(headers, self.verifier.audience(), caller).await
    }

    /// The caller of a request with these `headers` and `extensions`, if the `rule` lets it pass.
    ///
    /// # Errors
    /// As [`Self::authenticate`]; [`Error::CallerNotAllowed`], [`Error::InsufficientScope`], [`Error::InsufficientRole`] or
    /// [`Error::RolesNotInToken`] with the first that it lacks; [`Error::Unavailable`] also if the token had no room for its roles.
    pub async fn admit(
        &self,
        rule: &Requirements,
        headers: &HeaderMap,
        extensions: &Extensions,
        address: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        let own = self.audience();
        let caller = self.authenticate_request_for(headers, extensions, rule.audience(own), address).await?;
        match rule.missing(own, &caller).first() {
            None => Ok(caller),
            Some(Missing::AnyRole(roles, audience)) => {
                let told = caller.told_roles(audience);
                match told {
                    ToldRoles::All => Err(Error::InsufficientRole(first_names(roles).as_str().to_owned())),
                    ToldRoles::None => Err(Error::RolesNotInToken(first_names(roles).as_str().to_owned())),
                    ToldRoles::Omitted => self.with_roles(caller, headers, roles).await,
                }
            }
            Some(missing) => Err((*missing).into()),
        }
    }

    /// The `caller`, if it has one of the `roles`, for which the token in `headers` had no room.
    async fn with_roles(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        roles: &[String],
    ) -> Result<Caller, Error> {
        let held = self.standing.roles(token_of(headers)?, caller.claims()).await?;
        if roles.iter().any(|role| held.contains(role)) {
            Ok(caller.having(held))
        } else {
            Err(Error::InsufficientRole(first_names(roles).as_str().to_owned()))
        }
    }

    async fn authenticate_for(
        &self,
        headers: &HeaderMap,
        audience: &str,
        caller: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        let (claims, was_seen) = self.verifier.verify_seen(token_of(headers)?, audience, caller).await?;
        Ok(self.check(claims).await?.seen(was_seen))
    }

    /// The same as [`Self::authenticate_from`], of a request whose token may have been verified on its way here: then it is among the
    /// `extensions`. Who calls is put into the [`CallerSlot`], if there is one, too.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_request(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        caller: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        self.authenticate_request_for(headers, extensions, self.verifier.audience(), caller).await
    }

    /// The same, of a request whose token must be meant for `audience`.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_request_for(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        audience: &str,
        caller: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        let caller = match extensions.get::<VerifiedToken>() {
            Some(token) => self.recognise_verified(token.clone(), audience, caller).await?,
            None => self.authenticate_for(headers, audience, caller).await?,
        };
        if let Some(slot) = extensions.get::<CallerSlot>() {
            slot.put(&caller);
        }
        Ok(caller)
    }

    /// `token`, if it has been verified before, with a key that is in force as far as is known. Costs next to nothing, and waits for
    /// nothing.
    #[must_use]
    pub fn remembered(&self, token: &str) -> Option<VerifiedToken> {
        self.verifier.remembered(token)
    }

    /// `token`, if it is in time and its signature verifies with a key that is in force as far as is known: whomever it is meant for, and
    /// whether or not it still stands. Waits for nothing.
    #[must_use]
    pub fn verify_at_once(&self, token: &str) -> Option<VerifiedToken> {
        self.verifier.verify_at_once(token)
    }

    /// The caller that `token` proves to a service named `audience`.
    ///
    /// # Errors
    /// Those of [`recognise`](Self::recognise).
    pub async fn recognise_verified(
        &self,
        token: VerifiedToken,
        audience: &str,
        caller: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        self.check(self.verifier.check_again(token, audience, caller).await?).await
    }

    /// The caller that `token` proves to a service named `audience`.
    ///
    /// # Errors
    /// [`Error::TokenInvalid`], [`Error::TokenExpired`], [`Error::TokenRevoked`]; [`Error::Unavailable`] if the keys in force or
    /// the token's standing cannot be told.
    pub async fn recognise(&self, token: &str, audience: &str) -> Result<Caller, Error> {
        self.check(self.verifier.verify(token, audience).await?).await
    }

    /// The caller that `token` proves, whomever it is meant for: for telling others about it, never for letting its bearer in.
    ///
    /// # Errors
    /// Those of [`recognise`](Self::recognise).
    pub async fn recognise_for_anyone(&self, token: &str) -> Result<Caller, Error> {
        self.check(self.verifier.verify_for_anyone(token).await?).await
    }

    /// The caller of a genuine token, if what that stands for still stands.
    async fn check(&self, claims: Arc<Claims>) -> Result<Caller, Error> {
        let stands = self.standing.check(&claims).await?;
        Ok(Caller::new(claims, stands))
    }

    /// What is asked whether tokens still stand.
    #[must_use]
    pub const fn standing(&self) -> &S {
        &self.standing
    }

    /// The audience of this service itself.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.verifier.audience()
    }
}

fn token_of(headers: &HeaderMap) -> Result<&str, Error> {
    let values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    bearer_token(values)?.ok_or(Error::TokenMissing)
}

/// The bearer token in the `values` of the field `authorization` of one request; none if there is no such field.
///
/// # Errors
/// [`Error::TokenInvalid`] if there is something else in it, or more than one.
pub fn bearer_token<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<&'a str>, Error> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        // Which of two a proxy in front looked at cannot be known.
        return Err(Error::TokenInvalid("there is more than one `authorization`"));
    }
    let malformed = Error::TokenInvalid("`authorization` must be `Bearer <access_token>`");
    let text = str::from_utf8(value).ok().filter(|text| text.is_ascii());
    let Some((scheme, token)) = text.and_then(|text| text.split_once(' ')) else {
        return Err(malformed);
    };
    // Behind the scheme there may be more than one space (RFC 9110 section 11.4: `1*SP`).
    let token = token.trim_start_matches(' ');
    // The scheme is compared without case (RFC 9110 section 11.1).
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(malformed);
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token<'a>(values: &[&'a str]) -> Result<Option<&'a str>, Error> {
        bearer_token(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn exactly_one_bearer_token_is_read() {
        assert_eq!(token(&["Bearer abc"]).unwrap(), Some("abc"));
        assert_eq!(token(&["bearer abc"]).unwrap(), Some("abc"));
        assert_eq!(token(&["Bearer   abc"]).unwrap(), Some("abc"));
        assert_eq!(token(&[]).unwrap(), None);
        for bad in ["Bearer", "Bearer ", "Bearer   ", "Bearer\tabc", "abc", "Basic YTpi", "", "Bearer é"] {
            assert!(matches!(token(&[bad]), Err(Error::TokenInvalid(_))), "{bad:?}");
        }
        assert!(matches!(token(&["Bearer a", "Bearer b"]), Err(Error::TokenInvalid(_))));
    }
}
