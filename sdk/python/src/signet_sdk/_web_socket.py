"""Owns a WebSocket of an ASGI application that ends when its token does."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ._streams import OpenStream
from .caller import CALLER
from .refusal import Refusal
from .verifier import Admission, Verifier

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008
"""With what a WebSocket is closed that may not be open (RFC 6455 section 7.4.1)."""

CLOSE_TIMEOUT = 5.0
"""For how many seconds a client may read nothing while it is told of the end: after that the server drops the connection."""


def closing(refusal: Refusal) -> dict[str, Any]:
    """The message that closes a WebSocket with `refusal`."""
    return {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.reason}


async def serve(app: App, scope: Scope, receive: Receive, send: Send, verifier: Verifier, admission: Admission) -> None:
    """Runs `app` until it returns, or until the end of its token.

    Raises:
        Refusal: `UNAVAILABLE`: too many streams are open.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Refusal] = loop.create_future()
    own = contextvars.copy_context()
    own.run(CALLER.set, admission.caller)

    def end_here(refusal: Refusal) -> None:
        if not ended.done():
            ended.set_result(refusal)

    async def received() -> MutableMapping[str, Any]:
        message = await receive()
        # What comes later than the end is not handed on.
        return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION} if ended.done() else message

    def end(refusal: Refusal) -> None:
        loop.call_soon_threadsafe(end_here, refusal)

    stream = OpenStream(admission.claims, admission.audience, admission.method, end)
    verifier.streams.open(stream)
    work: asyncio.Task[None] = own.run(loop.create_task, _run(app, scope, received, send))
    work.add_done_callback(lambda _: verifier.streams.release(stream))
    try:
        waited: list[asyncio.Future[Any]] = [work, ended]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return
        work.cancel()
        # It may have been closed meanwhile, by either side.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(send(closing(ended.result())), CLOSE_TIMEOUT)
        await asyncio.wait([work], timeout=1.0)
    finally:
        work.cancel()


async def _run(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
