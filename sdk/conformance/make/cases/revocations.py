"""Owns the cases of what was revoked (docs/EVENTS.md): each kind from both sides of its boundary, and when a verifier does not know."""

from ..tokens import bearer, client, invalid, passes, refused, token, user
from ..told import HEARTBEAT, RESYNC, UNKNOWN_PART, change, snapshot, stamp, taken
from ..world import ALICE, BOB, KEEP_FOR, NOW, OTHER_SESSION, ROBOT, SESSION, SHOP

REVOKED = "TOKEN_REVOKED"
UNTIMED = "What has no time counts for all tokens that it names: rather one too many than one too few."
CALLS = "/corpus.v1.Calls/"


def at(seconds: int, message: dict) -> dict:
    """What is told at a time."""
    return {"at": seconds, "message": message}


def known(**told) -> list[dict]:
    """A whole snapshot, told a second ago."""
    return [at(NOW - 1, snapshot(**told))]


def then(**told) -> list[dict]:
    """An empty snapshot, and a change behind it."""
    return [at(NOW - 2, snapshot()), at(NOW - 1, change(**told))]


def _sessions() -> list[dict]:
    return [
        refused("session: ended, in the snapshot", "It is among `ended_sessions`.", REVOKED, told=known(sessions=[SESSION])),
        refused("session: ended, as a change", "It is among `ended_sessions`.", REVOKED, told=then(sessions=[SESSION])),
        refused(
            "session: ended, among others", "It is among `ended_sessions`.", REVOKED, told=known(sessions=[OTHER_SESSION, SESSION, BOB])
        ),
        refused(
            "session: ended, whatever `iat` is",
            "A session does not begin again.",
            REVOKED,
            user(iat=NOW + 5),
            told=known(sessions=[SESSION]),
        ),
        refused(
            "session: ended, in another scheme's case",
            "The scheme is compared without case.",
            REVOKED,
            authorization=["bearer " + token()],
            told=known(sessions=[SESSION]),
        ),
        passes("session: another has ended", "It goes on.", told=known(sessions=[OTHER_SESSION])),
        passes("session: one of the user's id has ended", "An id of a user is none of a session.", told=known(sessions=[ALICE])),
        passes("session: none has ended", "It goes on.", told=known()),
        passes("session: a client has none", "Its id is none of a session.", client(), told=known(sessions=[ROBOT])),
    ]


def _user_sessions() -> list[dict]:
    def told(*times, subject: str = ALICE) -> list[dict]:
        return known(users=[(subject, time) for time in times])

    return [
        refused("user's sessions: iat is the time", "`iat` is not after it.", REVOKED, told=told(stamp(NOW))),
        refused("user's sessions: iat is a second before", "`iat` is not after it.", REVOKED, told=told(stamp(NOW + 1))),
        passes("user's sessions: iat is a second after", "It is of a later login, or was refreshed.", told=told(stamp(NOW - 1))),
        refused("user's sessions: a nanosecond after iat", "`iat` is not after it.", REVOKED, told=told(stamp(NOW, 1))),
        passes("user's sessions: a nanosecond before iat", "`iat` is after it.", told=told(stamp(NOW - 1, 999_999_999))),
        refused("user's sessions: half a second after iat", "`iat` is not after it.", REVOKED, told=told(stamp(NOW, 500_000_000))),
        passes("user's sessions: half a second before iat", "`iat` is after it.", told=told(stamp(NOW - 1, 500_000_000))),
        passes("user's sessions: of another user", "It is another's.", told=told(stamp(NOW + 60), subject=BOB)),
        refused("user's sessions: told twice, the later time first", "The latest counts.", REVOKED, told=told(stamp(NOW), stamp(NOW - 9))),
        refused("user's sessions: told twice, the later time last", "The latest counts.", REVOKED, told=told(stamp(NOW - 9), stamp(NOW))),
        refused(
            "user's sessions: told again with an earlier time",
            "The latest counts.",
            REVOKED,
            told=[*told(stamp(NOW)), at(NOW, change(users=[(ALICE, stamp(NOW - 9))]))],
        ),
        refused("user's sessions: as a change", "`iat` is not after it.", REVOKED, told=then(users=[(ALICE, stamp(NOW))])),
        refused("user's sessions: without a time", UNTIMED, REVOKED, told=told(None)),
        refused("user's sessions: without a time, iat is ahead", UNTIMED, REVOKED, user(iat=NOW + 5), told=told(None)),
        refused("user's sessions: without a time, and then with one", UNTIMED, REVOKED, told=told(None, stamp(NOW - 9))),
        passes("user's sessions: without a time, of another user", "It is another's.", told=told(None, subject=BOB)),
    ]


