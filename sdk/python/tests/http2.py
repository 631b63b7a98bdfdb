"""Owns a client of gRPC that reads no answer until it is told to: its HTTP/2 window stays shut."""

from __future__ import annotations

import socket
import struct

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes, Settings

ROOM = 20
"""For how many bytes its window is open: one short message, and a part of the next one."""


class Unreading:
    """One call, of which the client sends what it likes and reads nothing."""

    def __init__(self, address: str, path: str, token: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.local_settings = Settings(initial_values={SettingCodes.INITIAL_WINDOW_SIZE: ROOM})
        self._http.initiate_connection()
        self._stream = self._http.get_next_available_stream_id()
        self._http.send_headers(
            self._stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", address),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("authorization", f"Bearer {token}"),
            ],
        )
        self._flush()

    def send(self, message: bytes) -> None:
        """Sends one message."""
        self._http.send_data(self._stream, struct.pack(">BI", 0, len(message)) + message)
        self._flush()

    def fill(self) -> None:
        """Waits until the server has sent what there is room for, and can go no further."""
        got = 0
        while got < ROOM:
            got += sum(len(event.data) for event in self._received() if isinstance(event, h2.events.DataReceived))

    def open_window(self) -> None:
        """Lets the server send from now on."""
        self._http.increment_flow_control_window(1_000_000, self._stream)
        self._flush()

    def trailers(self) -> dict[str, str]:
        """Reads until the stream has ended, and answers with what; nothing, if it was reset."""
        while True:
            for event in self._received():
                # A stream without a message has its trailers in its headers.
                if isinstance(event, h2.events.TrailersReceived | h2.events.ResponseReceived):
                    headers = {str(name): str(value) for name, value in event.headers}
                    if "grpc-status" in headers:
                        return headers
                if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return {}

    def close(self) -> None:
        """Goes."""
        self._socket.close()

    def _received(self) -> list[h2.events.Event]:
        events = self._http.receive_data(self._socket.recv(65_536))
        self._flush()
        return events

    def _flush(self) -> None:
        self._socket.sendall(self._http.data_to_send())
