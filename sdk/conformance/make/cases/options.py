"""Owns the cases of how a rule is read: by the option's name, from its bytes, by the fields that are known."""

from ..bent import BROKEN, NOT_UNDERSTOOD
from ..tokens import case, client, invalid, passes, refused, user

BENT, NEWER, OLDER, MOVED = "/bent.v1.Bent/", "/newer.v1.Newer/", "/older.v1.Bent/", "/moved.v1.Moved/"
DENIED = "ACCESS_UNDECLARED"


def _understood() -> list[dict]:
    of = {"policy": "bent"}
    both = "Protobuf merges them: both scopes are asked for."
    last = "Protobuf takes the last of a oneof."
    found = [
        passes("option: a rule of today", "Everything in it is known.", method=BENT + "Good", **of),
        refused(
            "option: a rule of today, no token", "Everything in it is known.", "TOKEN_MISSING", method=BENT + "Good", authorization=[], **of
        ),
        case("option: a public rule of today", "Everything in it is known.", [], {"code": "OK"}, BENT + "GoodPublic", **of),
        passes("option: beside options of others", "They are others'.", method=BENT + "GoodOtherOption", **of),
        passes(
            "option: callers before scopes, both kept",
            "Fields come in any order.",
            user(scope="a"),
            method=BENT + "CallersBeforeScopes",
            **of,
        ),
        refused(
            "option: callers before scopes, a client",
            "Fields come in any order.",
            "CALLER_NOT_ALLOWED",
            client(scope="a"),
            method=BENT + "CallersBeforeScopes",
            metadata={"callers": "user"},
            **of,
        ),
        refused(
            "option: callers before scopes, no scope",
            "Fields come in any order.",
            "INSUFFICIENT_SCOPE",
            method=BENT + "CallersBeforeScopes",
            metadata={"required_scope": "a"},
            **of,
        ),
        passes(
            "option: callers in two bytes, a user", "A varint may have more bytes than it needs.", method=BENT + "CallersLongVarint", **of
        ),
        refused(
            "option: callers in two bytes, a client",
            "A varint may have more bytes than it needs.",
            "CALLER_NOT_ALLOWED",
            client(),
            method=BENT + "CallersLongVarint",
            metadata={"callers": "user"},
            **of,
        ),
        passes("option: callers twice, a user", "Protobuf takes the last.", method=BENT + "CallersTwice", **of),
        refused(
            "option: callers twice, a client",
            "Protobuf takes the last.",
            "CALLER_NOT_ALLOWED",
            client(),
            method=BENT + "CallersTwice",
            metadata={"callers": "user"},
            **of,
        ),
        passes("option: audience twice, for the last", "Protobuf takes the last.", user(aud="orders"), method=BENT + "AudienceTwice", **of),
        invalid(
            "option: audience twice, for the first", "Protobuf takes the last.", method=BENT + "AudienceTwice", audience="orders", **of
        ),
    ]
    for method, why in [("AccessTwice", both), ("RuleTwice", both)]:
        found += [
            passes(f"option: {method}, both scopes", why, user(scope="a b"), method=BENT + method, **of),
            refused(
                f"option: {method}, the first scope",
                why,
                "INSUFFICIENT_SCOPE",
                user(scope="a"),
                method=BENT + method,
                metadata={"required_scope": "b"},
                **of,
            ),
            refused(
                f"option: {method}, the second scope",
                why,
                "INSUFFICIENT_SCOPE",
                user(scope="b"),
                method=BENT + method,
                metadata={"required_scope": "a"},
                **of,
            ),
        ]
    for method in ("PublicThenAuthenticated", "PublicThenAuthenticatedApart"):
        found += [
            refused(f"option: {method}, no token", last, "TOKEN_MISSING", method=BENT + method, authorization=[], **of),
            refused(
                f"option: {method}, no scope", last, "INSUFFICIENT_SCOPE", method=BENT + method, metadata={"required_scope": "a"}, **of
            ),
            passes(f"option: {method}, the scope", last, user(scope="a"), method=BENT + method, **of),
        ]
    return found