def _clients() -> list[dict]:
    def told(client_id: str, time: str | None) -> list[dict]:
        return then(clients=[(client_id, time)])

    built_in = user(client_id="signet")
    return [
        refused("client: ended, a user's token", "It has its `client_id`.", REVOKED, told=told(SHOP, stamp(NOW))),
        refused("client: ended, its own token", "It has its `client_id`.", REVOKED, client(), told=told(ROBOT, stamp(NOW))),
        refused("client: ended, in the snapshot", "It has its `client_id`.", REVOKED, told=known(clients=[(SHOP, stamp(NOW))])),
        refused("client: the built-in one has ended", "It is named `signet`.", REVOKED, built_in, told=told("signet", stamp(NOW))),
        passes("client: the built-in one has ended, and the token is of another", "It is another's.", told=told("signet", stamp(NOW + 6))),
        passes(
            "client: another has ended, and the token is of the built-in one", "It is another's.", built_in, told=told(SHOP, stamp(NOW + 6))
        ),
        passes("client: another has ended", "It is another's.", told=told(ROBOT, stamp(NOW + 6))),
        passes("client: another has ended, and the token is a client's own", "It is another's.", client(), told=told(SHOP, stamp(NOW + 6))),
        passes("client: one of the user's id has ended", "An id of a user is none of a client.", told=told(ALICE, stamp(NOW + 6))),
        passes("client: enabled again, iat is a second after", "`iat` is after it.", told=told(SHOP, stamp(NOW - 1))),
        refused(
            "client: enabled again, iat is before", "Whatever has come since.", REVOKED, user(iat=NOW - 10), told=told(SHOP, stamp(NOW - 4))
        ),
        refused("client: a nanosecond after iat", "`iat` is not after it.", REVOKED, told=told(SHOP, stamp(NOW, 1))),
        passes("client: a nanosecond before iat", "`iat` is after it.", told=told(SHOP, stamp(NOW - 1, 999_999_999))),
        refused("client: told twice", "The latest counts.", REVOKED, told=then(clients=[(SHOP, stamp(NOW)), (SHOP, stamp(NOW - 9))])),
        refused("client: without a time", UNTIMED, REVOKED, told=told(SHOP, None)),
        refused("client: without a time, iat is ahead", UNTIMED, REVOKED, user(iat=NOW + 5), told=told(SHOP, None)),
        passes("client: without a time, another", "It is another's.", told=told(ROBOT, None)),
    ]


