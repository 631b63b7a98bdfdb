//! Owns the keys of an issuer elsewhere: fetched over HTTP, kept fresh in the background, kept when the issuer is away.

mod fetch;
#[cfg(test)]
mod fetch_tests;
mod locate;
mod published;
mod refresh;
mod sightings;
#[cfg(test)]
mod tests;
mod waiting;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::Instant};

use super::{KeySet, Keys, VerifyingKey};
use crate::{
    base::Entropy,
    model::{Error, PeerPlace, error::Cause},
};

pub use locate::issuer_identifier;

/// The keys of `document`, a JWK Set (RFC 7517 section 5), that verify access tokens, in its order, as [`RemoteKeys`] would read it: what
/// is known of an issuer whose document is at hand, as in tests.
///
/// # Errors
/// If it is no JWK Set, or holds no such key: the rest of a sentence that begins with the document.
pub fn published_keys(document: &[u8]) -> Result<Vec<Arc<VerifyingKey>>, String> {
    Published::read(document, &Published::default()).map(|read| read.keys().to_vec())
}

use fetch::HttpSource;
use locate::Issuer;
use published::Published;
use refresh::{KeySource, State, WantedFetch, keep_fresh};
use sightings::Sightings;
use waiting::WaitingPlaces;

/// When an issuer's keys are fetched.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FetchSettings {
    /// The keys are fetched again at least this often, however long the issuer lets them be kept. An hour by default.
    pub max_interval: Duration,
    /// The keys are fetched again at most this often, however short the issuer lets them be kept. 30 s by default.
    pub min_interval: Duration,
    /// What lies at least between the beginnings of two attempts that calls ask for, by naming a key that is not known. 5 s by
    /// default; at least 100 ms, since anybody can ask so.
    pub min_pause: Duration,
    /// How long an attempt may take as a whole. 5 s by default.
    pub timeout: Duration,
    /// For how long the last good keys count when the issuer cannot be asked. 24 h by default; `None`: for as long as it takes. It bounds
    /// how long a key that the issuer has revoked goes on counting for whoever can keep the issuer from being reached. When the issuer is
    /// away for longer, all calls are refused (`UNAVAILABLE`).
    pub max_staleness: Option<Duration>,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            max_interval: Duration::from_hours(1),
            min_interval: Duration::from_secs(30),
            min_pause: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            max_staleness: Some(Duration::from_hours(24)),
        }
    }
}

/// The keys that an issuer publishes, known in this process.
///
/// They are fetched in the background: when they have become as old as the issuer's `Cache-Control` allows, sooner after a failure, and
/// when a token names a key that is not known. That token's call waits for the answer, with all others that ask meanwhile; so a key
/// that has just begun to sign is accepted, and a flood of made-up key ids costs the issuer one request in each
/// [`FetchSettings::min_pause`]. An id that was not found by an attempt which began after it was first named is refused at once until
/// the next attempt may begin. A thousand calls may wait, at most a quarter of them from one network; others are refused as
/// [`Error::Unavailable`]. While the issuer is away the last good keys go on counting.
#[derive(Debug)]
pub struct RemoteKeys {
    state: watch::Receiver<State>,
    wanted: Arc<WantedFetch>,
    waiting: WaitingPlaces,
    sightings: Sightings,
    settings: FetchSettings,
    task: AbortHandle,
}

/// Why an issuer's keys cannot be fetched at all: a mistake of the settings, or of the machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteKeysError {
    /// A setting breaks its rule.
    #[error("{setting} {rule}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// The rule: the rest of the sentence.
        rule: String,
    },
    /// The issuer is to be asked by https, and the system knows no certification authority.
    #[error(
        "the system has no certification authorities: install them, or name a file of them in SSL_CERT_FILE"
    )]
    NoRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] Cause),
    /// There is no runtime of tokio to fetch keys in the background.
    #[error("this must be called within a runtime of tokio")]
    NoRuntime,
}

impl RemoteKeys {
    /// The keys of `issuer`, the value of `iss` in its tokens, fetched from `jwks_uri`; or without one from where the issuer's
    /// metadata say (RFC 8414, OpenID Connect Discovery 1.0), which must be of that very issuer. Does not wait for them.
    ///
    /// Whoever can answer in the issuer's stead can make tokens: use https, or http only where the way is protected otherwise,
    /// as by the mutual TLS of a mesh.
    ///
    /// # Errors
    /// [`RemoteKeysError`], if this cannot ever work.
    pub fn start(
        issuer: &str,
        jwks_uri: Option<&str>,
        settings: FetchSettings,
    ) -> Result<Self, RemoteKeysError> {
        let named = |setting| move |rule| RemoteKeysError::Setting { setting, rule };
        let issuer = Issuer::parse(issuer).map_err(named("the issuer"))?;
        let jwks_uri = jwks_uri.map(locate::web_address).transpose().map_err(named("the JWKS URI"))?;
        settings.check()?;
        Self::start_from(HttpSource::new(issuer, jwks_uri)?, settings)
    }

