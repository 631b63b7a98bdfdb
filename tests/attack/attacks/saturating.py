"""Owns attacks by whole calls that cost little each, and come as fast as the server takes them: they leave no core to what waits for one."""

import wire
from strangers import Says, Stranger, Strangers

from . import says
from .attack import Attack

_CONNECTIONS = 16


def _as_fast_as_taken(fields: wire.Fields, payload: bytes | None) -> tuple[Says, Says]:
    """The same call on every stream that is free, again and again; without a `payload`, its HEADERS alone."""

    def call(stream: int, block: bytes) -> bytes:
        return says.headers(stream, block, payload is None) + (says.data(stream, payload, True) if payload is not None else b"")

    def opening(stranger: Stranger) -> bytes:
        return says.EVERYTHING_FITS + call(stranger.next_stream(), wire.remembered(fields))

    def again(stranger: Stranger) -> bytes:
        streams = stranger.free_streams()
        # Until a call has ended there is nothing to say.
        stranger.is_done = not streams
        short = wire.recalled(len(fields))
        return b"".join(call(stream, short) for stream in streams)

    return opening, again


def _http2(fields: wire.Fields, payload: bytes | None = b"", to: str = "grpc") -> tuple[Strangers, ...]:
    opening, again = _as_fast_as_taken(fields, payload)
    return (Strangers(to, _CONNECTIONS, opening, again, follows=True),)


def _pipelined(path: str, to: str = "http") -> tuple[Strangers, ...]:
    said = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * 1_000
    return (Strangers(to, _CONNECTIONS, says.nothing, says.always(said)),)


def _get(path: str) -> wire.Fields:
    return ((":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost"))


ATTACKS = (
    Attack(
        "pipelined",
        "HTTP/1.1: 16 connections that ask for /livez as fast as they can, and wait for no answer",
        _pipelined("/livez"),
        also_from_many=True,
    ),
    Attack("pipelined-nowhere", "HTTP/1.1: the same of a path that is not served", _pipelined("/nowhere")),
    Attack("livez", "HTTP/2: 16 connections that ask for /livez on every stream as fast as it is answered", _http2(_get("/livez"), None, "http")),
    Attack(
        "jwks",
        "gRPC: 16 connections that call GetJwks on every stream as fast as it is answered",
        _http2(wire.grpc_request(says.GET_JWKS), wire.message(b"")),
        also_from_many=True,
    ),
    Attack(
        "unauthenticated",
        "gRPC: the same with GetMe without a token, which is refused",
        _http2(wire.grpc_request(says.GET_ME), wire.message(b"")),
    ),
    Attack("no-call", "gRPC: the same with requests that are no calls", _http2(_get("/"), None)),
    Attack("checks", "ext_authz: the same with Check of requests without a token", _http2(wire.grpc_request(says.CHECK), wire.message(b""), "authz")),
)
