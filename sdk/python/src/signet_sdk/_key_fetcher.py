"""Owns when the keys of an issuer are fetched: before they are stale, soon again after a failure, and when a call asks for one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ._fetch import FetchError, KeySource
from ._key_store import KeyStore
from .clock import Clock
from .hooks import Hooks, tell
from .jwk import KeySetError, read_key_set

DEFAULT_MAX_AGE = 300.0
"""For how many seconds keys are kept whose issuer does not say."""

MIN_INTERVAL, MAX_INTERVAL = 30.0, 3600.0
"""Seconds between two fetches, whatever the issuer says."""

FIRST_RETRY, LAST_RETRY = 1.0, 60.0
"""Seconds after which a fetch that has failed is tried again: doubled each time, up to the latter."""

_LOG = logging.getLogger("signet_sdk")


class KeyFetcher:
    """Fetches the keys of an issuer into a store, on a thread of its own."""

    def __init__(self, store: KeyStore, source: KeySource, clock: Clock, random: Callable[[], float], hooks: Hooks) -> None:
        self._store, self._source, self._clock, self._random, self._hooks = store, source, clock, random, hooks
        self._failures = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="signet-keys", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Ends. A fetch that goes on is not waited for."""
        with self._store.changed:
            self._is_closed = True
            self._store.changed.notify_all()

    def fetch(self) -> float:
        """Fetches once, and says after how many seconds to do so again."""
        self._store.begin()
        try:
            fetched = self._source()
            keys = read_key_set(fetched.document, self._store.keys())
        except (FetchError, KeySetError) as problem:
            return self._failed(str(problem))
        except Exception as problem:
            # A source of the application's own; its text may hold anything.
            return self._failed(type(problem).__name__)
        if self._failures:
            _LOG.info("the issuer's keys can be fetched again")
        self._failures = 0
        self._store.succeed(keys)
        tell(self._hooks.keys_fetched, True)
        return fresh_for(fetched.max_age, self._random())

    def _failed(self, problem: str) -> float:
        self._failures += 1
        _LOG.warning("the issuer's keys cannot be fetched: %s", problem)
        self._store.fail()
        tell(self._hooks.keys_fetched, False)
        return retry_after(self._failures, self._random())

    def _run(self) -> None:
        while not self._is_closed:
            due = self.fetch() + self._clock.monotonic()
            with self._store.changed:
                while not self._is_closed:
                    at = min(due, self._store.earliest()) if self._store.is_wanted() else due
                    left = at - self._clock.monotonic()
                    if left <= 0:
                        break
                    self._clock.wait(self._store.changed, left)


def fresh_for(max_age: float | None, random: float) -> float:
    """After how many seconds keys are fetched again: somewhat less than the issuer allows, so that not all replicas ask at one moment."""
    allowed = min(DEFAULT_MAX_AGE if max_age is None else max_age, MAX_INTERVAL)
    return max(allowed * (0.8 + 0.2 * random), MIN_INTERVAL)


def retry_after(failures: int, random: float) -> float:
    """After how many seconds it is tried again, after that many failures."""
    doubled = FIRST_RETRY * 2.0 ** min(failures - 1, 10)
    return min(doubled, LAST_RETRY) * (0.5 + 0.5 * random)
