"""Owns where a token or a secret may go: which targets are loopback, and by which credentials a channel reaches them."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Sequence

import grpc

_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "passthrough")
_LOCAL_POOL = ("grpc.use_local_subchannel_pool", 1)
"""A channel of its own tries at once, and does not wait for how long another one has failed."""


class PlaintextError(ValueError):
    """A token would leave in plaintext, to somewhere else than this machine, and nobody has said that it may."""


def authority_of(target: str) -> str:
    """The authority that a channel to `target` calls, in lower case: `host:port` without the scheme of a resolver, and without `:443`."""
    scheme, colon, rest = target.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return "localhost"
    if colon and scheme in _SCHEMES:
        target = rest.rpartition("/")[2] if rest.startswith("//") else rest.lstrip("/")
    return urllib.parse.unquote(target).lower().removesuffix(":443")


def is_loopback(target: str) -> bool:
    """Whether `target` names a loopback address, `localhost` or a socket of this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    authority = authority_of(target)
    host = authority.rpartition(":")[0] if authority.count(":") == 1 or authority.startswith("[") else authority
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_attach(targets: Sequence[str], authority: str, *, secure: bool, peer_is_loopback: bool, allow_plaintext: str | None) -> bool:
    """Whether a token that is made for `targets` may go with a call to `authority`."""
    if authority_of(authority) not in {authority_of(target) for target in targets}:
        return False
    # A name that merely leads to this machine may lead elsewhere the next time.
    return secure or bool(allow_plaintext) or (is_loopback(authority) and peer_is_loopback)


def transport(target: str, credentials: grpc.ChannelCredentials | None, allow_plaintext: str | None) -> grpc.ChannelCredentials | None:
    """By what a channel to `target` is secured; `None`: by nothing, since `allow_plaintext` says why that is good.

    Without credentials and without a reason the channel has local ones: gRPC itself then connects to addresses of this machine alone.

    Raises:
        PlaintextError: The target is elsewhere, and there is no reason.
    """
    if credentials is not None:
        return credentials
    if allow_plaintext is not None:
        if not allow_plaintext.strip():
            raise PlaintextError("allow_plaintext takes the reason, such as 'the sidecar encrypts'")
        return None
    if not is_loopback(target):
        raise PlaintextError(f"a token would go to {target} in plaintext: give TLS credentials, or allow_plaintext with a reason")
    kind = grpc.LocalConnectionType.UDS if target.startswith("unix") else grpc.LocalConnectionType.LOCAL_TCP
    return grpc.local_channel_credentials(kind)


def direct(credentials: grpc.ChannelCredentials | None, allow_plaintext: str | None) -> list[tuple[str, int]]:
    """Options of a channel as :func:`transport` secures it: over local credentials it goes by no HTTP proxy.

    A proxy on this machine would pass for the target, and may hand on to anywhere what it gets in plaintext.
    """
    return [("grpc.enable_http_proxy", 0)] if credentials is None and allow_plaintext is None else []


def open_channel(target: str, credentials: grpc.ChannelCredentials | None, allow_plaintext: str | None) -> grpc.Channel:
    """A channel to Signet itself, which gets secrets.

    Raises:
        PlaintextError: As :func:`transport`.
    """
    secured = transport(target, credentials, allow_plaintext)
    options = [_LOCAL_POOL, ("grpc.keepalive_time_ms", 60_000), *direct(credentials, allow_plaintext)]
    if secured is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, secured, options)
