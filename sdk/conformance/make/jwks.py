"""Owns the JWK Sets: those of `keys.json`, which tokens are verified with, and the cases of `jwks.json`."""

import base64
import hmac
import json

from .keys import ED, ES, NEXT_ES, RS, EcKey, EdKey, RsaKey, b64, published

_SECRET = b"a secret that anybody can read"
_P384, _P521, _K1 = EcKey("P-384", "P-384"), EcKey("P-521", "P-521"), EcKey("secp256k1", "secp256k1")
_SHORT, _LONG = RsaKey("RSA of 1024 bits", 1024), RsaKey("RSA of 3072 bits", 3072)
_NEARLY = RsaKey("RSA of 2040 bits", 2040)
_ENC, _NOT_FOR_IT, _PRIVATE, _PSS, _RS384, _MARKED = (
    RsaKey(f"RSA {name}") for name in ("enc", "key_ops", "private", "PS256", "RS384", "marked")
)
_ES_ENC, _ES_PRIVATE, _ED_PRIVATE, _ES_NO_KID = EcKey("enc"), EcKey("private"), EdKey("private"), EcKey("no kid")

BY_ALGORITHM = {"es256": ES, "eddsa": ED, "rs256": RS}

# Keys of the set `odd`, by what is odd: the key, the `alg` and the `kid` of the token, and what signs, if not the key in its own way.
ODD_KEYS = {
    "a secret of HMAC": (ES, "HS256", "hmac", lambda text: hmac.digest(_SECRET, text, "sha256")),
    "P-384": (_P384, "ES384", _P384.kid, None),
    "P-384, and the token says ES256": (_P384, "ES256", _P384.kid, None),
    "P-521": (_P521, "ES512", _P521.kid, None),
    "secp256k1": (_K1, "ES256K", _K1.kid, None),
    "RSA of 1024 bits": (_SHORT, "RS256", _SHORT.kid, None),
    "RSA of 2040 bits": (_NEARLY, "RS256", _NEARLY.kid, None),
    "RSA for encryption": (_ENC, "RS256", _ENC.kid, None),
    "RSA that signs, and does not verify": (_NOT_FOR_IT, "RS256", _NOT_FOR_IT.kid, None),
    "RSA with its private part": (_PRIVATE, "RS256", _PRIVATE.kid, None),
    "RSA for PS256": (_PSS, "PS256", _PSS.kid, _PSS.sign_pss),
    "RSA for PS256, and the token is by RS256": (_PSS, "RS256", _PSS.kid, None),
    "RSA for RS384": (_RS384, "RS384", _RS384.kid, lambda text: _RS384.sign(text, "sha384")),
    "RSA for RS384, and the token is by RS256": (_RS384, "RS256", _RS384.kid, None),
    "P-256 for encryption": (_ES_ENC, "ES256", _ES_ENC.kid, None),
    "P-256 with its private part": (_ES_PRIVATE, "ES256", _ES_PRIVATE.kid, None),
    "Ed25519 with its private part": (_ED_PRIVATE, "EdDSA", _ED_PRIVATE.kid, None),
    "P-256 without kid": (_ES_NO_KID, "ES256", _ES_NO_KID.kid, None),
    "P-256 with an empty kid": (_ES_NO_KID, "ES256", "", None),
}


def _odd() -> list[dict]:
    private = [{**published(key), **key.secret_member} for key in (_PRIVATE, _ES_PRIVATE, _ED_PRIVATE)]
    return [
        {"kty": "oct", "kid": "hmac", "use": "sig", "alg": "HS256", "k": b64(_SECRET)},
        published(_P384),
        published(_P521),
        published(_K1),
        published(_SHORT),
        published(_NEARLY),
        published(_ENC, use="enc"),
        published(_NOT_FOR_IT, use=None, key_ops=["sign"]),
        *private,
        published(_PSS, alg="PS256"),
        published(_RS384, alg="RS384"),
        published(_ES_ENC, use="enc"),
        published(_ES_NO_KID, kid=None),
        published(_ES_NO_KID, kid=""),
        published(ES),
    ]


