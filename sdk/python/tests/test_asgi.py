"""Owns the tests of HTTP: the middleware, and the dependency of FastAPI."""

import asyncio
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from signet_sdk import Caller, Rule, Verifier, asgi, current_caller
from signet_sdk._fetch import FetchError
from signet_sdk.testing import ManualClock, TestIssuer

WRITE = Rule(required_scopes=("stock:write",))


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stock.example")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def fast_api(verifier: Verifier) -> FastAPI:
    app = FastAPI()
    asgi.install(app)

    @app.get("/items")
    async def items(caller: Annotated[Caller, Depends(asgi.requires(verifier))]) -> dict[str, str]:
        return {"id": caller.id}

    @app.post("/items")
    def take(caller: Annotated[Caller, Depends(asgi.requires(verifier, WRITE))]) -> dict[str, str]:
        return {"id": caller.id}

    return app


def starlette(verifier: Verifier) -> Starlette:
    async def answer(_request: Request) -> JSONResponse:
        return JSONResponse({"id": current_caller().id})

    async def health(_request: Request) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(
        routes=[Route(path, answer, methods=["GET", "POST"]) for path in ("/items", "/write", "/forgotten")] + [Route("/health", health)]
    )
    app.add_middleware(asgi.Protect, verifier=verifier, rules={"/items": Rule(), "/write": WRITE}, public_paths=["/health"])
    return app


@pytest.mark.parametrize(("make", "read", "write"), [(fast_api, "GET /items", "POST /items"), (starlette, "GET /items", "POST /write")])
async def test_requests_are_held_to_rules(make: Any, read: str, write: str) -> None:
    issuer = TestIssuer()
    async with client(make(issuer.verifier("stock"))) as http:

        async def call(what: str, headers: dict[str, str]) -> httpx.Response:
            method, path = what.split(" ")
            return await http.request(method, path, headers=headers)

        token = issuer.token(audiences=["stock"], sub="08f672c7-084d-5519-847e-13cf6774354e")
        answer = await call(read, bearer(token))
        assert (answer.status_code, answer.json()) == (200, {"id": "08f672c7-084d-5519-847e-13cf6774354e"})
        for headers, what, status, error, reason, shown in [
            ({}, read, 401, "invalid_token", "TOKEN_MISSING", "Bearer"),
            (bearer("x"), read, 401, "invalid_token", "TOKEN_INVALID",
             'Bearer error="invalid_token", error_description="the access token is invalid: it is not a JWT"'),
            (bearer(token), write, 403, "insufficient_scope", "INSUFFICIENT_SCOPE",
             'Bearer error="insufficient_scope", error_description="the scope `stock:write` is needed, and was not granted", '
             'scope="stock:write"'),
        ]:  # fmt: skip
            answer = await call(what, headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (status, shown)
            assert answer.json() | {"error_description": ""} == {"error": error, "reason": reason, "error_description": ""}
        issuer.clock.advance(1_000)
        answer = await call(read, bearer(token))
        assert answer.json()["reason"] == "TOKEN_EXPIRED"
        both = await http.get("/items", headers=[("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")])
        assert both.json()["reason"] == "TOKEN_INVALID"


async def test_what_has_no_rule_is_open_to_nobody() -> None:
    issuer = TestIssuer()
    async with client(starlette(issuer.verifier("stock"))) as http:
        answer = await http.get("/forgotten", headers=bearer(issuer.token(audiences=["stock"])))
        assert (answer.status_code, answer.json()["reason"]) == (403, "ACCESS_UNDECLARED")
        assert "www-authenticate" not in answer.headers
        assert (await http.get("/health")).status_code == 200


async def test_what_cannot_be_told_is_unavailable() -> None:
    def away() -> Any:
        raise FetchError("it is away")

    clock = ManualClock()
    verifier = Verifier("https://issuer.invalid", "stock", clock=clock, key_source=away)
    async with client(fast_api(verifier)) as http:
        answer = await http.get("/items", headers=bearer(TestIssuer(clock=clock).token(audiences=["stock"])))
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["error"]) == (503, "1", "temporarily_unavailable")
    verifier.close()


