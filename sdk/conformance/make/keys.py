"""Owns the keys of the corpus. All are derived from their names: everybody can sign with them, so they are worth nothing."""

import base64
import functools
import hashlib
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

# Orders of the curves: SEC 2 sections 2.4.1, 2.4.2, 2.5.1, 2.6.1.
_CURVES = {
    "P-256": (ec.SECP256R1(), 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551, 32, hashes.SHA256()),
    "P-384": (ec.SECP384R1(), int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16), 48, hashes.SHA384()),
    "P-521": (
        ec.SECP521R1(),
        int("1FF" + "F" * 63 + "A51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
        66,
        hashes.SHA512(),
    ),
    "secp256k1": (ec.SECP256K1(), 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141, 32, hashes.SHA256()),
}
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


def b64(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _stream(name: str, length: int) -> bytes:
    return hashlib.shake_256(b"worthless test key of the signet conformance corpus: " + name.encode()).digest(length)


def thumbprint(jwk: dict) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638)."""
    members = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(text.encode()).digest())


class EcKey:
    """A key of an elliptic curve. Its signatures are deterministic (RFC 6979), so that nothing changes that need not."""

    def __init__(self, name: str, curve: str = "P-256"):
        self.curve, order, self.size, self.hash = _CURVES[curve]
        secret = int.from_bytes(_stream(name, self.size + 16)) % (order - 1) + 1
        self.private = ec.derive_private_key(secret, self.curve)
        numbers = self.private.public_key().public_numbers()
        self.alg = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K"}[curve]
        self.jwk = {"kty": "EC", "crv": curve, "x": b64(numbers.x.to_bytes(self.size)), "y": b64(numbers.y.to_bytes(self.size))}
        self.secret_member = {"d": b64(secret.to_bytes(self.size))}
        self.kid = thumbprint(self.jwk)

    def sign_der(self, message: bytes) -> bytes:
        """The signature as the document of ASN.1 that JWS does not use."""
        return self.private.sign(message, ec.ECDSA(self.hash, deterministic_signing=True))

    def sign(self, message: bytes) -> bytes:
        """The signature as JWS has it (RFC 7518 section 3.4)."""
        r, s = utils.decode_dss_signature(self.sign_der(message))
        return r.to_bytes(self.size) + s.to_bytes(self.size)

    @property
    def spki(self) -> bytes:
        """The public key as a SubjectPublicKeyInfo."""
        return self.private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class EdKey:
    """An Ed25519 key (RFC 8032)."""

    alg = "EdDSA"

    def __init__(self, name: str):
        secret = _stream(name, 32)
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
        self.secret_member = {"d": b64(secret)}
        self.kid = thumbprint(self.jwk)

    def sign(self, message: bytes) -> bytes:
        """The signature (RFC 8037 section 3.1)."""
        return self.private.sign(message)

    @property
    def spki(self) -> bytes:
        """The public key as a SubjectPublicKeyInfo."""
        return self.private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _is_prime(number: int) -> bool:
    small = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97]
    if any(number % prime == 0 for prime in small):
        return number in small
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in small:
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


@functools.cache
def _prime(name: str, bits: int) -> int:
    # The two highest bits are set, so that the product of two has twice as many bits.
    number = int.from_bytes(_stream(name, (bits + 7) // 8)) % (1 << bits) | 3 << (bits - 2) | 1
    while not _is_prime(number) or number % 65537 == 1:
        number += 2
    return number


class RsaKey:
    """An RSA key, with e = 65537. It signs by hand, since libraries refuse the short keys that verifiers must refuse."""

    alg = "RS256"

    def __init__(self, name: str, bits: int = 2048):
        p, q = _prime(name + "/p", (bits + 1) // 2), _prime(name + "/q", bits // 2)
        self.n, self.size = p * q, (bits + 7) // 8
        self.d = pow(65537, -1, (p - 1) * (q - 1))
        self.jwk = {"kty": "RSA", "n": b64(self.n.to_bytes(self.size)), "e": "AQAB"}
        self.secret_member = {"d": b64(self.d.to_bytes(self.size))}
        self.kid = thumbprint(self.jwk)

    def sign(self, message: bytes, digest: str = "sha256") -> bytes:
        """The signature by PKCS #1 v1.5 (RFC 8017 section 8.2.1)."""
        info = _DIGEST_INFO[digest] + hashlib.new(digest, message).digest()
        encoded = b"\x00\x01" + b"\xff" * (self.size - 3 - len(info)) + b"\x00" + info
        return pow(int.from_bytes(encoded), self.d, self.n).to_bytes(self.size)

    def sign_pss(self, message: bytes) -> bytes:
        """The signature by PSS with SHA-256 (RFC 8017 section 8.1.1), with a salt that is always the same."""
        salt, digest = _stream("salt", 32), hashlib.sha256(message).digest()
        hashed = hashlib.sha256(bytes(8) + digest + salt).digest()
        block = bytes(self.size - 32 - 32 - 2) + b"\x01" + salt
        blocks = range((len(block) + 31) // 32)
        mask = b"".join(hashlib.sha256(hashed + index.to_bytes(4)).digest() for index in blocks)
        masked = bytearray(a ^ b for a, b in zip(block, mask, strict=False))
        masked[0] &= 0x7F
        return pow(int.from_bytes(bytes(masked) + hashed + b"\xbc"), self.d, self.n).to_bytes(self.size)

    @property
    def spki(self) -> bytes:
        """The public key as a SubjectPublicKeyInfo."""
        key = rsa.RSAPublicNumbers(65537, self.n).public_key()
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(der: bytes) -> bytes:
    """A public key in PEM, with a newline at its end."""
    text = base64.b64encode(der).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


ES, ED, RS = EcKey("issuer ES256"), EdKey("issuer EdDSA"), RsaKey("issuer RS256")
NEXT_ES = EcKey("issuer ES256, the next one")
ATTACKER_ES, ATTACKER_ED, ATTACKER_RS = EcKey("attacker ES256"), EdKey("attacker EdDSA"), RsaKey("attacker RS256")


def published(key, **more) -> dict:
    """The public JWK of `key`, as Signet publishes it; `more` is set, and what is None is left out."""
    jwk = {"kty": key.jwk["kty"], "use": "sig", "alg": key.alg, "kid": key.kid, **key.jwk, **more}
    return {name: value for name, value in jwk.items() if value is not None}
