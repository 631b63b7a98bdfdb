"""Owns the tests of channels that carry tokens: to whom, and when a call is sent again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import grpc.aio
import pytest

import signet_sdk
import signet_sdk.aio
from identity.v1 import identity_service_pb2 as identity
from signet_sdk import ClientCredentials, Hooks, PlaintextError, Secret, TokenSource, refusal_of
from signet_sdk._aio_channel import aio_interceptors
from signet_sdk.refusal import Refusal, unauthenticated

from .fakes import eventually

# The types of messages are those of stubs. Here they are bytes.
any_channel: Any = signet_sdk.channel
any_aio_channel: Any = signet_sdk.aio.channel
any_secure_channel: Any = grpc.secure_channel
any_aio_secure_channel: Any = grpc.aio.secure_channel
intercept: Any = grpc.intercept_channel

METHOD = "/stock.v1.StockService/GetItem"


class Counted(Hooks):
    retried = 0

    def call_retried(self) -> None:
        self.retried += 1


class Server(grpc.GenericRpcHandler):
    """A server that notes the tokens it is shown, and answers by a function of the token."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, list[str]]] = []
        self.refuse: Callable[[str], Refusal | None] = lambda _token: None
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers([self])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, handler_call_details: Any) -> Any:
        values = [value for key, value in handler_call_details.invocation_metadata if key == "authorization"]
        self.shown.append((handler_call_details.method, values))

        def answer(_request: Any, context: Any) -> Any:
            refused = self.refuse(values[0] if values else "")
            if refused is not None:
                context.set_trailing_metadata(refused.trailing_metadata())
                context.abort(refused.code(), refused.details())
            return b"answer"

        def stream(request: Any, context: Any) -> Any:
            yield answer(request, context)

        if handler_call_details.method.endswith("Stream"):
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.stop(None).wait()


@pytest.fixture
def source() -> TokenSource:
    issued = iter(range(1, 100))

    def issue(_request: identity.IssueTokenRequest) -> identity.IssueTokenResponse:
        return identity.IssueTokenResponse(access_token=f"token-{next(issued)}", expires_in=100)

    return TokenSource([], ClientCredentials(Secret("shop", "s")), audience="stock", issue=issue)


def refused(reason: str, audience: str = "stock", method: str = METHOD) -> Refusal:
    return unauthenticated(reason, "refused").at(audience, method)


def once(refusal: Refusal) -> Callable[[str], Refusal | None]:
    return lambda token: refusal if token == "Bearer token-1" else None


@pytest.mark.parametrize("reason", ["TOKEN_EXPIRED", "TOKEN_REVOKED"])
def test_a_unary_call_is_sent_once_more_with_another_token(server: Server, source: TokenSource, reason: str) -> None:
    hooks = Counted()
    server.refuse = once(refused(reason))
    with any_channel(f"127.0.0.1:{server.port}", source, hooks=hooks) as channel:
        assert channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
    assert server.shown == [(METHOD, ["Bearer token-1"]), (METHOD, ["Bearer token-2"])]
    assert hooks.retried == 1


@pytest.mark.parametrize(
    "refusal",
    [
        refused("TOKEN_INVALID"),
        refused("TOKEN_REVOKED", audience="orders"),
        refused("TOKEN_REVOKED", method="/orders.v1.OrderService/Get"),
        Refusal(grpc.StatusCode.PERMISSION_DENIED, "TOKEN_REVOKED", "refused", {"audience": "stock", "method": METHOD}),
    ],
)
async def test_a_refusal_of_another_kind_or_passed_on_is_handed_up(server: Server, source: TokenSource, refusal: Refusal) -> None:
    server.refuse = lambda _token: refusal
    target = f"127.0.0.1:{server.port}"
    with any_channel(target, source) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHOD)(b"", timeout=5)
    assert len(server.shown) == 1
    assert (found := refusal_of(caught.value)) is not None and found.metadata == refusal.metadata
    async with any_aio_channel(target, source) as aio_channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await aio_channel.unary_unary(METHOD)(b"", timeout=5)
    assert len(server.shown) == 2


