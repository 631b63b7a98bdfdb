"""Owns the hooks by which an application counts what happens: for metrics, never for decisions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

RevocationsState = Literal["connecting", "complete", "down"]
"""How it stands with the stream of revocations: `complete` once all is known that was revoked."""

_LOG = logging.getLogger("signet_sdk")


class Hooks:
    """What an application wants to be told. Override what you count; each is called on the thread of the event, and must be quick.

    What a hook raises is logged, and goes no further.
    """

    def verified(self, reason: str, cached: bool) -> None:
        """A call was judged: `reason` is `OK` or that of the refusal. `cached`: the token had been seen before."""

    def keys_fetched(self, ok: bool) -> None:
        """The keys of the issuer were asked for."""

    def revocations(self, state: RevocationsState) -> None:
        """The stream of revocations has changed its state."""

    def stream_ended(self, reason: str) -> None:
        """The guard has ended an open stream: `TOKEN_EXPIRED`, `TOKEN_REVOKED` or `UNAVAILABLE`."""

    def token_renewed(self, ok: bool) -> None:
        """A token was asked for, by the client half."""

    def call_retried(self) -> None:
        """A call was sent again with a new token, by the client half."""


def tell(hook: Callable[..., None], *told: Any) -> None:
    """Calls `hook`; what it raises is logged."""
    try:
        hook(*told)
    except Exception:
        _LOG.exception("a hook has failed")
