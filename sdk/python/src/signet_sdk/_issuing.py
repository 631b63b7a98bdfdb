"""Owns asking Signet for a token by gRPC, at one of several addresses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import grpc

from identity.v1 import identity_service_pb2 as identity
from identity.v1 import identity_service_pb2_grpc as identity_grpc

from ._addresses import open_channel, transport
from .refusal import Refusal, refusal_of

TIMEOUT = 5.0
"""Seconds that Signet has to answer, at each address."""

Issue = Callable[[identity.IssueTokenRequest], identity.IssueTokenResponse]
"""Exchanges a grant for a token. Raises `grpc.RpcError`."""

_FINAL = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
)


def is_final(refusal: Refusal) -> bool:
    """Whether it is of no use to ask again soon, as after INVALID_CLIENT, INVALID_SCOPE or REFRESH_TOKEN_INVALID."""
    return refusal.code() in _FINAL


class TokenEndpoint:
    """IssueToken of Signet, at the first of its addresses that answers. One that has failed is tried last the next time."""

    def __init__(self, addresses: Sequence[str], credentials: grpc.ChannelCredentials | None, allow_plaintext: str | None) -> None:
        for address in addresses:
            transport(address, credentials, allow_plaintext)
        self._addresses = list(addresses)
        self._credentials, self._allow_plaintext = credentials, allow_plaintext
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()

    def issue(self, request: Callable[[], identity.IssueTokenRequest]) -> identity.IssueTokenResponse:
        """Exchanges a grant for a token. `request` makes what is asked, anew for each address.

        Raises:
            grpc.RpcError: The refusal of an address that answered, or what was wrong with the last one.
        """
        failure: grpc.RpcError | None = None
        for address in list(self._addresses):
            try:
                return identity_grpc.IdentityServiceStub(self._channel(address)).IssueToken(request(), timeout=TIMEOUT)
            except grpc.RpcError as error:  # noqa: PERF203 - each address has its own
                refusal = refusal_of(error)
                if refusal is not None and refusal.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                failure = error
                self._give_up(address)
        assert failure is not None
        raise failure

    def close(self) -> None:
        """Closes the channels."""
        with self._lock:
            channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            channel = self._channels.get(address)
            if channel is None:
                channel = open_channel(address, self._credentials, self._allow_plaintext)
                self._channels[address] = channel
            return channel

    def _give_up(self, address: str) -> None:
        with self._lock:
            self._addresses.remove(address)
            self._addresses.append(address)
            channel = self._channels.pop(address, None)
        if channel is not None:
            # A new one connects at once, and does not wait for as long as this one has failed.
            channel.close()
