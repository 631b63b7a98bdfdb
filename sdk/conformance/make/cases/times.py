"""Owns the cases of time: each boundary in seconds, and which of two reasons counts."""

from ..keys import ATTACKER_ES
from ..tokens import bearer, header, invalid, passes, refused, token, user
from ..world import NOW

EXPIRED = "TOKEN_EXPIRED"


def _expiry() -> list[dict]:
    return [
        passes("exp: a second ahead", "It is good until then.", user(exp=NOW + 1)),
        passes("exp: now", "Within the leeway.", user(exp=NOW)),
        passes("exp: 4 seconds ago", "Within the leeway of 5.", user(exp=NOW - 4)),
        refused("exp: 5 seconds ago", "The leeway has passed: on or after `exp` it is refused.", EXPIRED, user(exp=NOW - 5)),
        refused("exp: 6 seconds ago", "The leeway has passed.", EXPIRED, user(exp=NOW - 6)),
        refused("exp: long ago", "The leeway has passed.", EXPIRED, user(iat=NOW - 90_000, exp=NOW - 86_400)),
        passes("exp: far ahead", "The issuer decides how long a token lives.", user(exp=NOW + 10 * 365 * 86_400)),
        refused("leeway of none: exp is now", "On or after `exp` it is refused.", EXPIRED, user(exp=NOW), leeway=0),
        passes("leeway of none: exp is a second ahead", "It is good until then.", user(exp=NOW + 1), leeway=0),
        passes("leeway of a minute: exp is 59 seconds ago", "Within the leeway.", user(exp=NOW - 59), leeway=60),
        refused("leeway of a minute: exp is a minute ago", "The leeway has passed.", EXPIRED, user(exp=NOW - 60), leeway=60),
        passes("the clock is elsewhere", "The token is of then.", user(iat=1_000_000_000, exp=1_000_000_900), now=1_000_000_001),
        refused("the clock is 15 minutes on", "The token was good before.", EXPIRED, user(), now=NOW + 905),
        passes("the clock is nearly 15 minutes on", "The leeway has not passed.", user(), now=NOW + 904),
    ]


def _beginning() -> list[dict]:
    ahead = "A replica may have a clock that is ahead."
    return [
        passes("iat: 5 seconds ahead", "A stale replica, whose clock is 5 seconds ahead, has issued it.", user(iat=NOW + 5, exp=NOW + 905)),
        invalid("iat: 6 seconds ahead", "It is further ahead than the leeway.", user(iat=NOW + 6)),
        passes("iat: 6 seconds ahead, a second later", "By then it is within the leeway.", user(iat=NOW + 6), now=NOW + 1),
        passes("iat: 1 second ahead", ahead, user(iat=NOW + 1)),
        passes("iat: long ago", "The issuer decides how long a token lives.", user(iat=NOW - 86_400)),
        passes("nbf: now", "It is in time.", user(nbf=NOW)),
        passes("nbf: 5 seconds ahead", ahead, user(nbf=NOW + 5)),
        invalid("nbf: 6 seconds ahead", "It is further ahead than the leeway.", user(nbf=NOW + 6)),
        invalid("nbf: a day ahead", "It is not valid yet.", user(nbf=NOW + 86_400, exp=NOW + 90_000)),
        invalid("nbf: 6 seconds ahead, and iat in the past", "The later of the two counts.", user(iat=NOW - 60, nbf=NOW + 6)),
        invalid("nbf: in the past, and iat 6 seconds ahead", "The later of the two counts.", user(iat=NOW + 6, nbf=NOW - 60)),
        passes("nbf: 5 seconds ahead, and iat too", "Both are within the leeway.", user(iat=NOW + 5, nbf=NOW + 5)),
        invalid("leeway of none: iat is a second ahead", "There is no leeway.", user(iat=NOW + 1), leeway=0),
        passes("leeway of none: iat is now", "It is in time.", user(iat=NOW), leeway=0),
        invalid("leeway of none: nbf is a second ahead", "There is no leeway.", user(nbf=NOW + 1), leeway=0),
        passes("leeway of a minute: iat is a minute ahead", "Within the leeway.", user(iat=NOW + 60), leeway=60),
        invalid("leeway of a minute: iat is 61 seconds ahead", "It is further ahead than the leeway.", user(iat=NOW + 61), leeway=60),
    ]


def _first_reason() -> list[dict]:
    gone = {"iat": NOW - 900, "exp": NOW - 5}
    late = user(**gone)
    calls = "/corpus.v1.Calls/"
    return [
        refused("first: expired, and not valid yet", "Expiry is looked at first.", EXPIRED, user(exp=NOW - 5, nbf=NOW + 60)),
        invalid("first: expired, and for another audience", "The audience is looked at first.", user(aud="orders", **gone)),
        invalid("first: expired, of another issuer", "The claims are looked at first.", user(iss="https://attacker.example", **gone)),
        invalid("first: expired, without jti", "The claims are looked at first.", user(jti=None, **gone)),
        invalid("first: expired, signed by another", "The signature is looked at first.", late, head=header(), key=ATTACKER_ES),
        invalid("first: expired, of an unknown key", "The key is looked at first.", late, key=ATTACKER_ES),
        invalid("first: expired, of another type", "`typ` is looked at first.", late, head=header(typ="JWT")),
        invalid("first: expired, and shown twice", "`authorization` is looked at first.", authorization=bearer(token(late)) * 2),
        refused("first: expired, and lacks a scope", "Time is looked at first.", EXPIRED, late, method=calls + "Write"),
        refused("first: expired, and a user's where clients may", "Time is looked at first.", EXPIRED, late, method=calls + "Clients"),
        refused("first: expired, and names no roles", "Time is looked at first.", EXPIRED, late, method=calls + "Role"),
        invalid("first: not valid yet, and lacks a scope", "Time is looked at first.", user(nbf=NOW + 60), method=calls + "Write"),
        refused(
            "first: expired, on a method without a rule",
            "The rule is looked at first.",
            "ACCESS_UNDECLARED",
            late,
            method=calls + "Undeclared",
        ),
        refused(
            "first: no token, on a method without a rule",
            "The rule is looked at first.",
            "ACCESS_UNDECLARED",
            authorization=[],
            method=calls + "Undeclared",
        ),
        refused(
            "first: garbage, on a method without a rule",
            "The rule is looked at first.",
            "ACCESS_UNDECLARED",
            authorization=bearer("x"),
            method=calls + "Undeclared",
        ),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_expiry(), *_beginning(), *_first_reason()]
