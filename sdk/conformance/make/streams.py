"""Owns the cases of `streams.json`: when an open stream ends, and why."""

from .tokens import bearer, client, token, user
from .told import HEARTBEAT, RESYNC, UNKNOWN_PART, change, snapshot, stamp, taken
from .world import ALICE, BOB, NOW, OTHER_SESSION, ROBOT, SESSION, SHOP

STREAMS = "/corpus.v1.Streams/"
# The token of a stream expires after a minute, and its grace passes half a minute later.
EXPIRES, ENDS = NOW + 60, NOW + 90


def short(**changes) -> dict:
    """The claims of a user's token that expires after a minute."""
    return user(exp=EXPIRES, **changes)


def at(seconds: int, message: dict) -> dict:
    """What is told, seconds after the stream was opened."""
    return {"at": NOW + seconds, "told": message}


def down(seconds: int) -> dict:
    """The connection to Signet is gone."""
    return {"at": NOW + seconds, "feed": "down"}


KNOWN = at(-1, snapshot())


def beats(first: int, last: int) -> list[dict]:
    """A heartbeat every 10 seconds."""
    return [at(seconds, HEARTBEAT) for seconds in range(first, last + 1, 10)]


def stream(
    name: str,
    why: str,
    expect: dict,
    claims=None,
    *,
    until: int = NOW + 120,
    method: str = "Server",
    authorization=None,
    events=(),
    **settings,
) -> dict:
    """A case."""
    shown = bearer(token(short() if claims is None else claims)) if authorization is None else authorization
    return {
        "name": name,
        "why": why,
        "method": STREAMS + method,
        "authorization": shown,
        "opened": NOW,
        **settings,
        "events": sorted(events, key=lambda event: event["at"]),
        "until": until,
        "expect": expect,
    }


def ends(seconds: int, reason: str) -> dict:
    """The stream ends, seconds after it was opened."""
    return {"ends_at": NOW + seconds, "code": "UNAVAILABLE" if reason == "UNAVAILABLE" else "UNAUTHENTICATED", "reason": reason}


OPEN = {"open": True}
EXPIRED, REVOKED, AWAY = "TOKEN_EXPIRED", "TOKEN_REVOKED", "UNAVAILABLE"


def _expiry() -> list[dict]:
    whole = ends(90, EXPIRED)
    return [
        stream("expiry: at the grace", "`exp` and 30 seconds.", whole),
        stream("expiry: a second before the grace has passed", "It is open.", OPEN, until=ENDS - 1),
        stream("expiry: of a stream of requests", "Every RPC that is not unary.", whole, method="Client"),
        stream("expiry: of streams both ways", "Every RPC that is not unary.", whole, method="Both"),
        stream("expiry: of a client's own token", "As a user's.", whole, client(exp=EXPIRES)),
        stream("expiry: with a scope that the rule asks for", "The rule has passed.", whole, short(scope="stock:write"), method="Write"),
        stream("expiry: at another audience", "The rule has passed.", whole, short(aud="orders"), method="Orders"),
        stream("expiry: grace of none", "At `exp`.", ends(60, EXPIRED), grace=0),
        stream("expiry: grace of a second", "`exp` and a second.", ends(61, EXPIRED), grace=1),
        stream("expiry: grace of 100 seconds", "`exp` and as much.", ends(160, EXPIRED), grace=100, until=NOW + 200),
        stream("expiry: a token that has 900 seconds", "As Signet issues it.", ends(930, EXPIRED), user(), until=NOW + 940),
        stream("expiry: opened in the leeway", "The grace counts from `exp`.", ends(28, EXPIRED), user(iat=NOW - 900, exp=NOW - 2)),
        stream(
            "expiry: opened in the leeway, grace of none",
            "It ends as it begins.",
            ends(0, EXPIRED),
            user(iat=NOW - 900, exp=NOW - 2),
            grace=0,
            until=NOW + 5,
        ),
        stream("expiry: a leeway of a minute", "The leeway is no part of the grace.", whole, leeway=60),
        stream("expiry: iat ahead", "`exp` counts.", whole, short(iat=NOW + 5)),
        stream("public", "There is no token that could expire.", OPEN, method="Public", authorization=[], until=NOW + 1000),
        stream("public: an expired token", "It is not looked at.", OPEN, user(iat=NOW - 900, exp=NOW - 100), method="Public"),
        stream(
            "public: revocations are stale",
            "It does not depend on them.",
            OPEN,
            method="Public",
            authorization=[],
            events=[at(-20, snapshot()), down(-10)],
        ),
    ]


