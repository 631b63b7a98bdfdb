"""Owns a check of the corpus itself: whether a token that should get past its signature has one by the key that it names. Nothing else."""

import base64
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text))


def _verify(jwk: dict, signature: bytes, message: bytes) -> None:
    if jwk["kty"] == "EC":
        key = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1()).public_key()
        der = utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        key.verify(der, message, ec.ECDSA(hashes.SHA256()))
    elif jwk["kty"] == "OKP":
        ed25519.Ed25519PublicKey.from_public_bytes(_decoded(jwk["x"])).verify(signature, message)
    else:
        rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key().verify(
            signature, message, padding.PKCS1v15(), hashes.SHA256()
        )


def is_signed(case: dict, keys: dict) -> bool:
    """Whether the one token of `case` is signed by the key of its set that it names."""
    [value] = case["authorization"]
    message, _, signature = value.split(" ")[-1].rpartition(".")
    kid = json.loads(_decoded(message.partition(".")[0]))["kid"]
    found = [jwk for jwk in keys[case.get("jwks", "main")]["keys"] if jwk.get("kid") == kid]
    try:
        _verify(found[0], _decoded(signature), message.encode())
    except (InvalidSignature, IndexError):
        return False
    return len(found) == 1
