"""Owns reading the key set that an issuer publishes (RFC 7517 section 5): which of its keys verify access tokens, each by one algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from ._json import json_object
from ._jws import KID_MAX_BYTES, base64url

MAX_KEYS = 100
"""The most keys of one set. An issuer has a handful, and each takes memory here."""

RSA_MODULUS_BYTES = range(256, 1025)
"""At least 2048 bits (RFC 7518 section 3.3), and not so many that a signature takes a second."""

_SECRET = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


class KeySetError(ValueError):
    """An answer that is no key set, or has no key that could be used."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key, with the one algorithm that it verifies: a token cannot choose another (RFC 8725 section 3.1)."""

    kid: str
    alg: str
    parts: tuple[str, ...]
    """What the key is made of, as its JWK has it: by this two keys are the same."""
    _verify: Callable[[bytes, bytes], bool] = field(repr=False, compare=False)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is the key's own of `message`."""
        return self._verify(message, signature)


def read_key_set(document: bytes, known: Mapping[str, VerifyingKey] | None = None) -> dict[str, VerifyingKey]:
    """The keys of `document` that verify access tokens, by their ids, in their order. A key that is `known` stays the same object.

    Left out are secret keys, keys for something else, of other kinds, or not well formed (RFC 7517 section 5).

    Raises:
        KeySetError: It is no JWK Set, or has more than 100 keys, none that is usable, or two of one id.
    """
    try:
        listed = json_object(document).get("keys")
    except ValueError:
        raise KeySetError("is no JWK Set") from None
    if type(listed) is not list:
        raise KeySetError("is no JWK Set")
    if len(listed) > MAX_KEYS:
        raise KeySetError(f"holds more than {MAX_KEYS} keys")
    keys: dict[str, VerifyingKey] = {}
    for jwk in listed:
        key = _usable(jwk)
        if key is None:
            continue
        if key.kid in keys:
            raise KeySetError("holds two keys of one `kid`")
        before = known.get(key.kid) if known else None
        keys[key.kid] = before if before is not None and before == key else key
    if not keys:
        raise KeySetError("holds no public key for ES256, EdDSA or RS256 with a `kid`")
    return keys


def _usable(jwk: object) -> VerifyingKey | None:
    if type(jwk) is not dict or any(name in jwk for name in _SECRET):
        return None
    kid, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if type(kid) is not str or not 0 < len(kid.encode("utf-8")) <= KID_MAX_BYTES:
        return None
    if jwk.get("use", "sig") != "sig" or type(operations) is not list or "verify" not in operations:
        return None
    try:
        kind = _of_kind(jwk)
    except (ValueError, TypeError, PyJWTError, UnsupportedAlgorithm):
        return None
    if kind is None or jwk.get("alg", kind[0]) != kind[0]:
        return None
    return VerifyingKey(kid, *kind)


def _of_kind(jwk: dict[str, Any]) -> tuple[str, tuple[str, ...], Callable[[bytes, bytes], bool]] | None:
    """The algorithm of the key, what it is made of, and what verifies by it; `None` if it is of another kind."""
    algorithm: Any
    names: tuple[str, ...]
    match (jwk.get("kty"), jwk.get("crv")):
        case ("EC", "P-256"):
            alg, names, algorithm = "ES256", ("x", "y"), ECAlgorithm(ECAlgorithm.SHA256, SECP256R1)
        case ("OKP", "Ed25519"):
            alg, names, algorithm = "EdDSA", ("x",), OKPAlgorithm()
        case ("RSA", _):
            alg, names, algorithm = "RS256", ("n", "e"), RSAAlgorithm(RSAAlgorithm.SHA256)
            if len(base64url(_text(jwk, "n")).lstrip(b"\0")) not in RSA_MODULUS_BYTES:
                return None
        case _:
            return None
    parts = tuple(_text(jwk, name) for name in names)
    for part in parts:
        if not base64url(part):
            return None
    members = {name: jwk[name] for name in ("kty", "crv", *names) if name in jwk}
    key: Any = algorithm.prepare_key(algorithm.from_jwk(members))
    return alg, (alg, *parts), lambda message, signature: algorithm.verify(message, key, signature)


def _text(jwk: dict[str, Any], name: str) -> str:
    value = jwk.get(name)
    if type(value) is not str:
        raise ValueError(name)
    return value
