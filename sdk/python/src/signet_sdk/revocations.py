"""Owns following what was revoked: the stream of `identity.events.v1.EventService/Watch`, at one replica of Signet after another."""

from __future__ import annotations

import logging
import random as system_random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import grpc

from identity.events.v1 import event_service_pb2 as events
from identity.events.v1 import event_service_pb2_grpc as events_grpc

from ._addresses import open_channel, transport
from ._revoked import Revoked
from .clock import Clock, SystemClock
from .grants import ClientCredentials, ClientProof
from .hooks import Hooks, RevocationsState, tell
from .refusal import MAX_RETRY_AFTER, Refusal, refusal_of
from .token_source import TokenSource

SILENCE = 30.0
"""Seconds without a message after which a stream counts as dead. A heartbeat comes every 10."""

TOKEN_TIMEOUT = 15.0
"""Seconds within which a token must come."""

PAUSE, PAUSE_FULL, PAUSE_REFUSED = 1.0, 10.0, 30.0
"""Seconds before the next call, after a stream that never began: by default, where there is no room, and where an operator must act."""

_REFUSED = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
)
_LOG = logging.getLogger("signet_sdk")


class WatchStream(Protocol):
    """A stream that is open."""

    def __iter__(self) -> Iterator[events.WatchResponse]: ...

    def cancel(self) -> object:
        """Ends it: the iteration raises."""
        ...


Watch = Callable[[str, events.WatchRequest], WatchStream]
"""Opens a stream at an address. Raises `grpc.RpcError`, as its iteration does."""


