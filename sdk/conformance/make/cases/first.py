"""Owns the plainest cases: one of each kind."""

from ..keys import ED, RS
from ..tokens import bearer, case, client, invalid, passes, refused, user
from ..world import ALICE, KEEP_FOR, NOW, SESSION


def heard(at: int, *, ended=(), keep_for: int = KEEP_FOR) -> dict:
    """A whole snapshot, told at `at`."""
    changes = {"endedSessions": list(ended)} if ended else {}
    return {"at": at, "message": {"resumeToken": "AAAB", "snapshot": {"changes": changes, "isLast": True, "keepFor": f"{keep_for}s"}}}


def cases() -> list[dict]:
    """One case of each kind."""
    method = "/corpus.v1.Calls/"
    return [
        passes("user", "A user's token, as Signet issues it.", user()),
        passes("client", "A client's own token.", client()),
        passes("signed by EdDSA", "A key of Ed25519.", user(), key=ED),
        passes("signed by RS256", "A key of RSA.", user(), key=RS),
        case("public", "A public method asks for no token.", [], {"code": "OK"}, method + "Public"),
        case("public with garbage", "A token that is sent to a public method is not looked at.", bearer("garbage"), {"code": "OK"},
             method + "Public"),
        refused("no declaration", "Denied by default.", "ACCESS_UNDECLARED", method=method + "Undeclared"),
        refused("no token", "There is no `authorization`.", "TOKEN_MISSING", authorization=[]),
        invalid("not a token", "It is not three parts.", authorization=bearer("abc")),
        invalid("another audience", "The token is for another service.", user(aud="orders")),
        refused("expired", "`exp` and the leeway have passed.", "TOKEN_EXPIRED", user(iat=NOW - 900, exp=NOW - 5)),
        refused("lacks a scope", "The rule asks for it.", "INSUFFICIENT_SCOPE", method=method + "Write",
                metadata={"required_scope": "stock:write"}),
        refused("lacks a role", "The claim does not have it.", "INSUFFICIENT_ROLE", user(roles=["boss"]), method=method + "Role",
                metadata={"required_role": "picker packer"}),
        refused("names no roles", "There is no claim.", "ROLES_NOT_IN_TOKEN", method=method + "Role",
                metadata={"required_role": "picker packer"}),
        refused("client where users may", "The rule says so.", "CALLER_NOT_ALLOWED", client(), method=method + "Users",
                metadata={"callers": "user"}),
        refused("session has ended", "It is among `ended_sessions`.", "TOKEN_REVOKED", told=[heard(NOW - 1, ended=[SESSION])]),
        passes("session goes on", "Another one has ended.", told=[heard(NOW - 1, ended=[ALICE])]),
        refused("nothing was told yet", "The snapshot has not come.", "UNAVAILABLE", told=[], followed=True),
    ]


