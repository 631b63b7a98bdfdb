"""Owns the tests of calls of a server with threads that wait for a key: they keep no thread from those that come later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

import signet_sdk
from signet_sdk import Policy, Rule, refusal_of
from signet_sdk.access import Access
from signet_sdk.testing import TestIssuer

from .http2 import Unreading
from .test_unreading import Kinds

POLICY = Policy({f"/a.B/{kind}": Access("authenticated", Rule()) for kind in ("unary_unary", "stream_stream")})


def shown(token: str) -> Any:
    return (("authorization", f"Bearer {token}"),)


class Opened:
    """Handlers whose streams stay open."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def stream_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield b"open"
        self.over.wait(300)

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        return request


class Served:
    """A server with two threads."""

    def __init__(self) -> None:
        self.issuer, self.handlers = TestIssuer(), Opened()
        self.verifier = self.issuer.verifier("stock")
        self.server = grpc.server(futures.ThreadPoolExecutor(2), [Kinds(self.handlers)], [signet_sdk.guard(self.verifier, POLICY)])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        self.channel: Any = grpc.insecure_channel(self.address)

    def close(self) -> None:
        self.channel.close()
        self.handlers.over.set()
        self.server.stop(None).wait()
        self.verifier.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def test_streams_that_had_to_wait_for_a_key_keep_nobody_from_waiting(served: Served) -> None:
    issuer, channel, keys = served.issuer, served.channel, served.verifier._keys
    call: Any = channel.stream_stream("/a.B/stream_stream")
    streams = []
    # More than may wait at once, in two parts: each waits for the fetch of a key that was just made.
    for seconds in (60, 10):
        issuer.rotate_key()
        tokens = [issuer.token(audiences=["stock"]) for _ in range(60)]
        part = [call(iter([b"a"]), metadata=shown(token), timeout=seconds) for token in tokens]
        with keys.changed:
            assert keys.changed.wait_for(lambda: len(keys._waiters) == 60, 10)
        issuer.clock.advance(5)
        for stream in part:
            assert next(stream) == b"open"
        streams += part
    issuer.rotate_key()
    late = channel.unary_unary("/a.B/unary_unary").future(b"a", metadata=shown(issuer.token(audiences=["stock"])), timeout=20)
    with keys.changed:
        assert keys.changed.wait_for(lambda: len(keys._waiters) == 1, 10)
    issuer.clock.advance(5)
    assert late.result(20) == b"a"
    for stream in streams:
        stream.cancel()


def test_calls_that_never_send_their_message_keep_no_thread_that_waits(served: Served) -> None:
    issuer, channel, keys = served.issuer, served.channel, served.verifier._keys
    silent = [
        Unreading(served.address, "/a.B/unary_unary", issuer.token(audiences=["stock"], header={"kid": f"invented-{at}"}))
        for at in range(100)
    ]
    with keys.changed:
        assert keys.changed.wait_for(lambda: len(keys._waiters) == 100, 10)
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/a.B/unary_unary")(
            b"a", metadata=shown(issuer.token(audiences=["stock"], header={"kid": "one-more"})), timeout=10
        )
    refusal = refusal_of(caught.value)
    assert refusal is not None
    assert (refusal.reason, refusal.metadata) == ("UNAVAILABLE", {"audience": "stock", "method": "/a.B/unary_unary"})
    issuer.clock.advance(5)
    for client in silent:
        assert client.trailers()["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
        client.close()
    issuer.rotate_key()
    late = channel.unary_unary("/a.B/unary_unary").future(b"a", metadata=shown(issuer.token(audiences=["stock"])), timeout=20)
    with keys.changed:
        assert keys.changed.wait_for(lambda: len(keys._waiters) == 1, 10)
    issuer.clock.advance(5)
    assert late.result(20) == b"a"
