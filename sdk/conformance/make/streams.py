"""Owns the cases of `streams.json`: when an open stream ends, and why."""

from .cases.first import heard
from .tokens import bearer, token
from .world import BOB, KEEP_FOR, NOW, SESSION

__all__ = ["cases"]
SERVER = "/corpus.v1.Streams/Server"


def stream(name: str, why: str, expect: dict, *, events=(), until: int, method: str = SERVER, authorization=None, **settings) -> dict:
    """A case."""
    shown = bearer(token()) if authorization is None else authorization
    return {"name": name, "why": why, "method": method, "authorization": shown, "opened": NOW, **settings, "events": list(events),
            "until": until, "expect": expect}


def told(at: int, message: dict) -> dict:
    """What is told."""
    return {"at": at, "told": message}


def snapshot(at: int, **more) -> dict:
    """A whole snapshot."""
    return told(at, heard(at, **more)["message"])


def beats(first: int, last: int) -> list[dict]:
    """A heartbeat every 10 seconds."""
    return [told(at, {"resumeToken": "AAAC", "heartbeat": {}}) for at in range(first, last + 1, 10)]


def ended(at: int, reason: str) -> dict:
    """The stream ends."""
    return {"ends_at": at, "code": "UNAVAILABLE" if reason == "UNAVAILABLE" else "UNAUTHENTICATED", "reason": reason}


def cases() -> list[dict]:
    """All."""
    assert KEEP_FOR > 0
    return [
        stream("token expires", "At `exp` and the grace.", ended(NOW + 930, "TOKEN_EXPIRED"), until=NOW + 1000),
        stream("before the grace has passed", "It is open.", {"open": True}, until=NOW + 929),
        stream("grace of none", "At `exp`.", ended(NOW + 900, "TOKEN_EXPIRED"), until=NOW + 1000, grace=0),
        stream("public", "There is no token that could expire.", {"open": True}, until=NOW + 5000, method="/corpus.v1.Streams/Public",
               authorization=[]),
        stream("session ends", "At once.", ended(NOW + 7, "TOKEN_REVOKED"), until=NOW + 20, events=[
            snapshot(NOW - 1), told(NOW + 7, {"resumeToken": "AAAD", "changes": {"endedSessions": [SESSION]}})]),
        stream("another session ends", "It is another one.", {"open": True}, until=NOW + 20, events=[
            snapshot(NOW - 1), told(NOW + 7, {"resumeToken": "AAAD", "changes": {"endedSessions": [BOB]}})]),
        stream("revocations are stale", "Nothing was heard for more than 30 seconds.", ended(NOW + 30, "UNAVAILABLE"), until=NOW + 100,
               events=[snapshot(NOW - 1), {"at": NOW + 2, "feed": "down"}]),
        stream("revocations are stale, and that is borne", "when_stale: continue.", {"open": True}, until=NOW + 100, when_stale="continue",
               events=[snapshot(NOW - 1), {"at": NOW + 2, "feed": "down"}]),
        stream("heartbeats", "Something is heard all the time.", ended(NOW + 930, "TOKEN_EXPIRED"), until=NOW + 1000,
               events=[snapshot(NOW - 1), *beats(NOW + 9, NOW + 999)]),
    ]
