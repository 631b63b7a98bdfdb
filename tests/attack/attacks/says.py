"""Owns what strangers commonly say: greetings, and requests that are whole, cut short or trickling in."""

from collections.abc import Callable

import wire
from strangers import Says, Stranger

GET_ME = "/identity.v1.IdentityService/GetMe"
GET_JWKS = "/identity.v1.TokenService/GetJwks"
ISSUE_TOKEN = "/identity.v1.IdentityService/IssueToken"
SIGN_UP = "/identity.v1.IdentityService/SignUp"
UPDATE_ME = "/identity.v1.IdentityService/UpdateMe"
REVOKE_TOKEN = "/identity.v1.IdentityService/RevokeToken"
CHECK = "/envoy.service.auth.v3.Authorization/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
TOKEN_ENDPOINT = "/oauth2/token"
JWKS = "/.well-known/jwks.json"

GREETING = wire.PREFACE + wire.settings()
# Nothing may be sent to who says this.
NOTHING_FITS = wire.PREFACE + wire.settings(window=0)
# And this: as much as is wanted, for those who read.
EVERYTHING_FITS = wire.PREFACE + wire.settings(window=1 << 24) + wire.window_update(0, 1 << 30)


def nothing(stranger: Stranger) -> bytes:
    return b""


def always(said: bytes) -> Says:
    return lambda stranger: said


def headers(stream: int, block: bytes, ends: bool = False) -> bytes:
    return wire.frame(wire.HEADERS, wire.END_HEADERS | (wire.END_STREAM if ends else 0), stream, block)


def data(stream: int, payload: bytes, ends: bool = False) -> bytes:
    """In as many frames as it takes."""
    starts = range(0, max(1, len(payload)), wire.LARGEST_FRAME)
    return b"".join(
        wire.frame(
            wire.DATA,
            wire.END_STREAM if ends and at == starts[-1] else 0,
            stream,
            payload[at : at + wire.LARGEST_FRAME],
        )
        for at in starts
    )


def heads(fields: wire.Fields, ends: bool = False, greeting: bytes = GREETING, most: int = wire.LARGEST_WINDOW) -> tuple[Says, Says]:
    """What is said first and then again: the heads of as many requests as may be open. They end there, or the rest never comes."""

    def opening(stranger: Stranger) -> bytes:
        return greeting + headers(stranger.next_stream(), wire.remembered(fields), ends)

    def again(stranger: Stranger) -> bytes:
        short = wire.recalled(len(fields))
        return b"".join(headers(stream, short, ends) for stream in stranger.free_streams(most))

    return opening, again


def open_calls(fields: wire.Fields) -> Says:
    """A greeting, and the heads of as many requests as any server lets be open: for who does not follow what it says."""
    opening, again = heads(fields, most=wire.FEWEST_STREAMS - 1)
    return lambda stranger: opening(stranger) + again(stranger)


def calls(fields: wire.Fields, payload: bytes, greeting: bytes = EVERYTHING_FITS) -> tuple[Says, Says]:
    """The same with whole requests."""

    def opening(stranger: Stranger) -> bytes:
        stream = stranger.next_stream()
        return greeting + headers(stream, wire.remembered(fields)) + data(stream, payload, True)

    def again(stranger: Stranger) -> bytes:
        short = wire.recalled(len(fields))
        return b"".join(headers(stream, short) + data(stream, payload, True) for stream in stranger.free_streams())

    return opening, again


def fitting_calls(make: Callable[[Stranger], tuple[wire.Fields, bytes]], count: int) -> Says:
    """After a greeting: so many whole calls, as far as their messages fit into the window."""

    def say(stranger: Stranger) -> bytes:
        said: list[bytes] = []
        for _ in range(count):
            fields, payload = make(stranger)
            if len(payload) > stranger.window:
                break
            stranger.window -= len(payload)
            stream = stranger.next_stream()
            said += (headers(stream, wire.literal(fields)), data(stream, payload, True))
        return b"".join(said)

    return say
