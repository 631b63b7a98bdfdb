"""Owns getting tokens for one audience: kept, renewed before they expire, asked for once however many calls need one."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random as system_random
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import cast

import grpc

from identity.v1 import identity_service_pb2 as identity

from ._issuing import Issue, TokenEndpoint, is_final
from .clock import Clock, SystemClock
from .grants import Grant, RefreshToken
from .hooks import Hooks, tell
from .refusal import MAX_RETRY_AFTER, Refusal, refusal_of, unavailable

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds after which a failed renewal is tried again: doubled each time, up to the latter, with jitter."""

FINAL_PAUSE = 10.0
"""Seconds for which Signet is not asked again that has refused for good, as a wrong secret."""

SETTLED = 7.0
"""Seconds after which a token that took the place of a refused one may be dropped itself (docs/EVENTS.md, "What callers see")."""

STORE_TIMEOUT = 10.0
"""Seconds that `store` may take; then it counts as failed."""

_LOG = logging.getLogger("signet_sdk")


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    got_at: float
    expires_at: float
    renew_at: float
    is_replacement: bool


class TokenSource:
    """Tokens for one audience, by one grant. Safe for threads and for asyncio alike; make one for each audience, and keep it.

    Calls get the token that is there. Once 80 % of its life have passed (75 to 85, by chance) a call starts the renewal and goes on with
    the old token, for as long as that lives.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        grant: Grant,
        *,
        audience: str,
        scopes: Sequence[str] = (),
        channel_credentials: grpc.ChannelCredentials | None = None,
        allow_plaintext: str | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = system_random.random,
        hooks: Hooks | None = None,
        issue: Issue | None = None,
    ) -> None:
        """Where Signet is (`addresses`, `host:port`, tried in turn), what to exchange, and for whom the tokens shall be.

        `scopes`: which to ask for; none for all that the client may have. `channel_credentials`: TLS to Signet; without it the addresses
        must be of this machine, unless `allow_plaintext` says why not. `random`: a number of [0, 1). `issue`: asks for a token, in tests.

        Raises:
            PlaintextError: A secret would go somewhere else in plaintext.
            ValueError: No address or audience; an asynchronous `store` outside of a running event loop; or a refresh grant that another
                source has.
        """
        if not audience or (issue is None and not addresses):
            raise ValueError("a token source needs an audience and an address of Signet")
        self.audience = audience
        self._scope = " ".join(scopes)
        self._grant = grant
        self._endpoint = None if issue else TokenEndpoint(addresses, channel_credentials, allow_plaintext)
        self._exchange = self._endpoint.issue if self._endpoint else _once(cast("Issue", issue))
        self._clock, self._random, self._hooks = clock or SystemClock(), random, hooks or Hooks()
        self._refresh_token = grant.refresh_token if isinstance(grant, RefreshToken) else ""
        self._unstored: tuple[identity.IssueTokenResponse, float] | None = None
        self._storing: Future[None] | None = None
        """The call of `store` that goes on though it has taken too long. No other one begins meanwhile: it could write an older token over
        a newer one."""
        self._loop: asyncio.AbstractEventLoop | None = None
        if isinstance(grant, RefreshToken) and inspect.iscoroutinefunction(grant.store):
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:
                raise ValueError("an asynchronous `store` needs a token source made in its event loop") from None
        self._lock = threading.Lock()
        self._current: _Token | None = None
        self._renewal: Future[str] | None = None
        self._failure: Refusal | None = None
        self._failures = 0
        self._retry_at = float("-inf")
        self._is_replacing = False
        if isinstance(grant, RefreshToken) and not grant.take():
            raise ValueError("this refresh grant has a source already: it renews the refresh token, and no other may use it")

    def token(self, timeout: float | None = None) -> str:
        """A live token, for a thread that may wait up to `timeout` seconds for it.

        Raises:
            Refusal: Signet's own, if it refuses for good; else `UNAVAILABLE`, or `DEADLINE_EXCEEDED` after `timeout`.
        """
        got = self._get()
        if isinstance(got, str):
            return got
        try:
            return got.result(timeout)
        except FutureTimeout:
            raise _too_late() from None

    async def token_async(self, timeout: float | None = None) -> str:
        """The same, for a coroutine.

        Raises:
            Refusal: As :meth:`token`.
        """
        got = self._get()
        if isinstance(got, str):
            return got
        try:
            # Shielded: others wait for the same renewal.
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(got)), timeout)
        except asyncio.TimeoutError:
            raise _too_late() from None

    def drop(self, token: str) -> bool:
        """Forgets `token`, which was refused, if it is still the one that is kept. Whether it is worth while to try with another.

        It is not where the token has itself just taken the place of a refused one: Signet's own advice is to wait for some seconds then,
        and a caller that is refused again and again would have a token issued for each call.
        """
        with self._lock:
            current = self._current
            if current is None or current.value != token:
                return True
            if current.is_replacement and self._clock.monotonic() - current.got_at < SETTLED:
                return False
            self._current, self._is_replacing = None, True
            return True

    def close(self) -> None:
        """Closes the channels to Signet."""
        if self._endpoint is not None:
            self._endpoint.close()

    def _get(self) -> str | Future[str]:
        with self._lock:
            now, current = self._clock.monotonic(), self._current
            is_pausing = now < self._retry_at
            if current is not None and now < current.expires_at:
                if now >= current.renew_at and not is_pausing:
                    self._renew()
                return current.value
            if self._renewal is None and is_pausing:
                raise self._failure or unavailable("no access token could be got")
            return self._renew()

    def _renew(self) -> Future[str]:
        if self._renewal is None:
            renewal = self._renewal = Future()
            threading.Thread(target=self._run, args=[renewal], name="signet-token", daemon=True).start()
        return self._renewal

    def _run(self, renewal: Future[str]) -> None:
        asked = self._clock.monotonic()
        try:
            token = self._ask(asked)
        except Exception as error:
            refusal = refusal_of(error) or unavailable(type(error).__name__)
            self._failed(refusal, renewal)
            return
        with self._lock:
            self._current, self._renewal, self._is_replacing = token, None, False
            self._failure, self._failures, self._retry_at = None, 0, float("-inf")
        renewal.set_result(token.value)
        tell(self._hooks.token_renewed, True)

    def _ask(self, asked: float) -> _Token:
        # An answer that could not be stored is not asked for again: Signet takes a repeat of the old refresh token for theft.
        pending = self._unstored
        answer, asked = pending or (self._exchange(self._request), asked)
        if isinstance(self._grant, RefreshToken) and answer.refresh_token:
            self._unstored = (answer, asked)
            self._store(self._grant, answer.refresh_token)
            self._refresh_token, self._unstored = answer.refresh_token, None
        lifetime = float(answer.expires_in)
        now = self._clock.monotonic()
        if pending is not None and now >= asked + lifetime:
            return self._ask(now)
        if not answer.access_token or now >= asked + lifetime:
            # An exchange that is repeated or stored late: its refresh token is good, and the next exchange gives a fresh token.
            raise unavailable("the token had expired when it came")
        return _Token(
            value=answer.access_token,
            got_at=now,
            expires_at=asked + lifetime,
            renew_at=asked + renew_after(lifetime, self._random()),
            is_replacement=self._is_replacing,
        )

    def _request(self) -> identity.IssueTokenRequest:
        """What to ask: anew for each address, since a client assertion is used once."""
        request = identity.IssueTokenRequest(scope=self._scope, audiences=[self.audience])
        if isinstance(self._grant, RefreshToken):
            request.refresh_token.refresh_token = self._refresh_token
        else:
            request.client_credentials.SetInParent()
        if self._grant.proof is not None:
            request.client.CopyFrom(self._grant.proof.authentication(self._clock.now()))
        return request

    def _store(self, grant: RefreshToken, token: str) -> None:
        try:
            # One that goes on is for this same token: it is kept until it is stored.
            storing = self._storing = self._storing or self._stored(grant, token)
            try:
                storing.result(STORE_TIMEOUT)
            finally:
                if storing.done():
                    self._storing = None
        except Exception as error:
            # Whatever it raises, which may be a refusal of somebody else's: it is the store that is away.
            raise unavailable("the next refresh token could not be stored") from error

    def _stored(self, grant: RefreshToken, token: str) -> Future[None]:
        """Begins to call `store`."""
        if self._loop is None:
            return _on_a_thread(cast("Callable[[str], None]", grant.store), token)
        store = cast("Callable[[str], Awaitable[None]]", grant.store)

        async def stored() -> None:
            await store(token)

        return asyncio.run_coroutine_threadsafe(stored(), self._loop)

    def _failed(self, refusal: Refusal, renewal: Future[str]) -> None:
        with self._lock:
            self._renewal, self._failure = None, refusal
            self._failures += 1
            pause = min(FIRST_RETRY * 2.0 ** min(self._failures - 1, 10), LAST_RETRY) * (0.5 + 0.5 * self._random())
            if is_final(refusal):
                pause = FINAL_PAUSE
            else:
                refusal = self._failure = Refusal(
                    grpc.StatusCode.UNAVAILABLE,
                    "UNAVAILABLE",
                    f"no access token could be got: {refusal.details()}",
                    retry_after=refusal.retry_after,
                )
            self._retry_at = self._clock.monotonic() + max(pause, min(refusal.retry_after or 0.0, MAX_RETRY_AFTER))
        _LOG.warning("no token could be got for %s: %s", self.audience, refusal.reason)
        renewal.set_exception(refusal)
        tell(self._hooks.token_renewed, False)


def renew_after(lifetime: float, random: float) -> float:
    """After how many seconds a token is renewed that lives for `lifetime`: `random` is a number of [0, 1)."""
    return lifetime * (0.75 + 0.1 * random)


def _on_a_thread(store: Callable[[str], None], token: str) -> Future[None]:
    """Calls `store` on a thread of its own, since a thread cannot be interrupted."""
    stored: Future[None] = Future()

    def run() -> None:
        try:
            store(token)
        except BaseException as error:
            stored.set_exception(error)
        else:
            stored.set_result(None)

    threading.Thread(target=run, name="signet-store", daemon=True).start()
    return stored


def _once(issue: Issue) -> Callable[[Callable[[], identity.IssueTokenRequest]], identity.IssueTokenResponse]:
    return lambda request: issue(request())


def _too_late() -> Refusal:
    return Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "no token came within the deadline of the call")
