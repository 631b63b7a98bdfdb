//! Owns how one call gets in: in which lane it is looked for a place, and in what order.

use std::sync::Arc;

use super::{
    CallSource, Claimant, Pool,
    hold::Hold,
    lanes::Lane,
    pool::Place,
    recognise::{NamedSubject, named},
    share::{Holder, Holders},
};
use crate::{
    auth::VerifiedToken,
    base::Deadline,
    model::{AdminScope, Error, Network},
};

/// What kind of call asks for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// One that strangers may make, and that has a reserve if its token is verified.
    Call,
    /// A question about health.
    Health,
    /// A question of Envoy, whose token is in its message.
    Check,
    /// A document for everybody.
    Document,
    /// The stream of what has changed.
    Watch,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its message has not arrived whole.
    Arriving,
    /// Its message is there.
    Arrived,
}

/// One call on its way in.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pool: &'a Pool,
    kind: CallKind,
    source: CallSource,
    deadline: Deadline,
    /// The token that it shows, if any.
    token: Option<&'a str>,
    verified: Option<VerifiedToken>,
}

/// What a handler needs to admit a call itself, since only the message says whose it is: an extension of the request.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pool: Pool,
    kind: CallKind,
    source: CallSource,
    deadline: Deadline,
    hold: Arc<Hold>,
}

impl<'a> Visit<'a> {
    /// A call to be done by `deadline`, with the `token` that it shows.
    pub(crate) const fn new(
        pool: &'a Pool,
        kind: CallKind,
        source: CallSource,
        deadline: Deadline,
        token: Option<&'a str>,
    ) -> Self {
        Self { pool, kind, source, deadline, token, verified: None }
    }

    /// A place for the call, whose message is there.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if there is none: nobody waits for one.
    pub(crate) fn enter(&mut self) -> Result<Place, Error> {
        self.place(Arrival::Arrived)
    }

    /// Whether the token is genuine and has `scope`: what it has lost since is found out later.
    pub(crate) fn shows(&mut self, scope: &str) -> bool {
        self.recognised().is_some_and(|token| token.claims().scope.split(' ').any(|shown| shown == scope))
    }

    /// Whom the call counts for where one waits for another: the user or client of its token, or else its peer.
    pub(crate) fn claimant(&mut self) -> Claimant {
        let subject = self.recognised().map(|token| token.claims().subject());
        let now = self.pool.clock().now();
        let subject = subject.map(|subject| Holder::Subject(named(subject, now).id));
        Claimant(subject.or(self.source.peer().map(Holder::Peer)))
    }

