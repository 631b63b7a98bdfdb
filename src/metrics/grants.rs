//! Owns what is counted of grants: each by what came of it, and the tokens that they gave.

use std::sync::Arc;

use prometheus::{IntCounter, Registry};

use super::{
    families::{self, Family},
    series,
};
use crate::model::named::named;

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

/// What came of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantResult {
    /// It gave tokens.
    Granted,
    /// It gave them once more: an answer was lost, or two asked at once.
    Repeated,
    /// A copy of a refresh token was used: the session has been ended.
    Replayed,
    /// It is not accepted, or the client is not, or not what it asks for. Whether a name or its password was wrong is not said:
    /// whoever reads the metrics could find out which names there are.
    Refused,
    /// It could not be decided: too much work, no time left, nobody who waits, or the database does not answer.
    Failed,
}

/// How the results of a grant are counted.
struct Series {
    family: &'static Family,
    /// The label `result` of each [`GrantResult`], in their order.
    results: [&'static str; 5],
}

/// For grants that are not repeated.
const ONCE: [&str; 5] = ["succeeded", "succeeded", "refused", "refused", "failed"];

impl GrantType {
    /// The series of each grant.
    const fn series(self) -> Series {
        match self {
            Self::Password => Series { family: &families::LOGINS, results: ONCE },
            Self::RefreshToken => Series {
                family: &families::REFRESHES,
                results: ["done", "repeated", "replayed", "refused", "failed"],
            },
            Self::ClientCredentials => Series { family: &families::CLIENT_CREDENTIALS, results: ONCE },
        }
    }
}

/// Grants and the tokens that they gave.
#[derive(Clone, Debug)]
pub struct GrantMetrics {
    // In the order of `ALL`, which is that of the numbers of the values.
    grants: Arc<[Counters]>,
}

/// One grant.
#[derive(Debug)]
struct Counters {
    /// By the number of the result.
    results: [IntCounter; 5],
    issued: IntCounter,
}

impl GrantMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let issued = series::counters(registry, &families::TOKENS_ISSUED);
        let counters = |grant: &GrantType| {
            let Series { family, results } = grant.series();
            let counted = series::counters(registry, family);
            Counters {
                results: results.map(|result| counted.with_label_values(&[result])),
                issued: issued.with_label_values(&[grant.name()]),
            }
        };
        Self { grants: GrantType::ALL.iter().map(counters).collect() }
    }

    /// Counts what came of a grant, and the access token if it gave one.
    pub fn count(&self, grant: GrantType, result: GrantResult) {
        let counters = &self.grants[grant as usize];
        counters.results[result as usize].inc();
        if matches!(result, GrantResult::Granted | GrantResult::Repeated) {
            counters.issued.inc();
        }
    }
}
