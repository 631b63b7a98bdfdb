"""Owns refusals: the code, the reason and the metadata of an error, as gRPC carries them (`google.rpc.Status` with an `ErrorInfo`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "identity.v1"
"""The domain of the `ErrorInfo` of Signet and of whoever verifies its tokens."""

STATUS_TRAILER = "grpc-status-details-bin"
"""The trailer that carries the `google.rpc.Status`."""

RETRY_SECONDS = 1.0
"""When to try again after UNAVAILABLE."""

MAX_RETRY_AFTER = 60.0
"""The most seconds that a `RetryInfo` may ask for: one that asks for more is taken for this many."""

Metadata = tuple[tuple[str, "str | bytes"], ...]


class Refusal(grpc.RpcError):
    """A call that goes no further: what a server half answers, and what a client half hands up where it has no token.

    It is a `grpc.RpcError`, so that code which catches those reads `code()` and `details()` of it as of any other.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code.name} {reason}: {message}")
        self.reason = reason
        """The name of an `identity.v1.ErrorReason`, without its prefix."""
        self.metadata: dict[str, str] = dict(metadata or {})
        """What the `ErrorInfo` says besides, such as `required_scope`."""
        self.retry_after = retry_after
        """After how many seconds to try again, if that is said (`RetryInfo`)."""
        self._code = code
        self._message = message

    def code(self) -> grpc.StatusCode:
        """The code of gRPC."""
        return self._code

    def details(self) -> str:
        """A sentence for people. It may change, and never holds a token or a secret."""
        return self._message

    def initial_metadata(self) -> Any:
        """None: a refusal has trailers alone."""
        return ()

    def trailing_metadata(self) -> Any:
        """The trailers: the `google.rpc.Status`, and when to try again."""
        trailers: list[tuple[str, str | bytes]] = [(STATUS_TRAILER, self.status().SerializeToString())]
        if self.retry_after is not None:
            trailers.append(("grpc-retry-pushback-ms", str(int(self.retry_after * 1000))))
        return tuple(trailers)

    def status(self) -> status_pb2.Status:
        """The refusal as a `google.rpc.Status`."""
        status = status_pb2.Status(code=self._code.value[0], message=self._message)
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)
        status.details.add().Pack(info)
        if self.retry_after is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after * 1e9))
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return status

    def at(self, audience: str, method: str) -> Refusal:
        """The same refusal, which names the `audience` that a token had to be for, and the called `method` if there is one."""
        metadata = {**self.metadata, "audience": audience} | ({"method": method} if method else {})
        return Refusal(self._code, self.reason, self._message, metadata, self.retry_after)

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusal, (self._code, self.reason, self._message, self.metadata, self.retry_after)


def unauthenticated(reason: str, message: str) -> Refusal:
    """A refusal of the token that was shown, or of none."""
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, reason, message)


def token_invalid(why: str) -> Refusal:
    """A refusal of a token that never was, or is not yet, any good here. `why` quotes nothing of it."""
    return unauthenticated("TOKEN_INVALID", f"the access token is invalid: {why}")


def token_expired() -> Refusal:
    """A refusal of a token that was good once."""
    return unauthenticated("TOKEN_EXPIRED", "the access token has expired")


def token_revoked() -> Refusal:
    """A refusal of a token that is genuine, but what it stands for no longer is."""
    return unauthenticated(
        "TOKEN_REVOKED",
        "the access token is no longer accepted: its session has ended, or its user or client has been disabled or deleted",
    )


def denied(reason: str, message: str, metadata: Mapping[str, str] | None = None) -> Refusal:
    """A refusal of whom a good token stands for."""
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason, message, metadata)


def unavailable(message: str) -> Refusal:
    """It cannot be told now; try again after a second."""
    return Refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", message, retry_after=RETRY_SECONDS)


def unreachable(what: str) -> Refusal:
    """It cannot be told now, since `what` does not answer."""
    return unavailable(f"the service cannot reach its {what} at the moment")


def refusal_of(error: BaseException) -> Refusal | None:
    """What a failed call says, if it is a refusal of Signet or of a service that verifies its tokens; else `None`.

    `error` is what a call of `grpc` or `grpc.aio` has raised.
    """
    if isinstance(error, Refusal):
        return error
    if not isinstance(error, grpc.RpcError) or not hasattr(error, "trailing_metadata"):
        return None
    trailers: Any = error.trailing_metadata()
    for key, value in trailers or ():
        if key == STATUS_TRAILER and isinstance(value, bytes):
            code, message = error.code(), error.details() or ""
            return refusal_in(code, message, value)
    return None


def refusal_in(code: grpc.StatusCode, message: str, encoded: bytes) -> Refusal | None:
    """The refusal in an encoded `google.rpc.Status` beside `code`, if there is one of the domain `identity.v1`."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    found, retry_after = False, None
    try:
        for detail in status_pb2.Status.FromString(encoded).details:
            if not found and detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                detail.Unpack(info)
                found = info.domain == DOMAIN
            elif retry_after is None and detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                detail.Unpack(retry)
                retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    except (DecodeError, ValueError):
        return None
    return Refusal(code, info.reason, message, dict(info.metadata), retry_after) if found else None
