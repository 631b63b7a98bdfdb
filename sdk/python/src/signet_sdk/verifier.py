"""Owns verifying the tokens of one issuer for one audience: the order in which a call is judged (RFC 9068 section 4, RFC 8725)."""

from __future__ import annotations

import asyncio
import hashlib
import random as system_random
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from ._fetch import HttpKeySource, KeySource
from ._judge import AskIntrospection, check_roles, check_rule, check_time
from ._jws import Jws, bearer_token, read_jws
from ._key_fetcher import KeyFetcher
from ._key_store import KeyStore
from ._revoked import Revoked
from ._streams import OpenStreams
from .access import NO_RULE, UNKNOWN_METHOD, Access, Rule
from .caller import Caller, caller_of
from .claims import Claims, read_claims
from .clock import Clock, SystemClock
from .hooks import Hooks, tell
from .introspection import TIMEOUT as INTROSPECTION_TIMEOUT
from .introspection import Introspection
from .jwk import VerifyingKey
from .refusal import Refusal, denied, token_invalid, token_revoked, unavailable, unreachable
from .revocations import Revocations

WhenStale = Literal["refuse", "continue"]
"""What a verifier does that has not heard for too long what was revoked: `UNAVAILABLE`, or go by what it knows."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that must be waited for, and for how long at most."""

    answer: Future[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that passes."""

    caller: Caller
    claims: Claims
    audience: str
    method: str


Admitting = Generator[Wait, None, Admission]
"""A call that is judged: it yields what it must wait for, and returns the admission or raises the refusal."""


@dataclass(frozen=True, slots=True)
class _Verified:
    claims: Claims
    caller: Caller
    key: VerifyingKey


class Verifier:
    """Verifies access tokens of one issuer, and remembers those that it has verified. Make one for a process, and close it at the end.

    It begins to fetch keys (and to follow revocations) when it is first used, or by :meth:`start`. It is safe for threads and for asyncio.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        jwks_uri: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        leeway: float = 5.0,
        cache_size: int = 10_000,
        token_typ_jwt: bool = False,
        revocations: Revocations | None = None,
        revocation_max_age: float = 30.0,
        when_stale: WhenStale = "refuse",
        stream_grace: float = 30.0,
        introspection: Introspection | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = system_random.random,
        hooks: Hooks | None = None,
        key_source: KeySource | None = None,
    ) -> None:
        """Trusts `issuer` (`iss`, letter for letter), and takes tokens for `audience` (`aud`) where a rule names no other.

        All times are in seconds.

        `jwks_uri`: where the keys are; without it the issuer's metadata say so (RFC 8414, OpenID Connect Discovery). Whoever can answer
        there can make tokens: use https, or http only where the way is protected otherwise. `ssl_context`: whom to trust over https.
        `leeway`: how far the issuer's clock may be from this one. `cache_size`: how many verified tokens are remembered; 0: none.
        `token_typ_jwt`: take `typ: JWT` beside `at+jwt`, in tokens for this audience alone.
        `revocations`: follow what was revoked; then, after `revocation_max_age` without news, calls are `UNAVAILABLE`, or go on with
        `when_stale="continue"`. `stream_grace`: how long a stream may go on after its token has expired.
        `introspection`: asked about roles that had no room in the token.
        `clock`, `random` (numbers of [0, 1)) and `key_source` (answers the key set) are for tests.

        Raises:
            ValueError: A setting breaks its rule.
        """
        if not audience:
            raise ValueError("audience must not be empty")
        if when_stale not in ("refuse", "continue"):
            raise ValueError('when_stale must be "refuse" or "continue"')
        numbers = {"leeway": leeway, "cache_size": cache_size, "revocation_max_age": revocation_max_age, "stream_grace": stream_grace}
        for name, value in numbers.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative")
        self.issuer, self.audience = issuer, audience
        self._leeway, self._takes_plain_jwt = leeway, token_typ_jwt
        self._max_age, self._refuses_stale = revocation_max_age, when_stale == "refuse"
        self._stream_grace = stream_grace
        self._clock, self._hooks = clock or SystemClock(), hooks or Hooks()
        self._seen: OrderedDict[bytes, _Verified] = OrderedDict()
        self._seen_lock, self._cache_size = threading.Lock(), cache_size
        self._keys = KeyStore(self._clock)
        source = key_source or HttpKeySource(issuer, jwks_uri, ssl_context)
        self._fetcher = KeyFetcher(self._keys, source, self._clock, random, self._hooks)
        self._revocations, self._introspection = revocations, introspection
        self._revoked: Revoked | None = None
        self._streams: OpenStreams | None = None
        self._lifecycle = threading.Lock()
        self._is_started = self._is_closed = False

    def start(self) -> None:
        """Begins to fetch keys and to follow revocations. Calling it again does nothing."""
        if self._is_started:
            return
        with self._lifecycle:
            if self._is_started or self._is_closed:
                return
            if self._revocations is not None:
                self._revocations.start(self._clock, self._hooks, self._told)
                self._revoked = self._revocations.revoked
            self._streams = self._watched_streams()
            self._fetcher.start()
            self._is_started = True

    def _watched_streams(self) -> OpenStreams:
        return OpenStreams(
            self._clock,
            self._hooks,
            self._revoked,
            grace=self._stream_grace,
            max_age=self._max_age,
            refuses_stale=self._refuses_stale,
        )

    def close(self) -> None:
        """Ends what goes on in the background. Open streams end, and calls that come later are `UNAVAILABLE`."""
        with self._lifecycle:
            self._is_closed = True
            if self._streams is None:
                self._streams = self._watched_streams()
            self._fetcher.close()
            for part in (self._revocations, self._introspection, self._streams):
                if part is not None:
                    part.close()
        with self._keys.changed:
            self._keys.changed.notify_all()

    def __enter__(self) -> Verifier:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def is_ready(self) -> bool:
        """Whether keys are known and, if revocations are followed, all that was revoked: answer probes by it."""
        self.start()
        return self._is_ready()

    def _is_ready(self) -> bool:
        return self._keys.is_ready() and (self._revoked is None or self._revoked.is_complete)

    def ready(self, timeout: float | None = None) -> bool:
        """Waits until it is ready, for at most `timeout` seconds, and says whether it is."""
        self.start()
        with self._keys.changed:
            due = None if timeout is None else self._clock.monotonic() + timeout
            while not self._is_ready() and not self._is_closed:
                left = None if due is None else due - self._clock.monotonic()
                if left is not None and left <= 0:
                    break
                self._clock.wait(self._keys.changed, left)
        return self._is_ready()

    async def ready_async(self, timeout: float | None = None) -> bool:
        """The same, for a coroutine."""
        return await asyncio.get_running_loop().run_in_executor(None, self.ready, timeout)

    def verify(self, token: str, rule: Rule | None = None, *, timeout: float | None = None) -> Caller:
        """Whom `token` stands for, if it keeps `rule`. For a thread that may wait for keys, for at most `timeout` seconds.

        Guards do this for each call. By itself it is for protocols that have none here.

        Raises:
            Refusal: With a code, a reason and metadata, as a guard answers them.
        """
        return self.drive(self.admit(Access("authenticated", rule or Rule()), "", [f"Bearer {token}"]), timeout).caller

    async def verify_async(self, token: str, rule: Rule | None = None) -> Caller:
        """The same, for a coroutine.

        Raises:
            Refusal: As :meth:`verify`.
        """
        admitting = self.admit(Access("authenticated", rule or Rule()), "", [f"Bearer {token}"])
        return (await self.drive_async(admitting)).caller

    def drive(self, admitting: Admitting, timeout: float | None = None) -> Admission:
        """Judges a call, on a thread that may wait.

        Raises:
            Refusal: The call goes no further.
        """
        try:
            while True:
                wait = next(admitting)
                _wait(wait, timeout)
        except StopIteration as end:
            admission: Admission = end.value
            return admission

    async def drive_async(self, admitting: Admitting) -> Admission:
        """Judges a call, in a coroutine.

        Raises:
            Refusal: The call goes no further.
        """
        try:
            while True:
                await _wait_async(next(admitting))
        except StopIteration as end:
            admission: Admission = end.value
            return admission

    def admit(self, access: Access, method: str, authorization: list[str | bytes]) -> Admitting:
        """Judges a call of `method`, which is not public, by the values of its field `authorization`.

        Drive it with :meth:`drive` or :meth:`drive_async`. It raises the refusal, which names the audience and the method.
        """
        rule = access.rule or Rule()
        audience = rule.audience or self.audience
        cached = False
        try:
            if access.kind != "authenticated":
                raise denied("ACCESS_UNDECLARED", UNKNOWN_METHOD if access.kind == "unknown" else NO_RULE)
            if self._is_closed:
                raise unavailable("the verifier is closed")
            token = bearer_token(authorization)
            fingerprint = hashlib.sha256(token.encode("ascii")).digest()
            verified = self._seen_before(fingerprint)
            cached = verified is not None
            if verified is None:
                verified = yield from self._verified(token)
            claims = verified.claims
            if audience not in claims.audiences:
                raise token_invalid("it is meant for another audience")
            now = self._clock.now()
            check_time(claims, now, self._leeway)
            if not cached:
                # What lets nobody in pushes out nothing that does.
                self._remember(fingerprint, verified)
            self._check_revoked(claims)
            asks = check_rule(claims, rule, audience)
            caller = verified.caller if asks is None else (yield from self._introspected(token, claims, asks))
        except Refusal as refusal:
            tell(self._hooks.verified, refusal.reason, cached)
            raise refusal.at(audience, method) from None
        tell(self._hooks.verified, "OK", cached)
        return Admission(caller, claims, audience, method)

    def recheck(self, admission: Admission) -> None:
        """Judges an admitted call once more, in the moment before its handler begins.

        The one message of a call may have come long after its metadata, by which it was admitted.

        Raises:
            Refusal: The token has expired since, or was revoked, or it is not known any more what was.
        """
        try:
            check_time(admission.claims, self._clock.now(), self._leeway)
            self._check_revoked(admission.claims)
        except Refusal as refusal:
            raise refusal.at(admission.audience, admission.method) from None

    @property
    def streams(self) -> OpenStreams:
        """The open streams, for guards."""
        self.start()
        assert self._streams is not None
        return self._streams

    def _verified(self, token: str) -> Generator[Wait, None, _Verified]:
        """`token`, if its signature verifies and its claims are those of an access token."""
        jws = read_jws(token, takes_plain_jwt=self._takes_plain_jwt)
        key = self._keys.get(jws.kid)
        if key is None:
            key = yield from self._find_key(jws.kid)
        if jws.alg != key.alg:
            raise token_invalid("its algorithm is not the one of its key")
        if not key.verifies(jws.signing_input, jws.signature):
            raise token_invalid("its signature does not verify")
        claims = self._claims(jws)
        return _Verified(claims, caller_of(claims), key)

    def _claims(self, jws: Jws) -> Claims:
        claims = read_claims(jws.payload, self.issuer)
        if jws.is_plain_jwt and (claims.audiences != (self.audience,) or claims.client_id == self.audience):
            raise token_invalid("its `typ` is not `at+jwt`")
        return claims

    def _find_key(self, kid: str) -> Generator[Wait, None, VerifyingKey]:
        self.start()
        answer = self._keys.find(kid)
        if answer is None:
            raise token_invalid("its key is unknown")
        if not answer.done():
            yield Wait(answer, self._keys.longest_wait())
        key: VerifyingKey | None = _answer_of(answer, "token issuer")
        if key is None:
            raise token_invalid("its key is unknown")
        return key

    def _introspected(self, token: str, claims: Claims, asks: AskIntrospection) -> Generator[Wait, None, Caller]:
        if self._introspection is None:
            raise unreachable("roles of the caller")
        answer = self._introspection.ask(token)
        if not answer.done():
            yield Wait(answer, INTROSPECTION_TIMEOUT)
        told = _answer_of(answer, "introspection of tokens")
        if not told.active:
            raise token_revoked()
        check_roles(told.roles, asks.rule)
        return caller_of(claims, told.roles)

    def _check_revoked(self, claims: Claims) -> None:
        if self._revocations is None:
            return
        self.start()
        revoked = self._revoked
        if revoked is None or not revoked.is_complete or (self._refuses_stale and revoked.is_stale(self._max_age)):
            raise unreachable("stream of revocations")
        if revoked.hits(claims):
            raise token_revoked()

    def _told(self, keys_changed: bool) -> None:
        if keys_changed:
            self._keys.want()
        with self._keys.changed:
            self._keys.changed.notify_all()
        self.streams.wake()

    def _seen_before(self, fingerprint: bytes) -> _Verified | None:
        with self._seen_lock:
            seen = self._seen.get(fingerprint)
            if seen is None or self._keys.get(seen.key.kid) is not seen.key:
                return None
            self._seen.move_to_end(fingerprint)
            return seen

    def _remember(self, fingerprint: bytes, verified: _Verified) -> None:
        with self._seen_lock:
            self._seen[fingerprint] = verified
            if len(self._seen) > self._cache_size:
                self._seen.popitem(last=False)


def _wait(wait: Wait, timeout: float | None) -> None:
    try:
        wait.answer.exception(wait.seconds if timeout is None else min(wait.seconds, timeout))
    except FutureTimeout:
        wait.answer.cancel()


async def _wait_async(wait: Wait) -> None:
    answer = asyncio.wrap_future(wait.answer)
    try:
        await asyncio.wait([answer], timeout=wait.seconds)
    finally:
        if answer.done() and not answer.cancelled():
            answer.exception()  # It is read from the other one.
        else:
            answer.cancel()


def _answer_of(answer: Future[Any], what: str) -> Any:
    """What `answer` holds by now; the refusal, if it holds none, that `what` cannot be reached."""
    if not answer.done() or answer.cancelled():
        answer.cancel()
        raise unreachable(what)
    failure = answer.exception()
    if isinstance(failure, Refusal):
        raise failure
    if failure is not None:
        raise unreachable(what) from failure
    return answer.result()
