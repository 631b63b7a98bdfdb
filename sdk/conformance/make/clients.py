"""Owns the cases of `clients.json`: when a call is tried again, when a token is renewed, and where one is attached."""

import base64

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

GET = "/stock.v1.StockService/GetItem"
CODES = {"UNAUTHENTICATED": 16, "PERMISSION_DENIED": 7, "UNAVAILABLE": 14, "UNKNOWN": 2, "CANCELLED": 1, "DEADLINE_EXCEEDED": 4}


def packed(message) -> any_pb2.Any:
    """A detail."""
    detail = any_pb2.Any()
    detail.Pack(message, deterministic=True)
    return detail


def info(reason: str, domain: str = "identity.v1", **metadata) -> error_details_pb2.ErrorInfo:
    """An ErrorInfo, of the audience and the method of the call unless told otherwise; what is None is left out."""
    metadata = {"audience": "stock", "method": GET, **metadata}
    told = {name: value for name, value in metadata.items() if value is not None}
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=told)


def details(code: str, *messages) -> str:
    """A google.rpc.Status in base64."""
    status = status_pb2.Status(code=CODES[code], message="refused", details=[packed(message) for message in messages])
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode()


def one(
    name: str,
    retry: bool,
    *messages,
    code: str = "UNAUTHENTICATED",
    kind: str = "unary",
    received: int = 0,
    attempt: int = 1,
    text: str | None = None,
) -> dict:
    """A case of `retry`."""
    call = {"method": GET, "audience": "stock", "kind": kind, "messages_received": received}
    refusal = {"code": code, "details": details(code, *messages) if text is None else text}
    return {"name": name, "call": call, "refusal": refusal, "attempt": attempt, "expect": {"retry": retry}}


def _any(type_url: str, value: bytes) -> any_pb2.Any:
    return any_pb2.Any(type_url=type_url, value=value)


def _of_any(*packed_details: any_pb2.Any) -> str:
    status = status_pb2.Status(code=CODES["UNAUTHENTICATED"], message="refused", details=packed_details)
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode()


def _retried() -> list[dict]:
    retry, request = error_details_pb2.RetryInfo(), error_details_pb2.RequestInfo(request_id="r")
    retry.retry_delay.seconds = 1
    return [
        one("expired", True, info("TOKEN_EXPIRED")),
        one("revoked", True, info("TOKEN_REVOKED")),
        one("expired, among other details", True, request, info("TOKEN_EXPIRED"), retry),
        one("revoked, with more metadata", True, info("TOKEN_REVOKED", more="x")),
        one(
            "expired, behind details that nobody knows",
            True,
            text=_of_any(_any("type.example/x.Y", b"\xff"), packed(info("TOKEN_EXPIRED"))),
        ),
    ]


def _not_retried() -> list[dict]:
    expired = info("TOKEN_EXPIRED")
    reasons = [
        "TOKEN_INVALID",
        "TOKEN_MISSING",
        "INSUFFICIENT_SCOPE",
        "INVALID_CLIENT",
        "REFRESH_TOKEN_REUSED",
        "UNAVAILABLE",
        "",
        "token_expired",
        "ERROR_REASON_TOKEN_EXPIRED",
        "TOKEN_EXPIRED ",
        "TOKEN_EXPIRED_TOO",
    ]
    audiences = ["orders", "", "Stock", "stock ", "stock,orders", "stoc", "stocks", None]
    methods = [
        "/stock.v1.StockService/TakeItem",
        "/orders.v1.OrderService/GetItem",
        "stock.v1.StockService/GetItem",
        "/stock.v1.StockService/getItem",
        "",
        "/stock.v1.StockService/GetItem/",
        "/stock.v1.StockService",
        None,
    ]
    domains = ["", "identity.v2", "identity.v1.", "Identity.v1", "googleapis.com", "stock.v1"]
    answered = [
        one(f"expired, and {received} message(s) had come, {kind}", False, expired, kind=kind, received=received)
        for kind, received in [("unary", 1), ("stream", 0), ("stream", 1), ("stream", 100)]
    ]
    return [
        *(one(f"reason {reason!r}", False, info(reason)) for reason in reasons),
        *(one(f"passed on: audience {audience!r}", False, info("TOKEN_EXPIRED", audience=audience)) for audience in audiences),
        *(one(f"passed on: method {method!r}", False, info("TOKEN_REVOKED", method=method)) for method in methods),
        one(
            "passed on: another audience and method",
            False,
            info("TOKEN_EXPIRED", audience="orders", method="/orders.v1.OrderService/Place"),
        ),
        one("passed on: neither audience nor method", False, info("TOKEN_EXPIRED", audience=None, method=None)),
        *(one(f"domain {domain!r}", False, info("TOKEN_EXPIRED", domain=domain)) for domain in domains),
        *answered,
        one("expired, at the second attempt", False, expired, attempt=2),
        one("revoked, at the second attempt", False, info("TOKEN_REVOKED"), attempt=2),
        one("expired, at the third attempt", False, expired, attempt=3),
        *(one(f"expired, with the code {code}", False, expired, code=code) for code in CODES if code != "UNAUTHENTICATED"),
        one("no details", False, text=""),
        one("a status without details", False),
        one("details that are no status", False, text=base64.b64encode(b"\xff\xff\xff\xff").decode()),
        one("other details alone", False, error_details_pb2.RequestInfo(request_id="TOKEN_EXPIRED")),
        one("an ErrorInfo that is broken", False, text=_of_any(_any("type.googleapis.com/google.rpc.ErrorInfo", b"\xff\xff"))),
        one(
            "an ErrorInfo under another name",
            False,
            text=_of_any(_any("type.googleapis.com/x.ErrorInfo", expired.SerializeToString(deterministic=True))),
        ),
        one("an ErrorInfo that is empty", False, error_details_pb2.ErrorInfo()),
    ]


