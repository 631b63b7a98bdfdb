"""Owns asking an issuer for its keys over HTTP: each answer bounded in size and time, no redirect followed, no way from https to http."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ._json import json_object

ANSWER_MAX_BYTES = 1024 * 1024
"""The largest answer."""

TIMEOUT = 5.0
"""Seconds that one request may take as a whole."""

_RFC_8414 = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"
_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", re.ASCII)


class FetchError(Exception):
    """The issuer has given no answer that could be used."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A key set, as the issuer has answered it."""

    document: bytes
    max_age: float | None
    """For how many seconds it may be kept (`Cache-Control`), if that is said."""


KeySource = Callable[[], Fetched]
"""Asks once. Raises :class:`FetchError`."""


class HttpKeySource:
    """The key set of an issuer, at a known address or where the issuer's metadata say (RFC 8414, OpenID Connect Discovery 1.0).

    It uses no proxy, whatever the environment names.
    """

    def __init__(self, issuer: str, jwks_uri: str | None = None, context: ssl.SSLContext | None = None) -> None:
        """`context`: whom to trust over https; by default the certification authorities of the system.

        Raises:
            ValueError: The issuer or the address is no http or https URL, without query or fragment.
        """
        self._issuer = issuer
        self._is_https = web_address(issuer).scheme == "https"
        if any(not _SEGMENT.fullmatch(name) for name in urlsplit(issuer).path.rstrip("/").split("/")[1:]):
            raise ValueError("the issuer must have a path of letters, digits, `-`, `_`, `.` and `~`, if any")
        self._given = jwks_uri
        if jwks_uri is not None:
            web_address(jwks_uri)
        self._discovered: str | None = None
        self._context = context

    def __call__(self) -> Fetched:
        """Asks for the keys.

        Raises:
            FetchError: There is no answer.
        """
        address = self._given or self._discovered or self._discover()
        try:
            return self._get(address)
        except FetchError:
            self._discovered = None  # It may have moved.
            raise

    def _discover(self) -> str:
        problem = FetchError("the issuer has no metadata")
        for address in metadata_addresses(self._issuer):
            try:
                answer = self._get(address)
            except FetchError as error:
                problem = error
                continue
            self._discovered = self._jwks_uri(address, answer.document)
            return self._discovered
        raise problem

    def _jwks_uri(self, address: str, document: bytes) -> str:
        try:
            metadata = json_object(document)
        except ValueError:
            raise FetchError(f"{address} is no metadata of an issuer") from None
        if metadata.get("issuer") != self._issuer:
            raise FetchError(f"{address} is of another issuer than {self._issuer}")
        uri = metadata.get("jwks_uri")
        try:
            found = web_address(uri if isinstance(uri, str) else "")
        except ValueError:
            raise FetchError(f"{address} names no `jwks_uri`") from None
        if self._is_https and found.scheme != "https":
            raise FetchError(f"{address} has a `jwks_uri` that is not https, though the issuer is")
        return str(uri)

    def _get(self, address: str) -> Fetched:
        parts = web_address(address)
        connection = self._connection(parts)
        over: threading.Timer | None = None
        try:
            connection.connect()
            # The timeout of a socket is for one step. This is for all of them.
            over = threading.Timer(TIMEOUT, _shut, [connection.sock])
            over.daemon = True
            over.start()
            headers = {"accept": "application/json, application/jwk-set+json", "cache-control": "no-cache"}
            connection.request("GET", parts.path or "/", headers=headers)
            with connection.getresponse() as response:
                return _read(address, response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(f"{address}: {type(error).__name__}") from error
        finally:
            if over is not None:
                over.cancel()
            connection.close()

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = self._context or ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)


def _read(address: str, response: http.client.HTTPResponse) -> Fetched:
    if response.status != 200:
        raise FetchError(f"{address} answered {response.status}")
    document = response.read(ANSWER_MAX_BYTES + 1)
    if len(document) > ANSWER_MAX_BYTES:
        raise FetchError(f"{address} answered more than {ANSWER_MAX_BYTES} bytes")
    if response.length:
        raise FetchError(f"{address} stopped in the middle of its answer")
    said = max_age(response.headers.get_all("cache-control") or [], response.headers.get("age"))
    return Fetched(document, said)


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)


def web_address(text: str) -> SplitResult:
    """The http or https URL `text`, without user, query or fragment.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(text)
    plain = text.isascii() and text.isprintable() and not set(text) & set("?#@ \\")
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or (parts.port or 1) < 1:
        raise ValueError("must be an http or https URL without user, query or fragment")
    return parts


def metadata_addresses(issuer: str) -> list[str]:
    """Where the metadata of `issuer` may be: RFC 8414 section 3.1, then OpenID Connect Discovery section 4."""
    trimmed = issuer.rstrip("/")
    parts = urlsplit(trimmed)
    origin = trimmed[: len(trimmed) - len(parts.path)]
    return [origin + _RFC_8414 + parts.path, trimmed + _OPENID]


def max_age(cache_control: list[str], age: str | None) -> float | None:
    """For how many seconds an answer with these headers is fresh (RFC 9111 section 4.2.1); `None` if it does not say."""
    for directive in ",".join(cache_control).lower().split(","):
        name, _, value = directive.strip().partition("=")
        if name in ("no-store", "no-cache"):
            return 0.0
        seconds = value.strip('"')
        if name == "max-age" and seconds.isascii() and seconds.isdigit():
            passed = age.strip() if age else ""
            return max(0.0, float(seconds) - (float(passed) if passed.isascii() and passed.isdigit() else 0.0))
    return None
