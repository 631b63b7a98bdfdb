"""Owns what the interceptors of both client APIs share: when a call is sent again, and to whom a token is attached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import grpc

from ._addresses import may_attach
from .refusal import STATUS_TRAILER, Refusal, refusal_in

_RENEWABLE = ("TOKEN_EXPIRED", "TOKEN_REVOKED")
_AUTHORITY_OPTIONS = ("grpc.default_authority", "grpc.ssl_target_name_override")


def is_worth_a_retry(
    code: grpc.StatusCode,
    encoded_status: bytes,
    *,
    audience: str,
    method: str,
    is_unary: bool,
    messages_received: int,
    attempt: int,
) -> bool:
    """Whether a call that was refused is sent once more, with another token.

    The refusal must be that of the called service itself, which names its audience and the method: a service that has done its work, and
    passes on the refusal of the next one, is not called twice. `encoded_status`: the trailer `grpc-status-details-bin`.
    """
    if not is_unary or messages_received or attempt != 1 or code is not grpc.StatusCode.UNAUTHENTICATED:
        return False
    refusal = refusal_in(code, "", encoded_status)
    return (
        refusal is not None
        and refusal.reason in _RENEWABLE
        and refusal.metadata.get("audience") == audience
        and refusal.metadata.get("method") == method
    )


def encoded_status(trailers: Iterable[tuple[str, str | bytes]] | None) -> bytes:
    """The `google.rpc.Status` among the trailers; empty, if there is none."""
    for key, value in trailers or ():
        if key == STATUS_TRAILER and isinstance(value, bytes):
            return value
    return b""


def check_authority(target: str, options: Sequence[tuple[str, object]]) -> None:
    """Whether a channel with these options calls its own target, which the token is for.

    Raises:
        ValueError: It calls by another name.
    """
    for name, value in options:
        if name in _AUTHORITY_OPTIONS and not may_attach([target], str(value), secure=True, peer_is_loopback=False, allow_plaintext=None):
            raise ValueError(f"{name} names another authority than the target that the token is for")


class WrongTargetError(Refusal):
    """A call to an authority that the token is not for: no token was attached, and the call fails."""

    def __init__(self, authority: str) -> None:
        super().__init__(grpc.StatusCode.FAILED_PRECONDITION, "WRONG_TARGET", f"the token is not for calls to {authority}")
