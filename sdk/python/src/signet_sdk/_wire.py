"""Owns reading the wire format of protobuf, strictly: bytes that do not parse are refused, and no field is passed over."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types. Those of groups are refused: nothing that is read here has one."""

_VARINT_MAX_BYTES = 10


class MalformedError(ValueError):
    """The bytes are no message."""


def fields(encoded: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Each field of a message: its number, its wire type, and its value.

    Raises:
        MalformedError: The bytes do not parse.
    """
    at, end = 0, len(encoded)
    while at < end:
        key, at = _varint(encoded, at)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise MalformedError("a field has no number")
        if kind == VARINT:
            value, at = _varint(encoded, at)
            yield number, kind, value
            continue
        if kind == LENGTH:
            size, at = _varint(encoded, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise MalformedError("a wire type is unknown")
        if size > end - at:
            raise MalformedError("a field is cut short")
        yield number, kind, encoded[at : at + size]
        at += size


def _varint(encoded: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_MAX_BYTES):
        if at + index >= len(encoded):
            raise MalformedError("a number is cut short")
        byte = encoded[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + index + 1
    raise MalformedError("a number has more than 64 bits")


def message_of(kind: int, value: int | bytes) -> bytes:
    """The bytes of a field that must be a message or a string.

    Raises:
        MalformedError: It is something else.
    """
    if kind != LENGTH or not isinstance(value, bytes):
        raise MalformedError("a field has the wrong wire type")
    return value


def text_of(kind: int, value: int | bytes) -> str:
    """The text of a field that must be a string.

    Raises:
        MalformedError: It is something else, or not UTF-8.
    """
    try:
        return message_of(kind, value).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("a string is not UTF-8") from None