def _scopes() -> list[dict]:
    read, write = "stock:read", "stock:write"

    def told(*told) -> list[dict]:
        return then(scopes=told)

    now = stamp(NOW)
    both = user(aud=["stock", "orders"])
    two = [taken(stamp(NOW - 50), read), taken(now, write)]
    hits = [
        ("of everybody", None, taken(now, read)),
        ("of this user", None, taken(now, read, subject=ALICE)),
        ("of this client", None, taken(now, read, client=SHOP)),
        ("of this user at this client", None, taken(now, read, subject=ALICE, client=SHOP)),
        ("of a client's own token", client(), taken(now, read, subject=ROBOT)),
        ("of a client's own token, by client_id", client(), taken(now, read, client=ROBOT)),
        ("one of several", None, taken(now, write, read, "x")),
        ("one of the token's several", user(scope="a stock:read b"), taken(now, read)),
        ("at another of its audiences", both, taken(now, read, audience="orders")),
        ("at one of its audiences", both, taken(now, read)),
        ("iat is a second before", None, taken(stamp(NOW + 1), read)),
        ("a nanosecond after iat", None, taken(stamp(NOW, 1), read)),
        ("of the built-in client", user(client_id="signet"), taken(now, read, client="signet")),
        ("without a time", None, taken(None, read)),
        ("without a time, iat is ahead", user(iat=NOW + 5), taken(None, read, subject=ALICE)),
    ]
    misses = [
        ("of another user", None, taken(now, read, subject=BOB)),
        ("of another client", None, taken(now, read, client=ROBOT)),
        ("of this user at another client", None, taken(now, read, subject=ALICE, client=ROBOT)),
        ("of another user at this client", None, taken(now, read, subject=BOB, client=SHOP)),
        ("another scope", None, taken(now, write)),
        ("a scope that begins so", None, taken(now, "stock:read2", "stock:rea", "stock")),
        ("no scope", None, taken(now)),
        ("at another audience", None, taken(now, read, audience="orders")),
        ("at no audience of its two", both, taken(now, read, audience="billing")),
        ("iat is a second after", None, taken(stamp(NOW - 1), read)),
        ("a nanosecond before iat", None, taken(stamp(NOW - 1, 999_999_999), read)),
        ("the token has none", user(scope=""), taken(now, read)),
        ("of a client that has the user's id", None, taken(now, read, client=ALICE)),
        ("of a subject that has the client's id", None, taken(now, read, subject=SHOP)),
        ("of another case", None, taken(now, "STOCK:READ")),
        ("without a time, another scope", None, taken(None, write)),
    ]
    return [
        *(
            refused(f"scope taken: {name}", "The token has it, and is older.", REVOKED, claims, told=told(what))
            for name, claims, what in hits
        ),
        *(passes(f"scope taken: {name}", "It does not concern this token.", claims, told=told(what)) for name, claims, what in misses),
        refused(
            "scope taken: the rule does not ask for it",
            "The token is refused, not the scope.",
            REVOKED,
            user(scope="stock:read x"),
            told=told(taken(now, "x")),
        ),
        refused("scope taken: in the snapshot", "The token has it, and is older.", REVOKED, told=known(scopes=[taken(now, read)])),
        passes("scope taken: two at two times, it has the earlier", "Each has its own time.", user(iat=NOW - 20), told=told(*two)),
        refused(
            "scope taken: two at two times, it has the later",
            "Each has its own time.",
            REVOKED,
            user(iat=NOW - 20, scope=write),
            told=told(*two),
        ),
        refused(
            "scope taken: two at two times, it has both",
            "Each has its own time.",
            REVOKED,
            user(iat=NOW - 20, scope=f"{read} {write}"),
            told=told(*two),
        ),
        refused(
            "scope taken: twice, the later time first",
            "The latest counts.",
            REVOKED,
            told=told(taken(now, read), taken(stamp(NOW - 9), read)),
        ),
        refused(
            "scope taken: of everybody, and earlier of this user",
            "Each counts by itself.",
            REVOKED,
            told=told(taken(now, read), taken(stamp(NOW - 9), read, subject=ALICE)),
        ),
        refused(
            "scope taken: before the scope is asked for",
            "The token is refused first.",
            REVOKED,
            method=CALLS + "Write",
            told=told(taken(now, read)),
        ),
    ]


def _not_before() -> list[dict]:
    def told(time: str) -> list[dict]:
        return known(not_before=time)

    lower = [at(NOW - 3, snapshot(not_before=stamp(NOW + 1))), at(NOW - 1, snapshot(not_before=stamp(NOW - 100)))]
    higher = [at(NOW - 3, snapshot(not_before=stamp(NOW - 100))), at(NOW - 1, snapshot(not_before=stamp(NOW + 1)))]
    middle = [
        at(NOW - 3, snapshot(last=False)),
        at(NOW - 2, snapshot(last=False, first=False, not_before=stamp(NOW + 1))),
        at(NOW - 1, snapshot(first=False)),
    ]
    return [
        passes("not before: iat is the time", "`iat` is not before it.", told=told(stamp(NOW))),
        refused("not before: iat is a second before", "`iat` is before it.", REVOKED, told=told(stamp(NOW + 1))),
        refused("not before: a nanosecond after iat", "`iat` is before it.", REVOKED, told=told(stamp(NOW, 1))),
        passes("not before: a nanosecond before iat", "`iat` is not before it.", told=told(stamp(NOW - 1, 999_999_999))),
        passes("not before: long ago", "`iat` is not before it.", told=told(stamp(NOW - 1000))),
        refused("not before: a client's own token", "It is for all tokens.", REVOKED, client(), told=told(stamp(NOW + 1))),
        refused(
            "not before: another audience",
            "It is for all tokens.",
            REVOKED,
            user(aud="orders"),
            method=CALLS + "Orders",
            audience="orders",
            told=told(stamp(NOW + 1)),
        ),
        refused("not before: in a part in the middle", "Any part may have it.", REVOKED, told=middle),
        refused("not before: a later snapshot has an earlier one", "What was told before still counts.", REVOKED, told=lower),
        refused("not before: a later snapshot has a later one", "The latest counts.", REVOKED, told=higher),
    ]


