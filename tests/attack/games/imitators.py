"""Owns games of those who take names that others are known by, and of users who have others' records grow."""

import time
from collections import Counter

import honest
import wire
from attacks import says

from . import web
from .game import Field, Gained, Game
from .guessing import CHEAP, PROXY

_REVOKE_ALL_SESSIONS = "/identity.v1.IdentityService/RevokeAllSessions"

# Of a user who is honest, and whose name letters of another script can imitate as a whole.
_IMITATED = "scope"

# Which nobody must get, whatever else is there.
_NAMES = (
    # Cyrillic letters among Latin ones, and a whole word of them.
    "\u0430dmin",
    "\u0455\u0441\u043e\u0440\u0435",
    # The accent is the only difference that the eye may miss.
    "sco\u0440e",
    "--help",
    "-admin",
    "../../etc",
    "$(id)",
    "<script>",
    "admin\u200b",
    "\u202enimda",
    "ad min",
    "\uff41\uff44\uff4d\uff49\uff4e",
    "admin",
    "ADMIN",
    "root",
)


def _sign_up(caller: web.Caller, name: str, number: int) -> web.Answer:
    said = wire.field(1, name) + wire.field(2, "correct horse battery")
    return caller.call(says.SIGN_UP, said, client=f"52.1.{number >> 8}.{number & 255}")


def _imitate(field: Field) -> Gained:
    """Names that look like another's, ids of others, and what a shell or a page would take for more than a name."""
    caller = web.Caller(field.addresses["grpc"])
    _sign_up(caller, _IMITATED, 0)
    id_of_other = _user_id(field)
    plain = id_of_other.replace("-", "")
    ids = (id_of_other, id_of_other.upper(), plain, f"{{{id_of_other}}}", f"urn:uuid:{id_of_other}")
    taken = [name for number, name in enumerate((*_NAMES, *ids), 1) if _sign_up(caller, name, number).is_ok]
    missed = (f"got {', '.join(name.encode('unicode_escape').decode() for name in taken)}",) if taken else ()
    return Gained(f"{len(taken)} of {len(_NAMES) + len(ids)} names", missed)


def _user_id(field: Field) -> str:
    answer = web.Caller(field.addresses["grpc"]).call(says.GET_ME, b"", honest.bearer(field.account.token))
    return wire.parsed(wire.parsed(answer.message)[1])[1].decode()


def _audit(field: Field) -> Gained:
    """One user ends sessions that there are not, as fast as it goes."""
    account = field.account
    caller, name = web.Caller(field.addresses["grpc"]), f"{account.username}-other"
    _sign_up(caller, name, 0)
    answer = caller.call(says.ISSUE_TOKEN, honest.password_grant(name, account.password), client="52.1.0.0")
    bearer = honest.bearer(answer.field(1))
    began, written, answers = time.monotonic(), len(field.server.audit()), Counter[bool]()
    while time.monotonic() < field.ends:
        answers[caller.call(_REVOKE_ALL_SESSIONS, b"\x08\x01", bearer, client="52.1.0.0").is_ok] += 1
    rate = (len(field.server.audit()) - written) / (time.monotonic() - began)
    missed = (f"the audit log grew by {rate / 1_000:.0f} KB/s",) if rate > 2_000 else ()
    return Gained(f"{rate:,.0f} B/s of audit log by {answers[True]:,} of {sum(answers.values()):,} calls", missed)


GAMES = (
    Game(
        "imitation",
        "Names that pass for another's, ids of users, words of a shell or a page",
        "many addresses",
        _imitate,
        (*PROXY, *CHEAP),
    ),
    Game("audit", "A user ends all other sessions, of which there are none, again and again", "1 address", _audit, (*PROXY, *CHEAP)),
)
