"""Owns a stream of a server of `grpc.aio` that ends when its token does, also while its handler is idle or its client reads nothing."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ._streams import OpenStream, OpenStreams
from .caller import CALLER
from .refusal import Refusal
from .verifier import Admission

ABORT_TIMEOUT = 5.0
"""Seconds within which a client must read why its stream has ended. Then the call is given up."""


async def abort(context: Any, refusal: Refusal) -> None:
    """Ends the call with `refusal`."""
    await context.abort(refusal.code(), refusal.details(), refusal.trailing_metadata())


async def run(
    behavior: Callable[..., Any], request: Any, context: Any, streams: OpenStreams, admission: Admission, *, reads_stream: bool
) -> Any:
    """Runs a stream to its own end, or to that of its token. `reads_stream`: `request` are the messages that the client sends."""
    loop = asyncio.get_running_loop()
    own = contextvars.copy_context()
    own.run(CALLER.set, admission.caller)
    guarded = _Context(context, loop.create_future())

    def end(refusal: Refusal) -> None:
        loop.call_soon_threadsafe(guarded.end, refusal)

    stream = OpenStream(admission.claims, admission.audience, admission.method, end)
    try:
        streams.open(stream)
    except Refusal as refusal:
        await abort(context, refusal.at(stream.audience, stream.method))
    answering = _answering(behavior, _Requests(request, guarded) if reads_stream else request, guarded)
    work: asyncio.Task[Any] = own.run(loop.create_task, answering)
    try:
        await asyncio.wait([work, guarded.ended], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            guarded.cancel_readers(work)
            await _tell_why(guarded, context)
        return work.result()
    finally:
        # Also when the client has gone.
        if not work.done():
            work.cancel()
        work.add_done_callback(lambda done: _release(done, streams, stream))


async def _tell_why(guarded: _Context, context: Any) -> None:
    async def tell() -> None:
        if guarded.first_write is not None:
            # It has the headers with it. A status beside them would send them twice, and gRPC refuses that.
            await asyncio.wait([guarded.first_write])
        await abort(context, guarded.ended.result())

    try:
        await asyncio.wait_for(tell(), ABORT_TIMEOUT)
    except asyncio.TimeoutError:
        raise asyncio.CancelledError from None


def _release(work: asyncio.Task[Any], streams: OpenStreams, stream: OpenStream) -> None:
    if not work.cancelled():
        work.exception()  # Nobody else asks for it, where the stream was ended.
    streams.release(stream)


async def _answering(behavior: Callable[..., Any], request: Any, context: Any) -> Any:
    """What a handler answers: it writes by itself, or it is an iterator of what is to be written."""
    if not inspect.isasyncgenfunction(behavior):
        return await behavior(request, context)
    async for answer in behavior(request, context):
        await context.write(answer)
    return None


class _Context:
    """The context of a handler, by which nothing more is read once its stream has ended. In all else it is the server's own."""

    def __init__(self, context: Any, ended: asyncio.Future[Refusal]) -> None:
        self._context = context
        self.ended = ended
        self.first_write: asyncio.Future[None] | None = None
        self._reading: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def end(self, refusal: Refusal) -> None:
        if not self.ended.done():
            self.ended.set_result(refusal)

    def cancel_readers(self, work: asyncio.Task[Any]) -> None:
        """Cancels the tasks that a handler has made and that wait for a message; `work`, its own one, is cancelled already."""
        for task in self._reading - {work}:
            task.cancel()

    async def read(self) -> Any:
        return await self.next_of(self._context.read)

    async def next_of(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """The next message. Whoever asks for one once the stream has ended is cancelled, as a handler is."""
        task = asyncio.current_task()
        assert task is not None
        if self.ended.done():
            raise asyncio.CancelledError
        self._reading.add(task)
        try:
            message = await read()
        finally:
            self._reading.discard(task)
        if self.ended.done():
            raise asyncio.CancelledError
        return message

    async def write(self, message: Any) -> None:
        if self.first_write is not None:
            await self._context.write(message)
            return
        self.first_write = asyncio.ensure_future(self._context.write(message))
        # It goes on if the handler is cancelled meanwhile.
        await asyncio.shield(self.first_write)


class _Requests:
    """The messages of a client, as a handler reads them."""

    def __init__(self, requests: Any, context: _Context) -> None:
        self._requests, self._context = requests, context

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Any:
        return await self._context.next_of(self._requests.__anext__)