def key_sets() -> dict:
    """`keys.json`."""
    es, ed, rs, following = (published(key) for key in (ES, ED, RS, NEXT_ES))
    sets = {
        "main": [es, ed, rs],
        "rotating": [es, following, ed, rs],
        "rotated": [following, ed, rs],
        **{name: [published(key)] for name, key in BY_ALGORITHM.items()},
        "bare": [published(key, use=None, alg=None) for key in (ES, ED, RS)],
        "odd": _odd(),
        "long_kid": [published(ES, kid="k" * 255), published(ES, kid="k" * 256), ed],
        "odd_kids": [published(ES, kid=kid) for kid in ("../../keys/one", "schlüssel", "one ")],
    }
    return {name: {"keys": keys} for name, keys in sets.items()}


def _whole() -> list[tuple]:
    es, ed, rs = published(ES), published(ED), published(RS)
    many = [published(ED, kid=f"k{number}") for number in range(101)]
    return [
        ("three keys", "All kinds that Signet signs with.", {"keys": [es, ed, rs]}, [ES, ED, RS]),
        ("their order", "It is that of the set.", {"keys": [rs, es, ed]}, [RS, ES, ED]),
        ("one key", "It will do.", {"keys": [ed]}, [ED]),
        (
            "more members",
            "They are passed over.",
            {"issuer": "x", "keys": [{**es, "x5t": "AAAA", "iat": 1, "ext": True}], "more": [1]},
            [ES],
        ),
        ("blanks", "JSON may have them.", json.dumps({"keys": [es]}, indent=4) + "\n", [ES]),
        ("100 keys", "As many as are read.", {"keys": many[:100]}, [f"k{number}" for number in range(100)]),
        ("101 keys", "Each takes memory.", {"keys": many}, "refused"),
        ("101 keys of which one is usable", "They are counted before they are read.", {"keys": [es, *[{"kty": "x"}] * 100]}, "refused"),
        ("no keys", "None is usable.", {"keys": []}, "refused"),
        ("no member keys", "It is no JWK Set.", {}, "refused"),
        ("a JWK", "It is no JWK Set.", es, "refused"),
        ("an array of keys", "It is no JWK Set.", [es, ed], "refused"),
        ("keys is an object", "It is no JWK Set.", {"keys": {"a": es}}, "refused"),
        ("keys is a text", "It is no JWK Set.", {"keys": "x"}, "refused"),
        ("keys is null", "It is no JWK Set.", {"keys": None}, "refused"),
        ("null", "It is no JWK Set.", "null", "refused"),
        ("a text", "It is no JWK Set.", '"keys"', "refused"),
        ("empty", "It is no JSON.", "", "refused"),
        ("HTML", "It is no JSON.", "<html><body>502 Bad Gateway</body></html>", "refused"),
        ("cut", "It is no JSON.", json.dumps({"keys": [es]})[:-2], "refused"),
        ("more behind", "It is no JSON.", json.dumps({"keys": [es]}) + "x", "refused"),
        ("an error", "It is no JWK Set.", {"error": "temporarily_unavailable"}, "refused"),
    ]


