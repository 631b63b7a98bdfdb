"""Owns channels of `grpc` (threads) whose calls carry a token, and whose unary calls are sent once more where another token will do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

import grpc

from ._addresses import direct, transport
from ._retry import check_authority, encoded_status, is_worth_a_retry
from .hooks import Hooks, tell
from .refusal import Refusal
from .token_source import TokenSource


def channel(
    target: str,
    source: TokenSource,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    allow_plaintext: str | None = None,
    options: Sequence[tuple[str, Any]] = (),
    hooks: Hooks | None = None,
) -> grpc.Channel:
    """A channel to `target`, whose calls carry the tokens of `source`, and no other does.

    `credentials`: TLS. Without it the channel connects to addresses of this machine alone, which gRPC itself sees to
    (`grpc.local_channel_credentials`); elsewhere in plaintext only if `allow_plaintext` says why, as where a sidecar encrypts.

    A call that is refused with TOKEN_EXPIRED or TOKEN_REVOKED by the service itself is sent once more with another token, if it is unary
    and was not made by `.future()`. A stream that ends so is not opened anew: call again, and the call has another token. Each waits for a
    token for as long as its own timeout lets it. For `grpc.aio` take :func:`signet_sdk.aio.channel`.

    Raises:
        PlaintextError: The tokens would leave this machine in plaintext.
        ValueError: `options` let the channel call by another name than `target`.
    """
    check_authority(target, options)
    secured = transport(target, credentials, allow_plaintext)
    told = [*options, *direct(credentials, allow_plaintext)]
    opened = grpc.insecure_channel(target, told) if secured is None else grpc.secure_channel(target, secured, told)
    return grpc.intercept_channel(opened, _Attach(source, hooks or Hooks(), attaches=True))


def retry_interceptor(source: TokenSource, hooks: Hooks | None = None) -> grpc.UnaryUnaryClientInterceptor:
    """The retry alone, for a channel of `grpc` whose tokens come by :func:`signet_sdk.call_credentials` of the same `source`."""
    return _Attach(source, hooks or Hooks(), attaches=False)


class _FailedCall(Refusal):
    """A refusal that stands for a call, as interceptors further out expect of what they continue with."""

    @classmethod
    def of(cls, refusal: Refusal) -> _FailedCall:
        return cls(refusal.code(), refusal.reason, refusal.details(), refusal.metadata, refusal.retry_after)

    def result(self, timeout: float | None = None) -> NoReturn:
        raise self

    def exception(self, timeout: float | None = None) -> Refusal:
        return self

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        return self.__traceback__

    def done(self) -> bool:
        return True

    def running(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def cancel(self) -> bool:
        return False

    def add_done_callback(self, called: Callable[[Any], None]) -> None:
        called(self)


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


class _CallDetails(_Details, grpc.ClientCallDetails):
    """The details of a call, as interceptors hand them on."""


class _Attach(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, source: TokenSource, hooks: Hooks, *, attaches: bool) -> None:
        self._source, self._hooks, self._attaches = source, hooks, attaches

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: Any) -> Any:
        began = time.monotonic()
        details, token = self._with_token(client_call_details, began)
        outcome = continuation(details, request)
        if isinstance(outcome, Iterator):
            # A call made by `.future()` is on its way: what it gives can be iterated over, unlike an outcome. It must not block here.
            return self._dropping(outcome, client_call_details.method, token)
        if not self._is_refused(outcome, client_call_details.method):
            return outcome
        if not self._source.drop(token):
            return outcome
        tell(self._hooks.call_retried)
        details, _ = self._with_token(client_call_details, began)
        return continuation(details, request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: Any) -> Any:
        return self._once(continuation, client_call_details, request)

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Any],
    ) -> Any:
        return self._once(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Any],
    ) -> Any:
        return self._once(continuation, client_call_details, request_iterator)

    def _once(self, continuation: Callable[..., Any], details: grpc.ClientCallDetails, request: Any) -> Any:
        told, token = self._with_token(details, time.monotonic())
        return self._dropping(continuation(told, request), details.method, token)

    def _dropping(self, call: Any, method: str, token: str) -> Any:
        """The call; when it has ended since its token has, the next one gets another."""
        if hasattr(call, "add_done_callback"):
            call.add_done_callback(lambda done: self._is_refused(done, method) and self._source.drop(token))
        return call

    def _with_token(self, details: grpc.ClientCallDetails, began: float) -> tuple[_CallDetails, str]:
        """The details with a token, and with the time that is left since the call `began`; and the token.

        Where the call credentials attach it, it is got here all the same: they find it, and it is known which one was refused.
        """
        try:
            token = self._source.token(_left(details.timeout, began))
        except Refusal as refusal:
            raise _FailedCall.of(refusal) from refusal
        metadata = tuple(details.metadata or ())
        if self._attaches:
            metadata = (*metadata, ("authorization", f"Bearer {token}"))
        told = _CallDetails(
            details.method,
            _left(details.timeout, began),
            metadata,
            details.credentials,
            details.wait_for_ready,
            getattr(details, "compression", None),
        )
        return told, token

    def _is_refused(self, outcome: Any, method: str) -> bool:
        code = outcome.code()
        if code is None or code is grpc.StatusCode.OK:
            return False
        return is_worth_a_retry(
            code,
            encoded_status(outcome.trailing_metadata()),
            audience=self._source.audience,
            method=method,
            is_unary=True,
            messages_received=0,
            attempt=1,
        )


def _left(timeout: float | None, began: float) -> float | None:
    return None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