    fn start_from(source: impl KeySource, settings: FetchSettings) -> Result<Self, RemoteKeysError> {
        let runtime = Handle::try_current().map_err(|_| RemoteKeysError::NoRuntime)?;
        // The task alone holds the sender: should it end, nobody waits for it for ever.
        let (sender, state) = watch::channel(State::default());
        let wanted = Arc::new(WantedFetch::default());
        let fetching = keep_fresh(source, settings, Entropy::system(), sender, Arc::clone(&wanted));
        let task = runtime.spawn(fetching).abort_handle();
        let (waiting, sightings) = (WaitingPlaces::default(), Sightings::default());
        Ok(Self { state, wanted, waiting, sightings, settings, task })
    }

    /// Returns when keys are known: at once, but for a service whose issuer is away when it starts.
    pub async fn ready(&self) {
        if self.state.clone().wait_for(|state| state.confirmed.is_some()).await.is_err() {
            // The runtime that fetched them has gone: there will never be any.
            std::future::pending::<()>().await;
        }
    }

    /// Has the keys fetched at once: they are known to have changed. To be called by what the issuer itself has said, never for what a
    /// caller has: nothing bounds how often.
    pub fn refresh(&self) {
        self.wanted.raise_at_once();
    }

    /// The number of attempts to fetch keys that have ended, once they are more than `number`, and whether the latest succeeded: for
    /// counting. None when there will be no more.
    pub async fn attempts_beyond(&self, number: u64) -> Option<(u64, bool)> {
        let mut states = self.state.clone();
        let state = states.wait_for(|state| state.ended > number).await.ok()?;
        Some((state.ended, state.failure.is_none()))
    }

    /// What `pick` finds in what is known, after an attempt beyond the first `since`; none if it finds nothing then.
    async fn wait<T>(
        &self,
        _place: PeerPlace,
        since: u64,
        pick: impl Fn(&State) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let min_pause = self.settings.min_pause;
        let mut states = self.state.clone();
        loop {
            {
                let state = states.borrow_and_update();
                if let Some(found) = pick(&state) {
                    return Ok(Some(found));
                }
                if state.succeeded > since {
                    return Ok(None);
                }
                if let Some(failure) = state.failure_for(since, min_pause) {
                    return Err(unavailable(failure));
                }
            }
            self.wanted.raise(since + 1);
            states.changed().await.map_err(|_| unavailable("fetching them has ended"))?;
        }
    }

    fn place(&self, caller: Option<IpAddr>) -> Result<PeerPlace, Error> {
        self.waiting.take(caller).ok_or_else(|| unavailable("too many calls wait for its keys"))
    }

    fn keys_in_force(&self, state: &State) -> Option<Arc<KeySet>> {
        let (keys, confirmed) = state.confirmed.as_ref()?;
        let is_stale = self.settings.max_staleness.is_some_and(|max| is_older(*confirmed, max));
        (!is_stale).then(|| Arc::clone(keys.set()))
    }
}

fn is_older(moment: Instant, than: Duration) -> bool {
    moment.elapsed() > than
}

impl Keys for Arc<RemoteKeys> {
    async fn current(&self, caller: Option<IpAddr>) -> Result<Arc<KeySet>, Error> {
        let since = {
            let state = self.state.borrow();
            if let Some(keys) = self.keys_in_force(&state) {
                return Ok(keys);
            }
            state.begun
        };
        let keys = self.wait(self.place(caller)?, since, |state| self.keys_in_force(state)).await?;
        keys.ok_or_else(|| unavailable("there are none"))
    }

    fn last_known(&self) -> Arc<KeySet> {
        let state = self.state.borrow();
        state.confirmed.as_ref().map(|(keys, _)| Arc::clone(keys.set())).unwrap_or_default()
    }

    async fn find(&self, kid: &str, caller: Option<IpAddr>) -> Result<Option<Arc<VerifyingKey>>, Error> {
        let pick = |state: &State| self.keys_in_force(state)?.get(kid).cloned();
        let since = {
            let state = self.state.borrow();
            if let Some(key) = pick(&state) {
                return Ok(Some(key));
            }
            let first = self.sightings.first(kid);
            match state.decided_after(first, self.settings.min_pause) {
                Some(since) if sightings::can_be(kid) => since,
                Some(_) | None => return Ok(None),
            }
        };
        let place = self.place(caller)?;
        // Only with a place: whoever floods must not push out what others wait for.
        self.sightings.remember(kid, since);
        self.wait(place, since, pick).await
    }
}

impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FetchSettings {
    fn check(&self) -> Result<(), RemoteKeysError> {
        let broken = |setting, rule: &str| Err(RemoteKeysError::Setting { setting, rule: rule.to_owned() });
        if self.min_pause < Duration::from_millis(100) {
            return broken("min_pause", "must be at least 100 ms");
        }
        if self.min_interval < Duration::from_secs(1) || self.max_interval < self.min_interval {
            return broken("min_interval", "must be at least 1 s, and no more than max_interval");
        }
        if self.timeout.is_zero() {
            return broken("timeout", "must not be zero");
        }
        Ok(())
    }
}

fn unavailable(cause: &str) -> Error {
    Error::Unavailable { what: "token issuer", source: cause.into() }
}
