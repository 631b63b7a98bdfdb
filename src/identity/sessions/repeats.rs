//! Owns how a repeated refresh token is answered: a lost answer and a second tab go on, and a thief is found out.

use std::time::Duration;

use super::{Exchanged, Presented, Sessions};
use crate::{
    audit::{Actor, Event, Reason},
    base::Timestamp,
    identity::sessions::{exchange::origin_digest, refresh_token::Generation},
    model::{Error, Origin},
    store::SeenExchange,
};

/// How often one exchange is repeated from where it came from. A browser has some tabs, and a proxy some replicas.
const MAX_REPEATS: u32 = 10;

/// When it is worth trying again after that: with the next token, which whoever was answered has stored by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often a session gets over a repeat that comes late or from elsewhere: each may be a thief's.
const ODD_REPEAT_INTERVAL: Duration = Duration::from_hours(24);

/// How often a repeat is decided anew since the session was changed meanwhile: by other repeats, of which there are [`MAX_REPEATS`] for an
/// exchange, and by the next exchange.
const MAX_JUDGEMENTS: u32 = MAX_REPEATS + 2;

/// How a repeat of the last exchange is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// It comes within the window and from the same place: an answer was lost, or two tabs asked.
    Near,
    /// Too many repeats.
    TooMany,
    /// It comes from elsewhere or late, and may be a phone's that has changed its network or slept.
    Odd,
    /// It may be nobody's but a thief's, or the owner's after a thief.
    Replay,
}

impl Sessions {
    /// Answers or refuses what was `presented` from `origin`, and is not the newest token or has just ceased to be it.
    pub(super) async fn repeat(&self, mut presented: Presented, origin: &Origin) -> Result<Exchanged, Error> {
        for _ in 0..MAX_JUDGEMENTS {
            match presented.place {
                Generation::BeforeNewest => {}
                Generation::Old => return Err(self.end_replayed(&presented, origin).await?),
                // It is the newest still, and was not a moment ago: the node that was asked first is behind the other. Nobody is to
                // be logged out for that.
                Generation::Newest => return Err(behind()),
                Generation::Invented => return Err(Error::RefreshTokenInvalid),
            }
            let (stored, now) = (&presented.stored, self.clock.now());
            let is_noted = match self.repeat_of(&presented, origin, now) {
                Repeat::Near => {
                    self.refreshes.charge(&stored.session)?;
                    let from = origin_digest(&stored.refresh, origin);
                    self.store.count_repeat(stored, from, MAX_REPEATS).await?
                }
                Repeat::Odd => self.take_odd_repeat(&presented, origin, now).await?,
                Repeat::TooMany => return Err(Error::TooManyRepeats { retry_after: RETRY_AFTER }),
                Repeat::Replay => return Err(self.end_replayed(&presented, origin).await?),
            };
            if is_noted {
                let next = presented.token.successor(&stored.refresh);
                let stored = presented.stored;
                return Ok(Exchanged {
                    session: stored.session,
                    refresh: stored.refresh,
                    next,
                    is_repeated: true,
                });
            }
            // Something was changed meanwhile.
            presented = self.find(presented.token).await?;
        }
        Err(behind())
    }

    fn repeat_of(&self, presented: &Presented, origin: &Origin, now: Timestamp) -> Repeat {
        let stored = &presented.stored;
        let exchange = &stored.exchange;
        let is_within = now.since(stored.session.last_use_time) <= self.settings.repeat_window;
        // The release before does not say where its exchanges come from.
        let is_near = exchange.origin.is_none_or(|from| from == origin_digest(&stored.refresh, origin));
        if is_within && is_near {
            return if exchange.repeats < MAX_REPEATS { Repeat::Near } else { Repeat::TooMany };
        }
        let last =
            SeenExchange { session: stored.session.id, millis: stored.session.last_use_time.as_millis() };
        let is_seen = exchange.is_seen || self.seen.contains(last);
        let is_due = exchange.odd_repeat_time.is_none_or(|last| now.since(last) >= ODD_REPEAT_INTERVAL);
        if (is_within || is_near) && !is_seen && is_due { Repeat::Odd } else { Repeat::Replay }
    }

    async fn take_odd_repeat(
        &self,
        presented: &Presented,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let session = presented.session();
        let repeated = Event::RefreshRepeated.done().by(Actor::Anonymous);
        let pending = self.audit.begin(repeated.user(session.user_id).session(session.id).origin(origin));
        let is_noted = self.store.note_odd_repeat(&presented.stored, now, ODD_REPEAT_INTERVAL).await?;
        if is_noted {
            pending.done();
        } else {
            pending.dismiss();
        }
        Ok(is_noted)
    }

    /// Ends the session of `presented`, and returns the error that says so.
    async fn end_replayed(&self, presented: &Presented, origin: &Origin) -> Result<Error, Error> {
        let session = presented.session();
        let replay = Event::RefreshReplayed.refused(Reason::TokenReused);
        let replay = replay.user(session.user_id).session(session.id).origin(origin);
        let pending = self.audit.begin(replay);
        self.store.delete_session(session.user_id, session.id, self.clock.now()).await?;
        pending.done();
        self.known.forget(session.id);
        Ok(Error::RefreshTokenReused)
    }
}

fn behind() -> Error {
    let source = "a node of the database is behind another".into();
    Error::Unavailable { what: "database", source }
}