def _not_understood() -> list[dict]:
    token = {"claims": user(scope="a")}
    found = [
        refused(f"option: {name}", f"It is not understood: {why}.", DENIED, method=BENT + name, policy="bent", **token)
        for name, (why, _) in NOT_UNDERSTOOD.items()
    ]
    no_token = [
        refused(f"option: {name}, no token", f"It is not understood: {why}.", DENIED, method=BENT + name, policy="bent", authorization=[])
        for name, (why, _) in NOT_UNDERSTOOD.items()
        if "Public" in name or "Rule" in name
    ]
    broken = [
        refused(f"broken option: {name}", f"It is not understood: {why}.", DENIED, method="/broken.v1.Bent/Call", policy=f"broken_{name}")
        for name, (why, _) in BROKEN.items()
    ]
    return [*found, *no_token, *broken]


def _definitions() -> list[dict]:
    newer, older, moved = {"policy": "newer"}, {"policy": "older"}, {"policy": "moved"}
    to_come = "The set's own definition knows it, and the SDK does not."
    long_ago = "The set's own definition does not know it, and the SDK does."
    by_name = "It is found by its name, and has another number here."
    return [
        passes("newer definition: a rule of today", "Nothing in it is new.", method=NEWER + "Any", **newer),
        case("newer definition: a public rule of today", "Nothing in it is new.", [], {"code": "OK"}, NEWER + "Public", **newer),
        passes("newer definition: callers of today", "Nothing in it is new.", method=NEWER + "Users", **newer),
        *(
            refused(f"newer definition: {name}", to_come, DENIED, user(groups=["night"]), method=NEWER + name, **newer)
            for name in ("FromInside", "Delegated", "Groups", "LoginAge", "Devices")
        ),
        refused("newer definition: FromInside, no token", to_come, DENIED, method=NEWER + "FromInside", authorization=[], **newer),
        passes("older definition: a rule of then", "Nothing in it is new.", method=OLDER + "Any", **older),
        passes("older definition: callers, a user", long_ago, method=OLDER + "Users", **older),
        refused(
            "older definition: callers, a client",
            long_ago,
            "CALLER_NOT_ALLOWED",
            client(),
            method=OLDER + "Users",
            metadata={"callers": "user"},
            **older,
        ),
        passes("older definition: any_roles, it has one", long_ago, user(roles=["picker"]), method=OLDER + "Role", **older),
        refused(
            "older definition: any_roles, it has none",
            long_ago,
            "INSUFFICIENT_ROLE",
            user(roles=["boss"]),
            method=OLDER + "Role",
            metadata={"required_role": "picker"},
            **older,
        ),
        passes("older definition: audience, it is meant", long_ago, user(aud="orders"), method=OLDER + "Orders", **older),
        invalid("older definition: audience, it is not meant", long_ago, method=OLDER + "Orders", audience="orders", **older),
        case("another number: a public rule", by_name, [], {"code": "OK"}, MOVED + "Public", **moved),
        passes("another number: a rule", by_name, method=MOVED + "Any", **moved),
        refused("another number: a rule, no token", by_name, "TOKEN_MISSING", method=MOVED + "Any", authorization=[], **moved),
        refused(
            "another number: a rule with a scope",
            by_name,
            "INSUFFICIENT_SCOPE",
            method=MOVED + "Write",
            metadata={"required_scope": "stock:write"},
            **moved,
        ),
        refused(
            "another number: somebody else's option", "It has the number, and another name.", DENIED, method=MOVED + "OfAnother", **moved
        ),
        refused(
            "another number: somebody else's option, no token",
            "It has the number, and another name.",
            DENIED,
            method=MOVED + "OfAnother",
            authorization=[],
            **moved,
        ),
        passes("another number: somebody else's option beside", "The name counts.", method=MOVED + "Both", **moved),
        refused(
            "another number: somebody else's option beside, no token",
            "The name counts.",
            "TOKEN_MISSING",
            method=MOVED + "Both",
            authorization=[],
            **moved,
        ),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_understood(), *_not_understood(), *_definitions()]