async def test_a_socket_of_the_web_is_closed_before_it_is_open() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it is not reached")

    protect = asgi.Protect(app, verifier=TestIssuer().verifier("stock"), default=Rule())
    await protect({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "TOKEN_MISSING"}]


ALIASES = ["/write/", "//write", "/./write", "/items/../write", "/Write", "/write//", "\\write"]


@pytest.mark.parametrize("path", ALIASES)
async def test_no_other_spelling_of_a_path_passes_its_rule_by(path: str) -> None:
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    issuer = TestIssuer()
    verifier = issuer.verifier("stock")
    headers = [(b"authorization", f"Bearer {issuer.token(audiences=['stock'])}".encode())]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    protect = asgi.Protect(app, verifier=verifier, rules={"/write": WRITE, "/items": Rule()}, default=Rule())
    await protect({"type": "http", "method": "GET", "path": path, "headers": headers}, receive, send)
    assert (reached, sent[0]["status"]) == ([], 403)
    await protect({"type": "http", "method": "GET", "path": path + "/below", "headers": headers}, receive, send)
    assert reached == [path + "/below"]
    twice = asgi.Protect(app, verifier=verifier, rules={"/write": Rule(), "/write/": WRITE}, default=Rule())
    sent.clear()
    await twice({"type": "http", "method": "GET", "path": "//write", "headers": headers}, receive, send)
    assert sent[0]["status"] == 403, "of two rules that are alike neither is taken"
    verifier.close()


@pytest.mark.parametrize("how", ["TOKEN_REVOKED", "TOKEN_EXPIRED"])
async def test_a_socket_of_the_web_ends_with_its_token(how: str) -> None:
    issuer, session = TestIssuer(), "d4addbc8-2829-5a91-ba9c-6575031097fc"
    verifier = issuer.verifier("stock")
    told: asyncio.Queue[Any] = asyncio.Queue()
    sent: list[Any] = []
    seen: list[Any] = []
    opened = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        seen.append(current_caller().session_id)
        opened.set()
        while True:
            seen.append((await receive())["type"])

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {issuer.token(audiences=['stock'], session_id=session)}".encode())]
    protect = asgi.Protect(app, verifier=verifier, default=Rule())
    serving = asyncio.ensure_future(protect({"type": "websocket", "path": "/", "headers": headers}, told.get, send))
    await asyncio.wait_for(opened.wait(), 10)
    if how == "TOKEN_REVOKED":
        issuer.revoke_session(session)
    else:
        issuer.clock.advance(930)
    await asyncio.wait_for(serving, 10)
    assert sent == [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1008, "reason": how}]
    assert seen == [session]
    assert verifier.streams._held == 0
    verifier.close()


async def test_a_socket_of_the_web_is_left_whose_client_does_not_read_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signet_sdk._web_socket.CLOSE_TIMEOUT", 0.01)
    issuer, session = TestIssuer(), "d4addbc8-2829-5a91-ba9c-6575031097fc"
    verifier = issuer.verifier("stock")
    opened = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        opened.set()
        await receive()

    async def nothing() -> Any:
        await asyncio.Event().wait()

    async def stuck(_message: Any) -> None:
        await asyncio.Event().wait()

    headers = [(b"authorization", f"Bearer {issuer.token(audiences=['stock'], session_id=session)}".encode())]
    protect = asgi.Protect(app, verifier=verifier, default=Rule())
    serving = asyncio.ensure_future(protect({"type": "websocket", "path": "/", "headers": headers}, nothing, stuck))
    await asyncio.wait_for(opened.wait(), 10)
    issuer.revoke_session(session)
    await asyncio.wait_for(serving, 10)
    assert verifier.streams._held == 0
    verifier.close()
