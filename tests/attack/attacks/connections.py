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
        (Strangers("grpc", 100, says.always(says.GREETING + says.headers(1, b"\x88")), hangs_up=True, come_back=2_500),),
        also_from_many=True,
    ),
    Attack(
        "resets-http",
        "The same to HTTP",
        (Strangers("http", 100, says.always(_GET), hangs_up=True, come_back=2_500),),
    ),
    Attack(
        "half-tls",
        "TLS: 1,000 connections a second that begin a handshake and are reset",
        (Strangers("grpc", 1_000, says.always(_client_hello()), says.nothing, every=60.0, come_back=1_000),),
        tls=True,
    ),
)
