"""Owns the guard of a server of `grpc.aio`: no call reaches a handler that its rule does not let through."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

from . import _aio_stream, _guard
from ._aio_channel import channel
from ._handlers import authorization_of, behavior_of, is_unary, with_behavior
from .caller import CALLER
from .policy import Policy
from .refusal import Refusal
from .verifier import Admission, Verifier

__all__ = ["channel", "guard"]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def guard(verifier: Verifier, policy: Policy) -> grpc.aio.ServerInterceptor:
    """The interceptor that guards a server: `grpc.aio.server(interceptors=[signet_sdk.aio.guard(verifier, policy)])`.

    Let it be the first, but for those that count or trace: what stands behind it sees only calls that pass.
    """
    verifier.start()
    return _AioGuard(verifier, policy)


class _AioGuard(grpc.aio.ServerInterceptor):
    def __init__(self, verifier: Verifier, policy: Policy) -> None:
        self._verifier, self._policy = verifier, policy

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        method = handler_call_details.method
        access = self._policy.access(method)
        if access.kind == "public":
            return await continuation(handler_call_details)
        admitting = self._verifier.admit(access, method, authorization_of(handler_call_details))
        try:
            admission = await self._verifier.drive_async(admitting)
        except Refusal as refusal:
            return _refusing(refusal)
        handler = await continuation(handler_call_details)
        return handler and _guarded(handler, self._verifier, admission)


def _refusing(refusal: Refusal) -> Handler:
    """A handler that refuses, and waits for no message."""

    async def refuse(_requests: AsyncIterator[Any], context: Any) -> None:
        await _aio_stream.abort(context, refusal)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _guarded(handler: Any, verifier: Verifier, admission: Admission) -> Handler:
    """`handler`, for an admitted caller. What is not asynchronous stays so, since the server runs that on threads."""
    behavior = behavior_of(handler)
    if not inspect.iscoroutinefunction(behavior) and not inspect.isasyncgenfunction(behavior):
        # On the threads of a server of the other kind, its context is as theirs.
        return _guard.guarded(handler, verifier, lambda _context: admission)
    if is_unary(handler):

        async def unary(request: Any, context: Any) -> Any:
            await _recheck(verifier, admission, context)
            CALLER.set(admission.caller)
            return await behavior(request, context)

        return with_behavior(handler, unary, handler.request_deserializer)

    async def stream(request: Any, context: Any) -> Any:
        await _recheck(verifier, admission, context)
        return await _aio_stream.run(behavior, request, context, verifier.streams, admission, reads_stream=handler.request_streaming)

    return with_behavior(handler, stream, handler.request_deserializer)


async def _recheck(verifier: Verifier, admission: Admission, context: Any) -> None:
    """Ends the call if it does not pass any more, now that its message is there."""
    try:
        verifier.recheck(admission)
    except Refusal as refusal:
        await _aio_stream.abort(context, refusal)
