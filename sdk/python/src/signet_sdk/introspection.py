"""Owns asking Signet what a token is worth at this moment (RFC 7662), where the token had no room for its roles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore

import grpc

from identity.v1 import token_service_pb2 as tokens
from identity.v1 import token_service_pb2_grpc as tokens_grpc

from ._addresses import open_channel, transport
from .grants import ClientCredentials, ClientProof
from .refusal import refusal_of, unavailable
from .token_source import TokenSource

TIMEOUT = 5.0
"""Seconds that an answer may take."""

MAX_WAITING = 1_000
"""The most calls that wait for an answer."""

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Introspected:
    """What introspection says of a token."""

    active: bool
    """Whether it is good at this moment."""
    roles: tuple[str, ...] = ()
    """The roles that its user or client has at its audience."""


class Introspection:
    """Asks Signet about tokens that have no room for their roles (`roles_omitted`), by `TokenService.IntrospectToken`.

    Its client needs the scope `introspect` and Signet's own audience.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        proof: ClientProof,
        *,
        audience: str = "signet",
        channel_credentials: grpc.ChannelCredentials | None = None,
        allow_plaintext: str | None = None,
        ask: Callable[[str], Introspected] | None = None,
    ) -> None:
        """Where Signet is, and by what the service proves that it may ask.

        `audience`: Signet's own. `ask`: what answers in the place of Signet, in tests.

        Raises:
            PlaintextError: A token would go somewhere else than this machine in plaintext.
        """
        for address in addresses:
            transport(address, channel_credentials, allow_plaintext)
        self._open: Callable[[str], grpc.Channel] = lambda address: open_channel(address, channel_credentials, allow_plaintext)
        self._addresses = list(addresses)
        self._source: TokenSource | None = None
        if ask is None:
            self._source = TokenSource(
                addresses,
                ClientCredentials(proof),
                audience=audience,
                scopes=["introspect"],
                channel_credentials=channel_credentials,
                allow_plaintext=allow_plaintext,
            )
        self._ask = ask or self._ask_signet
        self._channel: grpc.Channel | None = None
        self._places = BoundedSemaphore(MAX_WAITING)
        self._pool = ThreadPoolExecutor(_WORKERS, "signet-introspect")

    def ask(self, token: str) -> Future[Introspected]:
        """What `token` is worth.

        Raises:
            Refusal: `UNAVAILABLE`: too many wait.
        """
        if not self._places.acquire(blocking=False):
            raise unavailable("too many calls wait for introspection")
        try:
            answer = self._pool.submit(self._ask, token)
        except RuntimeError:
            self._places.release()
            raise unavailable("introspection is closed") from None
        answer.add_done_callback(lambda _: self._places.release())
        return answer

    def close(self) -> None:
        """Ends."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._channel is not None:
            self._channel.close()
        if self._source is not None:
            self._source.close()

    def _ask_signet(self, token: str) -> Introspected:
        assert self._source is not None
        shown = self._source.token(TIMEOUT)
        channel = self._channel
        if channel is None:
            channel = self._channel = self._open(self._addresses[0])
        call = tokens_grpc.TokenServiceStub(channel).IntrospectToken
        try:
            answer = call(
                tokens.IntrospectTokenRequest(token=token),
                timeout=TIMEOUT,
                metadata=(("authorization", f"Bearer {shown}"),),
            )
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            if refusal is not None and refusal.reason in ("TOKEN_EXPIRED", "TOKEN_REVOKED"):
                self._source.drop(shown)
            # The next one asks another address.
            self._addresses.append(self._addresses.pop(0))
            self._channel = None
            raise
        return Introspected(answer.active, tuple(answer.roles))
