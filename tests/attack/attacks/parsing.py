"""Owns attacks by requests that are large or odd to read: headers, forms, gRPC-Web."""

import wire
from strangers import Stranger, Strangers

from . import says
from .attack import Attack

_CALL = wire.grpc_request(says.GET_JWKS)
# What the server lets a list of headers have.
_LARGE_HEADERS = (*_CALL, *((f"x-{number}", "a" * 1_000) for number in range(15)))


def _header_bomb(stranger: Stranger) -> bytes:
    """One entry of 4 KB is remembered, and each call recalls it 16,000 times: a byte each."""
    entry = (("x-bomb", "a" * 4_000),)
    bomb = wire.literal(_CALL) + wire.recalled(1) * 16_000
    said = [says.EVERYTHING_FITS, says.headers(stranger.next_stream(), wire.remembered(entry), True)]
    said += (says.headers(stream, bomb, True) for stream in stranger.streams(100))
    return b"".join(said)


def _large_headers(stranger: Stranger) -> bytes:
    block = wire.literal(_LARGE_HEADERS)
    return b"".join(says.headers(stream, block) for stream in stranger.free_streams())


def _web_request(path: str, length: int, kind: str = "application/grpc-web+proto") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\nx-grpc-web: 1\r\n"
    return f"{head}content-length: {length}\r\n\r\n".encode()


def _slow_web(stranger: Stranger) -> bytes:
    return _web_request(says.ISSUE_TOKEN, 60_000)


def _broken_web() -> bytes:
    """A frame that says it is longer than its body, a trailer for a request, and text that is not Base64."""
    bodies = (
        ("application/grpc-web+proto", b"\x00\xff\xff\xff\xff"),
        ("application/grpc-web+proto", b"\x80\x00\x00\x00\x02a:"),
        ("application/grpc-web-text", b"%%%%" * 64),
    )
    return b"".join(_web_request(says.GET_JWKS, len(body), kind) + body for kind, body in bodies)


def _form(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    head = (
        "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/x-www-form-urlencoded\r\n{lines}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


# The largest forms that are read: of 20,000 parameters, of one scope of 32,000 words, of an escape for each byte.
_PARAMETERS = _form(b"&".join(b"a=" for _ in range(21_000)))
_WORDS = _form(b"grant_type=client_credentials&client_id=a&client_secret=b&scope=" + b"a+" * 32_000)
_ESCAPES = _form(b"grant_type=password&username=" + b"%C3%A9" * 10_000 + b"&password=a")
_PROOF = _form(b"grant_type=client_credentials", "authorization: Basic " + "YTpi" * 3_000)


_CHUNKED = (
    b"POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    b"transfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 60_000 + b"0\r\n\r\n"
)


def _http1(said: bytes, each_second: int, to: str = "http") -> Strangers:
    """16 connections that together send so many requests each second."""
    return Strangers(to, 16, says.nothing, says.always(said), every=16 / each_second, shares_rate=True)


ATTACKS = (
    Attack(
        "header-bomb",
        "HPACK: calls that recall a header of 4 KB 16,000 times",
        (Strangers("grpc", 4, _header_bomb, says.nothing, every=60.0),),
        also_from_many=True,
    ),
    Attack(
        "large-headers",
        "gRPC: 16 connections full of calls that have headers of 15 KB, and nothing else",
        (
            Strangers(
                "grpc",
                16,
                says.always(says.EVERYTHING_FITS),
                _large_headers,
                every=0.5,
                follows=True,
            ),
        ),
        also_from_many=True,
    ),
    Attack(
        "slow-web",
        "gRPC-Web over HTTP/1.1: 1,000 connections, each a call of which a byte arrives each second",
        (Strangers("grpc", 1_000, _slow_web, says.always(b"\x00"), every=1.0),),
        also_from_many=True,
    ),
    Attack("broken-web", "gRPC-Web: 1,500 broken frames a second", (_http1(_broken_web(), 500, "grpc"),)),
    Attack("form-parameters", "200 forms a second of 21,000 parameters", (_http1(_PARAMETERS, 200),)),
    Attack("form-scope", "200 forms a second with a scope of 32,000 words", (_http1(_WORDS, 200),)),
    Attack("form-escapes", "200 forms a second with a username of 10,000 escaped letters", (_http1(_ESCAPES, 200),)),
    Attack("form-basic", "500 forms a second with 9 KB of Basic credentials", (_http1(_PROOF, 500),)),
    Attack("form-chunks", "20 forms a second that come in 60,000 chunks of a byte", (_http1(_CHUNKED, 20),)),
)
