"""Owns attacks that take places, and bytes, and keep them: requests whose rest never comes, or comes slowly."""

import wire
from strangers import Says, Stranger, Strangers

from . import says
from .attack import Attack

# Whatever needs a token is refused at its head.
_CALL = wire.grpc_request(says.ISSUE_TOKEN)
_FORM = wire.form_request(says.TOKEN_ENDPOINT)
_CHECK = wire.grpc_request(says.CHECK)

# What one message may have, and a byte less: whole but for its end.
_LARGEST = 65_536
_ALMOST = _LARGEST - 1


def _heads_only(to: str, fields: wire.Fields, connections: int = 17) -> Strangers:
    """And new ones, as soon as the server has ended these."""
    return Strangers(to, connections, says.heads(fields), says.new_heads(fields), every=0.5, follows=True)


def _trickle(to: str, fields: wire.Fields) -> Strangers:
    """A byte each second on every stream, so that none looks idle."""
    new_heads = says.new_heads(fields)

    def again(stranger: Stranger) -> bytes:
        return new_heads(stranger) + b"".join(says.data(stream, b"\x00") for stream in stranger.calls)

    return Strangers(to, 17, says.heads(fields), again, every=1.0, follows=True)


def _almost_whole(fields: wire.Fields, prefix: bytes) -> tuple[Says, Says]:
    """Fills stream after stream with a body that lacks its last byte, as fast as the server's windows allow; and once more with
    new streams, when the server has ended these."""
    body = prefix + b"\x00" * (_ALMOST - len(prefix))
    pieces = [body[at : at + wire.LARGEST_FRAME] for at in range(0, len(body), wire.LARGEST_FRAME)]
    whole = says.STREAMS * len(pieces)
    new_heads = says.new_heads(fields)

    def again(stranger: Stranger) -> bytes:
        said = bytearray()
        rounds = stranger.progress // whole
        if rounds and stranger.progress % whole == 0:
            stranger.is_done = stranger.ended < rounds * says.STREAMS
            if stranger.is_done:
                return b""
            said += new_heads(stranger)
        while stranger.window > 0 and len(said) < 1 << 18:
            stream = stranger.progress // whole * says.STREAMS + stranger.progress % says.STREAMS
            piece = pieces[stranger.progress % whole // says.STREAMS][: stranger.window]
            said += says.data(2 * stream + 1, piece)
            stranger.window -= len(piece)
            stranger.progress += 1
            if stranger.progress % whole == 0:
                break
        return bytes(said)

    return says.heads(fields), again


def _large(to: str, fields: wire.Fields, prefix: bytes) -> Strangers:
    opening, again = _almost_whole(fields, prefix)
    return Strangers(to, 16, opening, again, follows=True)


def _slow_form(stranger: Stranger) -> bytes:
    return (
        b"POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\n"
        b"content-type: application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\n"
    )


def _slow_head(stranger: Stranger) -> bytes:
    return b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"


def _claims_of_others(stranger: Stranger, streams: list[int]) -> bytes:
    """Each call pretends to come from another address."""
    said = []
    for stream in streams:
        claimed = f"198.18.{stranger.number % 256}.{stream // 2 % 256}"
        block = wire.literal((*_CALL, ("x-forwarded-for", claimed), ("forwarded", f"for={claimed}")))
        said.append(says.headers(stream, block))
    return b"".join(said)


_FORWARDED = Strangers(
    "grpc",
    17,
    lambda stranger: says.GREETING + _claims_of_others(stranger, stranger.streams(says.STREAMS)),
    lambda stranger: _claims_of_others(stranger, stranger.replacements()),
    every=0.5,
    follows=True,
)

ATTACKS = (
    Attack(
        "heads",
        "gRPC: 17 connections of 256 calls that are a HEADERS frame and nothing else",
        (_heads_only("grpc", _CALL),),
        also_from_many=True,
    ),
    Attack(
        "heads-forwarded",
        "The same, each call with another address in `x-forwarded-for` and `forwarded`",
        (_FORWARDED,),
    ),
    Attack(
        "heads-health",
        "The same with calls of Health",
        (_heads_only("grpc", wire.grpc_request("/grpc.health.v1.Health/Check")),),
        also_from_many=True,
    ),
    Attack(
        "heads-thin",
        "The same, on 2,000 connections of 2 calls",
        (Strangers("grpc", 2_000, says.heads(_CALL, 2), says.new_heads(_CALL), every=0.5, follows=True),),
        also_from_many=True,
    ),
    Attack("heads-check", "The same to ext_authz, at its own address", (_heads_only("authz", _CHECK),)),
    Attack(
        "heads-form",
        "HTTP/2: 17 connections of 256 `POST /oauth2/token` whose bodies never come",
        (_heads_only("http", _FORM),),
        also_from_many=True,
    ),
    Attack(
        "trickle",
        "gRPC: 17 x 256 calls of which a byte arrives each second",
        (_trickle("grpc", _CALL),),
        also_from_many=True,
    ),
    Attack("trickle-form", "The same with `POST /oauth2/token` over HTTP/2", (_trickle("http", _FORM),)),
    Attack(
        "slow-form",
        "HTTP/1.1: 1,000 connections, each a `POST /oauth2/token` of which a byte arrives each second",
        (Strangers("http", 1_000, _slow_form, says.always(b"a"), every=1.0),),
        also_from_many=True,
    ),
    Attack(
        "slow-head",
        "HTTP/1.1: 1,000 connections, each a head of which a line arrives each second",
        (Strangers("http", 1_000, _slow_head, says.always(b"x-more: 1\r\n"), every=1.0),),
    ),
    Attack(
        "almost",
        "gRPC: 16 x 256 calls with messages of 64 KB that lack their last byte",
        (_large("grpc", _CALL, b"\x00" + (_LARGEST - 5).to_bytes(4)),),
        also_from_many=True,
    ),
    Attack(
        "almost-form",
        "HTTP/2: 16 x 256 `POST /oauth2/token` of 64 KB that lack their last byte",
        (_large("http", _FORM, b"grant_type="),),
        also_from_many=True,
    ),
)
