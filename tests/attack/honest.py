"""Owns the honest callers: what they call while a flood goes on, and how many of their calls succeed in time."""

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import wire
from loopback import HONEST, Address, connected
from server import PATIENCE

_GET_ME = "/identity.v1.IdentityService/GetMe"
_GET_JWKS = "/identity.v1.TokenService/GetJwks"
_ISSUE_TOKEN = "/identity.v1.IdentityService/IssueToken"
_SIGN_UP = "/identity.v1.IdentityService/SignUp"
_CHECK = "/envoy.service.auth.v3.Authorization/Check"
_HEALTH = "/grpc.health.v1.Health/Check"

_SERVING = wire.field(1, 1)
_OK_RESPONSE = 3


class Refused(Exception):
    """The server answered, with something else than what was asked for."""


class Gone(Exception):
    """The connection ended before an answer."""


# ===== one caller's connection =====


class GrpcCaller:
    """Unary calls over one connection, as a gRPC client makes them: one that was closed meanwhile is replaced without a word."""

    def __init__(self, address: Address, tls: bool, source: str = HONEST) -> None:
        self._address, self._tls, self._source = address, tls, source
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None

    def call(self, path: str, payload: bytes, seconds: float, *metadata: tuple[str, str]) -> bytes:
        ends = time.monotonic() + seconds
        kept = self._socket is not None
        try:
            return self._exchange(path, payload, ends, metadata)
        except (Gone, ConnectionError):
            self.close()
            # Nothing of this call was worked on if the connection had ended before it.
            if not kept:
                raise
        except BaseException:
            self.close()
            raise
        return self._exchange(path, payload, ends, metadata)

    def _exchange(self, path: str, payload: bytes, ends: float, metadata: tuple[tuple[str, str], ...]) -> bytes:
        if self._socket is None:
            self._socket = connected(self._address, self._source, _left(ends), self._tls)
            self._frames, self._stream = wire.FrameReader(), -1
            self._socket.sendall(wire.PREFACE + wire.settings(window=1 << 20) + wire.window_update(0, 1 << 30))
        self._stream += 2
        head = wire.frame(wire.HEADERS, wire.END_HEADERS, self._stream, wire.literal(wire.grpc_request(path, *metadata)))
        self._socket.sendall(head + wire.frame(wire.DATA, wire.END_STREAM, self._stream, wire.message(payload)))
        answer = bytearray()
        while True:
            self._socket.settimeout(_left(ends))
            data = self._socket.recv(65536)
            if not data:
                raise Gone
            for kind, flags, stream, body in self._frames.feed(data):
                if kind == wire.SETTINGS and not flags & wire.ACK:
                    self._socket.sendall(wire.frame(wire.SETTINGS, wire.ACK, 0))
                elif kind == wire.PING and not flags & wire.ACK:
                    self._socket.sendall(wire.frame(wire.PING, wire.ACK, 0, body))
                elif kind == wire.GOAWAY and int.from_bytes(body[:4]) < self._stream:
                    raise Gone
                elif stream != self._stream:
                    continue
                elif kind == wire.RST_STREAM:
                    raise Refused
                elif kind == wire.DATA:
                    answer += body
                if kind in (wire.DATA, wire.HEADERS) and flags & wire.END_STREAM:
                    if not answer:
                        raise Refused
                    return bytes(answer[5:])


class HttpCaller:
    def __init__(self, address: Address, tls: bool, source: str = HONEST) -> None:
        self._address, self._tls, self._source = address, tls, source
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def call(self, method: str, path: str, body: str, headers: dict[str, str], seconds: float) -> bytes:
        ends = time.monotonic() + seconds
        kept = self._connection is not None
        try:
            return self._exchange(method, path, body, headers, ends)
        except ConnectionError:
            self.close()
            if not kept:
                raise
        except BaseException:
            self.close()
            raise
        return self._exchange(method, path, body, headers, ends)

    def _exchange(self, method: str, path: str, body: str, headers: dict[str, str], ends: float) -> bytes:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address.host, self._address.port)
            self._connection.sock = connected(self._address, self._source, _left(ends), self._tls)
            # Else it would open another one, from another address, when this one has ended.
            self._connection.auto_open = 0
        self._connection.sock.settimeout(_left(ends))
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (http.client.NotConnected, http.client.HTTPException) as error:
            raise ConnectionError from error
        if answer.will_close:
            self.close()
        if answer.status != 200:
            raise Refused
        return content


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


# ===== the kinds of calls =====


@dataclass(frozen=True)
class Account:
    """What the honest callers have: a user, and a client."""

    username: str
    password: str
    token: str
    client_id: str
    client_secret: str
    # The address that they come from.
    source: str = HONEST


@dataclass(frozen=True)
class Kind:
    name: str
    # Within this time a call must succeed, in seconds.
    limit: float
    # Each makes a call every half second, or every second if it is a login.
    callers: int
    # Whether it is promised even while a flood comes from many addresses.
    is_reserved: bool
    protocol: type[GrpcCaller] | type[HttpCaller]
    address: str
    call: Callable[..., None]


