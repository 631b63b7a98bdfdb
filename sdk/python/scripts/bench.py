"""Owns measuring what the guard costs: `python scripts/bench.py [--rounds N] [--json]`.

Pairs, each in turns and in alternating order, so that a machine that is busy meanwhile slows both. Times are CPU (user and system), in
microseconds; a ratio is that of one round, and its median, least and most are told.

- call_us: a call of a server with threads without the guard, and with it and a token that it has seen before (at most 1.3 times): CPU of
  the server, which is a process of its own, over a loopback connection. aio_call_us: the same in asyncio.
- token_us: a token that is new, verified by the SDK, beside PyJWT's `decode` with the same checks (at most 1.3 times), and the bare check
  of the signature. One thread.
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


def cpu(calls: Callable[[], object]) -> float:
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


def spread(ratios: list[float]) -> dict[str, float]:
    """The median, the least and the most of the rounds."""
    return {"median": round(statistics.median(ratios), 3), "min": round(min(ratios), 3), "max": round(max(ratios), 3)}


def in_turns(rounds: int, measured: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each of `measured` took in each round; every other round begins with the last of them."""
    took: dict[str, list[float]] = {name: [] for name in measured}
    for at in range(rounds):
        for name in list(measured)[:: -1 if at % 2 else 1]:
            took[name].append(measured[name]())
    return took


def of_calls(kind: str, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """A server without the guard, and with it: microseconds a call, and the ratio."""
    bare, guarded = Served(kind, "bare"), Served(kind, "guarded")
    for served in (bare, guarded):
        served.round()
    took = in_turns(rounds, {"unguarded": bare.round, "seen": guarded.round})
    bare.close()
    guarded.close()
    ratios = [seen / without for without, seen in zip(took["unguarded"], took["seen"], strict=True)]
    return {name: round(statistics.median(of) / CALLS, 2) for name, of in took.items()}, spread(ratios)


def of_tokens(issuer: TestIssuer, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """A new token by the SDK, by PyJWT with the same checks, and its signature alone: microseconds a token, and a ratio."""
    public = next(iter(issuer._keys.values())).public_key()
    options: Any = {"require": ["exp", "iat", "sub", "aud", "iss", "jti", "client_id", "scope"]}
    verifier = issuer.verifier("stock", cache_size=1)
    kid, key = next(iter(verifier._keys.keys().items()))
    library_keys = {kid: public}

    def new() -> list[str]:
        return [issuer.token(audiences=["stock"], scopes=["stock:read"]) for _ in range(TOKENS)]

    def sdk() -> float:
        tokens = new()
        return cpu(lambda: [verifier.verify(token) for token in tokens])

    def library() -> float:
        tokens = new()

        def decode() -> None:
            for token in tokens:
                header = jwt.get_unverified_header(token)
                assert header["typ"] == "at+jwt"
                jwt.decode(token, library_keys[header["kid"]], ["ES256"], options, issuer=issuer.issuer, audience="stock", leeway=5)

        return cpu(decode)

    def signature() -> float:
        parts = [(token.rpartition(".")[0].encode(), jwt.utils.base64url_decode(token.rpartition(".")[2])) for token in new()]

        def check() -> None:
            for message, signed in parts:
                assert key.verifies(message, signed)

        return cpu(check)

    took = in_turns(rounds, {"new": sdk, "library": library, "signature": signature})
    verifier.close()
    ratios = [new / library for new, library in zip(took["new"], took["library"], strict=True)]
    return {name: round(statistics.median(of) / TOKENS, 2) for name, of in took.items()}, spread(ratios)


def main() -> None:
    """Measures, and prints a table or one object of JSON."""
    parser = argparse.ArgumentParser(description="Measures what the guard costs.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one object, for programs")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "GUARD"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], asked.serve[1] == "guarded")
        return
    told: dict[str, Any] = {"language": "python", "rounds": asked.rounds}
    told["call_us"], told["ratio_seen"] = of_calls("threads", asked.rounds)
    told["token_us"], told["ratio_new"] = of_tokens(TestIssuer(), asked.rounds)
    told["aio_call_us"], told["aio_ratio_seen"] = of_calls("aio", asked.rounds)
    if asked.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
