"""Owns who calls: what a service knows of the user or client whose token it has verified, and where a handler finds it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .access import CallerKind
from .claims import Claims


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom the token of a call stands for. Handlers get it from :func:`current_caller`."""

    kind: CallerKind
    """A user, or a client by itself."""
    id: str
    """The id of the user or client (`sub`), a UUID. Names change, ids never."""
    client_id: str
    """The client that asked for the token."""
    session_id: str | None
    """The login session (`sid`), of users alone."""
    audiences: tuple[str, ...]
    """Whom the token is meant for."""
    scopes: tuple[str, ...]
    """What it allows."""
    roles: tuple[str, ...]
    """The roles at the audience, where the token names them or introspection has told them."""
    groups: tuple[str, ...]
    """The groups by which one of these roles comes."""
    attributes: Mapping[str, Any]
    """Attributes of the user that the operator has declared for tokens, read-only: arrays are tuples, objects are mappings."""
    amr: tuple[str, ...]
    """By which methods the user logged in (RFC 8176)."""
    auth_time: int | None
    """When that was, in seconds since 1970."""
    acr: str | None
    """The level of assurance that it reached."""
    expires_at: int
    """When the token expires, in seconds since 1970."""
    token_id: str
    """The token's own id (`jti`), for logs: it proves nothing."""
    _scopes: frozenset[str] = field(repr=False, compare=False)

    def has_scope(self, scope: str) -> bool:
        """Whether the token has `scope`."""
        return scope in self._scopes

    def has_role(self, role: str) -> bool:
        """Whether `role` is among those that are known."""
        return role in self.roles

    def expires(self) -> datetime:
        """When the token expires, in UTC."""
        return datetime.fromtimestamp(self.expires_at, timezone.utc)


def caller_of(claims: Claims, roles: tuple[str, ...] | None = None) -> Caller:
    """Whom `claims` stand for; `roles` are those that introspection has told, if it was asked."""
    return Caller(
        kind="client" if claims.session_id is None else "user",
        id=claims.subject,
        client_id=claims.client_id,
        session_id=claims.session_id,
        audiences=claims.audiences,
        scopes=claims.scopes,
        roles=(claims.roles or ()) if roles is None else roles,
        groups=claims.groups,
        attributes=claims.attributes,
        amr=claims.amr,
        auth_time=claims.auth_time,
        acr=claims.acr,
        expires_at=claims.expires_at,
        token_id=claims.token_id,
        _scopes=frozenset(claims.scopes),
    )


CALLER: ContextVar[Caller | None] = ContextVar("signet_sdk_caller", default=None)
"""The caller of the call that runs in this context."""


def current_caller() -> Caller:
    """Who calls, in a handler of an RPC or of an HTTP request that asks for a token.

    Threads that a handler starts itself have it if they run in its context: `contextvars.copy_context().run`, `asyncio.to_thread`.

    Raises:
        LookupError: There is no caller: the method is public, or this is not the code of a guarded handler.
    """
    caller = CALLER.get()
    if caller is None:
        raise LookupError("there is no caller: the method is public, or its server has no guard")
    return caller


def caller_or_none() -> Caller | None:
    """The same; `None` where there is no caller, as in a public method."""
    return CALLER.get()
