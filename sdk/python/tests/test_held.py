"""Owns the tests of calls whose message comes long after their metadata: they are judged by what holds when it comes."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import grpc.aio
import pytest

import signet_sdk
import signet_sdk.aio
from signet_sdk import Hooks, Policy, Rule
from signet_sdk.access import Access
from signet_sdk.testing import TestIssuer

from .http2 import Unreading
from .test_unreading import Kinds

SESSION = "d4addbc8-2829-5a91-ba9c-6575031097fc"
KINDS = ["unary_unary", "unary_stream"]
POLICY = Policy({f"/a.B/{kind}": Access("authenticated", Rule()) for kind in KINDS})
UNAUTHENTICATED = str(grpc.StatusCode.UNAUTHENTICATED.value[0])


class Judged(Hooks):
    def __init__(self) -> None:
        self.reasons: queue.SimpleQueue[str] = queue.SimpleQueue()

    def verified(self, reason: str, cached: bool) -> None:
        self.reasons.put(reason)


class Commands:
    """Handlers that keep what they were told."""

    def __init__(self) -> None:
        self.handled: list[bytes] = []

    def unary_unary(self, request: bytes, context: Any) -> bytes:
        self.handled.append(request)
        return request

    def unary_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        self.handled.append(request)
        yield request


class AsyncCommands(Commands):
    async def unary_unary(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        return super().unary_unary(request, context)

    async def unary_stream(self, request: bytes, context: Any) -> Any:
        self.handled.append(request)
        yield request


class World:
    def __init__(self) -> None:
        self.issuer, self.judged = TestIssuer(), Judged()
        self.verifier = self.issuer.verifier("stock", hooks=self.judged)
        assert self.verifier.ready(10)

    def hold(self, address: str, kind: str, how: str) -> str:
        """The status of a call whose message comes after its token has ended."""
        client = Unreading(address, f"/a.B/{kind}", self.issuer.token(audiences=["stock"], session_id=SESSION))
        assert self.judged.reasons.get(timeout=10) == "OK"
        if how == "TOKEN_REVOKED":
            self.issuer.revoke_session(SESSION)
        else:
            self.issuer.clock.advance(960)
        client.send(b"command")
        status = client.trailers().get("grpc-status", "reset")
        client.close()
        return status


@pytest.mark.parametrize("how", ["TOKEN_REVOKED", "TOKEN_EXPIRED"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_was_held_back_reaches_no_handler_with_threads(kind: str, how: str) -> None:
    world, commands = World(), Commands()
    server = grpc.server(futures.ThreadPoolExecutor(2), [Kinds(commands)], [signet_sdk.guard(world.verifier, POLICY)])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        assert (world.hold(address, kind, how), commands.handled) == (UNAUTHENTICATED, [])
    finally:
        server.stop(None).wait()
        world.verifier.close()


@pytest.mark.parametrize("how", ["TOKEN_REVOKED", "TOKEN_EXPIRED"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [Commands, AsyncCommands])
def test_a_message_that_was_held_back_reaches_no_handler_with_asyncio(kind: str, how: str, make: type[Commands]) -> None:
    async def run() -> tuple[str, list[bytes]]:
        world, commands = World(), make()
        pool = futures.ThreadPoolExecutor(2)
        guard = signet_sdk.aio.guard(world.verifier, POLICY)
        server = grpc.aio.server(pool, [Kinds(commands)], [guard])
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            held = await asyncio.get_running_loop().run_in_executor(None, world.hold, address, kind, how)
            return held, commands.handled
        finally:
            await server.stop(None)
            world.verifier.close()

    assert asyncio.run(run()) == (UNAUTHENTICATED, [])
