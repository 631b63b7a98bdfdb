"""Owns which keys are in force, and who waits for one that is not known: one fetch for all, and never in a hurry.

It knows no thread and no network: whoever fetches says when a fetch begins and how it ended. Fetches are counted from 1, one goes on at
a time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from .clock import Clock
from .jwk import VerifyingKey
from .refusal import Refusal, unavailable, unreachable

MIN_PAUSE = 5.0
"""Seconds between the beginnings of two fetches that calls ask for, by naming a key that is not known: anybody can ask so."""

MAX_STALENESS = 24 * 3600.0
"""For how many seconds the last good keys count when the issuer cannot be asked."""

MAX_WAITERS = 1_000
"""The most calls that wait for a key."""

FIRST_WAIT, LONGEST_WAIT = 5.0, 11.0
"""Seconds that a call waits at most: for the first keys, and for a key that is not known (a pause and a fetch)."""

_MAX_SIGHTINGS = 1_024


@dataclass(slots=True, eq=False)
class _Waiter:
    kid: str
    since: int
    answer: Future[VerifyingKey | None]


class KeyStore:
    """The keys of one issuer, as it published them last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: Mapping[str, VerifyingKey] = {}
        self._good_until = float("-inf")
        self._begun = self._ended = self._succeeded = 0
        self._latest_began = float("-inf")
        self._failed = False
        self._wanted = 0
        self._is_urgent = False
        self._waiters: list[_Waiter] = []
        self._sightings: OrderedDict[str, int] = OrderedDict()
        self.changed = threading.Condition()
        """Notified when a fetch is wanted, and when one has ended."""

    def get(self, kid: str) -> VerifyingKey | None:
        """The key `kid`, if it is in force as far as is known: at once."""
        if self._clock.monotonic() >= self._good_until:
            return None
        return self._keys.get(kid)

    def keys(self) -> Mapping[str, VerifyingKey]:
        """The keys of the last fetch that succeeded."""
        return self._keys

    def is_ready(self) -> bool:
        """Whether there are keys in force."""
        return self._clock.monotonic() < self._good_until

    def find(self, kid: str) -> Future[VerifyingKey | None] | None:
        """The answer of the fetch that decides on `kid`, which is not known; `None` if it is decided that there is no such key.

        Raises:
            Refusal: `UNAVAILABLE`: too many wait.
        """
        with self.changed:
            found = self.get(kid)
            answer: Future[VerifyingKey | None] = Future()
            if found is not None:
                answer.set_result(found)
                return answer
            since = self._decided_after(self._sightings.get(kid))
            if since is None:
                return None
            failure = self._failure_for(since)
            if failure is not None:
                answer.set_exception(failure)
                return answer
            self._waiters = [waiter for waiter in self._waiters if not waiter.answer.cancelled()]
            if len(self._waiters) >= MAX_WAITERS:
                raise unavailable("too many calls wait for the keys of the issuer")
            # Only with a place: whoever floods must not push out what others wait for.
            self._remember(kid, since)
            self._waiters.append(_Waiter(kid, since, answer))
            self._wanted = max(self._wanted, since + 1)
            self.changed.notify_all()
            return answer

    def longest_wait(self) -> float:
        """For how many seconds a call may wait for a key."""
        return LONGEST_WAIT if self.is_ready() else FIRST_WAIT

    def want(self) -> None:
        """Asks for a fetch that begins after this, as when the keys are said to have changed."""
        with self.changed:
            self._wanted = max(self._wanted, self._begun + 1)
            self._is_urgent = True
            self.changed.notify_all()

    def is_wanted(self) -> bool:
        """Whether a fetch is asked for beyond those that have begun. Hold `changed`."""
        return self._wanted > self._begun

    def earliest(self) -> float:
        """When the next fetch that is asked for may begin, by the monotonic clock. Hold `changed`."""
        return float("-inf") if self._is_urgent else self._latest_began + MIN_PAUSE

    def begin(self) -> None:
        """A fetch begins."""
        with self.changed:
            self._begun += 1
            self._is_urgent = False
            self._latest_began = self._clock.monotonic()

    def succeed(self, keys: Mapping[str, VerifyingKey]) -> None:
        """The fetch has ended with `keys`, which count for 24 hours from its beginning."""
        with self.changed:
            self._keys = dict(keys)
            self._good_until = self._latest_began + MAX_STALENESS
            self._succeeded = self._begun
            self._end(failed=False)

    def fail(self) -> None:
        """The fetch has ended without keys: those of before stay."""
        with self.changed:
            self._end(failed=True)

    def _end(self, *, failed: bool) -> None:
        self._ended, self._failed = self._begun, failed
        left = []
        for waiter in self._waiters:
            key = self.get(waiter.kid)
            failure = self._failure_for(waiter.since)
            if key is None and self._succeeded <= waiter.since and failure is None:
                left.append(waiter)
                self._wanted = max(self._wanted, waiter.since + 1)
            elif not waiter.answer.set_running_or_notify_cancel():
                continue
            elif key is not None or self._succeeded > waiter.since:
                waiter.answer.set_result(key)
            else:
                waiter.answer.set_exception(failure or unreachable("token issuer"))
        self._waiters = left
        self.changed.notify_all()

    def _decided_after(self, first: int | None) -> int | None:
        """After how many fetches have begun the next one decides on a key that was first asked for after `first`; `None`: it is decided."""
        if first is not None and self._succeeded > first:
            if self._begun > self._ended:
                return self._begun - 1
            return None if self._is_pausing() else self._begun
        if first is not None and self._ended <= first:
            return first
        return self._begun

    def _is_pausing(self) -> bool:
        return self._begun == self._ended and self._clock.monotonic() - self._latest_began < MIN_PAUSE

    def _failure_for(self, since: int) -> Refusal | None:
        # Whom an answer is owed to need not wait for another try when the last one has just failed.
        if self._failed and (self._ended > since or self._is_pausing()):
            return unreachable("token issuer")
        return None

    def _remember(self, kid: str, since: int) -> None:
        self._sightings[kid] = since
        self._sightings.move_to_end(kid)
        while len(self._sightings) > _MAX_SIGHTINGS:
            self._sightings.popitem(last=False)