def test_a_call_is_sent_again_no_more_than_once(server: Server, source: TokenSource) -> None:
    server.refuse = lambda _token: refused("TOKEN_REVOKED")
    with any_channel(f"localhost:{server.port}", source) as channel:
        for calls in (2, 3, 4):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(METHOD)(b"", timeout=5)
            assert len(server.shown) == calls, "and then the new token is not replaced for each call"


def test_a_stream_and_a_call_by_future_carry_a_token_and_are_not_sent_again(server: Server, source: TokenSource) -> None:
    with any_channel(f"127.0.0.1:{server.port}", source) as channel:
        assert list(channel.stream_stream("/a.B/Stream")(iter([b""]), timeout=5)) == [b"answer"]
        server.refuse = lambda _token: refused("TOKEN_EXPIRED")
        future = channel.unary_unary(METHOD).future(b"", timeout=5)
        assert isinstance(future.exception(5), grpc.RpcError)
        assert [values for _, values in server.shown] == [["Bearer token-1"]] * 2
        assert eventually(lambda: source.token() == "token-2"), "but the next call has another token"


def test_a_stream_whose_token_has_ended_is_called_with_another_one(server: Server, source: TokenSource) -> None:
    server.refuse = lambda _token: refused("TOKEN_REVOKED", method="/a.B/Stream")
    with any_channel(f"127.0.0.1:{server.port}", source) as channel:
        with pytest.raises(grpc.RpcError):
            list(channel.stream_stream("/a.B/Stream")(iter([b""]), timeout=5))
        assert eventually(lambda: source.token() == "token-2")


async def test_a_stream_of_asyncio_whose_token_has_ended_is_called_with_another_one(server: Server, source: TokenSource) -> None:
    server.refuse = lambda _token: refused("TOKEN_REVOKED", method="/a.B/Stream")
    async with any_aio_channel(f"127.0.0.1:{server.port}", source) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            [message async for message in channel.stream_stream("/a.B/Stream")(iter([b""]), timeout=5)]
        for _ in range(10_000):
            if source.token() == "token-2":
                return
            await asyncio.sleep(0.001)
    raise AssertionError("the token is still the same")


async def test_calls_of_asyncio_carry_a_token_and_are_sent_once_more(server: Server, source: TokenSource) -> None:
    hooks = Counted()
    server.refuse = once(refused("TOKEN_EXPIRED"))
    async with any_aio_channel(f"127.0.0.1:{server.port}", source, hooks=hooks) as channel:
        assert await channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
        stream = channel.stream_stream("/a.B/Stream")(iter([b""]), timeout=5)
        assert [message async for message in stream] == [b"answer"]
    assert [values for _, values in server.shown] == [["Bearer token-1"], ["Bearer token-2"], ["Bearer token-2"]]
    assert hooks.retried == 1


async def test_a_call_without_a_token_fails_with_signets_own_reason(server: Server) -> None:
    def issue(_request: identity.IssueTokenRequest) -> identity.IssueTokenResponse:
        raise unauthenticated("INVALID_CLIENT", "refused")

    source = TokenSource([], ClientCredentials(Secret("shop", "s")), audience="stock", issue=issue)
    target = f"127.0.0.1:{server.port}"
    with any_channel(target, source) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHOD)(b"", timeout=5)
    assert (found := refusal_of(caught.value)) is not None and found.reason == "INVALID_CLIENT"
    async with any_aio_channel(target, source) as aio_channel:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await aio_channel.unary_unary(METHOD)(b"", timeout=5)
    assert (found := refusal_of(late.value)) is not None and found.reason == "INVALID_CLIENT"
    assert server.shown == []


def test_call_credentials_attach_to_their_targets_alone(server: Server, source: TokenSource) -> None:
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    for targets, passes in (([f"LocalHost:{server.port}"], True), ([f"127.0.0.1:{server.port}"], False), (["localhost:1"], False)):
        secured = grpc.composite_channel_credentials(local, signet_sdk.call_credentials(source, targets))
        with any_secure_channel(f"localhost:{server.port}", secured) as channel:
            if passes:
                assert channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
            else:
                with pytest.raises(grpc.RpcError) as caught:
                    channel.unary_unary(METHOD)(b"", timeout=5)
                assert "token-" not in str(caught.value)
    assert server.shown == [(METHOD, ["Bearer token-1"])]


