"""Owns the cases of `clients.json`: when a call is tried again, when a token is renewed, and where one is attached."""

import base64

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

GET = "/stock.v1.StockService/GetItem"
CODES = {"UNAUTHENTICATED": 16, "PERMISSION_DENIED": 7, "UNAVAILABLE": 14}


def packed(message) -> any_pb2.Any:
    """A detail."""
    detail = any_pb2.Any()
    detail.Pack(message)
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


def one(name: str, retry: bool, *messages, code: str = "UNAUTHENTICATED", kind: str = "unary", received: int = 0, attempt: int = 1,
        text: str | None = None) -> dict:
    """A case of `retry`."""
    call = {"method": GET, "audience": "stock", "kind": kind, "messages_received": received}
    refusal = {"code": code, "details": details(code, *messages) if text is None else text}
    return {"name": name, "call": call, "refusal": refusal, "attempt": attempt, "expect": {"retry": retry}}


def retries() -> list[dict]:
    """`retry`."""
    return [
        one("expired", True, info("TOKEN_EXPIRED")),
        one("revoked", True, info("TOKEN_REVOKED")),
        one("revoked again", False, info("TOKEN_REVOKED"), attempt=2),
        one("invalid", False, info("TOKEN_INVALID")),
        one("passed on, of another audience", False, info("TOKEN_EXPIRED", audience="orders")),
        one("passed on, of another method", False, info("TOKEN_EXPIRED", method="/stock.v1.StockService/TakeItem")),
        one("another domain", False, info("TOKEN_EXPIRED", domain="googleapis.com")),
        one("a stream", False, info("TOKEN_EXPIRED"), kind="stream"),
        one("an answer had come", False, info("TOKEN_EXPIRED"), received=1),
        one("no details", False, text=""),
    ]


def renewals() -> list[dict]:
    """`renew`."""
    return [{"lifetime": lifetime, "random": random, "renew_at": round(lifetime * (0.75 + 0.1 * random), 6)}
            for lifetime in (900, 60, 1) for random in (0.0, 0.5, 0.25)]


def attachments() -> list[dict]:
    """`attach`."""
    target = "stock.example:50052"

    def attach(name: str, expect: bool, authority: str = target, *, target: str = target, secure=True, loopback=False, plaintext=False) -> dict:
        return {"name": name, "target": target, "authority": authority, "secure": secure, "peer_is_loopback": loopback,
                "allow_plaintext": plaintext, "expect": "attach" if expect else "refuse"}

    return [
        attach("its own target", True),
        attach("another host", False, "orders.example:50052"),
        attach("plaintext", False, secure=False),
        attach("plaintext that is allowed", True, secure=False, plaintext=True),
        attach("plaintext to loopback", True, "127.0.0.1:50052", target="127.0.0.1:50052", secure=False, loopback=True),
        attach("another host over allowed plaintext", False, "orders.example:50052", secure=False, plaintext=True),
    ]
