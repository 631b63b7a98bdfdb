"""Owns the cases of what a token says: all are signed by the issuer's own key (RFC 9068 sections 2.2 and 4)."""

import json

from ..tokens import WITHOUT, bearer, client, header, invalid, message, passes, raw, refused, user
from ..world import ALICE, ISSUER, NOW, ROBOT, SESSION, SHOP
from .form import signed

REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope")
_NOT_TEXT = (1, True, ["a"], {"a": "b"})
_NOT_ID = (
    "alice",
    "",
    7,
    True,
    [],
    [ALICE],
    {"id": ALICE},
    "0197-",
    ALICE[:-1],
    ALICE + "0",
    "g" + ALICE[1:],
    "1-1-1-1-1",
    ALICE + "\n",
    " " + ALICE,
    "\u0661" * 36,
)
_NOT_TIME = (str(NOW + 900), "", True, [NOW + 900], {}, NOW + 900.5, 1e300, 1 << 63, "2027-01-15T08:00:00Z")
_NOT_NAMES = ("picker", 1, True, {"picker": True}, [1], ["picker", 1], [["picker"]], ["picker", None], [{"value": "picker"}])


def _each(claim: str, values, why: str) -> list[dict]:
    found = []
    for value in values:
        told = "a deep one" if isinstance(value, bytes) else json.dumps(value)
        found.append(invalid(f"claim {claim}: {told}", why, user(**{claim: value})))
    return found


def _required() -> list[dict]:
    return [
        case
        for claim in REQUIRED
        for case in (
            invalid(f"claim {claim}: none", "Each access token has it.", user(**{claim: WITHOUT})),
            invalid(f"claim {claim}: null", "Each access token has it.", user(**{claim: None})),
            invalid(f"claim {claim}: none, in a client's own token", "Each access token has it.", client(**{claim: WITHOUT})),
        )
    ]


def _issuer() -> list[dict]:
    others = [
        "https://attacker.example",
        "",
        ISSUER + "/",
        ISSUER + " ",
        ISSUER.upper(),
        ISSUER[:-1],
        ISSUER.replace("https", "http"),
        ISSUER + ":443",
        ISSUER + ".attacker.example",
        "https://ID.example",
        ISSUER + "#",
        [ISSUER],
        {"0": ISSUER},
        1,
        True,
    ]
    return _each("iss", others, "The issuer is compared letter for letter.")


def _audience() -> list[dict]:
    others = [
        "orders",
        "",
        "Stock",
        "stock ",
        " stock",
        "stoc",
        "stocks",
        "stock/",
        "stock,orders",
        "stock orders",
        "https://stock",
        "*",
        [],
        [""],
        ["orders"],
        ["orders", "stocks"],
        ["stock orders"],
    ]
    wrong = [
        1,
        True,
        {},
        {"0": "stock"},
        {"stock": True},
        [1],
        ["stock", 1],
        [1, "stock"],
        ["stock", None],
        [["stock"]],
        [{"aud": "stock"}],
    ]
    return [
        *_each("aud", others, "It is meant for others."),
        *_each("aud", wrong, "An audience is a string, or an array of strings."),
        passes("claim aud: an array of one", "It is the same as the one.", user(aud=["stock"])),
        passes("claim aud: the first of two", "It is meant for both.", user(aud=["stock", "orders"])),
        passes("claim aud: the second of two", "It is meant for both.", user(aud=["orders", "stock"])),
        passes("claim aud: one of twenty", "It is meant for all.", user(aud=[*(f"service-{number}" for number in range(19)), "stock"])),
    ]


def _kinds() -> list[dict]:
    why = "It has another type."
    texts = [case for claim in ("client_id", "scope", "acr") for case in _each(claim, _NOT_TEXT, why)]
    ids = [case for claim in ("sub", "jti", "sid") for case in _each(claim, _NOT_ID, "It is no UUID.")]
    times = [case for claim in ("exp", "iat", "nbf", "auth_time") for case in _each(claim, _NOT_TIME, "It is no number of seconds.")]
    names = [case for claim in ("amr", "roles", "groups") for case in _each(claim, _NOT_NAMES, "It is no array of strings.")]
    flags = [
        case
        for claim in ("roles_omitted", "groups_omitted", "attributes_omitted")
        for case in _each(claim, (1, 0, "true", "", [True], {}), why)
    ]
    return [*texts, *ids, *times, *names, *flags, *_each("attributes", ("a", 1, True, [], [{"a": 1}]), why)]