def test_call_credentials_attach_to_no_name_that_merely_leads_to_this_machine(server: Server, source: TokenSource) -> None:
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    secured = grpc.composite_channel_credentials(local, signet_sdk.call_credentials(source, [f"stock.example:{server.port}"]))
    # As where DNS answers a loopback address for the name.
    options = [("grpc.default_authority", f"stock.example:{server.port}")]
    with grpc.secure_channel(f"127.0.0.1:{server.port}", secured, options) as channel:
        call: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=5)
    assert server.shown == []


async def test_a_proxy_of_this_machine_does_not_pass_for_it(server: Server, source: TokenSource, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("no_grpc_proxy", raising=False)
        # On a pool of their own: other channels to the address were opened without the proxy.
        own = [("grpc.use_local_subchannel_pool", 1)]
        with any_channel(f"localhost:{server.port}", source, options=own) as channel:
            assert channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
        async with any_aio_channel(f"localhost:{server.port}", source, options=own) as aio_channel:
            assert await aio_channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"


def test_call_credentials_go_with_the_retry(server: Server, source: TokenSource) -> None:
    server.refuse = once(refused("TOKEN_EXPIRED"))
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    target = f"127.0.0.1:{server.port}"
    secured = grpc.composite_channel_credentials(local, signet_sdk.call_credentials(source, [target]))
    with intercept(grpc.secure_channel(target, secured), signet_sdk.retry_interceptor(source)) as channel:
        assert channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
    assert [values for _, values in server.shown] == [["Bearer token-1"], ["Bearer token-2"]]


async def test_call_credentials_are_for_asyncio_too(server: Server, source: TokenSource) -> None:
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    target = f"127.0.0.1:{server.port}"
    secured = grpc.composite_channel_credentials(local, signet_sdk.call_credentials(source, [target]))
    async with any_aio_secure_channel(target, secured) as channel:
        assert await channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
    assert len(aio_interceptors(source)) == 4


async def test_no_token_leaves_in_plaintext_unless_the_code_says_why(server: Server, source: TokenSource) -> None:
    for make in (signet_sdk.channel, signet_sdk.aio.channel):
        with pytest.raises(PlaintextError):
            make("stock.example:50052", source)
        with pytest.raises(ValueError, match="another authority"):
            make(f"127.0.0.1:{server.port}", source, options=[("grpc.default_authority", "orders.example")])
    with any_channel(f"127.0.0.1:{server.port}", source, allow_plaintext="a test of it") as channel:
        assert channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"
    async with any_aio_channel(f"127.0.0.1:{server.port}", source, allow_plaintext="a test of it") as aio_channel:
        assert await aio_channel.unary_unary(METHOD)(b"", timeout=5) == b"answer"


def test_an_interceptor_further_out_sees_a_call_without_a_token_as_one_that_failed(server: Server) -> None:
    def issue(_request: identity.IssueTokenRequest) -> identity.IssueTokenResponse:
        raise unauthenticated("INVALID_CLIENT", "refused")

    class Outer(grpc.UnaryUnaryClientInterceptor):
        seen: Any = None

        def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
            self.seen = continuation(client_call_details, request)
            return self.seen

    outer = Outer()
    source = TokenSource([], ClientCredentials(Secret("shop", "s")), audience="stock", issue=issue)
    with intercept(signet_sdk.channel(f"127.0.0.1:{server.port}", source), outer) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(METHOD)(b"", timeout=5)
        assert (found := refusal_of(caught.value)) is not None and found.reason == "INVALID_CLIENT"
        assert outer.seen.done() and outer.seen.code() is grpc.StatusCode.UNAUTHENTICATED
        assert channel.unary_unary(METHOD).future(b"", timeout=5).exception(5) is not None
