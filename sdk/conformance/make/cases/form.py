"""Owns the cases of what a token is made of: three parts of base64url, of which two are JSON (RFC 7515 sections 3 and 7)."""

import json

from ..keys import ES, b64
from ..tokens import bearer, header, invalid, message, passes, raw, token, user
from ..world import NOW

MAX_BYTES = 8192
# Encoded, it has both characters in which base64 and base64url differ, and its length needs padding.
_ODD = {"odd": "~~~???>>>ÿÿÿ"}


def signed(text: str, key=ES) -> str:
    """`text` as it is, with the issuer's signature of it: what a lenient decoder would take."""
    return f"{text}.{b64(key.sign(text.encode()))}"


def _of(name: str, why: str, text: str) -> dict:
    return invalid(f"form: {name}", why, authorization=bearer(text))


def _parts() -> list[dict]:
    good = token()
    head, payload, signature = good.split(".")
    jwe = b64(raw({"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", "kid": ES.kid}))
    flattened = {"payload": payload, "protected": head, "signature": signature}
    general = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    texts = [
        ("a dot", "."),
        ("two dots", ".."),
        ("three dots", "..."),
        ("a letter", "a"),
        ("two parts", "a.b"),
        ("letters", "a.b.c"),
        ("four letters", "a.b.c.d"),
        ("header alone", head),
        ("no signature", f"{head}.{payload}"),
        ("empty signature", f"{head}.{payload}."),
        ("empty payload", f"{head}..{signature}"),
        ("empty header", f".{payload}.{signature}"),
        ("dot before", f".{good}"),
        ("dot behind", f"{good}."),
        ("two dots between", f"{head}..{payload}.{signature}"),
        ("a part more", f"{good}.{signature}"),
        ("five parts", f"{good}.{payload}.{signature}"),
        ("twice", good + good),
        ("JWE", f"{jwe}..{b64(bytes(12))}.{b64(bytes(300))}.{b64(bytes(16))}"),
        ("JSON, flattened", json.dumps(flattened, separators=(",", ":"))),
        ("JSON, general", json.dumps(general, separators=(",", ":"))),
        ("JSON of the header", "{}"),
        ("escaped dots", good.replace(".", "%2E")),
        ("lower case", good.lower()),
        ("reversed", good[::-1]),
        ("payload before header", f"{payload}.{head}.{signature}"),
    ]
    return [_of(name, "It is not three parts of base64url, or not those that were signed.", text) for name, text in texts]


def _cuts() -> list[dict]:
    good = token()
    head, payload, signature = good.split(".")
    texts = [
        ("last character cut", good[:-1]),
        ("last two cut", good[:-2]),
        ("half of the signature cut", good[:-43]),
        ("first character cut", good[1:]),
        ("payload a character shorter", f"{head}.{payload[:-1]}.{signature}"),
        ("header a character shorter", f"{head[:-1]}.{payload}.{signature}"),
        ("a character more", good + "A"),
        ("two characters more", good + "AA"),
        ("four characters more", good + "AAAA"),
        ("payload longer", f"{head}.{payload}A.{signature}"),
        ("a character before", "A" + good),
    ]
    return [_of(name, "It is not what was signed.", text) for name, text in texts]


def _alphabet() -> list[dict]:
    head, payload = message(header(**_ODD), user(**_ODD)).split(".")
    # One whose encoded signature has characters that differ in base64.
    signature = next(text for text in (token(user(odd=number)).rpartition(".")[2] for number in range(99)) if "-" in text and "_" in text)
    odd = next(token(user(odd=number)) for number in range(99) if token(user(odd=number)).endswith(signature))
    standard = str.maketrans("-_", "+/")
    assert head != head.translate(standard) and payload != payload.translate(standard)
    found = [
        _of("header in base64", "`+` and `/` are no characters of base64url.", signed(f"{head.translate(standard)}.{payload}")),
        _of("payload in base64", "`+` and `/` are no characters of base64url.", signed(f"{head}.{payload.translate(standard)}")),
        _of(
            "signature in base64",
            "`+` and `/` are no characters of base64url.",
            odd.rpartition(".")[0] + "." + signature.translate(standard),
        ),
        passes(
            "form: - and _ in each part",
            "They are characters of base64url.",
            user(**_ODD),
            authorization=bearer(signed(f"{head}.{payload}")),
        ),
    ]

    def padded(part: str) -> str:
        return part + "=" * (-len(part) % 4 or 4)

    good = token()
    head, payload, signature = good.split(".")
    found += [
        _of("header with padding", "Base64url of JWS has none.", signed(f"{padded(head)}.{payload}")),
        _of("payload with padding", "Base64url of JWS has none.", signed(f"{head}.{padded(payload)}")),
        _of("signature with padding", "Base64url of JWS has none.", good + "=="),
        _of("signature with one =", "Base64url of JWS has none.", good + "="),
    ]
    blanks = [
        ("space", " "),
        ("tab", "\t"),
        ("newline", "\n"),
        ("carriage return", "\r"),
        ("NUL", "\0"),
        ("no-break space", "\u00a0"),
        ("exclamation mark", "!"),
        ("percent sign", "%"),
        ("backslash", "\\"),
        ("star", "*"),
        ("tilde", "~"),
    ]
    for name, blank in blanks:
        why = "It is no character of base64url."
        found += [
            _of(f"{name} in the header", why, signed(f"{head[:8]}{blank}{head[8:]}.{payload}")),
            _of(f"{name} in the payload", why, signed(f"{head}.{payload[:8]}{blank}{payload[8:]}")),
            _of(f"{name} in the signature", why, f"{head}.{payload}.{signature[:8]}{blank}{signature[8:]}"),
        ]
    return [
        *found,
        _of("newline at the end of the payload", "It is no character of base64url.", signed(f"{head}.{payload}\n")),
        _of("space before the payload", "It is no character of base64url.", signed(f"{head}. {payload}")),
        _of(
            "length of base64 that cannot be",
            "No bytes have one character more than a multiple of four.",
            signed(f"{head}.{payload}{'A' * ((1 - len(payload)) % 4)}"),
        ),
    ]