def _kids() -> list[tuple]:
    es, ed = published(ES), published(ED)
    return [
        ("two of one kid", "Which of the two a token means cannot be known.", {"keys": [es, published(ED, kid=ES.kid)]}, "refused"),
        ("one key twice", "Which of the two a token means cannot be known.", {"keys": [es, es]}, "refused"),
        ("two of one kid, one for encryption", "That one is left out.", {"keys": [published(RS, kid=ES.kid, use="enc"), es]}, [ES]),
        ("two of one kid, one a secret", "That one is left out.", {"keys": [{"kty": "oct", "kid": ES.kid, "k": b64(_SECRET)}, es]}, [ES]),
        (
            "two of one kid, one private",
            "That one is left out.",
            {"keys": [es, {**published(_ED_PRIVATE, kid=ES.kid), **_ED_PRIVATE.secret_member}]},
            [ES],
        ),
        ("one key under two kids", "Each names it.", {"keys": [published(ES, kid="a"), published(ES, kid="b")]}, ["a", "b"]),
        ("kids that differ in case", "They are two.", {"keys": [published(ES, kid="a"), published(ED, kid="A")]}, ["a", "A"]),
        ("no kid", "No token could name it.", {"keys": [published(ES, kid=None), ed]}, [ED]),
        ("no kid at all", "None is usable.", {"keys": [published(ES, kid=None)]}, "refused"),
        ("an empty kid", "No token could name it.", {"keys": [published(ES, kid=""), ed]}, [ED]),
        ("a kid that is a number", "No token could name it.", {"keys": [published(ES, kid=1), ed]}, [ED]),
        ("a kid that is an array", "No token could name it.", {"keys": [published(ES, kid=["a"]), ed]}, [ED]),
        ("a kid of 255 bytes", "The longest.", {"keys": [published(ES, kid="k" * 255)]}, ["k" * 255]),
        ("a kid of 256 bytes", "No token could name it.", {"keys": [published(ES, kid="k" * 256), ed]}, [ED]),
        ("a kid of 128 letters in 256 bytes", "Bytes are counted.", {"keys": [published(ES, kid="é" * 128), ed]}, [ED]),
        ("a kid that is no thumbprint", "It is any text.", {"keys": [published(ES, kid="../x y")]}, ["../x y"]),
    ]


def _kinds() -> list[tuple]:
    ed = published(ED)

    def left_out(name: str, why: str, key) -> tuple:
        return name, why, {"keys": [key, ed]}, [ED]

    secret = {"kty": "oct", "kid": "s", "alg": "HS256", "k": b64(_SECRET)}
    return [
        left_out("a secret", "Whoever reads the set could sign with it.", secret),
        ("a secret alone", "None is usable.", {"keys": [secret]}, "refused"),
        left_out(
            "a secret that says it is for signatures",
            "Whoever reads the set could sign with it.",
            {**secret, "use": "sig", "key_ops": ["verify"]},
        ),
        *(
            left_out(f"{key.alg} with its private part", "It is private no more.", {**published(key, kid="p"), **key.secret_member})
            for key in (ES, ED, RS)
        ),
        ("a private key alone", "None is usable.", {"keys": [{**published(ES), **ES.secret_member}]}, "refused"),
        left_out("P-384", "It is for ES384.", published(_P384)),
        left_out("P-521", "It is for ES512.", published(_P521)),
        left_out("secp256k1", "It is for ES256K.", published(_K1)),
        left_out("X25519", "It does not sign.", {"kty": "OKP", "crv": "X25519", "kid": "x", "x": ED.jwk["x"]}),
        left_out("Ed448", "Signet does not sign with it.", {"kty": "OKP", "crv": "Ed448", "kid": "x", "x": b64(bytes(57))}),
        left_out("a kind that nobody knows", "RFC 7517 section 5.", {"kty": "AKP", "alg": "ML-DSA-44", "kid": "x", "pub": "AAAA"}),
        left_out("no kind", "RFC 7517 section 4.1.", published(ES, kty=None)),
        left_out("a kind of another case", "It is another.", published(ES, kty="ec")),
        left_out("no curve", "RFC 7518 section 6.2.1.", published(ES, crv=None)),
        *(
            left_out(f"a key that is {name}", "It is no JWK.", value)
            for name, value in [("null", None), ("a text", "x"), ("a number", 1), ("an array", []), ("empty", {})]
        ),
    ]


