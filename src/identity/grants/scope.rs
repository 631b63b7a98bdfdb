//! Owns the negotiation of scopes and audiences: what was asked for, out of what may be had. Every grant goes through it.

use crate::{
    identity::{clients::Requester, permissions},
    model::{Client, Error, NameSet, Session},
};

/// The scopes and audiences that a request asks for. An empty set asks for all that may be had.
#[derive(Debug)]
pub(super) struct Wish {
    scope: NameSet,
    audience: NameSet,
}

/// The scopes and audiences that a client may have for a user at most. What the user has of the scopes is another matter.
#[derive(Debug)]
pub(super) struct Allowed {
    scope: NameSet,
    /// What is meant of the scopes where nothing is asked for.
    unasked: NameSet,
    audience: Audiences,
}

/// The audiences that a token may be meant for, and those that it is meant for where nothing is asked for.
#[derive(Debug)]
struct Audiences {
    may: NameSet,
    unasked: NameSet,
}

/// The scopes that are asked for and that the client may have, and the audiences that are granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) scope: NameSet,
    pub(super) audience: NameSet,
}

impl Wish {
    /// Refuses a wish that is too long to be read. It costs next to nothing: whoever asks has proven nothing yet.
    ///
    /// # Errors
    /// [`Error::InvalidAudience`]. The scopes are one text, whose length [`Self::parse`] looks at first.
    pub(super) fn check_length(audiences: &[String]) -> Result<(), Error> {
        if NameSet::has_room_for(audiences) { Ok(()) } else { Err(malformed_audience()) }
    }

    /// The wish for `scope`, names separated by spaces, and `audiences`.
    ///
    /// # Errors
    /// [`Error::InvalidScope`], [`Error::InvalidAudience`] if they are malformed.
    pub(super) fn parse(scope: &str, audiences: &[String]) -> Result<Self, Error> {
        let scope = NameSet::parse(scope).map_err(|_| Error::InvalidScope(NameSet::default()))?;
        let audience = NameSet::of(audiences.iter().map(String::as_str));
        Ok(Self { scope, audience: audience.map_err(|_| malformed_audience())? })
    }

    /// What may be had of `allowed`: the wish, or what is meant where there is no wish.
    ///
    /// # Errors
    /// [`Error::InvalidScope`], [`Error::InvalidAudience`], with the names that go beyond it.
    pub(super) fn within(&self, allowed: &Allowed) -> Result<Terms, Error> {
        let Allowed { scope, unasked, audience } = allowed;
        Ok(Terms {
            scope: choose(&self.scope, scope, unasked).map_err(Error::InvalidScope)?,
            audience: audience.choose(&self.audience)?,
        })
    }

    /// The scopes asked for; none for all that may be had.
    pub(super) const fn scope(&self) -> &NameSet {
        &self.scope
    }

    /// Whom a token of the client itself is meant for. `own` is the service's own audience.
    ///
    /// # Errors
    /// [`Error::InvalidAudience`], with the names that it may not name.
    pub(super) fn audience_of_client(&self, client: &Client, own: &NameSet) -> Result<NameSet, Error> {
        Audiences::of(client, own).choose(&self.audience)
    }
}

impl Allowed {
    /// For a user who logs in with `requester`. `own` is the service's own audience.
    pub(super) fn for_user_of(requester: &Requester, own: &NameSet) -> Self {
        let scope = permissions::for_users(requester.client());
        let audience = Audiences::of(requester.client(), own);
        Self { unasked: permissions::unasked(&scope), scope, audience }
    }

    /// For a session that goes on with `requester`: it keeps what its login asked for, as far as its client may have it now.
    pub(super) fn for_session(requester: &Requester, session: &Session, own: &NameSet) -> Self {
        let scope = session.asked_scope.within(&permissions::for_users(requester.client()));
        let audience = Audiences::all(session.audience.as_ref().unwrap_or(own));
        Self { unasked: scope.clone(), scope, audience }
    }
}

impl Audiences {
    /// Those of `client`: the service itself, whose audience is `own`, if nothing else is registered. The built-in one is the service's own
    /// application, and what is registered for it comes on top: it is given where it is asked for.
    fn of(client: &Client, own: &NameSet) -> Self {
        let registered = &client.audiences;
        if client.id.is_built_in() {
            Self { may: own.with(registered.iter()), unasked: own.clone() }
        } else {
            Self::all(if registered.is_empty() { own } else { registered })
        }
    }

    /// These, and nothing else.
    fn all(names: &NameSet) -> Self {
        Self { may: names.clone(), unasked: names.clone() }
    }

    fn choose(&self, wish: &NameSet) -> Result<NameSet, Error> {
        choose(wish, &self.may, &self.unasked).map_err(Error::InvalidAudience)
    }
}

/// `wish`, or `unasked` if it is empty; what goes beyond `allowed` if something does.
fn choose(wish: &NameSet, allowed: &NameSet, unasked: &NameSet) -> Result<NameSet, NameSet> {
    let beyond = wish.without(allowed);
    match (beyond.is_empty(), wish.is_empty()) {
        (false, _) => Err(beyond),
        (true, true) => Ok(unasked.clone()),
        (true, false) => Ok(wish.clone()),
    }
}

fn malformed_audience() -> Error {
    Error::InvalidAudience(NameSet::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> NameSet {
        NameSet::parse(text).unwrap()
    }

    /// What is granted to the wish for `scope` and `audience`, where `a b` and `x y` may be had, and of the scopes `a` is meant where
    /// nothing is asked for.
    fn granted(scope: &str, audience: &[&str]) -> Result<(String, String), String> {
        let audiences: Vec<String> = audience.iter().map(|&name| name.to_owned()).collect();
        let (scopes, all) = (names("a b"), names("x y"));
        let allowed = Allowed { scope: scopes, unasked: names("a"), audience: Audiences::all(&all) };
        match Wish::parse(scope, &audiences).and_then(|wish| wish.within(&allowed)) {
            Ok(terms) => Ok((terms.scope.to_string(), terms.audience.to_string())),
            Err(Error::InvalidScope(beyond)) => Err(format!("scope {beyond}")),
            Err(Error::InvalidAudience(beyond)) => Err(format!("audience {beyond}")),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wish_is_granted_as_far_as_it_goes_or_refused_with_what_goes_beyond() {
        let ok = |scope: &str, audience: &str| Ok((scope.to_owned(), audience.to_owned()));
        assert_eq!(granted("", &[]), ok("a", "x y"));
        assert_eq!(granted("b", &[]), ok("b", "x y"));
        assert_eq!(granted("b a", &["y", "x"]), ok("b a", "y x"));
        assert_eq!(granted("c a d", &[]), Err("scope c d".to_owned()));
        assert_eq!(granted("a", &["z", "x"]), Err("audience z".to_owned()));
        assert_eq!(granted("c", &["z"]), Err("scope c".to_owned()));
    }

    #[test]
    fn a_malformed_wish_names_nothing() {
        assert_eq!(granted("a  b", &[]), Err("scope ".to_owned()));
        assert_eq!(granted("a", &["x y"]), Err("audience ".to_owned()));
    }

    #[test]
    fn a_wish_that_is_too_long_is_refused_before_it_is_read() {
        assert!(Wish::check_length(&vec!["x".to_owned(); 128]).is_ok());
        assert!(Wish::check_length(&vec!["x".to_owned(); 129]).is_err());
        assert!(Wish::check_length(&["x".repeat(1_025)]).is_err());
    }
}
