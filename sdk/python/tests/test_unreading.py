"""Owns the tests that clients which read nothing are thrown out: no message of theirs reaches a handler after the end of their stream."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import grpc.aio
import pytest

import signet_sdk
import signet_sdk.aio
from signet_sdk import Hooks, Policy, Rule, _aio_stream
from signet_sdk.access import Access
from signet_sdk.testing import TestIssuer

from .fakes import eventually
from .http2 import Unreading

SESSION = "d4addbc8-2829-5a91-ba9c-6575031097fc"
KINDS = ["stream_stream", "stream_unary", "unary_stream"]
POLICY = Policy({f"/a.B/{kind}": Access("authenticated", Rule()) for kind in KINDS})


class Ended(Hooks):
    def __init__(self) -> None:
        self.reasons: queue.SimpleQueue[str] = queue.SimpleQueue()

    def stream_ended(self, reason: str) -> None:
        self.reasons.put(reason)


class Commands:
    """Handlers that do what they are told, each message on its own, and answer more than the client reads."""

    def __init__(self) -> None:
        self.handled: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.read: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.over, self.closed = threading.Event(), threading.Event()

    def _read(self, requests: Iterator[bytes]) -> None:
        try:
            for request in requests:
                self.handled.put(request)
        except BaseException as error:
            self.read.put(error)
            raise
        self.read.put(None)

    def _read_apart(self, requests: Iterator[bytes]) -> None:
        try:
            self._read(requests)
        except grpc.RpcError:
            return

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.add_callback(self.over.set)
        threading.Thread(target=self._read_apart, args=[requests], daemon=True).start()
        yield from self._answers()

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        context.add_callback(self.over.set)
        self._read(requests)
        return b"done"

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(self.over.set)
        self.handled.put(request)
        yield from self._answers()

    def _answers(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"an answer"
        finally:
            self.closed.set()


class Kinds(grpc.GenericRpcHandler):
    def __init__(self, handlers: Any) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> Any:
        kind = handler_call_details.method.rpartition("/")[2]
        return getattr(grpc, f"{kind}_rpc_method_handler")(getattr(self._handlers, kind))


class Served:
    """A server with two threads."""

    def __init__(self) -> None:
        self.issuer, self.hooks, self.commands = TestIssuer(), Ended(), Commands()
        self.verifier = self.issuer.verifier("stock", hooks=self.hooks)
        self.server = grpc.server(futures.ThreadPoolExecutor(2), [Kinds(self.commands)], [signet_sdk.guard(self.verifier, POLICY)])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        self._clients: list[Unreading] = []

    def open(self, kind: str) -> Unreading:
        """A stream that has sent one command, which was handled."""
        client = Unreading(self.address, f"/a.B/{kind}", self.issuer.token(audiences=["stock"], session_id=SESSION))
        self._clients.append(client)
        client.send(b"before")
        assert self.commands.handled.get(timeout=10) == b"before"
        if kind != "stream_unary":
            client.fill()
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.server.stop(None).wait()
        self.verifier.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.mark.parametrize("how", ["TOKEN_REVOKED", "TOKEN_EXPIRED"])
@pytest.mark.parametrize("kind", ["stream_stream", "stream_unary"])
def test_no_command_is_handled_once_its_stream_has_ended(served: Served, kind: str, how: str) -> None:
    client = served.open(kind)
    if how == "TOKEN_REVOKED":
        served.issuer.revoke_session(SESSION)
    else:
        served.issuer.clock.advance(931)
    assert served.hooks.reasons.get(timeout=10) == how
    for _ in range(5):
        client.send(b"after")
    problem = served.commands.read.get(timeout=10)
    assert isinstance(problem, grpc.RpcError), "and no handler takes it for the end of what the client had to say"
    assert served.commands.handled.empty()


@pytest.mark.parametrize("kind", ["stream_stream", "unary_stream"])
def test_the_call_of_a_client_that_reads_nothing_is_cancelled_after_five_seconds(served: Served, kind: str) -> None:
    client = served.open(kind)
    served.issuer.revoke_session(SESSION)
    assert served.hooks.reasons.get(timeout=10) == "TOKEN_REVOKED"
    assert served.commands.closed.wait(10), "the handler's own thread goes at once"
    assert not served.commands.over.is_set()
    served.issuer.clock.advance(5)
    assert served.commands.over.wait(10), "the handler's context"
    assert eventually(lambda: served.verifier.streams._held == 0)
    assert client.trailers()["grpc-status"] == str(grpc.StatusCode.CANCELLED.value[0])


@pytest.mark.parametrize("kind", ["stream_stream", "unary_stream"])
def test_a_client_that_reads_in_time_is_told_why(served: Served, kind: str) -> None:
    client = served.open(kind)
    served.issuer.revoke_session(SESSION)
    assert served.hooks.reasons.get(timeout=10) == "TOKEN_REVOKED"
    client.open_window()
    assert client.trailers()["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
    assert served.commands.over.wait(10)


# ===== asyncio =====


class AioCommands:
    """Handlers that read in a task of their own, and do not heed that they are cancelled."""

    def __init__(self, reads_by_context: bool) -> None:
        self.handled: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.reads_by_context = reads_by_context
        self.context: Any = None
        self.cancelled, self.leave = asyncio.Event(), asyncio.Event()
        self.read: asyncio.Future[Any] = asyncio.Future()

    async def stream_stream(self, requests: Any, context: Any) -> None:
        self.context = context
        self.read = asyncio.ensure_future(self._read(None if self.reads_by_context else requests, context))
        try:
            while True:
                await context.write(b"an answer")
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.leave.wait()
            raise

    async def _read(self, requests: Any, context: Any) -> None:
        if requests is not None:
            async for request in requests:
                self.handled.put(request)
            return
        while (request := await context.read()) is not grpc.aio.EOF:
            self.handled.put(request)


class AioServed:
    """A server of asyncio."""

    def __init__(self, handlers: Any) -> None:
        self.issuer, self.hooks, self.pool = TestIssuer(), Ended(), futures.ThreadPoolExecutor(2)
        self.verifier = self.issuer.verifier("stock", hooks=self.hooks)
        self.server = grpc.aio.server(self.pool, [Kinds(handlers)], [signet_sdk.aio.guard(self.verifier, POLICY)])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

        self.clients: list[Unreading] = []

    def open(self, kind: str, handled: queue.SimpleQueue[bytes]) -> Unreading:
        """A stream that has sent one command, which was handled."""
        client = Unreading(self.address, f"/a.B/{kind}", self.issuer.token(audiences=["stock"], session_id=SESSION))
        self.clients.append(client)
        client.send(b"before")
        assert handled.get(timeout=10) == b"before"
        if kind != "stream_unary":
            client.fill()
        return client

    async def __aenter__(self) -> AioServed:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        await self.server.stop(None)
        self.pool.shutdown(wait=False)
        self.verifier.close()


@pytest.mark.parametrize("reads_by_context", [False, True])
async def test_no_task_of_a_handler_gets_another_command(monkeypatch: pytest.MonkeyPatch, reads_by_context: bool) -> None:
    monkeypatch.setattr(_aio_stream, "ABORT_TIMEOUT", 0.01)
    commands = AioCommands(reads_by_context)
    async with AioServed(commands) as served:
        client = await asyncio.to_thread(served.open, "stream_stream", commands.handled)
        served.issuer.revoke_session(SESSION)
        await asyncio.wait_for(commands.cancelled.wait(), 10)
        for _ in range(5):
            client.send(b"after")
        await asyncio.wait([commands.read], timeout=10)
        assert commands.read.cancelled(), "it waited for a message, and waits no more"
        assert commands.handled.empty()
        commands.leave.set()
        assert await asyncio.to_thread(eventually, lambda: served.verifier.streams._held == 0)


async def test_no_command_reaches_a_handler_on_the_threads_of_a_server_of_asyncio() -> None:
    commands = Commands()
    async with AioServed(commands) as served:
        client = await asyncio.to_thread(served.open, "stream_unary", commands.handled)
        served.issuer.revoke_session(SESSION)
        assert await asyncio.to_thread(served.hooks.reasons.get, timeout=10) == "TOKEN_REVOKED"
        for _ in range(5):
            client.send(b"after")
        assert isinstance(await asyncio.to_thread(commands.read.get, timeout=10), grpc.RpcError)
        assert commands.handled.empty()
        assert await asyncio.to_thread(eventually, lambda: served.verifier.streams._held == 0)
        trailers = await asyncio.to_thread(client.trailers)
        assert trailers["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])


async def test_a_client_of_asyncio_that_reads_in_time_is_told_why() -> None:
    commands = AioCommands(reads_by_context=False)
    async with AioServed(commands) as served:
        client = await asyncio.to_thread(served.open, "stream_stream", commands.handled)
        served.issuer.revoke_session(SESSION)
        await asyncio.wait_for(commands.cancelled.wait(), 10)
        client.open_window()
        trailers = await asyncio.to_thread(client.trailers)
        assert trailers["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
        commands.leave.set()
