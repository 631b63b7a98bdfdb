"""Owns the bytes of HTTP/2 (RFC 9113), HPACK (RFC 7541) and gRPC: a library would refuse to write most of what attackers send."""

from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types of frames.
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

# Flags of frames; ACK is one of SETTINGS and PING.
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4

# Settings.
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x1, 0x3, 0x4

# What a server is to allow at least (RFC 9113 section 6.5.2), and what is taken for granted before it has said more.
FEWEST_STREAMS = 100

LARGEST_FRAME = 16_384
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535

# The entries that every header table begins with: those of one connection are numbered after them, the newest first.
STATIC_ENTRIES = 61

# A body of gRPC-Web in Base64.
WEB_TEXT = "application/grpc-web-text"

Fields = tuple[tuple[str, str], ...]
Frame = tuple[int, int, int, bytes]


# ===== frames =====


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def settings(**values: int) -> bytes:
    """`window` and `table` by their numbers; nothing: an empty frame."""
    numbers = {"window": INITIAL_WINDOW_SIZE, "table": HEADER_TABLE_SIZE}
    pairs = (numbers[name].to_bytes(2) + value.to_bytes(4) for name, value in values.items())
    return frame(SETTINGS, 0, 0, b"".join(pairs))


def window_update(stream: int, by: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, by.to_bytes(4))


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, (8).to_bytes(4))


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._buffer += data
        while len(self._buffer) >= 9:
            end = 9 + int.from_bytes(self._buffer[:3])
            if len(self._buffer) < end:
                return
            head, payload = self._buffer[:9], bytes(self._buffer[9:end])
            del self._buffer[:end]
            yield head[3], head[4], int.from_bytes(head[5:9]) & LARGEST_WINDOW, payload


# ===== header blocks =====


def _integer(value: int, prefix: int, first: int) -> bytes:
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes((first | value,))
    written = bytearray((first | limit,))
    value -= limit
    while value >= 128:
        written.append(value % 128 + 128)
        value //= 128
    written.append(value)
    return bytes(written)


def _string(text: str) -> bytes:
    data = text.encode()
    return _integer(len(data), 7, 0) + data


def literal(fields: Fields) -> bytes:
    """Written out, and not remembered."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields)


def remembered(fields: Fields) -> bytes:
    """Written out, for `recalled` to stand for it later on the same connection."""
    return b"".join(b"\x40" + _string(name) + _string(value) for name, value in fields)


def recalled(count: int) -> bytes:
    """The last `count` fields that were remembered, one byte each."""
    return b"".join(_integer(STATIC_ENTRIES + count - each, 7, 0x80) for each in range(count))


def grpc_request(path: str, *more: tuple[str, str]) -> Fields:
    return (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    )


def web_text_request(path: str) -> Fields:
    return http_request("POST", path, ("content-type", WEB_TEXT), ("accept", WEB_TEXT))


def http_request(method: str, path: str, *more: tuple[str, str]) -> Fields:
    return ((":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"), *more)


def form_request(path: str) -> Fields:
    return http_request("POST", path, ("content-type", "application/x-www-form-urlencoded"))


# ===== messages =====


def message(payload: bytes = b"") -> bytes:
    """As gRPC sends it: not compressed, with its length before it."""
    return b"\x00" + len(payload).to_bytes(4) + payload


def field(number: int, value: bytes | str | int) -> bytes:
    """A field of protobuf."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= 128:
        written.append(value % 128 + 128)
        value //= 128
    written.append(value)
    return bytes(written)


def parsed(payload: bytes) -> dict[int, bytes]:
    """The fields of a message that have a length, by their numbers: of those that are repeated, the last."""
    return dict(fields(payload))


def fields(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that have a length."""
    return ((number, value) for number, value in _all_fields(payload) if isinstance(value, bytes))


def numbers(payload: bytes) -> Iterator[tuple[int, int]]:
    """The fields of a message that are numbers."""
    return ((number, value) for number, value in _all_fields(payload) if isinstance(value, int))


def _all_fields(payload: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(payload):
        key, at = _read_varint(payload, at)
        length, at = _read_varint(payload, at)
        if key & 7 == 2:
            yield key >> 3, payload[at : at + length]
            at += length
        elif key & 7 == 0:
            yield key >> 3, length
        else:
            raise ValueError("a field of a kind that no answer of this service has")


def _read_varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = payload[at]
        value |= (byte & 127) << shift
        shift, at = shift + 7, at + 1
        if byte < 128:
            return value, at
