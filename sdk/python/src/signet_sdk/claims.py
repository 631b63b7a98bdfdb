"""Owns what an access token says: the claims of RFC 9068, each of its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ._json import is_integer, is_texts, json_object
from .refusal import token_invalid

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token whose signature has been verified. Times are in seconds since 1970. Ids are in lower case."""

    subject: str
    audiences: tuple[str, ...]
    expires_at: int
    issued_at: int
    not_before: int | None
    token_id: str
    client_id: str
    scopes: tuple[str, ...]
    session_id: str | None
    amr: tuple[str, ...]
    auth_time: int | None
    acr: str | None
    roles: tuple[str, ...] | None
    """`None`: the token does not say."""
    groups: tuple[str, ...]
    roles_omitted: bool
    attributes: Mapping[str, Any]
    """Nothing of it can be changed: calls with one token share it."""


def read_claims(payload: bytes, issuer: str) -> Claims:
    """What the payload of a token of `issuer` says.

    Raises:
        Refusal: `TOKEN_INVALID`: it is another issuer's, lacks a claim, or has one of the wrong type.
    """
    try:
        told = json_object(payload)
    except ValueError:
        raise token_invalid("it lacks required claims") from None
    if told.get("iss") != issuer or type(told["iss"]) is not str:
        raise token_invalid("its issuer is another one")
    subject, token_id = _uuid(told, "sub"), _uuid(told, "jti")
    session_id = _uuid(told, "sid") if "sid" in told else None
    client_id = _text(told, "client_id")
    if session_id is None and client_id.lower() != subject:
        raise token_invalid("it has no session, and is not a client's own")
    for name in ("groups_omitted", "attributes_omitted"):
        _flag(told, name)
    return Claims(
        subject=subject,
        audiences=_audiences(told),
        expires_at=_integer(told, "exp"),
        issued_at=_integer(told, "iat"),
        not_before=_integer(told, "nbf") if "nbf" in told else None,
        token_id=token_id,
        client_id=client_id,
        scopes=tuple(name for name in _text(told, "scope").split(" ") if name),
        session_id=session_id,
        amr=_texts(told, "amr") or (),
        auth_time=_integer(told, "auth_time") if "auth_time" in told else None,
        acr=_text(told, "acr") if "acr" in told else None,
        roles=_texts(told, "roles"),
        groups=_texts(told, "groups") or (),
        roles_omitted=_flag(told, "roles_omitted"),
        attributes=_frozen(_object(told, "attributes")),
    )


def canonical_uuid(text: str) -> str | None:
    """`text` in lower case, if it is a UUID of 8-4-4-4-12 hexadecimal digits."""
    lower = text.lower()
    return lower if _UUID.fullmatch(lower) else None


def _uuid(told: dict[str, Any], name: str) -> str:
    found = canonical_uuid(_text(told, name))
    if found is None:
        raise _wrong()
    return found


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if type(value) is not str:
        raise _wrong()
    return value


def _integer(told: dict[str, Any], name: str) -> int:
    value = told.get(name)
    if not is_integer(value):
        raise _wrong()
    return int(value)  # type: ignore[arg-type]


def _texts(told: dict[str, Any], name: str) -> tuple[str, ...] | None:
    if name not in told:
        return None
    if not is_texts(told[name]):
        raise _wrong()
    return tuple(told[name])


def _audiences(told: dict[str, Any]) -> tuple[str, ...]:
    value = told.get("aud")
    if type(value) is str:
        return (value,)
    return _texts(told, "aud") or ()


def _flag(told: dict[str, Any], name: str) -> bool:
    value = told.get(name, False)
    if type(value) is not bool:
        raise _wrong()
    return value


def _object(told: dict[str, Any], name: str) -> dict[str, Any]:
    value = told.get(name, {})
    if type(value) is not dict:
        raise _wrong()
    return value


def _frozen(value: Any) -> Any:
    """`value` of JSON, with tuples for arrays and read-only mappings for objects."""
    if type(value) is dict:
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    return tuple(_frozen(member) for member in value) if type(value) is list else value


def _wrong() -> Exception:
    return token_invalid("it lacks required claims")