def _parts() -> list[dict]:
    parts = [
        at(NOW - 4, snapshot(last=False, sessions=[SESSION])),
        at(NOW - 3, snapshot(last=False, first=False, clients=[(ROBOT, stamp(NOW))])),
        at(NOW - 2, snapshot(first=False, users=[(BOB, stamp(NOW))])),
    ]
    begun = [at(NOW - 4, snapshot(last=False, sessions=[SESSION]))]
    again = [*begun, at(NOW - 1, snapshot())]
    return [
        refused("parts: the first has it", "All parts count.", REVOKED, told=parts),
        refused("parts: the second has it", "All parts count.", REVOKED, client(), told=parts),
        refused("parts: the last has it", "All parts count.", REVOKED, user(sub=BOB, sid=OTHER_SESSION), told=parts),
        passes("parts: none has it", "All parts count.", user(sub=BOB, sid=OTHER_SESSION, iat=NOW + 1), told=parts),
        refused("parts: the last has not come", "The snapshot is not complete.", "UNAVAILABLE", client(), told=begun),
        passes("parts: a snapshot that was cut short, and a whole one", "It is complete with the one that is last.", client(), told=again),
        refused("parts: told by a snapshot that was cut short", "What was told counts.", REVOKED, told=again),
        passes(
            "parts: a last one that has nothing",
            "It is complete.",
            told=[at(NOW - 1, {"resumeToken": "AAAB", "snapshot": {"isLast": True}})],
        ),
    ]


def _knowing() -> list[dict]:
    away = "UNAVAILABLE"
    empty = [at(NOW - 31, snapshot())]
    old = [at(NOW - 1000, snapshot(sessions=[OTHER_SESSION]))]
    borne = {"when_stale": "continue"}
    return [
        refused("knowing: nothing was told", "There is no snapshot.", away, told=[], followed=True),
        refused("knowing: nothing was told, and that is borne", "Never before the first snapshot.", away, told=[], followed=True, **borne),
        refused("knowing: heartbeats alone", "There is no snapshot.", away, told=[at(NOW - 1, HEARTBEAT)]),
        refused("knowing: changes alone", "There is no snapshot.", away, told=[at(NOW - 1, change(sessions=[OTHER_SESSION]))]),
        refused("knowing: resync alone", "There is no snapshot.", away, told=[at(NOW - 1, RESYNC)]),
        refused(
            "knowing: a part alone, and that is borne",
            "Never before the first snapshot.",
            away,
            told=[at(NOW - 1, snapshot(last=False))],
            **borne,
        ),
        passes("knowing: not followed", "Nobody asks.", followed=False),
        passes("knowing: heard 30 seconds ago", "No more than max_age.", told=[at(NOW - 30, snapshot())]),
        refused("knowing: heard 31 seconds ago", "More than max_age.", away, told=empty),
        passes("knowing: heard 31 seconds ago, and that is borne", "It goes by what it knows.", told=empty, **borne),
        passes("knowing: heard 31 seconds ago, max_age of a minute", "No more than max_age.", told=empty, max_age=60),
        refused(
            "knowing: heard 61 seconds ago, max_age of a minute", "More than max_age.", away, told=[at(NOW - 61, snapshot())], max_age=60
        ),
        passes("knowing: heard now, max_age of none", "No more than max_age.", told=[at(NOW, snapshot())], max_age=0),
        refused("knowing: heard a second ago, max_age of none", "More than max_age.", away, told=[at(NOW - 1, snapshot())], max_age=0),
        passes("knowing: a heartbeat since", "Something was heard.", told=[*empty, at(NOW - 1, HEARTBEAT)]),
        passes("knowing: a change since", "Something was heard.", told=[*empty, at(NOW - 1, change(policies=["stock"]))]),
        passes("knowing: a part of an unknown kind since", "Something was heard.", told=[*empty, at(NOW - 1, UNKNOWN_PART)]),
        passes("knowing: keys_changed", "The set is the same.", told=[*empty, at(NOW - 1, change(keys=True))]),
        passes("knowing: resync since", "What was told before still counts.", told=[*empty, at(NOW - 1, RESYNC)]),
        refused("knowing: stale, and revoked", "It does not know.", away, told=[at(NOW - 100, snapshot(sessions=[SESSION]))]),
        refused(
            "knowing: stale, revoked, and that is borne",
            "It goes by what it knows.",
            REVOKED,
            told=[at(NOW - 100, snapshot(sessions=[SESSION]))],
            **borne,
        ),
        passes("knowing: stale for long, and that is borne", "It goes by what it knows.", told=old, **borne),
    ]


