"""Owns attacks of readers who do not read, or who only listen: answers that pile up, and streams without an end."""

import wire
from strangers import Says, Stranger, Strangers

from . import says
from .attack import Attack

_SYMBOL = b"identity.v1.IdentityService"


def _unread(to: str, fields: wire.Fields, connections: int = 16) -> Strangers:
    """Asks on every stream, and lets nothing be sent."""
    return Strangers(
        to,
        connections,
        says.heads(fields, ends=True, greeting=says.NOTHING_FITS),
        says.new_heads(fields, ends=True),
        every=0.5,
        follows=True,
    )


def _unread_call(to: str, path: str, payload: bytes = b"", connections: int = 16) -> Strangers:
    fields, said = wire.grpc_request(path), wire.message(payload)
    return Strangers(
        to,
        connections,
        says.calls(fields, said, says.STREAMS, says.NOTHING_FITS),
        says.new_calls(fields, said),
        every=0.5,
        follows=True,
    )


def _one_byte_fits(fields: wire.Fields) -> tuple[Says, Says]:
    """A window of one byte more each second, so that something is always read."""
    return says.heads(fields, ends=True, greeting=says.NOTHING_FITS), lambda stranger: b"".join(
        wire.window_update(stream, 1) for stream in range(1, 2 * says.STREAMS, 2)
    )


def _reflection(asks: bool, greeting: bytes) -> Strangers:
    """Streams of server reflection that stay open; `asks`, with a question on each twice a second."""
    fields = wire.grpc_request(says.REFLECTION)
    question = wire.message(wire.field(4, _SYMBOL))

    new_heads = says.new_heads(fields)

    def again(stranger: Stranger) -> bytes:
        heads = new_heads(stranger)
        return heads + b"".join(says.data(stream, question) for stream in stranger.calls if asks)

    return Strangers("grpc", 16, says.heads(fields, greeting=greeting), again, every=0.5, follows=True)


def _unread_http1(path: str) -> Strangers:
    """Asks again and again on one connection, whose receive buffer is as small as the system allows."""
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * 20
    return Strangers("http", 256, says.nothing, says.always(request), reads=False, receive_buffer=2_304)


_TRICKLED, _TRICKLE = _one_byte_fits(wire.http_request("GET", says.JWKS))

_ASKED = wire.grpc_request(says.REFLECTION)


def _trickled_reflection() -> Strangers:
    ask = wire.message(wire.field(4, _SYMBOL))
    more = b"".join(wire.window_update(stream, 1) for stream in range(1, 2 * says.STREAMS, 2))
    return Strangers("grpc", 16, says.calls(_ASKED, ask, says.STREAMS, says.NOTHING_FITS), says.always(more), every=1.0)


ATTACKS = (
    Attack(
        "unread-metrics",
        "HTTP/2: 16 x 256 `GET /metrics`, at the operations address, with a window of 0",
        (_unread("operations", wire.http_request("GET", "/metrics")),),
    ),
    Attack(
        "unread-keys",
        "HTTP/2: 16 x 256 `GET /.well-known/jwks.json` with a window of 0",
        (_unread("http", wire.http_request("GET", says.JWKS)),),
        also_from_many=True,
    ),
    Attack(
        "unread-discovery",
        "HTTP/2: 16 x 256 `GET /.well-known/openid-configuration` with a window of 0",
        (_unread("http", wire.http_request("GET", "/.well-known/openid-configuration")),),
    ),
    Attack(
        "trickled-keys",
        "The keys with windows that grow by a byte each second",
        (Strangers("http", 16, _TRICKLED, _TRICKLE, every=1.0),),
    ),
    Attack(
        "trickled-reflection",
        "16 x 256 reflection answers with windows that grow by a byte each second",
        (_trickled_reflection(),),
    ),
    Attack(
        "unread-http1",
        "HTTP/1.1: 256 connections that ask for the discovery document without end, and read nothing",
        (_unread_http1("/.well-known/openid-configuration"),),
        also_from_many=True,
    ),
    Attack(
        "unread-reflection",
        "gRPC: 16 x 256 reflection answers of 29 KB with a window of 0",
        (_reflection(True, says.NOTHING_FITS),),
        also_from_many=True,
    ),
    Attack(
        "unread-answers",
        "gRPC: 16 x 256 calls of GetJwks with a window of 0",
        (_unread_call("grpc", says.GET_JWKS),),
        also_from_many=True,
    ),
    Attack(
        "idle-reflection",
        "gRPC: 16 x 256 reflection streams that stay open and ask nothing",
        (_reflection(False, says.EVERYTHING_FITS),),
        also_from_many=True,
    ),
    Attack(
        "busy-reflection",
        "gRPC: 16 x 256 reflection streams that each ask twice a second, and read the answers",
        (_reflection(True, says.EVERYTHING_FITS),),
    ),
    Attack(
        "watch",
        "gRPC: 16 x 256 Health/Watch",
        (_unread_call("grpc", says.WATCH),),
        also_from_many=True,
    ),
    Attack(
        "watch-check",
        "The same at the address of ext_authz",
        (_unread_call("authz", says.WATCH),),
    ),
)
