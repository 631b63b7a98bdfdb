"""Owns whether a token keeps a rule: the order in which a call is judged once its token is genuine."""

from __future__ import annotations

from dataclasses import dataclass

from .access import Rule
from .claims import Claims
from .refusal import Refusal, denied, token_invalid, unauthenticated

_TOLD = 8
"""How many of several names, of which one will do, a refusal tells: it comes in headers, which have little room."""


@dataclass(frozen=True, slots=True)
class AskIntrospection:
    """The roles are not in the token, since there was no room: introspection tells them."""

    rule: Rule


def check_time(claims: Claims, now: float, leeway: float) -> None:
    """Whether a token is in time.

    Raises:
        Refusal: `TOKEN_EXPIRED`, or `TOKEN_INVALID` if it is not valid yet.
    """
    seconds = int(now)
    # "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4)
    if seconds >= claims.expires_at + leeway:
        raise unauthenticated("TOKEN_EXPIRED", "the token has expired")
    valid_from = claims.issued_at if claims.not_before is None else max(claims.not_before, claims.issued_at)
    if seconds < valid_from - leeway:
        raise token_invalid("the token is not valid yet")


def check_rule(claims: Claims, rule: Rule, audience: str) -> AskIntrospection | None:
    """Whether a token keeps `rule` at `audience`, as far as it says itself.

    Raises:
        Refusal: `PERMISSION_DENIED` with what is missing.
    """
    kind = "client" if claims.session_id is None else "user"
    if rule.callers is not None and rule.callers != kind:
        raise denied("CALLER_NOT_ALLOWED", "callers of this kind may not call", {"callers": rule.callers})
    for scope in rule.required_scopes:
        if scope not in claims.scopes:
            raise denied("INSUFFICIENT_SCOPE", "the token lacks a scope", {"required_scope": scope})
    if rule.any_scopes and not any(scope in claims.scopes for scope in rule.any_scopes):
        raise denied("INSUFFICIENT_SCOPE", "the token has none of the scopes", {"required_scope": _told(rule.any_scopes)})
    if not rule.any_roles:
        return None
    if claims.audiences != (audience,):
        raise _no_roles(rule, "a token for several audiences says nothing about roles")
    if claims.roles is not None and any(role in claims.roles for role in rule.any_roles):
        return None
    if claims.roles_omitted:
        return AskIntrospection(rule)
    if claims.roles is None:
        raise _no_roles(rule, "the token does not name roles")
    raise _role_missing(rule)


def check_roles(roles: tuple[str, ...], rule: Rule) -> None:
    """Whether one of `roles`, which introspection has told, will do.

    Raises:
        Refusal: `INSUFFICIENT_ROLE`.
    """
    if not any(role in roles for role in rule.any_roles):
        raise _role_missing(rule)


def _no_roles(rule: Rule, message: str) -> Refusal:
    return denied("ROLES_NOT_IN_TOKEN", message, {"required_role": _told(rule.any_roles)})


def _role_missing(rule: Rule) -> Refusal:
    return denied("INSUFFICIENT_ROLE", "the caller has none of the roles", {"required_role": _told(rule.any_roles)})


def _told(names: tuple[str, ...]) -> str:
    return " ".join(names[:_TOLD])
