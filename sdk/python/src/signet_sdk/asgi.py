"""Owns protecting HTTP services: a middleware for any ASGI application, and a dependency for FastAPI. It takes the extra `http`.

In FastAPI three lines do::

    verifier = Verifier(issuer, "stock")
    signet_sdk.asgi.install(app)
    caller: Annotated[Caller, Depends(requires(verifier, Rule(required_scopes=("stock:write",))))]   # a parameter of the endpoint

Tokens come as `authorization: Bearer`, in the header alone: one in the query ends up in logs (RFC 6750 section 2.3).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping

import grpc
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from ._web_socket import App, Receive, Scope, Send, closing, serve
from .access import UNKNOWN_METHOD, Access, Rule
from .caller import CALLER, Caller
from .refusal import Refusal, denied
from .verifier import Admission, Verifier

_STATUS = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}


class Protect:
    """An ASGI middleware that asks each request for a token: `app.add_middleware(Protect, verifier=verifier, rules={...})`.

    `rules` are by path, whole; what they do not name is held to `default`, which without being given lets nobody in. `public_paths` are
    open, letter for letter, and `signet_sdk.current_caller()` says in all others who calls.

    A path that differs from that of a rule by slashes, dots or case alone is held to this rule, since a framework may take the two for the
    same. What lies below a path is another path. A `default` is for all that nobody has thought of: let it ask for the most, or give none.

    A WebSocket ends with its token, as a stream of gRPC does: it is closed by 1008, with the reason, and its application is cancelled. An
    answer of HTTP that goes on, such as server-sent events, does not: end it by `current_caller().expires_at`.
    """

    def __init__(
        self,
        app: App,
        *,
        verifier: Verifier,
        rules: Mapping[str, Rule] | None = None,
        default: Rule | None = None,
        public_paths: Iterable[str] = (),
    ) -> None:
        self._app, self._verifier = app, verifier
        self._rules, self._default, self._public = dict(rules or {}), default, frozenset(public_paths)
        self._alike: dict[str, Rule | None] = {}
        for path, rule in self._rules.items():
            # Of two that are alike, nobody can say which one is meant.
            alike = _canonical(path)
            self._alike[alike] = rule if self._alike.get(alike, rule) == rule else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with its refusal."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        try:
            admission = await _admission(self._verifier, self._rule(scope["path"]), HTTPConnection(scope))
            if scope["type"] == "websocket":
                await serve(self._app, scope, receive, send, self._verifier, admission)
                return
        except Refusal as refusal:
            if scope["type"] == "websocket":
                await send(closing(refusal))
            else:
                await answer(refusal)(scope, receive, send)
            return
        token = CALLER.set(admission.caller)
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(token)

    def _rule(self, path: str) -> Rule | None:
        return self._rules[path] if path in self._rules else self._alike.get(_canonical(path), self._default)


def _canonical(path: str) -> str:
    """The same for all paths that a framework or a file system may take for one."""
    parts: list[str] = []
    for part in path.replace("\\", "/").casefold().split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def requires(verifier: Verifier, rule: Rule | None = None) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency of FastAPI that answers who calls, if the request's token keeps `rule`: `Depends(requires(verifier))`.

    :func:`install` has its refusals answered as RFC 6750 asks for.
    """
    held_to = rule or Rule()

    async def caller(request: Request) -> Caller:
        return (await _admission(verifier, held_to, request)).caller

    return caller


def install(app: Starlette) -> None:
    """Has `app` answer the refusals of :func:`requires`, by status, `WWW-Authenticate` and JSON."""

    async def refuse(_request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        return answer(refusal)

    app.add_exception_handler(Refusal, refuse)


def answer(refusal: Refusal) -> Response:
    """The response that says `refusal`: 401, 403 or 503, and `WWW-Authenticate` as RFC 6750 section 3 has it."""
    status = _STATUS.get(refusal.code(), 503)
    error = _error(refusal, status)
    headers = {"cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = str(max(1, round(refusal.retry_after or 1)))
    elif refusal.reason == "TOKEN_MISSING":
        # "If the request lacks any authentication information ... should not include an error code" (section 3.1)
        headers["www-authenticate"] = "Bearer"
    elif status == 401 or error == "insufficient_scope":
        scope = refusal.metadata.get("required_scope", "")
        needed = f', scope="{scope}"' if scope and _is_plain(scope) else ""
        headers["www-authenticate"] = f'Bearer error="{error}", error_description="{refusal.details()}"{needed}'
    body = {"error": error, "reason": refusal.reason, "error_description": refusal.details()}
    return Response(json.dumps(body), status, headers, "application/json")


def _error(refusal: Refusal, status: int) -> str:
    if status == 401:
        return "invalid_token"
    if status == 503:
        return "temporarily_unavailable"
    return "insufficient_scope" if refusal.reason == "INSUFFICIENT_SCOPE" else "access_denied"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set('"\\')


async def _admission(verifier: Verifier, rule: Rule | None, connection: HTTPConnection) -> Admission:
    if rule is None:
        raise denied("ACCESS_UNDECLARED", UNKNOWN_METHOD)
    values: list[str | bytes] = list(connection.headers.getlist("authorization"))
    return await verifier.drive_async(verifier.admit(Access("authenticated", rule), "", values))