def _expect(holds: bool) -> None:
    if not holds:
        raise Refused


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def check_request(token: str, *headers: tuple[str, str]) -> bytes:
    """What Envoy asks about a request that has `token`."""
    pairs = (bearer(token), *headers)
    entries = b"".join(wire.field(3, wire.field(1, name) + wire.field(2, value)) for name, value in pairs)
    return wire.field(1, wire.field(4, wire.field(2, entries)))


def password_grant(username: str, password: str) -> bytes:
    return wire.field(1, wire.field(1, username) + wire.field(2, password))


def _get_me(caller: GrpcCaller, account: Account, seconds: float) -> None:
    _expect(account.username.encode() in caller.call(_GET_ME, b"", seconds, bearer(account.token)))


def _get_jwks(caller: GrpcCaller, account: Account, seconds: float) -> None:
    _expect(b"ES256" in caller.call(_GET_JWKS, b"", seconds))


def _check(caller: GrpcCaller, account: Account, seconds: float) -> None:
    _expect(_OK_RESPONSE in wire.parsed(caller.call(_CHECK, check_request(account.token), seconds)))


def _health(caller: GrpcCaller, account: Account, seconds: float) -> None:
    _expect(caller.call(_HEALTH, b"", seconds) == _SERVING)


def _token_endpoint(caller: HttpCaller, account: Account, seconds: float) -> None:
    proof = base64.b64encode(f"{account.client_id}:{account.client_secret}".encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {proof}"}
    answer = caller.call("POST", "/oauth2/token", "grant_type=client_credentials", headers, seconds)
    _expect("access_token" in json.loads(answer))


def _login(caller: GrpcCaller, account: Account, seconds: float) -> None:
    _expect(b"Bearer" in caller.call(_ISSUE_TOKEN, password_grant(account.username, account.password), seconds))


def _probe(caller: HttpCaller, account: Account, seconds: float) -> None:
    caller.call("GET", "/livez", "", {}, seconds)


KINDS = (
    Kind("GetMe", 1.0, 5, True, GrpcCaller, "grpc", _get_me),
    Kind("GetJwks", 1.0, 5, False, GrpcCaller, "grpc", _get_jwks),
    Kind("Check", 1.0, 5, True, GrpcCaller, "authz", _check),
    Kind("Health", 1.0, 2, True, GrpcCaller, "grpc", _health),
    Kind("token endpoint", 1.0, 5, False, HttpCaller, "http", _token_endpoint),
    Kind("login", 3.0, 2, False, GrpcCaller, "grpc", _login),
    Kind("/livez", 1.0, 2, True, HttpCaller, "operations", _probe),
)


def open_account(
    addresses: dict[str, Address],
    username: str,
    client: tuple[str, str],
    tls: frozenset[str],
    source: str = HONEST,
) -> Account:
    """Signs a user up and logs in, before there is any flood; again, if the machine is too busy for that."""
    caller, password = GrpcCaller(addresses["grpc"], "grpc" in tls, source), "correct horse battery"
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            caller.call(_SIGN_UP, wire.field(1, username) + wire.field(2, password), PATIENCE)
        except Refused:
            # Too busy, or the answer to the last attempt was lost.
            pass
        try:
            granted = wire.parsed(caller.call(_ISSUE_TOKEN, password_grant(username, password), PATIENCE))
        except Refused:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)
        else:
            caller.close()
            return Account(username, password, granted[1].decode(), *client, source)


# ===== all of them at once =====


@dataclass
class Seen:
    """What the callers of one kind saw."""

    in_time: int = 0
    refused: int = 0
    late: int = 0
    cut: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.in_time + self.refused + self.late + self.cut

    def holds(self) -> bool:
        """At least 99 of 100."""
        return self.calls > 0 and self.in_time * 100 >= self.calls * 99

    def percentile(self, percent: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def call_for(seconds: float, addresses: dict[str, Address], account: Account, tls: frozenset[str]) -> dict[str, Seen]:
    """Has all of them call for so long; every second call of each is on a new connection."""
    seen = {kind.name: Seen() for kind in KINDS}
    lock, ends = threading.Lock(), time.monotonic() + seconds
    callers = [
        threading.Thread(
            target=_keep_calling,
            args=(kind, addresses[kind.address], kind.address in tls, account, ends, share, seen[kind.name], lock),
        )
        for kind in KINDS
        for share in (number / kind.callers for number in range(kind.callers))
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return seen


def _keep_calling(
    kind: Kind,
    address: Address,
    tls: bool,
    account: Account,
    ends: float,
    share: float,
    seen: Seen,
    lock: threading.Lock,
) -> None:
    pause = kind.limit / kind.callers if kind.name == "login" else 0.5
    due, number = time.monotonic() + share * pause, 0
    caller = kind.protocol(address, tls, account.source)
    while due < ends:
        time.sleep(max(0.0, due - time.monotonic()))
        if number % 2 == 0:
            caller.close()
        number += 1
        began, outcome = time.monotonic(), "in_time"
        try:
            kind.call(caller, account, kind.limit)
        except Refused:
            outcome = "refused"
        except TimeoutError:
            outcome = "late"
        except (OSError, Gone):
            outcome = "cut"
        took = time.monotonic() - began
        with lock:
            setattr(seen, outcome, getattr(seen, outcome) + 1)
            seen.latencies.append(took)
        due = max(due + pause, time.monotonic())
    caller.close()
