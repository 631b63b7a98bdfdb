"""Owns channels of `grpc.aio` whose calls carry a token, and whose unary calls are sent once more where another token will do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

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
) -> grpc.aio.Channel:
    """A channel of `grpc.aio` to `target`, whose calls carry the tokens of `source`, and no other does.

    `credentials`: TLS. Without it the channel connects to addresses of this machine alone, which gRPC itself sees to
    (`grpc.local_channel_credentials`); elsewhere in plaintext only if `allow_plaintext` says why, as where a sidecar encrypts.

    A unary call that is refused with TOKEN_EXPIRED or TOKEN_REVOKED by the service itself is sent once more with another token. A stream
    that ends so is not opened anew: call again, and the call has another token. Each waits for a token for as long as its own timeout
    lets it.

    Raises:
        PlaintextError: The tokens would leave this machine in plaintext.
        ValueError: `options` let the channel call by another name than `target`.
    """
    check_authority(target, options)
    secured = transport(target, credentials, allow_plaintext)
    interceptors = aio_interceptors(source, hooks)
    told = [*options, *direct(credentials, allow_plaintext)]
    if secured is None:
        return grpc.aio.insecure_channel(target, told, interceptors=interceptors)
    return grpc.aio.secure_channel(target, secured, told, interceptors=interceptors)


def aio_interceptors(source: TokenSource, hooks: Hooks | None = None) -> list[grpc.aio.ClientInterceptor]:
    """What attaches the tokens, one for each kind of call: a channel takes an object for one kind alone."""
    told = hooks or Hooks()
    return [_Unary(source, told), _UnaryStream(source), _StreamUnary(source), _StreamStream(source)]


class _Attach:
    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._dropping: set[asyncio.Task[None]] = set()

    async def _once(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        loop = asyncio.get_running_loop()
        told, token = await self._with_token(details, loop.time())
        call = await continuation(told, request)
        if hasattr(call, "add_done_callback"):
            call.add_done_callback(lambda done: self._told(loop, done, details.method, token))
        return call

    def _told(self, loop: asyncio.AbstractEventLoop, call: Any, method: str | bytes, token: str) -> None:
        """The call has ended: if its token has, the next one gets another."""

        async def drop() -> None:
            if await self._is_refused(call, method):
                self._source.drop(token)

        task = loop.create_task(drop())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def _is_refused(self, call: Any, method: str | bytes) -> bool:
        code = await call.code()
        return code is not grpc.StatusCode.OK and is_worth_a_retry(
            code,
            encoded_status(await call.trailing_metadata()),
            audience=self._source.audience,
            method=method.decode("ascii", "replace") if isinstance(method, bytes) else method,
            is_unary=True,
            messages_received=0,
            attempt=1,
        )

    async def _with_token(self, details: Any, began: float) -> tuple[Any, str]:
        loop = asyncio.get_running_loop()

        def left() -> float | None:
            return None if details.timeout is None else max(0.0, details.timeout - (loop.time() - began))

        try:
            token = await self._source.token_async(left())
        except Refusal as refusal:
            raise _as_call(refusal) from refusal
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", f"Bearer {token}"))
        return details._replace(metadata=metadata, timeout=left()), token


class _Unary(_Attach, grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, source: TokenSource, hooks: Hooks) -> None:
        super().__init__(source)
        self._hooks = hooks

    async def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        began = asyncio.get_running_loop().time()
        details, token = await self._with_token(client_call_details, began)
        call = await continuation(details, request)
        if not await self._is_refused(call, client_call_details.method):
            return call
        if not self._source.drop(token):
            return call
        tell(self._hooks.call_retried)
        details, _ = await self._with_token(client_call_details, began)
        return await continuation(details, request)


class _UnaryStream(_Attach, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        return await self._once(continuation, client_call_details, request)


class _StreamUnary(_Attach, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any) -> Any:
        return await self._once(continuation, client_call_details, request_iterator)


class _StreamStream(_Attach, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Callable[..., Any], client_call_details: Any, request_iterator: Any) -> Any:
        return await self._once(continuation, client_call_details, request_iterator)


def _as_call(refusal: Refusal) -> grpc.aio.AioRpcError:
    """The refusal as calls of `grpc.aio` raise it."""
    trailers = grpc.aio.Metadata(*refusal.trailing_metadata())
    return grpc.aio.AioRpcError(refusal.code(), grpc.aio.Metadata(), trailers, refusal.details())
