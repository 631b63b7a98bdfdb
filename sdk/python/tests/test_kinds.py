"""Owns the tests of every kind of RPC behind the guards, in each way in which a handler of it can be written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import grpc.aio
import pytest

import signet_sdk
import signet_sdk.aio
from signet_sdk import Policy, Rule, current_caller, refusal_of
from signet_sdk import _streams as streams
from signet_sdk.access import Access
from signet_sdk.testing import TestIssuer

SUBJECT = "08f672c7-084d-5519-847e-13cf6774354e"


class OnThreads:
    """Handlers that are functions."""

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        return request + current_caller().id.encode()

    def stream_unary(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b"".join(requests) + current_caller().id.encode()

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield request
        yield current_caller().id.encode()

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from requests
        yield current_caller().id.encode()


class AsIterators:
    """Handlers that are coroutines and asynchronous iterators."""

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return request + current_caller().id.encode()

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests]) + current_caller().id.encode()

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        yield current_caller().id.encode()

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
        yield current_caller().id.encode()


class AsWriters(AsIterators):
    """Handlers that read and write by themselves."""

    async def unary_stream(self, request: bytes, context: Any) -> None:  # type: ignore[override]
        await context.write(request)
        await context.write(current_caller().id.encode())

    async def stream_stream(self, requests: Any, context: Any) -> None:  # type: ignore[override]
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)
        await context.write(current_caller().id.encode())


class Kinds(grpc.GenericRpcHandler):
    def __init__(self, handlers: Any) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> Any:
        kind = handler_call_details.method.rpartition("/")[2]
        make: Callable[..., Any] = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(getattr(self._handlers, kind))


KINDS = ["unary_unary", "stream_unary", "unary_stream", "stream_stream"]
POLICY = Policy({f"/a.B/{kind}": Access("authenticated", Rule()) for kind in KINDS})


def called(channel: Any, kind: str, metadata: Any) -> list[bytes]:
    request: Any = iter([b"a", b"b"]) if kind.startswith("stream") else b"ab"
    answer = getattr(channel, kind)(f"/a.B/{kind}")(request, metadata=metadata, timeout=10)
    return list(answer) if kind.endswith("_stream") else [answer]


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer()


def token(issuer: TestIssuer) -> Any:
    return (("authorization", f"Bearer {issuer.token(audiences=['stock'], sub=SUBJECT)}"),)


@pytest.mark.parametrize("kind", KINDS)
def test_on_threads(issuer: TestIssuer, kind: str) -> None:
    verifier = issuer.verifier("stock")
    server = grpc.server(futures.ThreadPoolExecutor(2), [Kinds(OnThreads())], [signet_sdk.guard(verifier, POLICY)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert b"".join(called(channel, kind, token(issuer))) == b"ab" + SUBJECT.encode()
            with pytest.raises(grpc.RpcError) as caught:
                called(channel, kind, ())
            assert (found := refusal_of(caught.value)) is not None and found.reason == "TOKEN_MISSING"
    finally:
        server.stop(None).wait()
        verifier.close()


@pytest.mark.parametrize("handlers", [OnThreads, AsIterators, AsWriters])
@pytest.mark.parametrize("kind", KINDS)
async def test_in_asyncio(issuer: TestIssuer, handlers: Any, kind: str) -> None:
    verifier = issuer.verifier("stock")
    pool = futures.ThreadPoolExecutor(2)
    server = grpc.aio.server(pool, [Kinds(handlers())], [signet_sdk.aio.guard(verifier, POLICY)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answers = await asyncio.to_thread(called, channel, kind, token(issuer))
            assert b"".join(answers) == b"ab" + SUBJECT.encode()
            with pytest.raises(grpc.RpcError) as caught:
                await asyncio.to_thread(called, channel, kind, ())
            assert (found := refusal_of(caught.value)) is not None and found.reason == "TOKEN_MISSING"
    finally:
        await server.stop(None)
        pool.shutdown()
        verifier.close()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_stream_that_waits_for_its_client_ends_with_its_token(issuer: TestIssuer, kind: str) -> None:
    verifier = issuer.verifier("stock")
    server = grpc.server(futures.ThreadPoolExecutor(2), [Kinds(OnThreads())], [signet_sdk.guard(verifier, POLICY)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    over, begun = threading.Event(), threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"a"
        begun.set()
        over.wait(30)

    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = getattr(channel, kind)(f"/a.B/{kind}")
            if kind == "stream_unary":
                open_call = call.future(requests(), metadata=token(issuer))
            else:
                open_call = call(requests(), metadata=token(issuer))
                assert next(open_call) == b"a"
            assert begun.wait(10)
            held = verifier.streams
            while held._held == 0:
                over.wait(0.005)
            issuer.clock.advance(931)
            with pytest.raises(grpc.RpcError) as caught:
                open_call.result(10) if kind == "stream_unary" else next(open_call)
            assert (found := refusal_of(caught.value)) is not None and found.reason == "TOKEN_EXPIRED"
    finally:
        over.set()
        server.stop(None).wait()
        verifier.close()


def test_more_streams_than_may_be_open_are_refused(issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    verifier = issuer.verifier("stock")
    server = grpc.server(futures.ThreadPoolExecutor(4), [Kinds(OnThreads())], [signet_sdk.guard(verifier, POLICY)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"a"
        over.wait(30)

    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.stream_stream("/a.B/stream_stream")
            first = call(requests(), metadata=token(issuer))
            assert next(first) == b"a"
            with pytest.raises(grpc.RpcError) as caught:
                next(call(requests(), metadata=token(issuer)))
            refusal = refusal_of(caught.value)
            assert refusal is not None and refusal.reason == "UNAVAILABLE"
            assert refusal.metadata == {"audience": "stock", "method": "/a.B/stream_stream"}
    finally:
        over.set()
        server.stop(None).wait()
        verifier.close()


def test_what_was_told_between_the_judgement_and_the_opening_ends_the_stream(issuer: TestIssuer) -> None:
    verifier = issuer.verifier("stock")
    session = "d4addbc8-2829-5a91-ba9c-6575031097fc"
    shown = issuer.token(audiences=["stock"], session_id=session)
    admitting = verifier.admit(Access("authenticated", Rule()), "/a.B/C", [f"Bearer {shown}"])
    admission = verifier.drive(admitting)
    issuer.revoke_session(session)
    ended: list[Any] = []
    verifier.streams.open(streams.OpenStream(admission.claims, "stock", "/a.B/C", ended.append))
    assert [refusal.reason for refusal in ended] == ["TOKEN_REVOKED"]
    verifier.close()