def _revoked() -> list[dict]:
    def hit(name: str, message: dict, claims=None, seconds: int = 7, **more) -> dict:
        return stream(
            f"revoked: {name}",
            "At once, though the handler is idle.",
            ends(seconds, REVOKED),
            claims,
            events=[KNOWN, at(seconds, message)],
            until=NOW + 20,
            **more,
        )

    def miss(name: str, message: dict, claims=None) -> dict:
        return stream(
            f"not revoked: {name}", "It does not concern this token.", OPEN, claims, events=[KNOWN, at(7, message)], until=NOW + 20
        )

    now, read = stamp(NOW), "stock:read"
    return [
        hit("its session", change(sessions=[SESSION])),
        hit("its session, among others", change(sessions=[OTHER_SESSION, SESSION])),
        hit("its session, as it is opened", change(sessions=[SESSION]), seconds=1),
        hit("its session, of a stream of requests", change(sessions=[SESSION]), method="Client"),
        hit("its session, of streams both ways", change(sessions=[SESSION]), method="Both"),
        hit("sessions of its user", change(users=[(ALICE, stamp(NOW + 6))])),
        hit("its client", change(clients=[(SHOP, stamp(NOW + 13))])),
        hit("its client, of a client's own token", change(clients=[(ROBOT, stamp(NOW + 13))]), client(exp=EXPIRES)),
        hit("the built-in client", change(clients=[("signet", stamp(NOW + 13))]), short(client_id="signet")),
        hit("a scope of everybody", change(scopes=[taken(stamp(NOW + 13), read)])),
        hit("a scope of its user", change(scopes=[taken(stamp(NOW + 13), read, subject=ALICE)])),
        hit("a scope of its client", change(scopes=[taken(now, read, client=SHOP)])),
        hit("a scope that the rule does not ask for", change(scopes=[taken(stamp(NOW + 13), "x")]), short(scope="stock:read x")),
        hit("a scope at another of its audiences", change(scopes=[taken(now, read, audience="orders")]), short(aud=["stock", "orders"])),
        hit("by a snapshot", snapshot(sessions=[SESSION])),
        hit("by tokens_not_before", snapshot(not_before=stamp(NOW + 1))),
        hit("a nanosecond after iat", change(clients=[(SHOP, stamp(NOW, 1))])),
        miss("another session", change(sessions=[OTHER_SESSION])),
        miss("another user's sessions", change(users=[(BOB, stamp(NOW + 60))])),
        miss("its user's sessions of before", change(users=[(ALICE, stamp(NOW - 1))])),
        miss("another client", change(clients=[(ROBOT, stamp(NOW + 60))])),
        miss("its client, a nanosecond before iat", change(clients=[(SHOP, stamp(NOW - 1, 999_999_999))])),
        miss("another scope", change(scopes=[taken(stamp(NOW + 60), "x")])),
        miss("a scope at another audience", change(scopes=[taken(stamp(NOW + 60), read, audience="orders")])),
        miss("a scope of another user", change(scopes=[taken(stamp(NOW + 60), read, subject=BOB)])),
        miss("tokens_not_before of before", snapshot(not_before=now)),
        miss("keys and policies have changed", change(keys=True, policies=["stock"])),
        miss("resync", RESYNC),
        miss("a part of an unknown kind", UNKNOWN_PART),
        miss("the session of a client that has none", change(sessions=[ROBOT]), client(exp=EXPIRES)),
    ]


def _second() -> list[dict]:
    session, other = change(sessions=[SESSION]), change(sessions=[OTHER_SESSION])
    return [
        stream(
            "revoked: told after others",
            "At once.",
            ends(17, REVOKED),
            events=[KNOWN, at(5, other), at(9, HEARTBEAT), at(17, session)],
            until=NOW + 30,
        ),
        stream(
            "revoked: told in the grace",
            "The grace is for those that are not revoked.",
            ends(70, REVOKED),
            events=[KNOWN, *beats(9, 69), at(70, session)],
        ),
        stream(
            "revoked: after the stream has ended",
            "It has ended already.",
            ends(90, EXPIRED),
            events=[KNOWN, *beats(9, 99), at(100, session)],
        ),
        stream(
            "revoked: told when the connection is back",
            "At once.",
            ends(17, REVOKED),
            events=[KNOWN, down(2), at(17, session)],
            until=NOW + 30,
        ),
        stream(
            "revoked: told by the snapshot behind a resync",
            "At once.",
            ends(18, REVOKED),
            events=[KNOWN, at(17, RESYNC), at(18, snapshot(sessions=[SESSION]))],
            until=NOW + 30,
        ),
        stream("revoked: nobody follows", "It is open until it expires.", ends(90, EXPIRED), followed=False),
    ]


