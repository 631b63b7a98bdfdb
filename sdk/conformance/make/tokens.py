"""Owns making tokens, good ones and all others, and the form of a case."""

import json

from .keys import ES, b64
from .world import ALICE, AUDIENCE, ISSUER, LIFETIME, NOW, ROBOT, SESSION, SHOP, TOKEN_ID


class Without:
    """What stands for a member that is left out."""


WITHOUT = Without()


def changed(members: dict, changes: dict) -> dict:
    """`members` with `changes`, where WITHOUT takes one out."""
    return {name: value for name, value in {**members, **changes}.items() if value is not WITHOUT}


def user(**changes) -> dict:
    """The claims of Alice's token."""
    claims = {
        "iss": ISSUER,
        "sub": ALICE,
        "aud": AUDIENCE,
        "exp": NOW + LIFETIME,
        "iat": NOW,
        "jti": TOKEN_ID,
        "client_id": SHOP,
        "scope": "stock:read",
        "sid": SESSION,
        "amr": ["pwd"],
        "auth_time": NOW - 60,
    }
    return changed(claims, changes)


def client(**changes) -> dict:
    """The claims of a client's own token."""
    claims = {
        "iss": ISSUER,
        "sub": ROBOT,
        "aud": AUDIENCE,
        "exp": NOW + LIFETIME,
        "iat": NOW,
        "jti": TOKEN_ID,
        "client_id": ROBOT,
        "scope": "stock:read",
    }
    return changed(claims, changes)


def header(key=ES, **changes) -> dict:
    """The header of a token that `key` signs."""
    return changed({"typ": "at+jwt", "alg": key.alg, "kid": key.kid}, changes)


def raw(part) -> bytes:
    """The bytes of a part: bytes and text as they are, all else in JSON."""
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode()
    return json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode()


def message(head, claims) -> str:
    """What a signature is made of: two parts."""
    return f"{b64(raw(head))}.{b64(raw(claims))}"


def token(claims=None, head=None, key=ES, sign=None) -> str:
    """A token of `claims`, or Alice's, signed by `key`, or by `sign` of the bytes."""
    text = message(header(key) if head is None else head, user() if claims is None else claims)
    return f"{text}.{b64((sign or key.sign)(text.encode()))}"


def bearer(text: str) -> list[str]:
    """The one value of `authorization` that shows the token."""
    return ["Bearer " + text]


# ===== expectations =====

GRPC = {
    "TOKEN_MISSING": "UNAUTHENTICATED",
    "TOKEN_INVALID": "UNAUTHENTICATED",
    "TOKEN_EXPIRED": "UNAUTHENTICATED",
    "TOKEN_REVOKED": "UNAUTHENTICATED",
    "ACCESS_UNDECLARED": "PERMISSION_DENIED",
    "CALLER_NOT_ALLOWED": "PERMISSION_DENIED",
    "INSUFFICIENT_SCOPE": "PERMISSION_DENIED",
    "INSUFFICIENT_ROLE": "PERMISSION_DENIED",
    "ROLES_NOT_IN_TOKEN": "PERMISSION_DENIED",
    "UNAVAILABLE": "UNAVAILABLE",
}

ANY = "/corpus.v1.Calls/Any"


def caller(claims: dict, **more) -> dict:
    """Who calls, as a token of `claims` says."""
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    told = {
        "kind": "user" if "sid" in claims else "client",
        "id": claims["sub"],
        "client_id": claims["client_id"],
        "session_id": claims.get("sid"),
        "audiences": audiences,
        "scopes": [name for name in claims["scope"].split(" ") if name],
        "roles": claims.get("roles", []),
        "groups": claims.get("groups", []),
        "amr": claims.get("amr"),
        "auth_time": claims.get("auth_time"),
        "acr": claims.get("acr"),
        "attributes": claims.get("attributes"),
        **more,
    }
    return {name: value for name, value in told.items() if value is not None}


def case(name: str, why: str, authorization, expect: dict, method: str = ANY, **settings) -> dict:
    """A case of `server.json`."""
    return {"name": name, "why": why, **settings, "method": method, "authorization": authorization, "expect": expect}


def passes(name: str, why: str, claims=None, *, method: str = ANY, authorization=None, head=None, key=ES, told_of=None, **settings) -> dict:
    """The call passes; `told_of` is what of the caller is not as the claims say."""
    claims = user() if claims is None else claims
    shown = bearer(token(claims, head, key)) if authorization is None else authorization
    return case(name, why, shown, {"code": "OK", "caller": caller(claims, **(told_of or {}))}, method, **settings)


def refused(
    name: str,
    why: str,
    reason: str,
    claims=None,
    *,
    method: str = ANY,
    authorization=None,
    head=None,
    key=ES,
    sign=None,
    audience: str = AUDIENCE,
    metadata=None,
    **settings,
) -> dict:
    """The call is refused with `reason`; `audience` is the one that the token had to be for."""
    shown = bearer(token(claims, head, key, sign)) if authorization is None else authorization
    expect = {"code": GRPC[reason], "reason": reason, "metadata": {"audience": audience, "method": method, **(metadata or {})}}
    if reason == "UNAVAILABLE":
        expect["retry_info"] = 1
    return case(name, why, shown, expect, method, **settings)


def invalid(name: str, why: str, claims=None, **more) -> dict:
    """The call is refused with TOKEN_INVALID."""
    return refused(name, why, "TOKEN_INVALID", claims, **more)
