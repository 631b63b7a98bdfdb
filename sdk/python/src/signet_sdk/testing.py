"""Owns testing a service without Signet: an issuer in the process, tokens for anybody, and a clock that is turned by hand."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm

from identity.events.v1 import event_service_pb2 as events

from ._fetch import Fetched
from ._revoked import Revoked
from .clock import Clock
from .grants import PublicClient
from .hooks import Hooks
from .revocations import Revocations
from .verifier import Verifier

ISSUER = "https://issuer.invalid"
"""The issuer, unless it is told otherwise: an address that nobody can have (RFC 2606)."""


class ManualClock:
    """A clock that is turned by hand. Whoever waits for it goes on when it has been turned far enough."""

    def __init__(self, now: float | None = None) -> None:
        """Begins at `now`, in seconds since 1970; by default the present second."""
        self._now = float(int(time.time())) if now is None else now
        self._waiting: list[threading.Condition] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    def monotonic(self) -> float:
        """The same: this clock is never set back."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        self.advance_to(self._now + seconds)

    def advance_to(self, now: float) -> None:
        """Lets the time pass until `now`."""
        with self._lock:
            self._now = max(now, self._now)
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Waits until `condition` is notified, or the clock is turned."""
        with self._lock:
            self._waiting.append(condition)
            due = None if seconds is None else self._now + seconds
        try:
            if due is None or self._now < due:
                condition.wait()
        finally:
            with self._lock:
                self._waiting.remove(condition)


class TestIssuer:
    """An issuer in the process: it makes keys and tokens, turns the time, and revokes, all without a network."""

    __test__ = False  # It is no test of pytest's.

    def __init__(self, issuer: str = ISSUER, clock: ManualClock | None = None) -> None:
        """Tokens name `issuer`. `clock` is a new one unless it is given."""
        self.issuer = issuer
        self.clock = clock or ManualClock()
        self._keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._signing = ""
        self._watching: list[_TestRevocations] = []
        self.rotate_key()

    def rotate_key(self) -> str:
        """Makes another key, and signs with it from now on. Answers its `kid`. Those of before stay in the key set."""
        self._signing = str(uuid.uuid4())
        self._keys[self._signing] = ec.generate_private_key(ec.SECP256R1())
        return self._signing

    def revoke_key(self, kid: str) -> None:
        """Takes a key out of the key set, and tells the verifiers to fetch it anew."""
        del self._keys[kid]
        self.tell(events.WatchResponse(changes=events.Changes(keys_changed=True)))

    def key_set(self) -> bytes:
        """The JWK Set, as an issuer answers it."""
        keys = []
        for kid, key in self._keys.items():
            jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
            keys.append({**jwk, "kid": kid, "use": "sig", "alg": "ES256"})
        return json.dumps({"keys": keys}).encode()

    def user_token(self, *, audiences: Sequence[str] = (), **options: Any) -> str:
        """A token of a user; options as :meth:`token`."""
        return self.token(audiences=audiences, **options)

    def client_token(self, *, client_id: str | None = None, audiences: Sequence[str] = (), **options: Any) -> str:
        """A client's own token; options as :meth:`token`."""
        own = client_id or str(uuid.uuid4())
        return self.token(sub=own, client_id=own, session_id=None, audiences=audiences, **options)

    def token(
        self,
        *,
        sub: str | None = None,
        client_id: str | None = None,
        audiences: Sequence[str] = (),
        scopes: Sequence[str] = (),
        roles: Sequence[str] | None = None,
        session_id: str | None = "",
        lifetime: int = 900,
        claims: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
    ) -> str:
        """A token that is issued now, for `lifetime` seconds.

        `sub` and `client_id` are new ids unless they are given, and so is `session_id` (`None`: a client's own token). `claims` and
        `header` replace members, or add some; `None` takes one out.
        """
        now = int(self.clock.now())
        told: dict[str, Any] = {
            "iss": self.issuer,
            "sub": sub or str(uuid.uuid4()),
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "exp": now + lifetime,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "client_id": client_id or str(uuid.uuid4()),
            "scope": " ".join(scopes),
        }
        if session_id is not None:
            told |= {"sid": session_id or str(uuid.uuid4()), "amr": ["pwd"], "auth_time": now}
        if roles is not None:
            told["roles"] = list(roles)
        head = {"typ": "at+jwt", "kid": self._signing, **(header or {})}
        payload = {name: value for name, value in {**told, **(claims or {})}.items() if value is not None}
        encoded = json.dumps(payload, separators=(",", ":")).encode()
        return PyJWS().encode(encoded, self._keys[self._signing], "ES256", head)

    def verifier(self, audience: str, *, follows: bool = True, **options: Any) -> Verifier:
        """A verifier for `audience` that trusts this issuer, and goes by its clock; options as :class:`signet_sdk.Verifier`.

        `follows`: it hears at once what is revoked here.
        """
        revocations = None
        if follows and "revocations" not in options:
            revocations = _TestRevocations()
            self._watching.append(revocations)
            options["revocations"] = revocations
        options.setdefault("clock", self.clock)
        options.setdefault("key_source", lambda: Fetched(self.key_set(), None))
        # Time passes by hand, so that silence means nothing here.
        options.setdefault("when_stale", "continue" if revocations is not None else "refuse")
        verifier = Verifier(self.issuer, audience, **options)
        verifier.ready()
        return verifier

    def revoke_session(self, session_id: str) -> None:
        """A session has ended."""
        self.tell(events.WatchResponse(changes=events.Changes(ended_sessions=[session_id])))

    def revoke_client(self, client_id: str) -> None:
        """A client was disabled: its tokens of until now are revoked, and those of its users."""
        ended = events.EndedClient(client_id=client_id, time=self._until_now())
        self.tell(events.WatchResponse(changes=events.Changes(ended_clients=[ended])))

    def take_scopes(self, sub: str, audience: str, scopes: Sequence[str], *, client_id: str = "") -> None:
        """A user or client has lost `scopes`: tokens of until now that have one of them are revoked. An empty `sub`: everybody has."""
        taken = events.TakenScopes(subject=sub, audience=audience, scopes=scopes, client_id=client_id, time=self._until_now())
        self.tell(events.WatchResponse(changes=events.Changes(taken_scopes=[taken])))

    def tell(self, message: events.WatchResponse) -> None:
        """Tells all verifiers something else, as the stream does."""
        for revocations in self._watching:
            revocations.hear(message)

    def _until_now(self) -> Timestamp:
        return Timestamp(seconds=int(self.clock.now()))


class _TestRevocations(Revocations):
    """What was revoked, told by hand."""

    def __init__(self) -> None:
        super().__init__(["test"], PublicClient("test"), allow_plaintext="nothing is sent", watch=_nobody)

    def start(self, clock: Clock, hooks: Hooks, told: Any) -> None:
        """Knows at once that nothing was revoked."""
        self._clock, self._hooks, self._told = clock, hooks, told
        self.revoked = Revoked(clock)
        self.revoked.hear(events.WatchResponse(snapshot=events.Snapshot(is_last=True)))

    def hear(self, message: events.WatchResponse) -> None:
        """Is told `message`."""
        self._hear(message, is_first=False)


def _nobody(_address: str, _request: events.WatchRequest) -> Any:
    raise RuntimeError("nothing is watched in a test")


def issuer() -> Iterator[TestIssuer]:
    """A fixture of pytest: `signet_issuer = pytest.fixture(signet_sdk.testing.issuer)` in `conftest.py`."""
    yield TestIssuer()
