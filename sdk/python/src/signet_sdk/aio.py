"""Owns the guard of a server of `grpc.aio`: no call reaches a handler that its rule does not let through."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio

from . import _guard
from ._aio_channel import channel
from ._handlers import authorization_of, behavior_of, is_unary, with_behavior
from ._streams import OpenStream
from .caller import CALLER
from .policy import Policy
from .refusal import Refusal
from .verifier import Admission, Verifier

__all__ = ["channel", "guard"]

ABORT_TIMEOUT = 5.0
"""Seconds within which a stream that has ended must be rid of what is on its way to a client that reads nothing."""

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
        await _abort(context, refusal)

    return grpc.stream_stream_rpc_method_handler(refuse)


async def _abort(context: Any, refusal: Refusal) -> None:
    await context.abort(refusal.code(), refusal.details(), refusal.trailing_metadata())


def _guarded(handler: Any, verifier: Verifier, admission: Admission) -> Handler:
    """`handler`, for an admitted caller. What is not asynchronous stays so, since the server runs that on threads."""
    behavior = behavior_of(handler)
    if not inspect.iscoroutinefunction(behavior) and not inspect.isasyncgenfunction(behavior):
        # On the threads of a server of the other kind, its context is as theirs.
        return _guard.guarded(handler, verifier, lambda _context: admission)
    if is_unary(handler):

        async def unary(request: Any, context: Any) -> Any:
            CALLER.set(admission.caller)
            return await behavior(request, context)

        return with_behavior(handler, unary, handler.request_deserializer)

    async def stream(request: Any, context: Any) -> Any:
        return await _run(_answering(behavior, request, context), context, verifier, admission)

    return with_behavior(handler, stream, handler.request_deserializer)


async def _answering(behavior: Callable[..., Any], request: Any, context: Any) -> Any:
    """What a handler answers: it writes by itself, or it is an iterator of what is to be written."""
    if not inspect.isasyncgenfunction(behavior):
        return await behavior(request, context)
    async for answer in behavior(request, context):
        await context.write(answer)
    return None


async def _run(answering: Any, context: Any, verifier: Verifier, admission: Admission) -> Any:
    """Runs a stream to its own end, or to that of its token."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Refusal] = loop.create_future()
    own = contextvars.copy_context()
    own.run(CALLER.set, admission.caller)

    def end_here(refusal: Refusal) -> None:
        if not ended.done():
            ended.set_result(refusal)

    def end(refusal: Refusal) -> None:
        loop.call_soon_threadsafe(end_here, refusal)

    stream = OpenStream(admission.claims, admission.audience, admission.method, end)
    try:
        verifier.streams.open(stream)
    except Refusal as refusal:
        answering.close()
        await _abort(context, refusal.at(stream.audience, stream.method))
    work: asyncio.Task[Any] = own.run(loop.create_task, answering)
    try:
        await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await _stop(work)
            await asyncio.wait_for(_abort(context, ended.result()), ABORT_TIMEOUT)
        return work.result()
    finally:
        # Also when the client has gone.
        if not work.done():
            work.cancel()
        work.add_done_callback(lambda done: _release(done, verifier, stream))


def _release(work: asyncio.Task[Any], verifier: Verifier, stream: OpenStream) -> None:
    if not work.cancelled():
        work.exception()  # Nobody else asks for it, where the stream was ended.
    verifier.streams.release(stream)


async def _stop(work: asyncio.Task[Any]) -> None:
    """Cancels the handler, and gives it a moment to come to its end."""
    work.cancel()
    await asyncio.wait([work], timeout=1.0)
