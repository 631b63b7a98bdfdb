"""Owns what was revoked, as the stream of `identity.events.v1.EventService` has told it, and which tokens that concerns."""

from __future__ import annotations

import threading

from google.protobuf.timestamp_pb2 import Timestamp

from identity.events.v1 import event_service_pb2 as events

from .claims import Claims
from .clock import Clock

KEEP_FOR = 86_400.0
"""For how many seconds each change is kept, until the stream says it: the longest that an access token can live."""

SWEEP_INTERVAL = 60.0
"""Seconds between two times at which what is too old is dropped."""

MAX_CHANGES = 1_000_000
"""The most changes that are kept. Of more, every token that was issued by then is refused."""

_NANOS = 1_000_000_000
_ALWAYS = 1 << 80
# What was revoked until when, and when that was told.
_Ends = dict[str, tuple[int, float]]


class Revoked:
    """What was revoked. Readers take no lock: the one that is told is a single thread."""

    def __init__(self, clock: Clock, max_changes: int = MAX_CHANGES) -> None:
        self._clock, self._max_changes = clock, max_changes
        self._sessions: dict[str, float] = {}
        self._users: _Ends = {}
        self._clients: _Ends = {}
        self._scopes: dict[tuple[str, str, str, str], tuple[int, float]] = {}
        self._not_before = 0
        self._keep_for = KEEP_FOR
        self._swept = clock.monotonic()
        self._lock = threading.Lock()
        self.is_complete = False
        """Whether a snapshot has been complete since the start."""
        self.heard = float("-inf")
        """When something was heard last, by the monotonic clock."""

    def size(self) -> int:
        """How many changes are kept."""
        return len(self._sessions) + len(self._users) + len(self._clients) + len(self._scopes)

    def is_stale(self, max_age: float) -> bool:
        """Whether nothing was heard for more than `max_age` seconds."""
        return self._clock.monotonic() - self.heard > max_age

    def hear(self, message: events.WatchResponse) -> None:
        """Takes in what `message` tells."""
        now = self._clock.monotonic()
        with self._lock:
            part = message.WhichOneof("part")
            if part == "snapshot":
                snapshot = message.snapshot
                if snapshot.HasField("keep_for"):
                    self._keep_for = max(snapshot.keep_for.ToNanoseconds() / _NANOS, 0.0) or self._keep_for
                if snapshot.HasField("tokens_not_before"):
                    self._not_before = max(self._not_before, _nanos(snapshot.tokens_not_before))
                self._keep(snapshot.changes, now)
                self.is_complete = self.is_complete or snapshot.is_last
            elif part == "changes":
                self._keep(message.changes, now)
            if self.size() > self._max_changes:
                self._sweep(now)
                self._refuse_all_if_too_many()
            self.heard = now
            if now - self._swept >= SWEEP_INTERVAL:
                self._sweep(now)

    def hits(self, claims: Claims) -> bool:
        """Whether a token with `claims` is revoked (docs/EVENTS.md, "Which tokens are revoked")."""
        issued = claims.issued_at * _NANOS
        if issued < self._not_before or claims.session_id in self._sessions:
            return True
        user, client = self._users.get(claims.subject), self._clients.get(claims.client_id.lower())
        if (user is not None and issued <= user[0]) or (client is not None and issued <= client[0]):
            return True
        return bool(self._scopes) and self._has_taken_scope(claims, issued)

    def _has_taken_scope(self, claims: Claims, issued: int) -> bool:
        for audience in claims.audiences:
            for scope in claims.scopes:
                for subject in ("", claims.subject):
                    for client in ("", claims.client_id.lower()):
                        taken = self._scopes.get((subject, client, audience, scope))
                        if taken is not None and issued <= taken[0]:
                            return True
        return False

    def _keep(self, changes: events.Changes, now: float) -> None:
        for session in changes.ended_sessions:
            self._sessions[session.lower()] = now
        for user in changes.ended_user_sessions:
            _keep_latest(self._users, user.subject.lower(), _until(user), now)
        for client in changes.ended_clients:
            _keep_latest(self._clients, client.client_id.lower(), _until(client), now)
        for taken in changes.taken_scopes:
            for scope in taken.scopes:
                key = (taken.subject.lower(), taken.client_id.lower(), taken.audience, scope)
                before = self._scopes.get(key)
                self._scopes[key] = (max(_until(taken), before[0] if before else 0), now)

    def _refuse_all_if_too_many(self) -> None:
        if self.size() <= self._max_changes:
            return
        # First what refuses more: readers take no lock.
        known = [end[0] for ends in (self._users, self._clients, self._scopes) for end in ends.values() if end[0] != _ALWAYS]
        latest = max([int(self._clock.now()) * _NANOS, *known])
        self._not_before = max(self._not_before, latest + 1)
        self._sessions = {}
        self._users = {key: end for key, end in self._users.items() if end[0] == _ALWAYS}
        self._clients = {key: end for key, end in self._clients.items() if end[0] == _ALWAYS}
        self._scopes = {name: end for name, end in self._scopes.items() if end[0] == _ALWAYS}

    def _sweep(self, now: float) -> None:
        kept_since = now - self._keep_for
        self._swept = now
        self._sessions = {key: told for key, told in self._sessions.items() if told >= kept_since}
        self._users = {key: end for key, end in self._users.items() if end[1] >= kept_since}
        self._clients = {key: end for key, end in self._clients.items() if end[1] >= kept_since}
        self._scopes = {name: end for name, end in self._scopes.items() if end[1] >= kept_since}


def _keep_latest(ends: _Ends, key: str, until: int, now: float) -> None:
    before = ends.get(key)
    ends[key] = (max(until, before[0] if before else 0), now)


def _until(told: events.EndedUserSessions | events.EndedClient | events.TakenScopes) -> int:
    """Until when issued tokens are revoked; all of them, if that is not said: refuse too much, and never too little."""
    return _nanos(told.time) if told.HasField("time") else _ALWAYS


def _nanos(time: Timestamp) -> int:
    return time.seconds * _NANOS + time.nanos
