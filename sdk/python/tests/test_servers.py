"""Owns the tests of the guards on real servers of gRPC: who passes, what a refusal looks like on the wire, and how streams end."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stock.v1 import stock_service_pb2 as stock
from stock.v1 import stock_service_pb2_grpc as stock_grpc

import signet_sdk
import signet_sdk.aio
from signet_sdk import Hooks, Policy, caller_or_none, current_caller, refusal_of
from signet_sdk.testing import TestIssuer

from .fakes import eventually

HEALTH = "grpc.health.v1.Health"
UNARY = grpc.unary_unary_rpc_method_handler


def policy() -> Policy:
    return Policy.from_services("stock.v1.StockService", public_services=[HEALTH])


class Counted(Hooks):
    def __init__(self) -> None:
        self.judged: list[tuple[str, bool]] = []
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def verified(self, reason: str, cached: bool) -> None:
        self.judged.append((reason, cached))
        raise RuntimeError("a hook that fails")

    def stream_ended(self, reason: str) -> None:
        self.ended.put(reason)


class Stock(stock_grpc.StockServiceServicer):
    """Handlers on threads."""

    def __init__(self) -> None:
        self.callers: list[Any] = []
        self.over = threading.Event()
        self.watching = threading.Event()

    def ListItems(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.callers.append(caller_or_none())
        return stock.ListItemsResponse(names=["bolt"])

    def GetItem(self, request: Any, context: Any) -> Any:  # noqa: N802
        return stock.GetItemResponse(count=1, caller_id=current_caller().id)

    def RestockItem(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise AssertionError("nobody has the role")

    def TakeItem(self, request: Any, context: Any) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such item")

    def WatchItem(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        context.add_callback(self.over.set)
        yield stock.WatchItemResponse(count=len(current_caller().id))
        self.watching.set()
        self.over.wait(30)


class AioStock(stock_grpc.StockServiceServicer):
    """Handlers of asyncio."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.watching = asyncio.Event()
        self.name = threading.current_thread().name

    async def ListItems(self, request: Any, context: Any) -> Any:  # noqa: N802
        return stock.ListItemsResponse()

    async def RestockItem(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise AssertionError("nobody has the role")

    async def GetItem(self, request: Any, context: Any) -> Any:  # noqa: N802
        return stock.GetItemResponse(count=1, caller_id=current_caller().id)

    def TakeItem(self, request: Any, context: Any) -> Any:  # noqa: N802
        assert threading.current_thread().name != self.name, "it runs on a thread"
        return stock.TakeItemResponse(count=2, caller_id=current_caller().id)

    async def WatchItem(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        try:
            yield stock.WatchItemResponse(count=len(current_caller().id))
            self.watching.set()
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class Served:
    """A server with threads, and a channel to it."""

    def __init__(self, issuer: TestIssuer, **options: Any) -> None:
        self.hooks, self.handlers = Counted(), Stock()
        self.verifier = issuer.verifier("stock", hooks=self.hooks, **options)
        self.server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[signet_sdk.guard(self.verifier, policy())])
        stock_grpc.add_StockServiceServicer_to_server(self.handlers, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(Healthy(), self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        self.channel: Any = grpc.insecure_channel(self.address)
        self.stub = stock_grpc.StockServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()
        self.handlers.over.set()
        self.server.stop(None).wait()
        self.verifier.close()


class Healthy(health_pb2_grpc.HealthServicer):
    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture
def served(issuer: TestIssuer) -> Iterator[Served]:
    served = Served(issuer)
    yield served
    served.close()


def shown(token: str) -> Any:
    return (("authorization", f"Bearer {token}"),)


def test_a_caller_passes_and_is_known_to_the_handler(issuer: TestIssuer, served: Served) -> None:
    token = issuer.token(sub="08f672c7-084d-5519-847e-13cf6774354e", audiences=["stock"])
    for _ in range(2):
        answer = served.stub.GetItem(stock.GetItemRequest(name="bolt"), metadata=shown(token), timeout=5)
        assert answer.caller_id == "08f672c7-084d-5519-847e-13cf6774354e"
    assert served.hooks.judged == [("OK", False), ("OK", True)], "and a hook that fails changes nothing"
    assert caller_or_none() is None
    with pytest.raises(LookupError):
        current_caller()


def test_what_is_public_looks_at_no_token(served: Served) -> None:
    assert served.stub.ListItems(stock.ListItemsRequest(), metadata=shown("rubbish"), timeout=5).names == ["bolt"]
    assert served.handlers.callers == [None]
    health: Any = health_pb2_grpc.HealthStub(served.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
    assert served.hooks.judged == []


def test_a_refusal_says_its_reason_on_the_wire(issuer: TestIssuer, served: Served) -> None:
    token = issuer.token(audiences=["stock"])
    for metadata, method, code, reason, more in [
        ((), "GetItem", "UNAUTHENTICATED", "TOKEN_MISSING", {}),
        (shown("rubbish"), "GetItem", "UNAUTHENTICATED", "TOKEN_INVALID", {}),
        (shown(token) * 2, "GetItem", "UNAUTHENTICATED", "TOKEN_INVALID", {}),
        (shown(token), "TakeItem", "PERMISSION_DENIED", "INSUFFICIENT_SCOPE", {"required_scope": "stock:write"}),
        (shown(token), "RestockItem", "PERMISSION_DENIED", "ROLES_NOT_IN_TOKEN", {"required_role": "stocker"}),
        (shown(token), "Unknown", "PERMISSION_DENIED", "ACCESS_UNDECLARED", {}),
    ]:
        path = f"/stock.v1.StockService/{method}"
        with pytest.raises(grpc.RpcError) as caught:
            served.channel.unary_unary(path)(b"", metadata=metadata, timeout=5)
        refusal = refusal_of(caught.value)
        assert refusal is not None
        assert (refusal.code().name, refusal.reason) == (code, reason)
        assert refusal.metadata == {"audience": "stock", "method": path, **more}
        assert token not in str(caught.value)


def test_no_message_is_read_before_its_sender_may_call(issuer: TestIssuer, served: Served) -> None:
    call = served.channel.unary_unary("/stock.v1.StockService/GetItem")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff", metadata=shown(issuer.token(audiences=["stock"])), timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_a_handlers_own_error_goes_through(issuer: TestIssuer, served: Served) -> None:
    token = issuer.token(audiences=["stock"], scopes=["stock:write"])
    with pytest.raises(grpc.RpcError) as caught:
        served.stub.TakeItem(stock.TakeItemRequest(), metadata=shown(token), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert refusal_of(caught.value) is None


def test_an_idle_stream_ends_at_the_expiry_and_the_grace(issuer: TestIssuer, served: Served) -> None:
    stream: Any = served.stub.WatchItem(stock.WatchItemRequest(), metadata=shown(issuer.token(audiences=["stock"])))
    assert next(stream).count == 36
    assert served.handlers.watching.wait(5)
    issuer.clock.advance(900 + 30)
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    refusal = refusal_of(caught.value)
    assert refusal is not None and refusal.reason == "TOKEN_EXPIRED"
    assert refusal.metadata == {"audience": "stock", "method": "/stock.v1.StockService/WatchItem"}
    assert served.handlers.over.wait(5), "the handler's context has ended"
    assert served.hooks.ended.get(timeout=5) == "TOKEN_EXPIRED"


def test_an_idle_stream_ends_at_once_when_its_session_does(issuer: TestIssuer, served: Served) -> None:
    session, other = "d4addbc8-2829-5a91-ba9c-6575031097fc", "0afdbbc8-2829-5a91-ba9c-6575031097fc"
    token = issuer.token(audiences=["stock"], session_id=session)
    stream: Any = served.stub.WatchItem(stock.WatchItemRequest(), metadata=shown(token))
    next(stream)
    issuer.revoke_session(other)
    assert served.stub.GetItem(stock.GetItemRequest(), metadata=shown(token), timeout=5).count == 1
    issuer.revoke_session(session)
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    refusal = refusal_of(caught.value)
    assert refusal is not None and refusal.reason == "TOKEN_REVOKED"
    with pytest.raises(grpc.RpcError):
        served.stub.GetItem(stock.GetItemRequest(), metadata=shown(token), timeout=5)


def test_a_client_that_leaves_gives_the_place_of_its_stream_back(issuer: TestIssuer, served: Served) -> None:
    stream: Any = served.stub.WatchItem(stock.WatchItemRequest(), metadata=shown(issuer.token(audiences=["stock"])))
    next(stream)
    stream.cancel()
    assert served.handlers.over.wait(5)
    assert eventually(lambda: served.verifier.streams._held == 0)


def test_a_flood_of_invented_keys_leaves_the_threads_of_the_server_free(issuer: TestIssuer, served: Served) -> None:
    good = issuer.token(audiences=["stock"])
    call = served.channel.unary_unary("/stock.v1.StockService/GetItem")
    waiting = [call.future(b"", metadata=shown(issuer.token(audiences=["stock"], header={"kid": f"invented-{at}"}))) for at in range(40)]
    # The server has four threads, and the clock stands still: each of these waits for a fetch.
    assert served.stub.GetItem(stock.GetItemRequest(), metadata=shown(good), timeout=5).count == 1
    keys = served.verifier._keys
    with keys.changed:
        assert keys.changed.wait_for(lambda: len(keys._waiters) == 40, 10)
    issuer.clock.advance(5)
    for at in waiting:
        refusal = refusal_of(at.exception(10))
        assert refusal is not None and refusal.reason == "TOKEN_INVALID"


def test_a_key_that_has_just_begun_to_sign_is_waited_for(issuer: TestIssuer, served: Served) -> None:
    issuer.clock.advance(5)
    issuer.rotate_key()
    token = issuer.token(audiences=["stock"])
    assert served.stub.GetItem(stock.GetItemRequest(), metadata=shown(token), timeout=10).count == 1


# ===== asyncio =====


class AioServed:
    def __init__(self, issuer: TestIssuer) -> None:
        self.hooks, self.handlers = Counted(), AioStock()
        self.verifier = issuer.verifier("stock", hooks=self.hooks)
        pool = futures.ThreadPoolExecutor(2, "pool")
        self.server = grpc.aio.server(pool, interceptors=[signet_sdk.aio.guard(self.verifier, policy())])
        stock_grpc.add_StockServiceServicer_to_server(self.handlers, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.channel = grpc.aio.insecure_channel(self.address)
        self.stub: Any = stock_grpc.StockServiceStub(self.channel)


@pytest.fixture
async def aio_served(issuer: TestIssuer) -> AsyncIterator[AioServed]:
    served = AioServed(issuer)
    await served.server.start()
    yield served
    await served.channel.close()
    await served.server.stop(None)
    served.verifier.close()


async def test_handlers_of_asyncio_and_those_on_threads_know_the_caller(issuer: TestIssuer, aio_served: AioServed) -> None:
    token = issuer.token(audiences=["stock"], scopes=["stock:write"])
    first = await aio_served.stub.GetItem(stock.GetItemRequest(), metadata=shown(token), timeout=5)
    second = await aio_served.stub.TakeItem(stock.TakeItemRequest(), metadata=shown(token), timeout=5)
    assert first.caller_id == second.caller_id != ""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await aio_served.stub.GetItem(stock.GetItemRequest(), timeout=5)
    refusal = refusal_of(caught.value)
    assert refusal is not None
    assert (refusal.reason, refusal.metadata["method"]) == ("TOKEN_MISSING", "/stock.v1.StockService/GetItem")


@pytest.mark.parametrize("how", ["TOKEN_EXPIRED", "TOKEN_REVOKED"])
async def test_an_idle_stream_of_asyncio_ends(issuer: TestIssuer, aio_served: AioServed, how: str) -> None:
    session = "d4addbc8-2829-5a91-ba9c-6575031097fc"
    token = issuer.token(audiences=["stock"], session_id=session)
    stream = aio_served.stub.WatchItem(stock.WatchItemRequest(), metadata=shown(token))
    assert (await stream.read()).count == 36
    await asyncio.wait_for(aio_served.handlers.watching.wait(), 5)
    if how == "TOKEN_EXPIRED":
        issuer.clock.advance(900 + 30)
    else:
        issuer.revoke_session(session)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(stream.read(), 5)
    refusal = refusal_of(caught.value)
    assert refusal is not None and refusal.reason == how
    await asyncio.wait_for(aio_served.handlers.cancelled.wait(), 5)
    assert aio_served.hooks.ended.get(timeout=5) == how


async def test_a_client_of_asyncio_that_leaves_has_the_handler_cancelled(issuer: TestIssuer, aio_served: AioServed) -> None:
    stream = aio_served.stub.WatchItem(stock.WatchItemRequest(), metadata=shown(issuer.token(audiences=["stock"])))
    await stream.read()
    stream.cancel()
    await asyncio.wait_for(aio_served.handlers.cancelled.wait(), 5)


async def test_calls_wait_together_for_one_fetch(issuer: TestIssuer, aio_served: AioServed) -> None:
    fetched = aio_served.verifier._keys._begun
    issuer.clock.advance(5)
    issuer.rotate_key()
    tokens = [issuer.token(audiences=["stock"]) for _ in range(50)]
    calls = [aio_served.stub.GetItem(stock.GetItemRequest(), metadata=shown(token), timeout=10) for token in tokens]
    assert all(answer.count == 1 for answer in await asyncio.gather(*calls))
    assert aio_served.verifier._keys._begun == fetched + 1
