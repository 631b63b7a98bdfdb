"""Owns attacks of readers who do not read, or who only listen: answers that pile up, and streams without an end."""

import base64

import wire
from strangers import Says, Stranger, Strangers

from . import says
from .attack import Attack

_REFLECTION = wire.grpc_request(says.REFLECTION)
_QUESTION = wire.message(wire.field(4, b"identity.v1.IdentityService"))


def _unread(to: str, path: str) -> Strangers:
    """Asks on every stream, and lets nothing be sent."""
    asking = says.heads(wire.http_request("GET", path), ends=True, greeting=says.NOTHING_FITS)
    return Strangers(to, 16, *asking, every=0.5, follows=True)


def _unread_call(to: str, path: str) -> Strangers:
    calling = says.calls(wire.grpc_request(path), wire.message(), says.NOTHING_FITS)
    return Strangers(to, 16, *calling, every=0.5, follows=True)


def _web_text(path: str, window: int) -> Strangers:
    """Calls of gRPC-Web whose answers are Base64, and their trailers the last of a body that no more than `window` is ever read of."""
    asked = base64.b64encode(wire.message(_QUESTION))
    greeting = wire.PREFACE + wire.settings(window=window)
    return Strangers("grpc", 16, *says.calls(wire.web_text_request(path), asked, greeting), every=0.5, follows=True)


def _web_text_http1(path: str) -> Strangers:
    asked = base64.b64encode(wire.message(_QUESTION))
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {wire.WEB_TEXT}\r\ncontent-length: {len(asked)}\r\n\r\n"
    return Strangers("grpc", 256, says.nothing, says.always((head.encode() + asked) * 20), reads=False, receive_buffer=2_304)


def _trickled(to: str, asking: tuple[Says, Says]) -> Strangers:
    """Windows that grow by one byte each second, so that something is always read."""
    opening, ask = asking

    def again(stranger: Stranger) -> bytes:
        asked = ask(stranger)
        return asked + b"".join(wire.window_update(stream, 1) for stream in stranger.calls)

    return Strangers(to, 16, opening, again, every=1.0, follows=True)


def _reflection(asks: bool, greeting: bytes) -> Strangers:
    """Streams of server reflection that stay open; `asks`, with a question on each twice a second."""
    opening, new_heads = says.heads(_REFLECTION, greeting=greeting)

    def again(stranger: Stranger) -> bytes:
        heads = new_heads(stranger)
        return heads + b"".join(says.data(stream, _QUESTION) for stream in stranger.calls if asks)

    return Strangers("grpc", 16, opening, again, every=0.5, follows=True)


def _unread_http1(path: str) -> Strangers:
    """Asks again and again on one connection, whose receive buffer is as small as the system allows."""
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * 20
    return Strangers("http", 256, says.nothing, says.always(request), reads=False, receive_buffer=2_304)


ATTACKS = (
    Attack(
        "unread-metrics",
        "HTTP/2: 16 connections full of `GET /metrics`, at the operations address, with a window of 0",
        (_unread("operations", "/metrics"),),
    ),
    Attack(
        "unread-keys",
        "HTTP/2: 16 connections full of `GET /.well-known/jwks.json` with a window of 0",
        (_unread("http", says.JWKS),),
        also_from_many=True,
    ),
    Attack(
        "unread-discovery",
        "HTTP/2: 16 connections full of `GET /.well-known/openid-configuration` with a window of 0",
        (_unread("http", "/.well-known/openid-configuration"),),
    ),
    Attack(
        "trickled-keys",
        "HTTP/2: 16 connections full of `GET /.well-known/jwks.json` with windows that grow by a byte each second",
        (_trickled("http", says.heads(wire.http_request("GET", says.JWKS), ends=True, greeting=says.NOTHING_FITS)),),
    ),
    Attack(
        "trickled-reflection",
        "gRPC: 16 connections full of reflection answers with windows that grow by a byte each second",
        (_trickled("grpc", says.calls(_REFLECTION, _QUESTION, says.NOTHING_FITS)),),
    ),
    Attack(
        "unread-http1",
        "HTTP/1.1: 256 connections that ask for the discovery document without end, and read nothing",
        (_unread_http1("/.well-known/openid-configuration"),),
        also_from_many=True,
    ),
    Attack(
        "unread-reflection",
        "gRPC: 16 connections full of reflection answers of 29 KB with a window of 0",
        (_reflection(True, says.NOTHING_FITS),),
        also_from_many=True,
    ),
    Attack(
        "unread-answers",
        "gRPC: 16 connections full of calls of GetJwks with a window of 0",
        (_unread_call("grpc", says.GET_JWKS),),
        also_from_many=True,
    ),
    Attack(
        "unread-web",
        "gRPC-Web, as text: 16 connections full of reflection answers of 39 KB with a window of 1",
        (_web_text(says.REFLECTION, 1),),
        also_from_many=True,
    ),
    Attack(
        "unread-web-keys",
        "gRPC-Web, as text: 16 connections full of calls of GetJwks with a window of 1",
        (_web_text(says.GET_JWKS, 1),),
    ),
    Attack(
        "unread-web-http1",
        "gRPC-Web over HTTP/1.1, as text: 256 connections that ask for reflection answers without end, and read nothing",
        (_web_text_http1(says.REFLECTION),),
        also_from_many=True,
    ),
    Attack(
        "idle-reflection",
        "gRPC: 16 connections full of reflection streams that stay open and ask nothing",
        (_reflection(False, says.EVERYTHING_FITS),),
        also_from_many=True,
    ),
    Attack(
        "busy-reflection",
        "gRPC: 16 connections full of reflection streams that each ask twice a second, and read the answers",
        (_reflection(True, says.EVERYTHING_FITS),),
    ),
    Attack(
        "watch",
        "gRPC: 16 connections full of Health/Watch",
        (_unread_call("grpc", says.WATCH),),
        also_from_many=True,
    ),
    Attack(
        "watch-check",
        "ext_authz: 16 connections full of Health/Watch",
        (_unread_call("authz", says.WATCH),),
    ),
)