def _optional() -> list[dict]:
    everything = {
        "nbf": NOW,
        "acr": "2",
        "roles": ["packer", "picker"],
        "groups": ["warehouse", "night"],
        "attributes": {"site": "Köln", "floors": [1, 2], "ok": True},
        "amr": ["pwd", "otp"],
        "roles_omitted": False,
        "groups_omitted": False,
        "attributes_omitted": False,
    }
    return [
        passes("claims: all that there are", "Each is optional, and in the caller.", user(**everything)),
        passes("claims: nothing of the login", "A token of an earlier release.", user(amr=WITHOUT, auth_time=WITHOUT)),
        passes(
            "claims: groups and attributes omitted",
            "There was no room, and nobody asks for them.",
            user(groups_omitted=True, attributes_omitted=True),
        ),
        passes("claims: roles omitted, where none are asked for", "There was no room, and nobody asks for them.", user(roles_omitted=True)),
        passes("claims: empty arrays", "They are arrays of strings.", user(roles=[], groups=[], amr=[])),
        passes("claims: a name that is no word", "A role is any text.", user(roles=["a b", "ü", ""])),
        passes("claims: others that nobody knows", "They are passed over.", user(x=1, org={"a": [None]}, azp="x", nonce="n", name="Alice")),
        passes("claims: an empty scope", "A token may carry none.", user(scope="")),
        passes("claims: many scopes", "All are the caller's.", user(scope=" ".join(f"scope:{number}" for number in range(100)))),
        passes("claims: two spaces in the scope", "No name stands between them.", user(scope="stock:read  stock:write")),
        passes("claims: spaces around the scope", "No name stands before and behind them.", user(scope=" stock:read ")),
        passes("claims: attributes of none", "It is an object.", user(attributes={})),
        passes("claims: an audience beyond ASCII beside", "It is a string.", user(aud=["stock", "größe"])),
        passes("claims: client_id of the built-in client", "A user has logged in without naming one.", user(client_id="signet")),
        passes("claims: client_id that is no UUID", "With a session it is any text.", user(client_id="shop")),
    ]


def _subject() -> list[dict]:
    return [
        passes("subject: a client", "`client_id` is its `sub`.", client()),
        invalid("subject: a client, asked for by another", "Without a session it is a client's own token.", client(client_id=SHOP)),
        invalid(
            "subject: a client, asked for by the built-in client",
            "Without a session it is a client's own token.",
            client(client_id="signet"),
        ),
        invalid("subject: a client, asked for by nobody", "Without a session it is a client's own token.", client(client_id="")),
        invalid("subject: a client, with a space behind", "The two are compared letter for letter.", client(client_id=ROBOT + " ")),
        invalid("subject: a user without a session", "It is no client's own token either.", user(sid=WITHOUT)),
        invalid("subject: a user whose session is null", "It is no client's own token either.", user(sid=None)),
        passes("subject: a user of a client of the same id", "With a session it is a user's token.", user(client_id=ALICE)),
        passes("subject: a client with a session", "With a session it is a user's token.", client(sid=SESSION)),
    ]


def _numbers() -> list[dict]:
    most = (1 << 53) - 1
    deep = raw(user()).replace(b'"aud":"stock"', b'"aud":"stock","x":' + b"[" * 1500)
    return [
        passes("number: exp is the last that is exact", "2^53 - 1.", user(exp=most)),
        refused("number: exp is negative", "It is before 1970.", "TOKEN_EXPIRED", user(exp=-1)),
        refused("number: exp is zero", "It is 1970.", "TOKEN_EXPIRED", user(exp=0)),
        refused("number: exp is the first that is exact", "-2^53 + 1.", "TOKEN_EXPIRED", user(exp=-most)),
        passes("number: iat is zero", "It is in the past.", user(iat=0)),
        passes("number: iat is negative", "It is in the past.", user(iat=-1)),
        passes("number: nbf is negative", "It is in the past.", user(nbf=-1)),
        passes("number: auth_time is zero", "It is a time.", user(auth_time=0)),
        invalid("number: iat is the last that is exact", "It is far ahead.", user(iat=most)),
        invalid("number: nbf is the last that is exact", "It is far ahead.", user(nbf=most)),
        *_each("exp", ("9" * 30, -1e300), "It is no number of seconds."),
        invalid("number: exp in milliseconds, as text", "It is no number of seconds.", user(exp=f"{NOW}000")),
        invalid("claims: deep and broken", "It is no JSON object.", authorization=bearer(signed(message(header(), deep)))),
    ]


def _other_tokens() -> list[dict]:
    identity = {"iss": ISSUER, "sub": ALICE, "aud": SHOP, "exp": NOW + 900, "iat": NOW, "auth_time": NOW, "nonce": "n", "sid": SESSION}
    assertion = {"iss": ROBOT, "sub": ROBOT, "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": ALICE}
    logout = {
        "iss": ISSUER,
        "sub": ALICE,
        "aud": "stock",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": ALICE,
        "sid": SESSION,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    introspected = {"iss": ISSUER, "aud": "stock", "iat": NOW, "token_introspection": {"active": True, "sub": ALICE}}
    return [
        invalid("another token: an ID token", "It is for its client (OpenID Connect Core section 2).", identity, head=header(typ="JWT")),
        invalid(
            "another token: an ID token for the audience", "It is no access token.", {**identity, "aud": "stock"}, head=header(typ="JWT")
        ),
        invalid(
            "another token: an ID token that calls itself an access token",
            "It lacks what an access token has.",
            {**identity, "aud": "stock"},
        ),
        invalid(
            "another token: a client assertion", "It is for the issuer (RFC 7523).", assertion, head=header(typ="client-authentication+jwt")
        ),
        invalid(
            "another token: a client assertion that calls itself an access token",
            "Its issuer is the client.",
            {**assertion, "aud": "stock"},
        ),
        invalid("another token: a logout token", "It is no access token.", logout, head=header(typ="logout+jwt")),
        invalid(
            "another token: an answer of introspection",
            "It is no access token (RFC 9701).",
            introspected,
            head=header(typ="token-introspection+jwt"),
        ),
        invalid("another token: an empty one", "It says nothing.", {}),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_required(), *_issuer(), *_audience(), *_kinds(), *_optional(), *_subject(), *_numbers(), *_other_tokens()]
