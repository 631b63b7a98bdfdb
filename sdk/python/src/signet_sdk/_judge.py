"""Owns whether a token keeps a rule: the order in which a call is judged once its token is genuine."""

from __future__ import annotations

from dataclasses import dataclass

from .access import Rule
from .claims import Claims
from .refusal import Refusal, denied, token_expired, token_invalid

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
        raise token_expired()
    valid_from = claims.issued_at if claims.not_before is None else max(claims.not_before, claims.issued_at)
    if seconds < valid_from - leeway:
        raise token_invalid("it is not valid yet")


def check_rule(claims: Claims, rule: Rule, audience: str) -> AskIntrospection | None:
    """Whether a token keeps `rule` at `audience`, as far as it says itself.

    Raises:
        Refusal: `PERMISSION_DENIED` with what is missing.
    """
    kind = "client" if claims.session_id is None else "user"
    if rule.callers is not None and rule.callers != kind:
        who = "a user" if rule.callers == "user" else "a client by itself"
        raise denied("CALLER_NOT_ALLOWED", f"only {who} may call this", {"callers": rule.callers})
    for scope in rule.required_scopes:
        if scope not in claims.scopes:
            raise _scope_missing((scope,))
    if rule.any_scopes and not any(scope in claims.scopes for scope in rule.any_scopes):
        raise _scope_missing(rule.any_scopes)
    if not rule.any_roles:
        return None
    if claims.audiences != (audience,):
        raise _no_roles(rule)
    if claims.roles is not None and any(role in claims.roles for role in rule.any_roles):
        return None
    if claims.roles_omitted:
        return AskIntrospection(rule)
    if claims.roles is None:
        raise _no_roles(rule)
    raise _role_missing(rule)


def check_roles(roles: tuple[str, ...], rule: Rule) -> None:
    """Whether one of `roles`, which introspection has told, will do.

    Raises:
        Refusal: `INSUFFICIENT_ROLE`.
    """
    if not any(role in roles for role in rule.any_roles):
        raise _role_missing(rule)


def _scope_missing(scopes: tuple[str, ...]) -> Refusal:
    return denied("INSUFFICIENT_SCOPE", f"{_one_of('scope', scopes)} needed, and was not granted", {"required_scope": _told(scopes)})


def _no_roles(rule: Rule) -> Refusal:
    message = (
        f"{_one_of('role', rule.any_roles)} needed, and the token does not say which roles its holder has: it has no claim `roles`, "
        "or is for several audiences; the claim is left out where the client does not have it told, and for a holder who has no role"
    )
    return denied("ROLES_NOT_IN_TOKEN", message, {"required_role": _told(rule.any_roles)})


def _role_missing(rule: Rule) -> Refusal:
    message = f"{_one_of('role', rule.any_roles)} needed, and was not given"
    return denied("INSUFFICIENT_ROLE", message, {"required_role": _told(rule.any_roles)})


def _one_of(what: str, names: tuple[str, ...]) -> str:
    """That one of `names` is what is needed, as Signet itself says it."""
    told = "`, `".join(names[:_TOLD])
    return f"the {what} `{told}` is" if len(names) == 1 else f"one of the {what}s `{told}` is"


def _told(names: tuple[str, ...]) -> str:
    return " ".join(names[:_TOLD])
