"""Owns the rule of one method, read from the bytes of its option by the fields that this release knows (`identity/v1/access.proto`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ._wire import VARINT, MalformedError, fields, message_of, text_of

CallerKind = Literal["user", "client"]
"""Whom a token stands for: a user, or a client by itself."""

_CALLERS: dict[int, CallerKind | None] = {0: None, 1: "user", 2: "client"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a token must have. All that is set must hold; what is unset asks for nothing.

    The rules of RPCs are read from their protos (:class:`signet_sdk.Policy`). Write one by hand where there is no proto, as for HTTP.
    """

    required_scopes: tuple[str, ...] = ()
    """Scopes of which all are needed."""
    any_scopes: tuple[str, ...] = ()
    """Scopes of which one is needed."""
    any_roles: tuple[str, ...] = ()
    """Roles at the audience of which one is needed."""
    callers: CallerKind | None = None
    """Whom the token must stand for; `None`: either."""
    audience: str | None = None
    """Whom the token must be meant for; `None`: whom the verifier is set to."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method."""

    kind: Literal["public", "authenticated", "undeclared", "not_understood", "unknown"]
    """`undeclared`, `not_understood` and `unknown` (the policy has no such method) let nobody in."""
    rule: Rule | None = None
    """What a token must have, where the method is `authenticated`."""


PUBLIC = Access("public")
UNDECLARED = Access("undeclared")
NOT_UNDERSTOOD = Access("not_understood")
UNKNOWN = Access("unknown")

NO_RULE = "this method declares no access rule, so nobody may call it"
UNKNOWN_METHOD = "this method is not in the policy of the service, so nobody may call it"


def read_access(encoded: bytes) -> Access:
    """Who may call a method, whose option `(identity.v1.access)` has the bytes `encoded`.

    A field or a value that this release does not know, at any level, makes the rule `not_understood`: a later release has added it to
    ask for something.
    """
    try:
        return _access(encoded)
    except MalformedError:
        return NOT_UNDERSTOOD


def _access(encoded: bytes) -> Access:
    chosen, authenticated = 0, b""
    for number, kind, value in fields(encoded):
        inner = message_of(kind, value)
        if number == 1:
            for _ in fields(inner):
                raise MalformedError("`public` has a field that is not known")
        elif number == 2:
            _rule(inner)
            # A message that comes twice is merged, unless another member of the oneof came between.
            authenticated = authenticated + inner if chosen == 2 else inner
        else:
            raise MalformedError("the rule is not known")
        chosen = number
    if chosen == 0:
        return UNDECLARED
    return PUBLIC if chosen == 1 else Access("authenticated", _rule(authenticated))


def _rule(encoded: bytes) -> Rule:
    names: dict[int, list[str]] = {1: [], 2: [], 3: []}
    callers: CallerKind | None = None
    audience = ""
    for number, kind, value in fields(encoded):
        if number in names:
            names[number].append(text_of(kind, value))
        elif number == 4:
            if kind != VARINT or not isinstance(value, int) or value not in _CALLERS:
                raise MalformedError("the callers are not known")
            callers = _CALLERS[value]
        elif number == 5:
            audience = text_of(kind, value)
        else:
            raise MalformedError("what is asked for is not known")
    return Rule(tuple(names[1]), tuple(names[2]), tuple(names[3]), callers, audience or None)