def _uses() -> list[tuple]:
    ed = published(ED)

    def left_out(name: str, why: str, key: dict) -> tuple:
        return name, why, {"keys": [key, ed]}, [ED]

    def usable(name: str, why: str, key: dict) -> tuple:
        return name, why, {"keys": [key, ed]}, [key["kid"], ED]

    return [
        left_out("use is enc", "It is not for signatures.", published(ES, use="enc")),
        left_out("use is another", "It is not for signatures.", published(ES, use="tls")),
        usable("no use", "It may be absent.", published(ES, use=None)),
        usable("key_ops has verify", "It is for that.", published(ES, use=None, key_ops=["verify"])),
        left_out("key_ops has sign alone", "It is not for that.", published(ES, use=None, key_ops=["sign"])),
        left_out("key_ops is empty", "It is not for that.", published(ES, use=None, key_ops=[])),
        usable("no alg: ES256", "Its curve says it.", published(ES, alg=None)),
        usable("no alg: RS256", "It is for RS256.", published(RS, alg=None)),
        ("no alg: EdDSA", "Its curve says it.", {"keys": [published(ED, alg=None)]}, [ED]),
        left_out("alg is ES384", "Its curve is another.", published(ES, alg="ES384")),
        left_out("alg is none", "It is for nothing.", published(ES, alg="none")),
        left_out("alg is HS256", "It is no secret.", published(RS, alg="HS256")),
        left_out("alg is RS384", "No token is signed with it.", published(RS, alg="RS384")),
        left_out("alg is PS256", "No token is signed with it.", published(RS, alg="PS256")),
        left_out("alg is RSA-OAEP", "It is not for signatures.", published(RS, alg="RSA-OAEP")),
        left_out("alg of another kind", "Its kind is another.", published(ES, alg="RS256")),
        left_out("alg is ECDH-ES", "It is not for signatures.", published(ES, alg="ECDH-ES")),
    ]


def _numbers() -> list[tuple]:
    ed = published(ED)

    def left_out(name: str, why: str, key: dict) -> tuple:
        return name, why, {"keys": [key, ed]}, [ED]

    # Not on the curve: y is one less.
    y = int.from_bytes(_bytes(ES.jwk["y"])) - 1
    return [
        left_out("a point that is not on the curve", "It is no key.", published(ES, y=b64(y.to_bytes(32)))),
        left_out("a point of zeros", "It is no key.", published(ES, x=b64(bytes(32)), y=b64(bytes(32)))),
        left_out("no y", "It is no key.", published(ES, y=None)),
        left_out("no x", "It is no key.", published(ES, x=None)),
        left_out("x of 31 bytes", "RFC 7518 section 6.2.1.2.", published(ES, x=b64(_bytes(ES.jwk["x"])[1:]))),
        left_out("x that is a number", "It is no text.", published(ES, x=1)),
        left_out("x in no base64url", "It is no key.", published(ES, x="*" * 43)),
        ("Ed25519 of 31 bytes", "RFC 8037 section 2.", {"keys": [published(ED, x=b64(_bytes(ED.jwk["x"])[1:]))]}, "refused"),
        ("Ed25519 of 33 bytes", "RFC 8037 section 2.", {"keys": [published(ED, x=b64(_bytes(ED.jwk["x"]) + b"\0"))]}, "refused"),
        left_out("RSA of 1024 bits", "RFC 7518 section 3.3.", published(_SHORT)),
        left_out("RSA of 2040 bits", "RFC 7518 section 3.3.", published(_NEARLY)),
        ("RSA of 3072 bits", "It is long enough.", {"keys": [published(_LONG)]}, [_LONG]),
        left_out("RSA without n", "It is no key.", published(RS, n=None)),
        left_out("RSA without e", "It is no key.", published(RS, e=None)),
        ("all are left out", "None is usable.", {"keys": [published(_SHORT), published(_P384), published(ES, use="enc")]}, "refused"),
    ]


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cases() -> list[dict]:
    """`jwks.json`."""
    found = []
    for name, why, document, expect in [*_whole(), *_kids(), *_kinds(), *_uses(), *_numbers()]:
        text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        kids = expect if isinstance(expect, str) else [key if isinstance(key, str) else key.kid for key in expect]
        found.append({"name": name, "why": why, "document": text, "expect": kids})
    return found
