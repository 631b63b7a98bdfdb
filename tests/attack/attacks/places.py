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


def _heads_only(to: str, fields: wire.Fields) -> Strangers:
    """And new ones, as soon as the server has ended these."""
    return Strangers(to, 17, *says.heads(fields), every=0.5, follows=True)


def _trickle(to: str, fields: wire.Fields) -> Strangers:
    """A byte each second on every stream, so that none looks idle."""
    opening, new_heads = says.heads(fields)

    def again(stranger: Stranger) -> bytes:
        heads = new_heads(stranger)
        return heads + b"".join(says.data(stream, b"\x00") for stream in stranger.calls)

    return Strangers(to, 17, opening, again, every=1.0, follows=True)


def _almost_whole(fields: wire.Fields, prefix: bytes) -> tuple[Says, Says]:
    """Fills stream after stream with a body that lacks its last byte, as fast as the server's windows allow."""
    body = prefix + b"\x00" * (_ALMOST - len(prefix))
    pieces = [body[at : at + wire.LARGEST_FRAME] for at in range(0, len(body), wire.LARGEST_FRAME)]
    opening, new_heads = says.heads(fields)

    def again(stranger: Stranger) -> bytes:
        said = bytearray(new_heads(stranger))
        for stream in sorted(stranger.calls):
            for number in range(stranger.sent.get(stream, 0), len(pieces)):
                if stranger.window <= 0 or len(said) > 1 << 18:
                    return bytes(said)
                piece = pieces[number][: stranger.window]
                said += says.data(stream, piece)
                stranger.window -= len(piece)
                stranger.sent[stream] = number + 1
        stranger.is_done = True
        return bytes(said)

    return opening, again


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
    says.always(says.GREETING),
    lambda stranger: _claims_of_others(stranger, stranger.free_streams()),
    every=0.5,
    follows=True,
)

ATTACKS = (
    Attack(
        "heads",
        "gRPC: 17 connections full of calls that are a HEADERS frame and nothing else",
        (_heads_only("grpc", _CALL),),
        also_from_many=True,
    ),
    Attack(
        "heads-forwarded",
        "gRPC: such calls, each with another address in `x-forwarded-for` and `forwarded`",
        (_FORWARDED,),
    ),
    Attack(
        "heads-health",
        "gRPC: such calls of Health",
        (_heads_only("grpc", wire.grpc_request("/grpc.health.v1.Health/Check")),),
        also_from_many=True,
    ),
    Attack(
        "heads-thin",
        "gRPC: such calls, on 2,000 connections of 2",
        (Strangers("grpc", 2_000, *says.heads(_CALL, most=2), every=0.5, follows=True),),
        also_from_many=True,
    ),
    Attack("heads-check", "ext_authz: such calls of Check", (_heads_only("authz", _CHECK),)),
    Attack(
        "heads-form",
        "HTTP/2: 17 connections full of `POST /oauth2/token` whose bodies never come",
        (_heads_only("http", _FORM),),
        also_from_many=True,
    ),
    Attack(
        "trickle",
        "gRPC: 17 connections full of calls of which a byte arrives each second",
        (_trickle("grpc", _CALL),),
        also_from_many=True,
    ),
    Attack(
        "trickle-form",
        "HTTP/2: 17 connections full of `POST /oauth2/token`, a byte of each arriving each second",
        (_trickle("http", _FORM),),
    ),
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
        "gRPC: 16 connections full of calls with messages of 64 KB that lack their last byte",
        (_large("grpc", _CALL, b"\x00" + (_LARGEST - 5).to_bytes(4)),),
        also_from_many=True,
    ),
    Attack(
        "almost-form",
        "HTTP/2: 16 connections full of `POST /oauth2/token` of 64 KB that lack their last byte",
        (_large("http", _FORM, b"grant_type="),),
        also_from_many=True,
    ),
)