    /// A place among the streams, until `deadline`; for who watches health, one of its own as long as there are some; for who follows what
    /// changes and shows a genuine token for that, one of its own alone.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub(crate) fn open_stream(&mut self, deadline: Deadline) -> Result<Place, Error> {
        // Whoever shows none is refused in a moment, and takes no place of theirs meanwhile.
        let is_watcher = self.kind == CallKind::Watch && self.shows(AdminScope::EventsWatch.name());
        let take = |lane| self.pool.take_until(lane, self.holders(), deadline, self.source.connection());
        if is_watcher {
            return take(Lane::Watchers).ok_or_else(|| self.pool.refuse(Lane::Watchers));
        }
        let own = if self.kind == CallKind::Health { take(Lane::Watches) } else { None };
        own.or_else(|| take(Lane::Streams)).ok_or_else(|| self.pool.refuse(Lane::Streams))
    }

    /// The door for the handler, and what holds the place that it will have taken.
    pub(crate) fn door(&self, hold: Arc<Hold>) -> Door {
        let (kind, source, deadline) = (self.kind, self.source.clone(), self.deadline);
        Door { pool: self.pool.clone(), kind, source, deadline, hold }
    }

    /// The token, if it had to be verified on the way in.
    pub(crate) fn verified(self) -> Option<VerifiedToken> {
        self.verified
    }

    /// How many bytes its message may have.
    pub(crate) fn message_bytes(&self) -> usize {
        self.pool.bounds().call.message_bytes
    }

    pub(super) const fn pool(&self) -> &'a Pool {
        self.pool
    }

    pub(super) const fn deadline(&self) -> Deadline {
        self.deadline
    }

    pub(super) fn holders(&self) -> Holders {
        Holders::of(&self.source)
    }

    /// A place for the call at `arrival`.
    pub(super) fn place(&mut self, arrival: Arrival) -> Result<Place, Error> {
        let (strangers, own, with_token) = lanes(self.kind, arrival);
        let holders = self.holders();
        // A place among strangers may be given away while the message is on its way. Who is known takes one of its own.
        if arrival == Arrival::Arriving
            && self.remembered()
            && let Some(place) = self.reserved(with_token, holders)
        {
            return Ok(place);
        }
        if let Some(place) = own.and_then(|own| self.take(own, holders)) {
            return Ok(place);
        }
        // Before any token is looked at: while there is room, this costs nothing that the handler will not do.
        if let Some(place) = self.take(strangers, holders) {
            return Ok(place);
        }
        match self.reserved(with_token, holders) {
            Some(place) => Ok(place),
            None => {
                Err(self.pool.refuse(with_token.filter(|_| self.verified.is_some()).unwrap_or(strangers)))
            }
        }
    }

    /// A place in `reserve`, if the token is genuine and there is one.
    fn reserved(&mut self, reserve: Option<Lane>, holders: Holders) -> Option<Place> {
        let (reserve, token) = (reserve?, self.recognised()?);
        let NamedSubject { id, is_new } = named(token.claims().subject(), self.pool.clock().now());
        self.take(reserve, holders.with_subject(id, is_new))
    }

    /// Whether the token has been verified before.
    fn remembered(&mut self) -> bool {
        if self.verified.is_none() {
            self.verified = self.token.and_then(|token| self.pool.recognise().remembered(token));
        }
        self.verified.is_some()
    }

    /// The token, if it is genuine. What has not been seen before is verified by no more than a few at a time.
    fn recognised(&mut self) -> Option<&VerifiedToken> {
        if !self.remembered() {
            let token = self.token?;
            let _place = self.pool.take(Lane::Verifying, self.holders(), 1)?;
            self.verified = self.pool.recognise().verified(token);
        }
        self.verified.as_ref()
    }

    fn take(&self, lane: Lane, holders: Holders) -> Option<Place> {
        self.pool.take_until(lane, holders, self.deadline, self.source.connection())
    }
}

impl Door {
    /// Admits the call for `peer`, if its sender names one and may, and with the `token` in it. Returns the token if it had to be
    /// verified for that.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub(crate) fn enter(
        &self,
        peer: Option<Network>,
        token: Option<&str>,
    ) -> Result<Option<VerifiedToken>, Error> {
        let source = self.source.on_behalf_of(peer);
        let mut visit = Visit::new(&self.pool, self.kind, source, self.deadline, token);
        let place = visit.enter()?;
        self.hold.keep(place);
        Ok(visit.verified())
    }
}

/// The lanes of a call of this `kind` at this `arrival`: the strangers', one that is tried before that, and one for those whose token is
/// verified.
const fn lanes(kind: CallKind, arrival: Arrival) -> (Lane, Option<Lane>, Option<Lane>) {
    match (arrival, kind) {
        (Arrival::Arrived, CallKind::Call | CallKind::Watch) => (Lane::Strangers, None, Some(Lane::Verified)),
        (Arrival::Arrived, CallKind::Health) => (Lane::Strangers, Some(Lane::Health), None),
        (Arrival::Arrived, CallKind::Check) => (Lane::Strangers, None, Some(Lane::Check)),
        (Arrival::Arrived, CallKind::Document) => (Lane::Strangers, Some(Lane::Documents), None),
        (Arrival::Arriving, CallKind::Call | CallKind::Document | CallKind::Watch) => {
            (Lane::ArrivingStrangers, None, Some(Lane::ArrivingVerified))
        }
        (Arrival::Arriving, CallKind::Health) => (Lane::ArrivingStrangers, Some(Lane::ArrivingHealth), None),
        (Arrival::Arriving, CallKind::Check) => (Lane::ArrivingStrangers, Some(Lane::ArrivingCheck), None),
    }
}
