"""Owns the tests of the example against the real Signet: `SIGNET_TEST_SIGNET=.../signet pytest -m integration`."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stock.v1 import stock_service_pb2 as stock
from stock.v1 import stock_service_pb2_grpc as stock_grpc

import signet_sdk
from identity.v1 import identity_service_pb2 as identity
from identity.v1 import identity_service_pb2_grpc as identity_grpc
from signet_sdk import Certificate, ClientCredentials, Introspection, RefreshToken, Rule, Secret, TokenSource, Verifier, refusal_of

from .fakes import eventually

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[1] / "example"


class Process:
    """A program, whose output is read line by line."""

    def __init__(self, command: list[str], **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SIGNET_", "STOCK_"))}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=inherited | environment)  # noqa: S603
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line.rstrip("\n"))
        self.process.wait()
        self.lines.put(None)

    def line(self, timeout: float = 20) -> str:
        found = self.lines.get(timeout=timeout)
        assert found is not None, "the program has ended"
        return found

    def json(self, timeout: float = 20) -> Any:
        return json.loads(self.line(timeout))

    def end(self) -> float:
        """Ends it by SIGTERM, and says after how many seconds it has."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(20)
        return time.monotonic() - began


class Signet:
    """The real one, on a folder of its own."""

    def __init__(self, folder: Path, *options: str, grpc: str = "127.0.0.1:0", http: str = "127.0.0.1:0") -> None:
        self.binary, self.folder = os.environ["SIGNET_TEST_SIGNET"], folder
        listening = ["--grpc-addr", grpc, "--http-addr", http, "--operations-addr", "off", "--admin-addr", "off"]
        self.process = Process([self.binary, "serve", "--data-dir", str(folder), *listening, *options])
        said = {}
        while "HTTP" not in said:
            name, _, value = self.process.line().partition(":")
            said[name] = value.strip()
        self.issuer, self.grpc = said["Issuer"], said["gRPC"]

    def run(self, *arguments: str) -> Any:
        command = [self.binary, *arguments, "--data-dir", str(self.folder), "--audit-log", "off", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return json.loads(done.stdout.splitlines()[0]) if done.stdout.strip() else None

    def client(self, name: str, *arguments: str) -> Secret:
        told = self.run("clients", "create", name, *arguments)
        return Secret(told["id"], told["secret"])


@pytest.fixture(scope="module")
def signet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signet]:
    signet = Signet(tmp_path_factory.mktemp("signet"), "--access-token-ttl", "60s")
    yield signet
    signet.process.end()


@pytest.fixture(scope="module")
def events(signet: Signet) -> Secret:
    return signet.client("stock-events", "--scope", "signet.events.watch", "--allow-audience", "stock", "--allow-audience", "signet")


