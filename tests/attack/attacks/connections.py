"""Owns attacks that take connections: many of them, with little said on each."""

import ssl

import wire
from strangers import Stranger, Strangers

from . import says
from .attack import Attack


def _idle(to: str, connections: int, opening: bytes, of_many: int | None = None) -> Strangers:
    return Strangers(to, connections, says.always(opening), connections_of_many=of_many)


def _client_hello() -> bytes:
    """What a client says first by TLS, for a connection that never says more."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(heard, said).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return said.read()


def _half_a_greeting(stranger: Stranger) -> bytes:
    return wire.PREFACE[: stranger.number % len(wire.PREFACE)]


def _half_headers() -> bytes:
    """48 KB of header fields, whose last frame does not come."""
    piece = wire.literal((("x-more", "a" * 4_050),)) * 4
    return (
        says.GREETING
        + wire.frame(wire.HEADERS, 0, 1, wire.literal(wire.grpc_request(says.ISSUE_TOKEN)))
        + wire.frame(wire.CONTINUATION, 0, 1, piece) * 3
    )


def _half_frame() -> bytes:
    """A frame of 16 KB that lacks its last byte."""
    whole = says.headers(1, wire.literal(wire.grpc_request(says.ISSUE_TOKEN))) + says.data(1, b"\x00" * 16_384)
    return says.GREETING + whole[:-1]


_HALF_HEAD = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n" + b"x-more: " + b"a" * 60_000

_GET = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
_MANY = 8_192

ATTACKS = (
    Attack(
        "idle",
        "gRPC: 8,192 connections that greet and say nothing more",
        (_idle("grpc", _MANY, says.GREETING),),
        also_from_many=True,
    ),
    Attack(
        "idle-http",
        "HTTP: 8,192 connections that ask once and stay",
        (_idle("http", _MANY, _GET),),
        also_from_many=True,
    ),
    Attack(
        "silent",
        "4,000 connections to each address that say nothing, or begin a greeting",
        (
            Strangers("grpc", 4_000, _half_a_greeting),
            Strangers("http", 4_000, _half_a_greeting),
        ),
        also_from_many=True,
    ),
    Attack(
        "half-headers",
        "gRPC: 2,000 connections (8,192 of many) that send 48 KB of header fields, and not the end of them",
        (_idle("grpc", 2_000, _half_headers(), _MANY),),
        also_from_many=True,
    ),
    Attack(
        "half-frames",
        "gRPC: 2,000 connections (8,192 of many) that send a frame of 16 KB but for its last byte",
        (_idle("grpc", 2_000, _half_frame(), _MANY),),
        also_from_many=True,
    ),
    Attack(
        "half-heads",
        "HTTP/1.1: 2,000 connections (8,192 of many) that send 60 KB of a head, and not the end of it",
        (_idle("http", 2_000, _HALF_HEAD, _MANY),),
        also_from_many=True,
    ),
    Attack(
        "idle-check",
        "ext_authz: 8,192 connections that greet and say nothing more",
        (_idle("authz", _MANY, says.GREETING),),
    ),
    Attack(
        "open-files",
        "400 idle connections to gRPC, the server's limit of open files being 256",
        (_idle("grpc", 400, says.GREETING),),
        also_from_many=True,
        open_files=256,
    ),
    Attack(
        "resets",
        "2,500 connections a second that greet and are reset",
        (Strangers("grpc", 100, says.always(says.GREETING + says.headers(1, b"\x88")), hangs_up="when said", come_back=2_500),),
        also_from_many=True,
    ),
    Attack(
        "resets-http",
        "HTTP: 2,500 connections a second that ask and are reset",
        (Strangers("http", 100, says.always(_GET), hangs_up="when said", come_back=2_500),),
    ),
    Attack(
        "half-tls",
        "TLS: 1,000 connections a second that begin a handshake and are reset when it is answered",
        (
            Strangers(
                "grpc",
                100,
                says.always(_client_hello()),
                hangs_up="when answered",
                come_back=1_000,
            ),
        ),
        tls=True,
    ),
    Attack(
        "silent-tls",
        "TLS: 4,000 connections that begin a handshake and do not go on",
        (Strangers("grpc", 4_000, says.always(_client_hello())),),
        tls=True,
    ),
)