def _order() -> list[dict]:
    away, stale, ended = "UNAVAILABLE", {"told": [at(NOW - 100, snapshot())]}, {"told": known(sessions=[SESSION])}
    late = user(iat=NOW - 900, exp=NOW - 5)
    return [
        refused("first: expired, and stale", "Time is looked at first.", "TOKEN_EXPIRED", late, **stale),
        refused("first: expired, and revoked", "Time is looked at first.", "TOKEN_EXPIRED", late, **ended),
        invalid("first: garbage, and stale", "The token is looked at first.", authorization=bearer("x"), **stale),
        invalid("first: for another audience, and revoked", "The audience is looked at first.", user(aud="orders"), **ended),
        invalid("first: not valid yet, and revoked", "Time is looked at first.", user(nbf=NOW + 6), **ended),
        refused("first: no token, and stale", "`authorization` is looked at first.", "TOKEN_MISSING", authorization=[], **stale),
        refused("first: no rule, and stale", "The rule is looked at first.", "ACCESS_UNDECLARED", method=CALLS + "Undeclared", **stale),
        refused("first: lacks a scope, and stale", "Revocations are looked at first.", away, method=CALLS + "Write", **stale),
        refused(
            "first: a user's where clients may, and stale", "Revocations are looked at first.", away, method=CALLS + "Clients", **stale
        ),
        refused("first: lacks a scope, and revoked", "Revocations are looked at first.", REVOKED, method=CALLS + "Write", **ended),
        refused(
            "first: a user's where clients may, and revoked", "Revocations are looked at first.", REVOKED, method=CALLS + "Clients", **ended
        ),
        refused("first: names no roles, and revoked", "Revocations are looked at first.", REVOKED, method=CALLS + "Role", **ended),
        refused(
            "first: lacks a scope, and is not revoked",
            "The rule is looked at last.",
            "INSUFFICIENT_SCOPE",
            method=CALLS + "Write",
            told=known(),
            metadata={"required_scope": "stock:write"},
        ),
    ]


def _resync() -> list[dict]:
    told = [at(NOW - 9, snapshot(sessions=[SESSION], clients=[(ROBOT, stamp(NOW))])), at(NOW - 8, RESYNC)]
    since = [*told, at(NOW - 7, snapshot(sessions=[OTHER_SESSION]))]
    bob = user(sub=BOB, sid=OTHER_SESSION)
    return [
        refused("resync: told before", "It still counts.", REVOKED, told=told),
        passes("resync: not told before", "What was told before still counts, and it is complete.", bob, told=told),
        refused("resync: told before, and not in the new snapshot", "It still counts.", REVOKED, told=since),
        refused("resync: told before of a client, and not in the new snapshot", "It still counts.", REVOKED, client(), told=since),
        refused("resync: told by the new snapshot", "It counts, too.", REVOKED, bob, told=since),
        refused(
            "resync: a new snapshot that is not complete, and told before",
            "It still counts.",
            REVOKED,
            told=[*told, at(NOW - 7, snapshot(last=False))],
        ),
        passes(
            "resync: a new snapshot that is not complete, and not told before",
            "It was complete once.",
            bob,
            told=[*told, at(NOW - 7, snapshot(last=False))],
        ),
    ]


