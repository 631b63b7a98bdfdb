"""Owns the open streams: when each ends, since its token has expired or was revoked, or it cannot be told any more whether it was."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ._revoked import Revoked
from .claims import Claims
from .clock import Clock
from .hooks import Hooks, tell
from .refusal import Refusal, token_expired, token_revoked, unavailable, unreachable

MAX_STREAMS = 10_000
"""The most guarded streams that are open at once, those included whose handler has not yet noticed their end."""

CUT_AFTER = 5.0
"""Seconds that a client has to read why its stream has ended, before the call is cancelled."""

_LONGEST_SLEEP = 5.0
"""Seconds after which the clock is looked at again in any case: it may have been set."""


@dataclass(slots=True, eq=False)
class OpenStream:
    """A stream that is open."""

    claims: Claims
    audience: str
    method: str
    end: Callable[[Refusal], None] = field(repr=False)
    """Called once, on the thread that watches: it must be quick."""
    cut: Callable[[], None] | None = field(default=None, repr=False)
    """Called there `CUT_AFTER` seconds later: it cancels the call, if that is not over, since its client reads nothing."""


class OpenStreams:
    """The open streams of one verifier, and the thread that ends them."""

    def __init__(self, clock: Clock, hooks: Hooks, revoked: Revoked | None, *, grace: float, max_age: float, refuses_stale: bool) -> None:
        self._clock, self._hooks, self._revoked = clock, hooks, revoked
        self._grace, self._max_age, self._refuses_stale = grace, max_age, refuses_stale
        self._open: set[OpenStream] = set()
        self._cuts: deque[tuple[float, Callable[[], None]]] = deque()
        self._held = 0
        self._wakes = 0
        self._sleeps_until = -math.inf
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def open(self, stream: OpenStream) -> None:
        """Watches `stream` from now on. Whoever opens it releases it when its handler has returned.

        Raises:
            Refusal: `UNAVAILABLE`: too many are open, or it is closed.
        """
        with self._changed:
            if self._is_closed:
                raise unavailable("the verifier is closed")
            if self._held >= MAX_STREAMS:
                raise unavailable("too many streams are open")
            self._held += 1
            self._open.add(stream)
            is_next = self._ends_at(stream) < self._sleeps_until
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="signet-streams", daemon=True)
                self._thread.start()
            self._wakes += 1
            if is_next:
                self._changed.notify_all()
        # Something may have been told since the call was judged.
        if self._revoked is not None and self._revoked.hits(stream.claims):
            self.sweep()

    def release(self, stream: OpenStream) -> None:
        """The handler of `stream` has returned."""
        with self._changed:
            self._open.discard(stream)
            self._held -= 1

    def wake(self) -> None:
        """Something was told: looks at once whom it concerns."""
        with self._changed:
            self._wakes += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends all streams, with `UNAVAILABLE`. None is opened later."""
        with self._changed:
            self._is_closed = True
            self._wakes += 1
            self._changed.notify_all()
        self.sweep()

    def sweep(self) -> float:
        """Ends what must end by now, and says after how many seconds to look again."""
        with self._changed:
            now, watched = self._clock.now(), list(self._open)
            ends = [(stream, refusal) for stream in watched if (refusal := self._refusal(stream, now)) is not None]
            self._open.difference_update(stream for stream, _ in ends)
            next_end = min((self._ends_at(stream) for stream in self._open), default=math.inf) - now
            tick = self._clock.monotonic()
            self._cuts.extend((tick + CUT_AFTER, stream.cut) for stream, _ in ends if stream.cut is not None)
            due = []
            while self._cuts and self._cuts[0][0] <= tick:
                due.append(self._cuts.popleft()[1])
            next_cut = self._cuts[0][0] - tick if self._cuts else math.inf
        for stream, refusal in ends:
            tell(stream.end, refusal.at(stream.audience, stream.method))
            tell(self._hooks.stream_ended, refusal.reason)
        for cut in due:
            tell(cut)
        return max(0.0, min(next_end, next_cut, self._until_stale(), _LONGEST_SLEEP))

    def _ends_at(self, stream: OpenStream) -> float:
        return stream.claims.expires_at + self._grace

    def _refusal(self, stream: OpenStream, now: float) -> Refusal | None:
        if self._is_closed:
            return unavailable("the verifier is closed")
        if self._revoked is not None and self._revoked.hits(stream.claims):
            return token_revoked()
        if now >= self._ends_at(stream):
            return token_expired()
        if self._revoked is not None and self._refuses_stale and self._revoked.is_stale(self._max_age):
            return unreachable("stream of revocations")
        return None

    def _until_stale(self) -> float:
        if self._revoked is None or not self._refuses_stale:
            return math.inf
        # A moment later than the last one at which it is not yet so.
        return max(self._revoked.heard + self._max_age - self._clock.monotonic(), 0.0) + 0.01

    def _is_over(self) -> bool:
        return self._is_closed and not self._open and not self._cuts

    def _run(self) -> None:
        while not self._is_over():
            wakes, began = self._wakes, self._clock.monotonic()
            pause = self.sweep()
            with self._changed:
                is_watching = bool(self._open or self._cuts)
                left = began + pause - self._clock.monotonic() if is_watching else None
                # What was told, opened or turned during the sweep may have come too late for it.
                if self._is_over() or wakes != self._wakes or (left is not None and left <= 0):
                    continue
                self._sleeps_until = math.inf if left is None else self._clock.now() + left
                self._clock.wait(self._changed, left)
                self._sleeps_until = -math.inf
