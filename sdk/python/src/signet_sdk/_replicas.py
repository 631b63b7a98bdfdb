"""Owns asking Signet by gRPC at one of several addresses, and the channels to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import grpc

from ._addresses import open_channel, transport
from .refusal import refusal_of, unavailable

Answer = TypeVar("Answer")


class Replicas:
    """Signet at the first of its addresses that answers. One that has failed is tried last the next time. Safe for threads."""

    def __init__(self, addresses: Sequence[str], credentials: grpc.ChannelCredentials | None, allow_plaintext: str | None) -> None:
        for address in addresses:
            transport(address, credentials, allow_plaintext)
        self._addresses = list(addresses)
        self._credentials, self._allow_plaintext = credentials, allow_plaintext
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def ask(self, call: Callable[[grpc.Channel], Answer]) -> Answer:
        """What `call` answers, which asks over the channel that it is given: at the next address, if one is away.

        Raises:
            grpc.RpcError: The refusal of an address that answered, or what was wrong with the last one.
        """
        with self._lock:
            addresses = list(self._addresses)
        failure: grpc.RpcError = unavailable("there is no address of Signet")
        for address in addresses:
            channel = self._channel(address)
            try:
                return call(channel)
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                if refusal is not None and refusal.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                failure = error
                self._give_up(address, channel)
            except ValueError:
                # Another thread has found the address away, and closed its channel.
                failure = unavailable("the channel was closed meanwhile")
        raise failure

    def close(self) -> None:
        """Closes the channels. Whoever asks later is refused."""
        with self._lock:
            self._is_closed = True
            channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            if self._is_closed:
                raise unavailable("it is closed")
            channel = self._channels.get(address)
            if channel is None:
                channel = open_channel(address, self._credentials, self._allow_plaintext)
                self._channels[address] = channel
            return channel

    def _give_up(self, address: str, channel: grpc.Channel) -> None:
        with self._lock:
            if self._channels.get(address) is not channel:
                return
            self._addresses.remove(address)
            self._addresses.append(address)
            del self._channels[address]
        # A new one connects at once, and does not wait for as long as this one has failed.
        channel.close()
