"""Owns calls by gRPC-Web over HTTP/1.1, which needs no library: with all that an error says, and from any address that a proxy may name."""

import base64
import http.client
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

import wire
from loopback import STRANGER, Address, connected
from server import PATIENCE

UNAUTHENTICATED, RESOURCE_EXHAUSTED = 16, 8

# The flag of a frame that holds trailers.
_TRAILERS = 0x80


@dataclass(frozen=True)
class Answer:
    """One answer: 0 is OK."""

    status: int
    message: bytes = b""
    reason: str = ""
    # What `google.rpc.RetryInfo` says, and what the trailer does that gRPC's own retries read.
    retry_after: float | None = None
    pushback: float | None = None

    @property
    def is_ok(self) -> bool:
        return self.status == 0

    def field(self, number: int) -> str:
        return wire.parsed(self.message).get(number, b"").decode()


class Caller:
    """Calls one after another, from `source`; through a proxy that is trusted if the client's address is given with a call."""

    def __init__(self, address: Address, source: str = STRANGER) -> None:
        self._address, self._source = address, source
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def call(self, path: str, payload: bytes, *headers: tuple[str, str], client: str = "") -> Answer:
        """`client`: the address that the proxy names."""
        named = (*headers, ("x-forwarded-for", client)) if client else headers
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                return self._exchange(path, payload, dict(named))
            except (OSError, http.client.HTTPException):
                # Ended in the meantime; or no place just now.
                self.close()
                if time.monotonic() > ends:
                    raise
                time.sleep(0.01)

    def _exchange(self, path: str, payload: bytes, headers: dict[str, str]) -> Answer:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address.host, self._address.port)
            self._connection.sock = connected(self._address, self._source, PATIENCE)
            self._connection.auto_open = 0
        head = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers}
        self._connection.request("POST", path, wire.message(payload), head)
        answered = self._connection.getresponse()
        body = answered.read()
        if answered.will_close:
            self.close()
        # Who says nothing but an error says it in the head.
        trailers = {name.lower(): value for name, value in answered.getheaders()}
        message = b""
        for flags, data in _frames(body):
            if flags & _TRAILERS:
                trailers |= dict(_lines(data.decode()))
            else:
                message = data
        if "grpc-status" not in trailers:
            raise http.client.HTTPException(f"no answer of gRPC: {answered.status}")
        return _answer(trailers, message)


def post_form(to: Address, path: str, form: dict[str, str], client: str = "") -> Answer:
    """A form over HTTP, on a connection of its own. Who is to come back later is told so once, by Retry-After."""
    connection = http.client.HTTPConnection(to.host, to.port)
    connection.sock = connected(to, STRANGER, PATIENCE)
    headers = {"content-type": "application/x-www-form-urlencoded"} | ({"x-forwarded-for": client} if client else {})
    connection.request("POST", path, urllib.parse.urlencode(form), headers)
    answered = connection.getresponse()
    body = answered.read()
    retry_after = answered.getheader("retry-after")
    connection.close()
    if answered.status == 200:
        return Answer(0, body)
    if answered.status == 429:
        seconds = float(retry_after) if retry_after else None
        return Answer(RESOURCE_EXHAUSTED, body, "TOO_MANY_ATTEMPTS", seconds, seconds)
    return Answer(UNAUTHENTICATED, body, "INVALID_CREDENTIALS" if answered.status == 400 else str(answered.status))


def _frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 5 <= len(body):
        end = at + 5 + int.from_bytes(body[at + 1 : at + 5])
        yield body[at], body[at + 5 : end]
        at = end


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            yield name.lower(), value.strip()


def _answer(trailers: dict[str, str], message: bytes) -> Answer:
    written = trailers.get("grpc-status-details-bin", "")
    reason, retry_after = "", None
    for number, entry in wire.fields(base64.b64decode(written + "=" * (-len(written) % 4))):
        # google.rpc.Status: details are google.protobuf.Any.
        if number != 3:
            continue
        detail = dict(wire.fields(entry))
        if detail[1].endswith(b"ErrorInfo"):
            reason = wire.parsed(detail[2])[1].decode()
        elif detail[1].endswith(b"RetryInfo"):
            retry_after = _seconds(dict(wire.fields(detail[2])).get(1, b""))
    pushback = trailers.get("grpc-retry-pushback-ms")
    return Answer(int(trailers["grpc-status"]), message, reason, retry_after, int(pushback) / 1_000 if pushback else None)


def _seconds(duration: bytes) -> float:
    """Of google.protobuf.Duration."""
    numbers = dict(wire.numbers(duration))
    return numbers.get(1, 0) + numbers.get(2, 0) / 1e9