class Revocations:
    """Follows what was revoked, so that a verifier refuses it within a second. Give it to one verifier.

    Its client has the scope `signet.events.watch`, and the audiences of the service and of Signet itself (docs/EVENTS.md).
    """

    def __init__(
        self,
        addresses: Sequence[str],
        proof: ClientProof,
        *,
        audience: str = "signet",
        channel_credentials: grpc.ChannelCredentials | None = None,
        allow_plaintext: str | None = None,
        random: Callable[[], float] = system_random.random,
        watch: Watch | None = None,
    ) -> None:
        """Where the replicas of Signet are (`host:port`), and by what the service proves that it may watch.

        `audience`: Signet's own. `channel_credentials`: TLS to Signet; without it the addresses must be of this machine, unless
        `allow_plaintext` says why not. `random`: a number of [0, 1). `watch`: opens a stream, in tests.

        Raises:
            PlaintextError: A token would go somewhere else in plaintext.
            ValueError: No address.
        """
        if not addresses:
            raise ValueError("following revocations needs an address of Signet")
        for address in addresses:
            transport(address, channel_credentials, allow_plaintext)
        self._addresses = list(addresses)
        self._random = random
        self._source: TokenSource | None = None
        self._shown = ""
        self._open: Callable[[str], grpc.Channel] = lambda address: open_channel(address, channel_credentials, allow_plaintext)
        if watch is None:
            self._source = TokenSource(
                addresses,
                ClientCredentials(proof),
                audience=audience,
                scopes=["signet.events.watch"],
                channel_credentials=channel_credentials,
                allow_plaintext=allow_plaintext,
            )
        self._watch = watch or self._watch_signet
        self._clock: Clock = SystemClock()
        self._hooks = Hooks()
        self._told: Callable[[bool], None] = lambda _keys_changed: None
        self.revoked = Revoked(self._clock)
        """What was revoked, as far as it was told."""
        self._at, self._resume_token, self._state = 0, b"", ""
        self._stream: WatchStream | None = None
        self._heard_at = 0.0
        self._changed = threading.Condition()
        self._is_closed = False

    def start(self, clock: Clock, hooks: Hooks, told: Callable[[bool], None]) -> None:
        """Begins, for a verifier with that clock and these hooks. `told` is called after each message: whether the keys have changed."""
        self._clock, self._hooks, self._told = clock, hooks, told
        self.revoked = Revoked(clock)
        threading.Thread(target=self._run, name="signet-revocations", daemon=True).start()
        threading.Thread(target=self._listen, name="signet-silence", daemon=True).start()

    def close(self) -> None:
        """Ends."""
        with self._changed:
            self._is_closed = True
            stream = self._stream
            self._changed.notify_all()
        if stream is not None:
            stream.cancel()
        if self._source is not None:
            self._source.close()

    def _run(self) -> None:
        while not self._is_closed:
            pause = self.follow()
            due = self._clock.monotonic() + pause
            with self._changed:
                while not self._is_closed and (left := due - self._clock.monotonic()) > 0:
                    self._clock.wait(self._changed, left)

    def follow(self) -> float:
        """Follows one stream to its end, and says for how many seconds to wait before the next one."""
        self._tell("connecting")
        address = self._addresses[self._at % len(self._addresses)]
        heard, failure = False, None
        try:
            stream = self._watch(address, events.WatchRequest(resume_token=self._resume_token))
            with self._changed:
                self._stream, self._heard_at = stream, self._clock.monotonic()
                self._changed.notify_all()
            if self._is_closed:
                stream.cancel()
            for message in stream:
                self._hear(message, is_first=not heard)
                heard = True
        except Exception as error:
            failure = error
        finally:
            with self._changed:
                self._stream = None
        if self._is_closed:
            return 0.0
        self._tell("down")
        return self._after(failure, heard) + self._random()

    def _after(self, failure: Exception | None, heard: bool) -> float:
        """Where the next stream begins, and after how many seconds."""
        refusal = refusal_of(failure) if failure is not None else None
        reason = refusal.reason if refusal is not None else type(failure).__name__
        if refusal is not None and refusal.reason in ("TOKEN_EXPIRED", "TOKEN_REVOKED") and self._source is not None:
            self._source.drop(self._shown)
        if refusal is None or refusal.reason != "TOKEN_EXPIRED":
            # The replica is restarted, away or full. Where there is but one address, it may stand for several.
            self._at += 1
        if heard:
            return 0.0
        _LOG.warning("what was revoked cannot be followed: %s", reason)
        return _pause(failure, refusal)

    def _hear(self, message: events.WatchResponse, *, is_first: bool) -> None:
        part = message.WhichOneof("part")
        with self._changed:
            self._heard_at = self._clock.monotonic()
        self.revoked.hear(message)
        if part == "resync":
            self._resume_token = b""
        elif message.resume_token:
            self._resume_token = message.resume_token
        if self.revoked.is_complete:
            self._tell("complete")
        keys_changed = part == "resync" or (part == "changes" and message.changes.keys_changed)
        self._told(keys_changed or (is_first and part == "snapshot"))

    def _tell(self, state: RevocationsState) -> None:
        if state != self._state:
            self._state = state
            tell(self._hooks.revocations, state)

    def _listen(self) -> None:
        """Ends a stream from which nothing has come for too long."""
        while True:
            with self._changed:
                if self._is_closed:
                    return
                stream, left = self._stream, self._heard_at + SILENCE - self._clock.monotonic()
                if stream is None or left > 0:
                    self._clock.wait(self._changed, None if stream is None else left)
                    continue
                self._stream = None
            stream.cancel()

    def _watch_signet(self, address: str, request: events.WatchRequest) -> WatchStream:
        assert self._source is not None
        self._shown = self._source.token(TOKEN_TIMEOUT)
        channel = self._open(address)
        stream: Any = events_grpc.EventServiceStub(channel).Watch(request, metadata=(("authorization", f"Bearer {self._shown}"),))
        stream.add_done_callback(lambda _: threading.Thread(target=channel.close, daemon=True).start())
        opened: WatchStream = stream
        return opened


def _pause(failure: Exception | None, refusal: Refusal | None) -> float:
    code = failure.code() if isinstance(failure, grpc.RpcError) and hasattr(failure, "code") else None
    if refusal is not None and refusal.retry_after is not None:
        return min(refusal.retry_after, MAX_RETRY_AFTER)
    if refusal is not None and refusal.reason == "TOKEN_EXPIRED":
        return PAUSE
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return PAUSE_FULL
    return PAUSE_REFUSED if code in _REFUSED else PAUSE
