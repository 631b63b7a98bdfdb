"""Owns taking a compact JWS apart (RFC 7515 section 7.1) and the header of an access token. Nothing that it says is believed here."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from ._json import json_object
from .refusal import token_invalid, unauthenticated

TOKEN_MAX_BYTES = 8 * 1024
"""The longest token that is looked at. Signet's own stay below 5 KiB."""

KID_MAX_BYTES = 255
"""The longest `kid` that is looked at."""

_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)", re.ASCII)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
# By the length of the text modulo 4: the last characters whose unused bits are zero (RFC 4648 section 3.5).
_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
_PADDING = {0: "", 2: "==", 3: "="}


@dataclass(frozen=True, slots=True)
class Jws:
    """A token whose signature has yet to be verified."""

    alg: str
    kid: str
    is_plain_jwt: bool
    """Whether its `typ` is `JWT`, and not `at+jwt`."""
    signing_input: bytes
    payload: bytes
    signature: bytes


def base64url(text: str) -> bytes:
    """The bytes of `text` in base64url without padding.

    Raises:
        ValueError: It is not.
    """
    if not _BASE64URL.fullmatch(text):
        raise ValueError("a character is not of base64url")
    rest = len(text) % 4
    if rest == 1 or (rest and text[-1] not in _LAST[rest]):
        raise ValueError("it is cut short")
    return base64.urlsafe_b64decode(text + _PADDING[rest])


def read_jws(token: str, *, takes_plain_jwt: bool) -> Jws:
    """The parts of `token`, which consists of ASCII characters, if it has the form of an access token (RFC 9068 section 2.1).

    `takes_plain_jwt`: whether `typ` may be `JWT`, too.

    Raises:
        Refusal: `TOKEN_INVALID`.
    """
    if len(token) > TOKEN_MAX_BYTES:
        raise token_invalid("it is too long")
    parts = _PARTS.fullmatch(token)
    if parts is None:
        raise token_invalid("it is not a JWT")
    try:
        header = json_object(base64url(parts[1]))
        payload, signature = base64url(parts[2]), base64url(parts[3])
    except ValueError:
        raise token_invalid("it is not a JWT") from None
    is_plain = _is_plain_jwt(header, takes_plain_jwt)
    if "crit" in header:
        raise token_invalid("it has critical header extensions")
    alg, kid = header.get("alg"), header.get("kid")
    if type(alg) is not str:
        raise token_invalid("it is not a JWT")
    if type(kid) is not str or not 0 < len(kid.encode("utf-8")) <= KID_MAX_BYTES:
        raise token_invalid("it names no key")
    return Jws(alg, kid, is_plain, token[: parts.end(2)].encode("ascii"), payload, signature)


def _is_plain_jwt(header: dict[str, Any], takes_plain_jwt: bool) -> bool:
    typ = header.get("typ")
    # Media types are compared without case (RFC 7515 section 4.1.9, RFC 2045 section 5.1): of ASCII letters.
    name = typ.lower() if type(typ) is str and typ.isascii() else ""
    name = name.removeprefix("application/")
    if name == "at+jwt":
        return False
    if name == "jwt" and takes_plain_jwt:
        return True
    raise token_invalid("its `typ` is not `at+jwt`")


def bearer_token(values: list[str | bytes]) -> str:
    """The token in the `values` of the field `authorization` of one request (RFC 6750 section 2.1).

    Raises:
        Refusal: `TOKEN_MISSING` if there is no such field; `TOKEN_INVALID` if there is something else in it, or more than one.
    """
    if not values:
        raise unauthenticated("TOKEN_MISSING", "this call needs an access token: send `authorization: Bearer <access_token>`")
    if len(values) > 1:
        # Which of two a proxy in front has looked at cannot be known.
        raise token_invalid("there is more than one `authorization`")
    value = values[0]
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    scheme, space, token = text.partition(" ")
    # Behind the scheme there may be more than one space (RFC 9110 section 11.4: `1*SP`); it is compared without case (section 11.1).
    token = token.lstrip(" ")
    if not text.isascii() or not space or not token or scheme.lower() != "bearer":
        raise token_invalid("`authorization` must be `Bearer <access_token>`")
    return token
