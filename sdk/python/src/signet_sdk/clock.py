"""Owns time: what the clock says, and waiting until it says something else. Nothing else in this package asks the system."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Tests have one that is turned by hand: :class:`signet_sdk.testing.ManualClock`."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z. It may jump when the system's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment. It never goes back."""
        ...

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Waits until `condition` is notified or `seconds` have passed (`None`: without an end), and may return earlier.

        The caller holds the lock of `condition`, and looks again afterwards what it waited for.
        """
        ...


class SystemClock:
    """The clock of the system."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Waits for `condition`, for at most `seconds`."""
        condition.wait(seconds)
