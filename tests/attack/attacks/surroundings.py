"""Owns attacks on what the server depends on: a log that nobody reads, a database that is far away."""

from . import control, work
from .attack import Attack

_FAR_MS = 2.0


def _by_name(name: str) -> Attack:
    return next(attack for attack in (*control.ATTACKS, *work.ATTACKS) if attack.name == name)


ATTACKS = (
    Attack("nothing-far", "Nothing, PostgreSQL being 2 ms away, for comparison", database_ms=_FAR_MS),
    Attack(
        "log-unread",
        "Standard error is a pipe that nobody reads: `resets-logged` and 2,000 unknown clients a second fill it",
        (*_by_name("resets-logged").strangers, *_by_name("clients").strangers),
        reads_log=False,
    ),
    Attack(
        "refresh-tokens-far",
        "2,000 made-up refresh tokens a second, PostgreSQL being 2 ms away",
        _by_name("refresh-tokens").strangers,
        also_from_many=True,
        database_ms=_FAR_MS,
    ),
    Attack(
        "clients-far",
        "2,000 unknown clients a second, PostgreSQL being 2 ms away",
        _by_name("clients").strangers,
        also_from_many=True,
        database_ms=_FAR_MS,
    ),
    Attack(
        "tokens-far",
        "2,000 RevokeToken a second with made-up tokens, PostgreSQL being 2 ms away",
        _by_name("revocations").strangers,
        database_ms=_FAR_MS,
    ),
)
