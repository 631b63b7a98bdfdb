"""Owns what the stream of revocations tells, as `told` and `events` have it."""

import datetime

from .world import KEEP_FOR


def stamp(seconds: int, nanos: int = 0) -> str:
    """A time as proto3 JSON has it."""
    text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos:09}Z" if nanos else f"{text}Z"


def changes(*, sessions=(), users=(), clients=(), scopes=(), keys: bool = False, policies=()) -> dict:
    """identity.events.v1.Changes. `users` and `clients` are pairs of an id and a time (or None), `scopes` are made by `taken`."""
    told = {
        "endedSessions": list(sessions),
        "endedUserSessions": [_set(subject=subject, time=time) for subject, time in users],
        "endedClients": [_set(clientId=client, time=time) for client, time in clients],
        "takenScopes": list(scopes),
        "keysChanged": keys,
        "changedPolicies": list(policies),
    }
    return {name: value for name, value in told.items() if value}


def taken(time: str | None, *scopes: str, audience: str = "stock", subject: str | None = None, client: str | None = None) -> dict:
    """identity.events.v1.TakenScopes."""
    return _set(subject=subject, audience=audience, scopes=list(scopes), time=time, clientId=client)


def _set(**fields) -> dict:
    """A message with those fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def snapshot(*, last: bool = True, first: bool = True, not_before: str | None = None, keep_for: int = KEEP_FOR, **told) -> dict:
    """A part of a snapshot: the whole of it unless told otherwise."""
    part = {"changes": changes(**told)}
    if not_before:
        part["tokensNotBefore"] = not_before
    if last:
        part["isLast"] = True
    if first:
        part["keepFor"] = f"{keep_for}s"
    return {"resumeToken": "AAAB", "snapshot": part} if last else {"snapshot": part}


def change(**told) -> dict:
    """What has changed."""
    return {"resumeToken": "AAAC", "changes": changes(**told)}


HEARTBEAT = {"resumeToken": "AAAD", "heartbeat": {}}
RESYNC = {"resync": {}}
UNKNOWN_PART = {"resumeToken": "AAAE"}