def _keeping() -> list[dict]:
    long = user(iat=NOW - 100, exp=NOW + 100_000)
    began = NOW - 50

    def later(seconds: int, *messages) -> dict:
        told = [at(began, snapshot()), *messages, at(began + seconds - 1, HEARTBEAT)]
        return {"now": began + seconds, "told": told}

    def told(**what) -> list[dict]:
        return [at(began, change(**what))]

    kinds = {
        "a session": {"sessions": [SESSION]},
        "a user's sessions": {"users": [(ALICE, stamp(began + 6))]},
        "a client": {"clients": [(SHOP, stamp(began + 6))]},
        "a scope": {"scopes": [taken(stamp(began + 6), "stock:read")]},
    }
    still = [
        refused(f"keeping: {name}, for keep_for less a second", "It still counts.", REVOKED, long, **later(KEEP_FOR - 1, *told(**what)))
        for name, what in kinds.items()
    ]
    gone = [
        passes(
            f"keeping: {name}, an hour after keep_for",
            "No token can be so old: it is forgotten.",
            long,
            **later(KEEP_FOR + 3600, *told(**what)),
        )
        for name, what in kinds.items()
    ]
    again = [at(began, change(sessions=[SESSION])), at(began + 500, change(sessions=[SESSION]))]
    client_again = [at(began, change(clients=[(SHOP, stamp(began + 6))])), at(began + 500, change(clients=[(SHOP, stamp(began + 6))]))]
    longer = [at(began + 1, snapshot(keep_for=90_000, sessions=[SESSION]))]
    return [
        *still,
        *gone,
        refused("keeping: a session that was told again", "It is kept from then on.", REVOKED, long, **later(KEEP_FOR + 400, *again)),
        refused("keeping: a client that was told again", "It is kept from then on.", REVOKED, long, **later(KEEP_FOR + 400, *client_again)),
        refused("keeping: keep_for of a day", "The snapshot says for how long.", REVOKED, long, **later(89_000, *longer)),
        refused(
            "keeping: in the snapshot, for keep_for less a second",
            "It still counts.",
            REVOKED,
            long,
            now=began + KEEP_FOR - 1,
            told=[at(began, snapshot(sessions=[SESSION])), at(began + KEEP_FOR - 2, HEARTBEAT)],
        ),
        refused(
            "keeping: in the second part of a snapshot, for keep_for less a second",
            "The first part says for how long.",
            REVOKED,
            long,
            now=began + KEEP_FOR - 1,
            told=[
                at(began, snapshot(last=False)),
                at(began, snapshot(first=False, sessions=[SESSION])),
                at(began + KEEP_FOR - 2, HEARTBEAT),
            ],
        ),
    ]


def _skew() -> list[dict]:
    # At `changed` a client is disabled; another replica, which hears of it a second later, issues a token meanwhile.
    changed = NOW - 1
    told = {"told": [at(NOW - 2, snapshot()), at(changed, change(clients=[(SHOP, stamp(changed + 6))]))]}
    return [
        refused(
            "skew: issued by a stale replica whose clock is right",
            "Up to `time`, tokens may be of before.",
            REVOKED,
            user(iat=changed + 1),
            **told,
        ),
        refused(
            "skew: issued by a stale replica whose clock is 5 seconds ahead",
            "Up to `time`, tokens may be of before.",
            REVOKED,
            user(iat=changed + 6, exp=changed + 906),
            **told,
        ),
        refused(
            "skew: issued by a stale replica whose clock is 5 seconds behind",
            "Up to `time`, tokens may be of before.",
            REVOKED,
            user(iat=changed - 4),
            **told,
        ),
        passes("skew: issued once `time` has passed", "`iat` is after it.", user(iat=changed + 7), now=changed + 7, **told),
        passes(
            "skew: issued once `time` has passed, with a clock that is 5 seconds ahead",
            "`iat` is after it.",
            user(iat=changed + 12),
            now=changed + 7,
            **told,
        ),
        passes(
            "skew: issued by a replica whose clock is 5 seconds ahead, and nothing is revoked",
            "It is within the leeway.",
            user(iat=NOW + 5),
            told=known(),
        ),
        invalid(
            "skew: issued by a replica whose clock is 6 seconds ahead",
            "It is further ahead than the leeway.",
            user(iat=NOW + 6),
            told=known(),
        ),
    ]


def cases() -> list[dict]:
    """All."""
    return [
        *_sessions(),
        *_user_sessions(),
        *_clients(),
        *_scopes(),
        *_not_before(),
        *_parts(),
        *_knowing(),
        *_order(),
        *_resync(),
        *_keeping(),
        *_skew(),
    ]
