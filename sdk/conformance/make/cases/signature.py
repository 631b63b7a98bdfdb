"""Owns the cases of the signature: bent ones, those of others, and keys that are used for what they are not (RFC 8725 section 3)."""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from ..jwks import key_sets
from ..keys import ATTACKER_ED, ATTACKER_ES, ATTACKER_RS, ED, ES, NEXT_ES, RS, b64, pem, published
from ..tokens import WITHOUT, bearer, header, invalid, message, passes, token, user
from ..world import BOB

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED_ORDER = 2**252 + 27742317777372353535851937790883648493


def _bent(key) -> list[dict]:
    text = message(header(key), user())
    good = key.sign(text.encode())
    size = len(good)
    flips = {
        f"bit {bit} of byte {at} changed": bytes([*good[:at], good[at] ^ (1 << bit), *good[at + 1 :]])
        for at in (0, 1, size // 2 - 1, size // 2, size - 1)
        for bit in (0, 7)
    }
    others = {
        "empty": b"",
        "a byte": good[:1],
        "half of it": good[: size // 2],
        "a byte less": good[:-1],
        "first byte cut": good[1:],
        "a byte more": good + b"\0",
        "a byte before": b"\0" + good,
        "twice": good * 2,
        "zeros": bytes(size),
        "ones": b"\xff" * size,
        "reversed": good[::-1],
        "31 bytes": good[:31],
        "32 bytes": good[:32],
        "zeros of 32 bytes": bytes(32),
        "zeros of 128 bytes": bytes(128),
    }
    return [
        invalid(f"signature of {key.alg}: {name}", "It is not the key's own.", authorization=bearer(f"{text}.{b64(value)}"))
        for name, value in {**flips, **others}.items()
    ]


def _es256() -> list[dict]:
    text = message(header(), user())
    good, der = ES.sign(text.encode()), ES.sign_der(text.encode())
    r, s = good[:32], good[32:]
    zero, one, order = bytes(32), bytes(31) + b"\1", _ORDER.to_bytes(32)

    def signed_with(digest) -> bytes:
        return b"".join(
            number.to_bytes(32)
            for number in utils.decode_dss_signature(ES.private.sign(text.encode(), ec.ECDSA(digest, deterministic_signing=True)))
        )

    bad = {
        "in DER": der,
        "in DER, with a zero": der + b"\0",
        "r and s swapped": s + r,
        "r is zero": zero + s,
        "s is zero": r + zero,
        "r and s are one": one + one,
        "r is the order": order + s,
        "s is the order": r + order,
        "both are the order": order + order,
        "r and s of 33 bytes": b"\0" + r + b"\0" + s,
        "r and s of 48 bytes": bytes(16) + r + bytes(16) + s,
        "r twice": r + r,
        "with SHA-384": signed_with(hashes.SHA384()),
        "with SHA-512": signed_with(hashes.SHA512()),
        "with SHA-1": signed_with(hashes.SHA1()),
        "in hex": good.hex().encode(),
    }
    return [
        invalid(f"signature of ES256: {name}", "It is not the key's own, as JWS has it.", authorization=bearer(f"{text}.{b64(value)}"))
        for name, value in bad.items()
    ]


def _eddsa() -> list[dict]:
    text = message(header(ED), user())
    good = ED.sign(text.encode())
    scalar = int.from_bytes(good[32:], "little")
    bad = {
        "S and the order": good[:32] + (scalar + _ED_ORDER).to_bytes(32, "little"),
        "S is zero": good[:32] + bytes(32),
        "R is the identity": b"\1" + bytes(31) + good[32:],
        "R is the identity and S is zero": b"\1" + bytes(63),
        "S before R": good[32:] + good[:32],
        "of the SHA-512": ED.sign(hashlib.sha512(text.encode()).digest()),
    }
    return [
        invalid(f"signature of EdDSA: {name}", "RFC 8032 section 5.1.7 does not take it.", authorization=bearer(f"{text}.{b64(value)}"))
        for name, value in bad.items()
    ]


def _rs256() -> list[dict]:
    text = message(header(RS), user())
    raw = text.encode()
    # A signature that leaves room for the modulus.
    roomy = next(
        text
        for text in (message(header(RS), user(jti_of=number)) for number in range(99))
        if int.from_bytes(RS.sign(text.encode())) + RS.n < 1 << 2048
    )
    above = (int.from_bytes(RS.sign(roomy.encode())) + RS.n).to_bytes(256)
    digest = int.from_bytes(hashlib.sha256(raw).digest())
    bad = {
        "by PSS": RS.sign_pss(raw),
        "with SHA-384": RS.sign(raw, "sha384"),
        "with SHA-512": RS.sign(raw, "sha512"),
        "without padding": pow(digest, RS.d, RS.n).to_bytes(256),
        "is one": bytes(255) + b"\1",
        "is the modulus": RS.n.to_bytes(256),
    }
    found = [
        invalid(f"signature of RS256: {name}", "RFC 8017 section 8.2.2 does not take it.", authorization=bearer(f"{text}.{b64(value)}"))
        for name, value in bad.items()
    ]
    return [
        *found,
        invalid(
            "signature of RS256: the modulus added",
            "RFC 8017 section 5.2.2 does not take it.",
            authorization=bearer(f"{roomy}.{b64(above)}"),
        ),
    ]


def _moved() -> list[dict]:
    alice, bob = token().split("."), token(user(sub=BOB)).split(".")
    changed = {
        "sub": BOB,
        "exp": 4_000_000_000,
        "scope": "stock:read stock:write",
        "aud": ["stock", "orders"],
        "roles": ["picker"],
        "sid": WITHOUT,
    }
    found = [
        ("signature of another token", ".".join([*alice[:2], bob[2]])),
        ("payload of another token", ".".join([alice[0], bob[1], alice[2]])),
        ("payload in other bytes", f"{alice[0]}.{b64(json.dumps(user(), indent=1).encode())}.{alice[2]}"),
        ("header in other bytes", f"{b64(json.dumps(header(), indent=1).encode())}.{alice[1]}.{alice[2]}"),
        ("header with another typ", f"{message(header(typ='AT+JWT'), user())}.{alice[2]}"),
        *((f"payload with another {name}", f"{message(header(), user(**{name: value}))}.{alice[2]}") for name, value in changed.items()),
    ]
    return [invalid(f"moved: {name}", "It is not what was signed.", authorization=bearer(text)) for name, text in found]


def _others() -> list[dict]:
    found = []
    attackers = (ATTACKER_ES, ATTACKER_ED, ATTACKER_RS)
    for attacker in attackers:
        for of in (ES, ED, RS):
            for alg in sorted({attacker.alg, of.alg}):
                found.append(
                    invalid(
                        f"attacker's {attacker.alg} under the kid of {of.alg}, alg {alg}",
                        "The issuer's key has not signed it.",
                        head=header(of, alg=alg),
                        key=attacker,
                    )
                )
        found.append(
            invalid(f"attacker's {attacker.alg} under its own kid", "The issuer has no such key.", head=header(attacker), key=attacker)
        )
    for key in (ES, ED, RS):
        for of in (ES, ED, RS):
            if key is not of:
                found += [
                    invalid(
                        f"signed by {key.alg} under the kid of {of.alg}, alg {key.alg}",
                        "The key that is named has another algorithm.",
                        head=header(of, alg=key.alg),
                        key=key,
                    ),
                    invalid(
                        f"signed by {key.alg} under the kid of {of.alg}, alg {of.alg}",
                        "The key that is named has not signed it.",
                        head=header(of),
                        key=key,
                    ),
                ]
    return found


def _published_as_secret() -> list[dict]:
    found = []
    for key in (ES, ED, RS):
        jwk = published(key)
        compact = json.dumps(jwk, separators=(",", ":")).encode()
        text = pem(key.spki)
        secrets = {
            "in PEM": text,
            "in PEM without the newline": text[:-1],
            "in DER": key.spki,
            "as a JWK": compact,
            "as a sorted JWK": json.dumps(jwk, sort_keys=True).encode(),
            "as a JWK Set": json.dumps(key_sets()["main"], separators=(",", ":")).encode(),
            "by its kid": key.kid.encode(),
        }
        for member in ("x", "n"):
            if member in jwk:
                secrets[f"as `{member}`"] = jwk[member].encode()
                secrets[f"as the bytes of `{member}`"] = _decoded(jwk[member])
        for name, secret in secrets.items():
            found.append(_by_hmac(f"{key.alg} {name}", header(key, alg="HS256"), secret, "sha256"))
        found += [
            _by_hmac(f"{key.alg} in PEM, HS384", header(key, alg="HS384"), text, "sha384"),
            _by_hmac(f"{key.alg} in PEM, HS512", header(key, alg="HS512"), text, "sha512"),
            _by_hmac(f"{key.alg} in PEM, with the alg of the key", header(key), text, "sha256"),
            _by_hmac(f"{key.alg} in PEM, HS512 with the alg of the key", header(key), text, "sha512"),
        ]
    guesses = {"empty": b"", "a word": b"secret", "zeros": bytes(32)}
    return [*found, *(_by_hmac(f"guess: {name}", header(alg="HS256"), secret, "sha256") for name, secret in guesses.items())]


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _by_hmac(name: str, head: dict, secret: bytes, digest: str) -> dict:
    return invalid(
        f"secret of HMAC: {name}", "What is published is no secret.", head=head, sign=lambda text: hmac.digest(secret, text, digest)
    )


def cases() -> list[dict]:
    """All."""
    bent = [case for key in (ES, ED, RS) for case in _bent(key)]
    return [
        *(passes(f"signed by {key.alg}", "As Signet issues it.", user(), key=key) for key in (ES, ED, RS)),
        *bent,
        *_es256(),
        *_eddsa(),
        *_rs256(),
        *_moved(),
        *_others(),
        *_published_as_secret(),
        invalid("signed by a key that is not published yet", "It is not in the set.", key=NEXT_ES),
    ]
