//! Owns what is counted of grants: logins, refreshes and the tokens that they gave.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::series;
use crate::model::named::named;

named! {
    /// What came of a login. Whether the name or the password was wrong is not said: whoever reads the metrics could find out
    /// which names there are.
    LoginResult {
        /// It gave tokens.
        Succeeded = "succeeded",
        /// The credentials are those of no active user, or the client is not accepted, or not what it asks for.
        Refused = "refused",
        /// It could not be decided: too much work, no time left, nobody who waits, or the database does not answer.
        Failed = "failed",
    }
}

named! {
    /// What came of exchanging a refresh token.
    RefreshResult {
        /// It was exchanged for the next.
        Done = "done",
        /// It was exchanged once more: an answer was lost, or two asked at once.
        Repeated = "repeated",
        /// A copy was used: the session has been ended.
        Replayed = "replayed",
        /// It stands for no session, its user is disabled, or the client is not accepted, or not what it asks for.
        Refused = "refused",
        /// It could not be decided: no time left, nobody who waits, or the database does not answer.
        Failed = "failed",
    }
}

named! {
    /// What came of a client's asking for a token of its own.
    ClientCredentialsResult {
        /// It got one.
        Succeeded = "succeeded",
        /// The client is not accepted, or not what it asks for.
        Refused = "refused",
        /// It could not be decided: no time left, nobody who waits, or the database does not answer.
        Failed = "failed",
    }
}

named! {
    /// What was exchanged for tokens (the names of RFC 6749).
    GrantType {
        /// A username and its password.
        Password = "password",
        /// A refresh token.
        RefreshToken = "refresh_token",
        /// A client's own credentials.
        ClientCredentials = "client_credentials",
    }
}

/// Logins, refreshes and the tokens that they gave.
#[derive(Clone, Debug)]
pub struct GrantMetrics {
    // In the order of `ALL`, which is that of the numbers of the values.
    logins: Arc<[IntCounter]>,
    refreshes: Arc<[IntCounter]>,
    client_credentials: Arc<[IntCounter]>,
    issued: Arc<[IntCounter]>,
}

impl GrantMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let logins = series::counters(
            registry,
            "signet_logins_total",
            "Logins by password, by what came of them.",
            &["result"],
        );
        let refreshes = series::counters(
            registry,
            "signet_refreshes_total",
            "Refresh tokens that were shown, by what came of it.",
            &["result"],
        );
        let client_credentials = series::counters(
            registry,
            "signet_client_credentials_total",
            "Tokens of their own that clients asked for, by what came of it.",
            &["result"],
        );
        let issued = series::counters(
            registry,
            "signet_tokens_issued_total",
            "Access tokens that were issued, by the grant that was exchanged for them.",
            &["grant"],
        );
        let of = |counters: &IntCounterVec, name: &str| counters.with_label_values(&[name]);
        Self {
            logins: LoginResult::ALL.iter().map(|result| of(&logins, result.name())).collect(),
            refreshes: RefreshResult::ALL.iter().map(|result| of(&refreshes, result.name())).collect(),
            client_credentials: ClientCredentialsResult::ALL
                .iter()
                .map(|result| of(&client_credentials, result.name()))
                .collect(),
            issued: GrantType::ALL.iter().map(|grant| of(&issued, grant.name())).collect(),
        }
    }

    /// Counts a login.
    pub fn login(&self, result: LoginResult) {
        self.logins[result as usize].inc();
    }

    /// Counts a refresh.
    pub fn refresh(&self, result: RefreshResult) {
        self.refreshes[result as usize].inc();
    }

    /// Counts a token of its own that a client asked for.
    pub fn client_credentials(&self, result: ClientCredentialsResult) {
        self.client_credentials[result as usize].inc();
    }

    /// Counts an access token.
    pub fn issued(&self, grant: GrantType) {
        self.issued[grant as usize].inc();
    }
}