def _stale() -> list[dict]:
    why, borne = "Nothing was heard for more than 30 seconds.", {"when_stale": "continue"}
    return [
        stream("stale: the connection is gone", why, ends(30, AWAY), events=[KNOWN, down(2)]),
        stream("stale: nothing is heard, though the connection stands", why, ends(30, AWAY), events=[KNOWN]),
        stream("stale: a second before", "No more than 30 seconds.", OPEN, events=[KNOWN, down(2)], until=NOW + 29),
        stream("stale: heard as it is opened", why, ends(31, AWAY), events=[at(0, snapshot())]),
        stream("stale: heard long before it is opened", why, ends(11, AWAY), events=[at(-20, snapshot())]),
        stream("stale: a heartbeat since", why, ends(36, AWAY), events=[KNOWN, at(5, HEARTBEAT), down(6)]),
        stream("stale: a change since", why, ends(36, AWAY), events=[KNOWN, at(5, change(sessions=[OTHER_SESSION]))]),
        stream("stale: resync since", why, ends(36, AWAY), events=[KNOWN, at(5, RESYNC)]),
        stream("stale: a part of an unknown kind since", why, ends(36, AWAY), events=[KNOWN, at(5, UNKNOWN_PART)]),
        stream("stale: max_age of 5 seconds", "Nothing was heard for more than that.", ends(5, AWAY), events=[KNOWN, down(1)], max_age=5),
        stream(
            "stale: max_age of a minute",
            "Nothing was heard for more than that.",
            ends(60, AWAY),
            user(),
            events=[KNOWN, down(1)],
            max_age=60,
        ),
        stream("stale: of a stream of requests", why, ends(30, AWAY), events=[KNOWN, down(2)], method="Client"),
        stream("stale: of streams both ways", why, ends(30, AWAY), events=[KNOWN, down(2)], method="Both"),
        stream("stale: of a client's own token", why, ends(30, AWAY), client(exp=EXPIRES), events=[KNOWN, down(2)]),
        stream(
            "stale: the connection is back in time", "Something was heard.", OPEN, events=[KNOWN, down(2), *beats(29, 79)], until=NOW + 80
        ),
        stream(
            "stale: the connection is gone and back, and gone for good",
            why,
            ends(56, AWAY),
            events=[KNOWN, down(2), at(25, HEARTBEAT), down(26)],
        ),
        stream("heartbeats: until it expires", "Something is heard all the time.", ends(90, EXPIRED), events=[KNOWN, *beats(9, 119)]),
        stream(
            "heartbeats: every 30 seconds",
            "No more than max_age.",
            ends(90, EXPIRED),
            events=[at(0, snapshot()), at(30, HEARTBEAT), at(60, HEARTBEAT), at(90, HEARTBEAT)],
        ),
        stream("stale, and that is borne: until it expires", "when_stale: continue.", ends(90, EXPIRED), events=[KNOWN, down(2)], **borne),
        stream(
            "stale, and that is borne: revoked when the connection is back",
            "At once.",
            ends(70, REVOKED),
            events=[KNOWN, down(2), at(70, change(sessions=[SESSION]))],
            **borne,
        ),
        stream(
            "stale, and that is borne: another is revoked",
            "It does not concern this token.",
            OPEN,
            events=[KNOWN, down(2), at(70, change(sessions=[OTHER_SESSION]))],
            until=NOW + 80,
            **borne,
        ),
        stream(
            "stale: it expires before", "What comes first ends it.", ends(20, EXPIRED), user(exp=NOW + 20), grace=0, events=[KNOWN, down(2)]
        ),
        stream(
            "stale: it expires after", "What comes first ends it.", ends(30, AWAY), user(exp=NOW + 40), grace=0, events=[KNOWN, down(2)]
        ),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_expiry(), *_revoked(), *_second(), *_stale()]
