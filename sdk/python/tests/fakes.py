"""Owns what stands for a server of gRPC where a test calls the guards directly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc

from signet_sdk import Refusal
from signet_sdk._retry import encoded_status
from signet_sdk.refusal import refusal_in


def eventually(fact: Callable[[], bool]) -> bool:
    """Waits until `fact` holds, for ten seconds at most."""
    never = threading.Event()
    for _ in range(2_000):
        if fact():
            return True
        never.wait(0.005)
    return fact()


class AbortedError(Exception):
    """What `abort` raises."""


class FakeContext:
    """The context of a call, for both APIs' own ways."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.trailers: Any = ()
        self.ended = threading.Event()
        self.written: list[Any] = []

    def time_remaining(self) -> float | None:
        return None

    def set_trailing_metadata(self, trailers: Any) -> None:
        self.trailers = trailers

    def is_active(self) -> bool:
        return not self.ended.is_set()

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.refusal = refusal_in(code, details, encoded_status(self.trailers))
        self.ended.set()
        raise AbortedError


class FakeAioContext(FakeContext):
    async def abort(self, code: grpc.StatusCode, details: str, trailers: Any) -> None:  # type: ignore[override]
        self.refusal = refusal_in(code, details, encoded_status(trailers))
        self.ended.set()
        raise AbortedError

    async def write(self, message: Any) -> None:
        self.written.append(message)
        await asyncio.sleep(0)