def retries() -> list[dict]:
    """`retry`."""
    return [*_retried(), *_not_retried()]


def renewals() -> list[dict]:
    """`renew`."""
    return [
        {
            "name": f"{lifetime} seconds, random {random}",
            "lifetime": lifetime,
            "random": random,
            "renew_at": round(lifetime * (0.75 + 0.1 * random), 6),
        }
        for lifetime in (900, 86_400, 60, 10, 1)
        for random in (0.0, 0.25, 0.5, 0.75, 0.999)
    ]


def attachments() -> list[dict]:
    """`attach`."""

    def attach(
        name: str,
        expect: bool,
        authority: str | None = None,
        target: str = "stock.example:50052",
        secure=True,
        loopback=False,
        plaintext=False,
    ) -> dict:
        return {
            "name": name,
            "target": target,
            "authority": authority or target,
            "secure": secure,
            "peer_is_loopback": loopback,
            "allow_plaintext": plaintext,
            "expect": "attach" if expect else "refuse",
        }

    others = [
        "orders.example:50052",
        "stock.example:50053",
        "stock.example.attacker.example:50052",
        "attacker.example:50052",
        "xstock.example:50052",
        "api.stock.example:50052",
        "stock.example:5005",
        "example:50052",
        "stock.example:50052:50052",
        "stock.example@attacker.example:50052",
        "127.0.0.1:50052",
    ]
    local = ["127.0.0.1:50052", "[::1]:50052", "localhost:50052", "127.0.0.2:50052"]
    return [
        attach("over TLS", True),
        attach("over TLS, to loopback", True, loopback=True),
        attach("over TLS, with plaintext allowed", True, plaintext=True),
        *(attach(f"over TLS, to {authority}", False, authority) for authority in others),
        *(attach(f"in allowed plaintext, to {authority}", False, authority, secure=False, plaintext=True) for authority in others[:3]),
        attach("in plaintext, from loopback to another", False, "127.0.0.1:50053", "127.0.0.1:50052", secure=False, loopback=True),
        attach("in plaintext", False, secure=False),
        attach("in plaintext that is allowed", True, secure=False, plaintext=True),
        attach("in plaintext, where the name leads to loopback", False, secure=False, loopback=True),
        attach("in plaintext that is allowed, where the name leads to loopback", True, secure=False, loopback=True, plaintext=True),
        *(attach(f"in plaintext, to loopback {target}", True, target=target, secure=False, loopback=True) for target in local),
        attach("in plaintext, to loopback, and allowed", True, target=local[0], secure=False, loopback=True, plaintext=True),
        attach("in plaintext, where localhost leads elsewhere", False, target="localhost:50052", secure=False),
        attach("in plaintext, to an address of a private network", False, target="10.0.0.7:50052", secure=False),
        attach("in plaintext, to all addresses", False, target="0.0.0.0:50052", secure=False),
        attach("in plaintext, to a name that looks like loopback", False, target="127.0.0.1.attacker.example:50052", secure=False),
    ]
