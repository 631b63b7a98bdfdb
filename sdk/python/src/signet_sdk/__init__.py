"""Protects services of gRPC and HTTP with Signet's access tokens, and gets such tokens for their clients.

Server half: a :class:`Verifier` of one issuer for one audience, a :class:`Policy` that reads who may call which RPC from its proto, and
:func:`guard` (for `grpc.aio`: :func:`signet_sdk.aio.guard`), which puts both before a server. Handlers ask :func:`current_caller`.

Client half: a :class:`TokenSource` for one audience, and :func:`channel` (for `grpc.aio`: :func:`signet_sdk.aio.channel`), which attaches
its tokens.

Tests of a service: :class:`signet_sdk.testing.TestIssuer`. HTTP: :mod:`signet_sdk.asgi`.
"""

from ._addresses import PlaintextError
from ._channel import channel, retry_interceptor
from ._guard import guard
from .access import Access, CallerKind, Rule
from .caller import Caller, caller_or_none, current_caller
from .clock import Clock, SystemClock
from .credentials import call_credentials
from .grants import Certificate, ClientCredentials, PublicClient, RefreshToken, Secret, SigningKey
from .hooks import Hooks
from .introspection import Introspection
from .policy import Policy, PolicyError, proto_path
from .refusal import Refusal, refusal_of
from .revocations import Revocations
from .token_source import TokenSource
from .verifier import Verifier

__all__ = [
    "Access",
    "Caller",
    "CallerKind",
    "Certificate",
    "ClientCredentials",
    "Clock",
    "Hooks",
    "Introspection",
    "PlaintextError",
    "Policy",
    "PolicyError",
    "PublicClient",
    "RefreshToken",
    "Refusal",
    "Revocations",
    "Rule",
    "Secret",
    "SigningKey",
    "SystemClock",
    "TokenSource",
    "Verifier",
    "call_credentials",
    "caller_or_none",
    "channel",
    "current_caller",
    "guard",
    "proto_path",
    "refusal_of",
    "retry_interceptor",
]
