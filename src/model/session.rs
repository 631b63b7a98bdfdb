//! Owns what a login session is, and the refresh token that keeps it going.

use std::{net::IpAddr, time::Duration};

use super::{Authentication, NameSet, Network, RequestId, SessionId, UserId};
use crate::base::Timestamp;

/// How much of what a client calls itself is kept, in bytes.
const USER_AGENT_MAX_BYTES: usize = 255;

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Access tokens carry it as `sid`.
    pub id: SessionId,
    /// Who logged in.
    pub user_id: UserId,
    /// With which client.
    pub client_id: String,
    /// What its first token was given, which the release before gives all of its tokens.
    pub scope: NameSet,
    /// What its login asked for, of which each of its tokens is given what its client may have and its user has at that moment.
    pub asked_scope: NameSet,
    /// Whom its tokens are meant for; the service's own audience if nothing is said.
    pub audience: Option<NameSet>,
    /// Where the login came from.
    pub origin: Origin,
    /// How the user proved who they are, and when.
    pub authentication: Authentication,
    /// When it was opened: upon the login.
    pub create_time: Timestamp,
    /// When it was last refreshed.
    pub last_use_time: Timestamp,
    /// When it ends in any case: with its only access token, if its login was given no refresh token.
    pub end_time: Option<Timestamp>,
}

/// Where a login came from, as far as the service could see: shown to the user, trusted by nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The network address that the request came from.
    pub address: Option<String>,
    /// The address of the user, as the client tells that asks for it, and that the operator lets tell it.
    pub claimed_address: Option<String>,
    /// Which request it was. It is told, and not kept.
    pub request_id: Option<RequestId>,
}

impl Origin {
    /// The origin of a request that came from `peer` with this `user-agent`.
    #[must_use]
    pub fn of(user_agent: Option<&str>, peer: Option<IpAddr>) -> Self {
        let user_agent =
            user_agent.map(|text| text[..text.floor_char_boundary(USER_AGENT_MAX_BYTES)].to_owned());
        let address = peer.map(|peer| peer.to_string());
        Self { user_agent, address, claimed_address: None, request_id: None }
    }

    /// The same, of the request `id`.
    #[must_use]
    pub fn of_request(self, id: Option<RequestId>) -> Self {
        Self { request_id: id, ..self }
    }

    /// The same, on behalf of a user whose address is `address` as the client tells.
    #[must_use]
    pub fn claiming(self, address: IpAddr) -> Self {
        Self { claimed_address: Some(address.to_string()), ..self }
    }

    /// The address of the user, as far as it is known: the one that the client tells, or else the one that the request came from.
    #[must_use]
    pub fn user_address(&self) -> Option<&str> {
        self.claimed_address.as_deref().or(self.address.as_deref())
    }

    /// The network of the user, by [`Self::user_address`].
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        self.user_address()?.parse().ok().map(Network::of)
    }
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct SessionLifetime {
    /// How long a session may go without a refresh.
    pub idle: Duration,
    /// How long it may live at all.
    pub absolute: Duration,
}

impl Session {
    /// Whether refresh tokens keep it going.
    #[must_use]
    pub const fn is_refreshed(&self) -> bool {
        self.end_time.is_none()
    }

    /// When the session ends if it is not refreshed before.
    #[must_use]
    pub fn expire_time(&self, lifetime: SessionLifetime) -> Timestamp {
        let unused = self.last_use_time.after(lifetime.idle).min(self.create_time.after(lifetime.absolute));
        self.end_time.map_or(unused, |end| end.min(unused))
    }
}