class Server:
    """The example's server, which is ready."""

    def __init__(self, signet: Signet, events: Secret | None, **environment: str) -> None:
        if events is not None:
            environment |= {"SIGNET_CLIENT_ID": events.client_id, "SIGNET_CLIENT_SECRET": events.client_secret}
        settings = {"SIGNET_GRPC_ADDR": signet.grpc, "SIGNET_ISSUER": signet.issuer, "STOCK_ADDR": "127.0.0.1:0"}
        self.process = Process([sys.executable, str(EXAMPLE / "server.py")], **(settings | environment))
        self.address = self.process.line()
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            for answer in stub.Watch(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break


@pytest.fixture
def server(signet: Signet, events: Secret) -> Iterator[Server]:
    server = Server(signet, events)
    yield server
    server.process.end()


def client(signet: Signet, server: Server, secret: Secret, *arguments: str) -> Process:
    return Process(
        [sys.executable, str(EXAMPLE / "client.py"), *arguments],
        SIGNET_GRPC_ADDR=signet.grpc,
        STOCK_ADDR=server.address,
        SIGNET_CLIENT_ID=secret.client_id,
        SIGNET_CLIENT_SECRET=secret.client_secret,
    )


def test_the_examples_client_calls_its_server(signet: Signet, server: Server) -> None:
    shop = signet.client("shop", "--allow-audience", "stock", "--scope", "stock:write")
    calling = client(signet, server, shop, "--calls", "2", "--take")
    assert [calling.json() for _ in range(2)] == [{"code": "OK", "count": 999}, {"code": "OK", "count": 998}]
    assert calling.process.wait(20) == 0
    calling = client(signet, server, shop)
    assert calling.json() == {"code": "OK", "count": 998}
    reader = signet.client("reader", "--allow-audience", "stock", "--scope", "stock:read")
    assert client(signet, server, reader, "--take").json() == {"code": "PERMISSION_DENIED", "reason": "INSUFFICIENT_SCOPE"}
    wrong = Secret(reader.client_id, shop.client_secret)
    calling = client(signet, server, wrong)
    assert calling.json() == {"code": "UNAUTHENTICATED", "reason": "INVALID_CLIENT"}
    assert calling.process.wait(20) == 0


def test_a_client_that_is_disabled_is_refused_within_a_second_or_so(signet: Signet, server: Server) -> None:
    shop = signet.client("shop-2", "--allow-audience", "stock", "--scope", "stock:write")
    watching = client(signet, server, shop, "--watch")
    assert watching.json()["count"] == 1_000
    source = TokenSource([signet.grpc], ClientCredentials(shop), audience="stock")
    with signet_sdk.channel(server.address, source) as channel:
        stub = stock_grpc.StockServiceStub(channel)
        assert stub.GetItem(stock.GetItemRequest(name="bolt"), timeout=5).caller_id == shop.client_id
        assert stub.TakeItem(stock.TakeItemRequest(name="bolt"), timeout=5).count == 999
        assert watching.json()["count"] == 999
        signet.run("clients", "disable", shop.client_id)
        # The command's own process tells the database, and the replica reads that within a second.
        assert watching.json(5) == {"ended": "TOKEN_REVOKED"}
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetItem(stock.GetItemRequest(name="bolt"), timeout=5)
        refusal = refusal_of(caught.value)
        assert refusal is not None and refusal.reason in ("TOKEN_REVOKED", "INVALID_CLIENT")
    assert watching.json(5) == {"ended": "INVALID_CLIENT"}
    watching.end()


def test_a_stream_ends_with_its_token_and_is_opened_anew(signet: Signet, events: Secret, tmp_path: Path) -> None:
    short = Signet(tmp_path / "short", "--access-token-ttl", "2s")
    try:
        shop = short.client("shop", "--allow-audience", "stock")
        server = Server(short, None, STOCK_STREAM_GRACE="0")
        watching = client(short, server, shop, "--watch")
        assert watching.json() == {"count": 1_000}
        assert watching.json() == {"ended": "TOKEN_EXPIRED"}
        assert watching.json() == {"count": 1_000}
        watching.process.send_signal(signal.SIGTERM)
        assert watching.process.wait(5) == 0
        assert server.process.end() < 2
    finally:
        short.process.end()


def test_a_key_that_signs_at_once_refuses_no_call(signet: Signet, server: Server) -> None:
    shop = signet.client("shop-3", "--allow-audience", "stock")
    answers = []
    for _ in range(3):
        # A process each, and so a token each, of the key of that moment.
        calling = client(signet, server, shop)
        answers.append(calling.json())
        signet.run("keys", "rotate", "--now")
    assert [answer["code"] for answer in answers] == ["OK"] * 3


def test_a_user_keeps_logged_in_by_a_refresh_token(signet: Signet, server: Server) -> None:
    kept: list[str] = []
    with grpc.insecure_channel(signet.grpc) as channel:
        stub = identity_grpc.IdentityServiceStub(channel)
        stub.SignUp(identity.SignUpRequest(username="alice", password="correct horse"), timeout=20)
        app = signet.run("clients", "create", "app", "--public", "--allow-audience", "stock")["id"]
        login = stub.IssueToken(
            identity.IssueTokenRequest(
                password=identity.PasswordGrant(username="alice", password="correct horse"),
                client=identity.ClientAuthentication(client_id=app),
            ),
            timeout=20,
        )
    source = TokenSource([signet.grpc], RefreshToken(Certificate(app), login.refresh_token, kept.append), audience="stock")
    with signet_sdk.channel(server.address, source) as channel:
        answer = stock_grpc.StockServiceStub(channel).GetItem(stock.GetItemRequest(name="bolt"), timeout=5)
    assert len(kept) == 1 and kept[0] != login.refresh_token
    assert answer.caller_id != app


def test_introspection_tells_the_roles_that_a_token_had_no_room_for(signet: Signet) -> None:
    asking = Introspection([signet.grpc], signet.client("asker", "--scope", "introspect", "--allow-audience", "signet"))
    shop = signet.client("shop-4", "--allow-audience", "stock")
    token = TokenSource([signet.grpc], ClientCredentials(shop), audience="stock").token(10)
    told = asking.ask(token).result(10)
    assert (told.active, told.roles) == (True, ())
    assert not asking.ask("no-token").result(10).active
    asking.close()


def test_a_verifier_without_a_server_finds_the_keys_by_the_issuers_metadata(signet: Signet) -> None:
    shop = signet.client("shop-5", "--allow-audience", "stock", "--scope", "stock:read")
    token = TokenSource([signet.grpc], ClientCredentials(shop), audience="stock").token(10)
    with Verifier(signet.issuer, "stock") as verifier:
        assert verifier.ready(10)
        caller = verifier.verify(token, Rule(required_scopes=("stock:read",), callers="client"))
    assert (caller.kind, caller.id) == ("client", shop.client_id)
    with contextlib.suppress(AttributeError):
        caller.id = "another"  # type: ignore[misc]
    assert caller.id == shop.client_id


def test_while_signet_is_restarted_calls_go_on_and_what_was_revoked_then_is_heard_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "restarted"
    first = Signet(folder, "--access-token-ttl", "120s")
    events = first.client("stock-events", "--scope", "signet.events.watch", "--allow-audience", "stock", "--allow-audience", "signet")
    shop, other = (first.client(name, "--allow-audience", "stock") for name in ("shop", "other"))
    server = Server(first, events)
    shown = {one: TokenSource([first.grpc], ClientCredentials(one), audience="stock").token(10) for one in (shop, other)}
    with grpc.insecure_channel(server.address) as channel:
        stub = stock_grpc.StockServiceStub(channel)

        def answer(one: Secret) -> str:
            try:
                stub.GetItem(stock.GetItemRequest(name="bolt"), metadata=(("authorization", f"Bearer {shown[one]}"),), timeout=5)
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                return refusal.reason if refusal is not None else error.code().name
            return "OK"

        assert [answer(shop), answer(other)] == ["OK", "OK"]
        first.process.end()
        assert [answer(shop), answer(other)] == ["OK", "OK"], "by what is known"
        first.run("clients", "disable", shop.client_id)
        second = Signet(folder, "--access-token-ttl", "120s", grpc=first.grpc, http=first.issuer.removeprefix("http://"))
        try:
            assert eventually(lambda: answer(shop) == "TOKEN_REVOKED")
            assert answer(other) == "OK"
            assert server.process.end() < 2
        finally:
            second.process.end()
