"""Measures what the guard costs: `python scripts/bench.py [--rounds N] [--json]`.

Pairs, each in turns, so that a machine that is busy meanwhile slows both. Times are CPU, in microseconds.

- A call of a server whose guard has seen the token before, beside the same server without a guard (at most 1.3 times), for threads and
  asyncio: CPU of the server, which is a process of its own.
- A token that is new, verified by the SDK, beside PyJWT's `decode` with the same checks (at most 1.3 times).
- The bare check of the signature, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import grpc.aio
import jwt

import signet_sdk
import signet_sdk.aio
from signet_sdk import Policy
from signet_sdk.access import Access, Rule
from signet_sdk.testing import TestIssuer

METHOD = "/bench.v1.Bench/Call"
CALLS, TOKENS = 500, 200
POLICY = Policy({METHOD: Access("authenticated", Rule())})


class Handler(grpc.GenericRpcHandler):
    """Answers with nothing."""

    def __init__(self, is_aio: bool) -> None:
        async def aio_answer(_request: Any, _context: Any) -> bytes:
            return b""

        def answer(_request: Any, _context: Any) -> bytes:
            return b""

        self._handler: Any = grpc.unary_unary_rpc_method_handler(aio_answer if is_aio else answer)

    def service(self, handler_call_details: Any) -> Any:
        """The one handler."""
        return self._handler


def cpu(calls: Callable[[], None]) -> float:
    """The CPU that `calls` takes, in microseconds."""
    began = time.process_time()
    calls()
    return (time.process_time() - began) * 1e6


def serve(kind: str, is_guarded: bool) -> None:
    """Serves in a process of its own: tells its port and a token, and for each line that it reads how much CPU it has taken."""
    issuer = TestIssuer()
    verifier = issuer.verifier("stock", follows=True)
    token = issuer.token(audiences=["stock"])

    def told(port: int) -> None:
        print(port, token, flush=True)

    if kind == "threads":
        server = grpc.server(futures.ThreadPoolExecutor(2), [Handler(False)], [signet_sdk.guard(verifier, POLICY)] if is_guarded else [])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        told(port)
        answer()
        return

    async def run() -> None:
        server = grpc.aio.server(None, [Handler(True)], [signet_sdk.aio.guard(verifier, POLICY)] if is_guarded else [])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        told(port)
        await asyncio.to_thread(answer)
        await server.stop(None)

    asyncio.run(run())


def answer() -> None:
    """Tells the CPU that this process has taken, until its input ends."""
    for _ in sys.stdin:
        print(time.process_time() * 1e6, flush=True)


class Served:
    """A server in a process of its own, and a client of it."""

    def __init__(self, kind: str, guard: str) -> None:
        command = [sys.executable, __file__, "--serve", kind, guard]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        port, token = self._line().split()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._call: Any = self._channel.unary_unary(METHOD)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def cpu(self) -> float:
        """The CPU that the server has taken, in microseconds."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        return float(self._line())

    def round(self) -> float:
        """The CPU of the server for some calls, in microseconds."""
        began = self.cpu()
        for _ in range(CALLS):
            self._call(b"", metadata=self._metadata)
        return self.cpu() - began

    def close(self) -> None:
        """Ends it."""
        self._channel.close()
        self._process.communicate()


def median(of: list[float], per: int) -> float:
    """The median of rounds, for each of what a round does."""
    return statistics.median(of) / per


def of_calls(kind: str, rounds: int) -> tuple[float, float]:
    """A server without the guard, and with it."""
    bare, guarded = Served(kind, "bare"), Served(kind, "guarded")
    for served in (bare, guarded):
        served.round()
    told = [(bare.round(), guarded.round()) for _ in range(rounds)]
    bare.close()
    guarded.close()
    return median([one for one, _ in told], CALLS), median([one for _, one in told], CALLS)


def of_tokens(issuer: TestIssuer, rounds: int) -> tuple[float, float, float]:
    """A new token: the signature alone, PyJWT with the same checks, and the SDK."""
    public = next(iter(issuer._keys.values())).public_key()
    options: Any = {"require": ["exp", "iat", "sub", "aud", "iss", "jti", "client_id", "scope"]}
    took: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(rounds):
        tokens = [issuer.token(audiences=["stock"], scopes=["stock:read"]) for _ in range(TOKENS)]
        verifier = issuer.verifier("stock")
        key = next(iter(verifier._keys.keys().values()))
        parts = [(token.rpartition(".")[0].encode(), jwt.utils.base64url_decode(token.rpartition(".")[2])) for token in tokens]

        def signatures(key: Any = key, parts: Any = parts) -> None:
            for message, signature in parts:
                assert key.verifies(message, signature)

        def decode(tokens: list[str] = tokens) -> None:
            for token in tokens:
                assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
                jwt.decode(token, public, ["ES256"], options, issuer=issuer.issuer, audience="stock", leeway=5)

        def verify(tokens: list[str] = tokens, verifier: Any = verifier) -> None:
            for token in tokens:
                verifier.verify(token)

        rounds_of: tuple[Any, ...] = (signatures, decode, verify)
        for kept, what in zip(took, rounds_of, strict=True):
            kept.append(cpu(what))
        verifier.close()
    return median(took[0], TOKENS), median(took[1], TOKENS), median(took[2], TOKENS)


def main() -> None:
    """Measures, and prints a table or one object of JSON."""
    parser = argparse.ArgumentParser(description="Measures what the guard costs.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one object, for programs")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "GUARD"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], asked.serve[1] == "guarded")
        return
    bare, guarded = of_calls("threads", asked.rounds)
    aio_bare, aio_guarded = of_calls("aio", asked.rounds)
    signature, library, sdk = of_tokens(TestIssuer(), asked.rounds)
    told = {
        "call_bare_us": bare,
        "call_cached_us": guarded,
        "call_ratio": guarded / bare,
        "aio_call_bare_us": aio_bare,
        "aio_call_cached_us": aio_guarded,
        "aio_call_ratio": aio_guarded / aio_bare,
        "new_token_signature_us": signature,
        "new_token_library_us": library,
        "new_token_us": sdk,
        "new_token_ratio": sdk / library,
    }
    if asked.json:
        print(json.dumps({name: round(value, 3) for name, value in told.items()}))
        return
    for name, value in told.items():
        print(f"{name:24} {value:10.2f}")


if __name__ == "__main__":
    main()
