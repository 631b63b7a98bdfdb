"""Owns asking Signet for a token by gRPC, at one of several addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc

from identity.v1 import identity_service_pb2 as identity
from identity.v1 import identity_service_pb2_grpc as identity_grpc

from ._replicas import Replicas
from .refusal import Refusal

TIMEOUT = 5.0
"""Seconds that Signet has to answer, at each address."""

Issue = Callable[[identity.IssueTokenRequest], identity.IssueTokenResponse]
"""Exchanges a grant for a token. Raises `grpc.RpcError`."""

_FINAL = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
)


def is_final(refusal: Refusal) -> bool:
    """Whether it is of no use to ask again soon, as after INVALID_CLIENT, INVALID_SCOPE or REFRESH_TOKEN_INVALID."""
    return refusal.code() in _FINAL


class TokenEndpoint:
    """IssueToken of Signet, at the first of its addresses that answers."""

    def __init__(self, addresses: Sequence[str], credentials: grpc.ChannelCredentials | None, allow_plaintext: str | None) -> None:
        self._replicas = Replicas(addresses, credentials, allow_plaintext)

    def issue(self, request: Callable[[], identity.IssueTokenRequest]) -> identity.IssueTokenResponse:
        """Exchanges a grant for a token. `request` makes what is asked, anew for each address.

        Raises:
            grpc.RpcError: The refusal of an address that answered, or what was wrong with the last one.
        """
        return self._replicas.ask(lambda channel: identity_grpc.IdentityServiceStub(channel).IssueToken(request(), timeout=TIMEOUT))

    def close(self) -> None:
        """Closes the channels."""
        self._replicas.close()
