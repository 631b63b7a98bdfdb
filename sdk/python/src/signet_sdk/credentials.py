"""Owns the call credentials of `grpc`: a token for each call over a channel of the application's own, to the targets that it is for."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import grpc

from ._addresses import authority_of, is_loopback
from ._retry import WrongTargetError
from .token_source import TokenSource


def call_credentials(source: TokenSource, targets: Sequence[str]) -> grpc.CallCredentials:
    """Call credentials with the tokens of `source`, for calls to `targets` (`host:port`) alone; others fail, and no token leaves.

    For `grpc` and `grpc.aio` alike: `grpc.composite_channel_credentials(tls, call_credentials(source, ["stock.example:443"]))`. gRPC itself
    takes them over TLS, and over `grpc.local_channel_credentials()`, which connects to this machine alone; never over an insecure channel.
    The retry of a refused call comes with :func:`signet_sdk.channel`, or by :func:`signet_sdk.retry_interceptor`.
    """
    return grpc.metadata_call_credentials(_Plugin(source, targets), "signet")


class _Plugin(grpc.AuthMetadataPlugin):
    def __init__(self, source: TokenSource, targets: Sequence[str]) -> None:
        self._source, self._authorities = source, frozenset(authority_of(target) for target in targets)

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        # `https://host:port/package.Service`; the scheme is empty over local credentials.
        url = urlsplit(context.service_url.removeprefix(":"))
        authority = url.netloc
        is_plain = url.scheme != "https"
        # In plaintext, a name that merely leads to this machine may lead elsewhere the next time.
        if authority_of(authority) not in self._authorities or (is_plain and not is_loopback(authority)):
            callback((), WrongTargetError(authority))
            return
        try:
            token = self._source.token()
        except Exception as error:
            callback((), error)
            return
        callback((("authorization", f"Bearer {token}"),), None)
