"""Owns reading JSON as RFC 8259 has it, without what Python adds: no `NaN`, no UTF-16, no name twice, no half of a surrogate pair."""

from __future__ import annotations

import json
from typing import Any, NoReturn

_NUMBER_MAX = 2**63


def json_object(encoded: bytes) -> dict[str, Any]:
    """The object in `encoded`.

    Raises:
        ValueError: There is no JSON in it, or no object.
    """
    try:
        text = encoded.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            # An escape can name half of a pair, which is no character.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


def is_integer(value: object) -> bool:
    """Whether `value` is a JSON integer of 64 bits. In Python a boolean is an `int`, too."""
    return type(value) is int and -_NUMBER_MAX <= value < _NUMBER_MAX


def is_texts(value: object) -> bool:
    """Whether `value` is an array of strings."""
    return type(value) is list and all(type(item) is str for item in value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("a value is not a number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
