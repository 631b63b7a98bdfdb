"""Owns attacks by whole and well-formed calls that are work for the server: to read, to look up, to verify, to hash."""

import base64
import json
import secrets
import string
from collections.abc import Callable

import wire
from strangers import Says, Stranger, Strangers

from . import says
from .attack import Attack

_CLIENT = wire.field(4, wire.field(1, "nobody") + wire.field(2, "nothing"))
_CLIENT_CREDENTIALS = wire.field(3, b"")


def _calls(
    path: str,
    make: Says,
    each_second: int,
    to: str = "grpc",
    metadata: Callable[[], tuple[tuple[str, str], ...]] = tuple,
) -> Strangers:
    """Calls over 16 connections, so many each second in all, each with a message and metadata that are made for it."""
    count = max(1, each_second // 64)

    def call(stranger: Stranger) -> tuple[wire.Fields, bytes]:
        return wire.grpc_request(path, *metadata()), wire.message(make(stranger))

    return Strangers(
        to,
        16,
        says.always(says.EVERYTHING_FITS),
        says.fitting_calls(call, count),
        16 * count / each_second,
        follows=True,
        shares_rate=True,
    )


def _audiences() -> bytes:
    """As many different audiences as there may be, and then the last one again, up to the largest message."""
    names = [first + second for first in string.ascii_letters for second in string.digits][:340]
    said = _CLIENT_CREDENTIALS + _CLIENT + b"".join(wire.field(6, name) for name in names)
    again = wire.field(6, names[-1])
    return said + again * ((65_000 - len(said)) // len(again))


def _scopes() -> bytes:
    return _CLIENT_CREDENTIALS + _CLIENT + wire.field(5, " ".join(f"s{number}" for number in range(10_000)))


def _names_to_normalise() -> bytes:
    """U+FDFA becomes 18 letters when it is normalised."""
    return wire.field(1, "somebody") + wire.field(2, "correct horse battery") + wire.field(4, "\ufdfa" * 680)


def _random(length: int) -> str:
    return secrets.token_urlsafe(length)


def _refresh(stranger: Stranger) -> bytes:
    """As long as those that are issued: 86 characters."""
    return wire.field(2, wire.field(1, _random(64)))


def _unknown_client(stranger: Stranger) -> bytes:
    tail = secrets.token_hex(6)
    client_id = f"01a20a05-adfd-7f0f-a948-{tail}"
    return _CLIENT_CREDENTIALS + wire.field(4, wire.field(1, client_id) + wire.field(2, _random(32)))


def _unknown_login(stranger: Stranger) -> bytes:
    return wire.field(1, wire.field(1, _random(8)) + wire.field(2, "correct horse battery"))


def _login_with_large_password(stranger: Stranger) -> bytes:
    return wire.field(1, wire.field(1, _random(8)) + wire.field(2, "\ufdfa" * 20_000))


def _sign_up(stranger: Stranger) -> bytes:
    return wire.field(1, f"u{secrets.token_hex(8)}") + wire.field(2, "correct horse battery")


def _base64(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _token() -> str:
    """Well-formed, and signed by a key that nobody has."""
    header = _base64({"typ": "at+jwt", "alg": "ES256", "kid": _random(32)})
    claims = _base64({"iss": "http://127.0.0.1:8080", "aud": "signet", "sub": _random(16), "exp": 2_000_000_000, "iat": 1_700_000_000})
    return f"{header}.{claims}.{_random(64)}"


def _made_up_bearer() -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {_token()}"),)


def _revoke(stranger: Stranger) -> bytes:
    return wire.field(1, _random(64))


def _check(stranger: Stranger) -> bytes:
    """What a sidecar asks for a stranger, each time another one, with a token that nobody signed."""
    address = ".".join(str(part) for part in (198, 18, *secrets.token_bytes(2)))
    pairs = (("authorization", f"Bearer {_token()}"), ("x-forwarded-for", address))
    entries = b"".join(wire.field(3, wire.field(1, name) + wire.field(2, value)) for name, value in pairs)
    peer = wire.field(1, wire.field(1, wire.field(2, address) + wire.field(3, 50_000)))
    return wire.field(1, wire.field(1, peer) + wire.field(4, wire.field(2, entries)))


def _bad_signature(token: str) -> tuple[Strangers, ...]:
    """A good token whose signature is not, by a key that there is: each costs a verification."""
    unsigned = token.rpartition(".")[0]

    def bearer() -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {unsigned}.{_random(64)}"),)

    return (_calls(says.GET_ME, says.nothing, 3_000, metadata=bearer),)


def _abandoned_logins(stranger: Stranger) -> bytes:
    """Each is reset as soon as it is said."""
    said: list[bytes] = []
    for stream in stranger.streams(8):
        fields, payload = wire.grpc_request(says.ISSUE_TOKEN), wire.message(_unknown_login(stranger))
        said += (says.headers(stream, wire.literal(fields)), says.data(stream, payload, True), wire.reset(stream))
    return b"".join(said)


def _unknown_basic(stranger: Stranger) -> bytes:
    """A client that there is not, over HTTP/1.1."""
    proof = base64.b64encode(f"{_random(16)}:{_random(32)}".encode()).decode()
    return (
        "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        f"authorization: Basic {proof}\r\ncontent-length: 29\r\n\r\ngrant_type=client_credentials"
    ).encode()


def _one_user(token: str) -> tuple[Strangers, ...]:
    """Heads of calls with a good token, and whole ones."""
    bearer = ("authorization", f"Bearer {token}")
    fields = wire.grpc_request(says.GET_ME, bearer)
    return (
        Strangers("grpc", 17, *says.heads(fields), every=0.5, follows=True),
        _calls(says.GET_ME, says.nothing, 4_000, metadata=lambda: (bearer,)),
    )


def _masks(token: str) -> tuple[Strangers, ...]:
    """An update mask of as many paths as a message can hold."""
    said = wire.field(2, wire.field(1, "display_name") * 4_600)
    return (_calls(says.UPDATE_ME, says.always(said), 200, metadata=lambda: (("authorization", f"Bearer {token}"),)),)


ATTACKS = (
    Attack(
        "audiences",
        "gRPC: 200 IssueToken a second, 340 audiences, the last repeated up to 64 KB",
        (_calls(says.ISSUE_TOKEN, says.always(_audiences()), 200),),
        also_from_many=True,
    ),
    Attack("scopes", "gRPC: 200 IssueToken a second with 10,000 scopes", (_calls(says.ISSUE_TOKEN, says.always(_scopes()), 200),)),
    Attack(
        "display-name",
        "gRPC: 500 SignUp a second with a display name of 680 x U+FDFA",
        (_calls(says.SIGN_UP, says.always(_names_to_normalise()), 500),),
        also_from_many=True,
    ),
    Attack("masks", "gRPC: 200 UpdateMe a second of one user with a mask of 4,600 paths", as_user=_masks),
    Attack(
        "large-passwords",
        "gRPC: 200 logins a second with a password of 60 KB",
        (_calls(says.ISSUE_TOKEN, _login_with_large_password, 200),),
    ),
    Attack(
        "made-up-tokens",
        "gRPC: 3,000 GetMe a second with tokens of made-up keys",
        (_calls(says.GET_ME, says.nothing, 3_000, metadata=_made_up_bearer),),
        also_from_many=True,
    ),
    Attack("bad-signatures", "gRPC: 3,000 GetMe a second with a signature that is not the key's", as_user=_bad_signature),
    Attack(
        "made-up-checks",
        "ext_authz: 3,000 Check a second with tokens of made-up keys",
        (_calls(says.CHECK, _check, 3_000, "authz"),),
    ),
    Attack(
        "one-user",
        "gRPC: a user, 17 connections full of calls without an end and 4,000 whole ones a second",
        as_user=_one_user,
        also_from_many=True,
    ),
    Attack(
        "refresh-tokens",
        "gRPC: 2,000 made-up refresh tokens a second",
        (_calls(says.ISSUE_TOKEN, _refresh, 2_000),),
        also_from_many=True,
    ),
    Attack(
        "clients",
        "gRPC: 2,000 unknown clients a second",
        (_calls(says.ISSUE_TOKEN, _unknown_client, 2_000),),
        also_from_many=True,
    ),
    Attack("revocations", "gRPC: 2,000 RevokeToken a second with made-up tokens", (_calls(says.REVOKE_TOKEN, _revoke, 2_000),)),
    Attack(
        "logins",
        "gRPC: 500 logins a second with unknown names",
        (_calls(says.ISSUE_TOKEN, _unknown_login, 500),),
    ),
    Attack(
        "abandoned-logins",
        "gRPC: 500 logins a second that are reset at once",
        (Strangers("grpc", 16, says.always(says.EVERYTHING_FITS), _abandoned_logins, 16 * 8 / 500, shares_rate=True),),
        also_from_many=True,
    ),
    Attack(
        "clients-http",
        "HTTP/1.1: 2,000 unknown clients a second at the token endpoint",
        (Strangers("http", 32, says.nothing, _unknown_basic, 32 / 2_000, shares_rate=True),),
    ),
    Attack("sign-ups", "gRPC: 500 sign-ups a second", (_calls(says.SIGN_UP, _sign_up, 500),)),
)