def _json() -> list[dict]:
    head, claims = raw(header()), raw(user())
    bent = [
        ("array", b"[]"),
        ("text", b'"text"'),
        ("null", b"null"),
        ("number", b"1"),
        ("true", b"true"),
        ("empty", b""),
        ("open", b"{"),
        ("in no UTF-8", b"\xff" * 32),
        ("deep", b"[" * 2500),
        ("words", b"no JSON at all"),
    ]
    found = []
    for name, text in bent:
        found.append(_of(f"header is {name}", "It is no JSON object.", signed(message(text, claims))))
        found.append(_of(f"payload is {name}", "It is no JSON object.", signed(message(head, text))))
    for part, texts in [("header", head), ("payload", claims)]:
        for name, text in [
            ("in an array", b"[" + texts + b"]"),
            ("twice", texts + texts),
            ("in quotes", json.dumps(texts.decode()).encode()),
            ("with more behind", texts + b"x"),
            ("cut", texts[:-1]),
        ]:
            other = message(text, claims) if part == "header" else message(head, text)
            found.append(_of(f"{part} {name}", "It is no JSON object.", signed(other)))
    # In the orders in which a parser that takes arrays for structs may have its fields.
    said = user(nbf=NOW)
    names = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "amr", "auth_time")
    values = [said[name] for name in names]
    for order, text in [("alg first", [ES.alg, "at+jwt", ES.kid]), ("typ first", ["at+jwt", ES.alg, ES.kid])]:
        found.append(_of(f"header is an array of its values, {order}", "It is no JSON object.", signed(message(text, claims))))
    for name, text in [
        ("its values", values),
        ("its values, with nothing of the login", values[:10]),
        ("pairs", [list(pair) for pair in said.items()]),
    ]:
        found.append(_of(f"payload is an array of {name}", "It is no JSON object.", signed(message(head, text))))
    for word in ("NaN", "Infinity", "-Infinity"):
        text = raw(user()).replace(f'"exp":{NOW + 900}'.encode(), f'"exp":{word}'.encode())
        found.append(_of(f"exp is {word}", "It is no JSON.", signed(message(head, text))))
    return [
        *found,
        passes(
            "form: JSON with blanks",
            "JSON may have them.",
            authorization=bearer(signed(message(json.dumps(header(), indent=2), json.dumps(user(), indent=1)))),
        ),
        passes(
            "form: JSON with escapes",
            "JSON may have them.",
            authorization=bearer(
                signed(message(raw(header()).replace(b'"kid"', b'"\\u006bid"'), raw(user()).replace(b'"sub"', b'"\\u0073ub"')))
            ),
        ),
    ]


def _lengths() -> list[dict]:
    def of(length: int) -> tuple[str, dict]:
        for few in range(4):
            claims = user(pad="")
            room = length - len(token(claims, header(pad="x" * few)))
            for many in range(room * 3 // 4 - 4, room * 3 // 4 + 4):
                claims = user(pad="x" * many)
                text = token(claims, header(pad="x" * few))
                if len(text) == length:
                    return text, claims
        raise AssertionError(length)

    longest, claims = of(MAX_BYTES)
    too_long, _ = of(MAX_BYTES + 1)
    return [
        passes("form: 8,192 bytes", "The longest that is looked at.", claims, authorization=bearer(longest)),
        _of("8,193 bytes", "Too long.", too_long),
        _of("10,000 bytes", "Too long.", of(10_000)[0]),
    ]


def cases() -> list[dict]:
    """All."""
    return [*_parts(), *_cuts(), *_alphabet(), *_json(), *_lengths()]
