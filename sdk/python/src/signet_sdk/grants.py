"""Owns by what a client proves to Signet who it is, and what it exchanges for a token."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt import PyJWT

from identity.v1 import identity_service_pb2 as identity

ASSERTION_SECONDS = 60
"""How long a client assertion counts. It is used once."""

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey


class ClientProof(Protocol):
    """By what a client proves who it is: :class:`Secret`, :class:`SigningKey`, :class:`Certificate` or :class:`PublicClient`."""

    def authentication(self, now: float) -> identity.ClientAuthentication:
        """The proof, as Signet takes it, at the time `now` in seconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class Secret:
    """A client that has a secret."""

    client_id: str
    client_secret: str = field(repr=False)

    def authentication(self, now: float) -> identity.ClientAuthentication:
        """The secret itself."""
        return identity.ClientAuthentication(client_id=self.client_id, client_secret=self.client_secret)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A client that signs an assertion each time (`private_key_jwt`, RFC 7523 section 3): no secret leaves it."""

    client_id: str
    issuer: str
    """Signet's issuer: whom each assertion is for, and nobody else."""
    key: PrivateKey = field(repr=False)
    """P-256 signs ES256, Ed25519 signs EdDSA, RSA signs RS256."""
    kid: str | None = None
    """The id with which the key is registered, if it has one."""

    @classmethod
    def from_pem(cls, client_id: str, issuer: str, pem: bytes, *, kid: str | None = None) -> SigningKey:
        """The same, with a private key in PEM (PKCS#8, SEC 1 or PKCS#1), without a password.

        Raises:
            ValueError: The key is not a private key of P-256, Ed25519 or RSA in PEM.
        """
        key = load_pem_private_key(pem, None)
        if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey):
            raise ValueError("the key is neither of P-256, nor Ed25519, nor RSA")
        return cls(client_id, issuer, key, kid)

    def __post_init__(self) -> None:
        if isinstance(self.key, EllipticCurvePrivateKey) and not isinstance(self.key.curve, SECP256R1):
            raise ValueError("the key is of another curve than P-256")

    def algorithm(self) -> str:
        """The algorithm of the key."""
        if isinstance(self.key, EllipticCurvePrivateKey):
            return "ES256"
        return "EdDSA" if isinstance(self.key, Ed25519PrivateKey) else "RS256"

    def authentication(self, now: float) -> identity.ClientAuthentication:
        """An assertion that was never used."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.issuer,
            "iat": int(now),
            "exp": int(now) + ASSERTION_SECONDS,
            "jti": str(uuid.uuid4()),
        }
        headers = {"typ": "client-authentication+jwt"} | ({"kid": self.kid} if self.kid is not None else {})
        assertion = PyJWT().encode(claims, self.key, self.algorithm(), headers)
        return identity.ClientAuthentication(client_id=self.client_id, client_assertion=assertion)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client whose certificate stands for it (RFC 8705 section 2.1): the channel to Signet shows it (`channel_credentials`)."""

    client_id: str

    def authentication(self, now: float) -> identity.ClientAuthentication:
        """The id alone."""
        return identity.ClientAuthentication(client_id=self.client_id)


class PublicClient(Certificate):
    """A client that proves nothing, such as an application on its users' devices. It has users' tokens alone."""

    __slots__ = ()


Store = Callable[[str], None] | Callable[[str], Awaitable[None]]
"""Keeps the next refresh token, durably, before it returns."""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Tokens in the client's own name (RFC 6749 section 4.4)."""

    proof: ClientProof


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Tokens of a user, of a login that goes on. It is for one source: neither two of them nor two processes share one."""

    proof: ClientProof | None
    """The client that the user logged in with; `None`: Signet's built-in one."""
    refresh_token: str = field(repr=False)
    """The newest refresh token."""
    store: Store = field(repr=False)
    """Gets the next refresh token, before its access token is used. If it raises, the token is not used, calls are `UNAVAILABLE`, and the
    next attempt stores the same one first."""
    _unused: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def take(self) -> bool:
        """Takes the grant for a source; false, if another one has it."""
        return self._unused.acquire(blocking=False)


Grant = ClientCredentials | RefreshToken
"""What is exchanged for a token."""
