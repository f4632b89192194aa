"""JSON text as it arrives: what is wrong with it, how deep it goes, and how to hold it on one line.

Stricter than RFC 8259 where telemetry must travel on to other parsers: UTF-8 only, no NaN or
Infinity, no lone surrogates, nesting bounded.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from math import inf, isinf
from typing import Any, NoReturn

import msgspec

from bridge.errors import EventError

__all__ = [
    "MAX_DEPTH",
    "REFUSED",
    "WHITESPACE",
    "depth",
    "dump",
    "load",
    "names_of",
    "one_line",
    "parse",
    "require_sound",
]

MAX_DEPTH = 700  # below every parser's recursion limit, whatever its caller's stack
WHITESPACE = b" \t\r\n"

# Everything a typed msgspec decoder raises on bytes that it does not take.
REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_LONGEST_INTEGER = 4300  # digits that Python and msgspec convert; more would be slow
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


class _Names(msgspec.Struct, gc=False):
    eid: Any = None
    mid: Any = None


_names = msgspec.json.Decoder(_Names).decode


def depth(raw: bytes) -> int:
    """How many arrays and objects are open at the deepest place; linear in the size of `raw`."""
    brackets = _STRING.sub(b"", raw).translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(array("b", brackets)), default=0)


def require_sound(raw: bytes) -> None:
    """Raise EventError: `invalid_utf8`, or `too_deep` beyond MAX_DEPTH nested arrays and objects."""
    try:
        if not raw.isascii():
            raw.decode()
    except UnicodeDecodeError as error:
        raise EventError("invalid_utf8", f"encode the event in UTF-8: byte {error.start} is not") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth(raw) > MAX_DEPTH:
        raise _too_deep()


def one_line(raw: bytes) -> bytes:
    """`raw` without line breaks between its tokens; bytes without any, or not JSON, unchanged."""
    if b"\n" not in raw and b"\r" not in raw:
        return raw
    line = raw.strip(WHITESPACE)
    if b"\n" not in line and b"\r" not in line:
        return line
    try:
        return msgspec.json.format(line, indent=-1)
    except REFUSED:
        return raw


def parse(raw: bytes) -> Any:
    """Decode `raw`, which is sound; a number beyond the range of a double reads as infinity.

    Raises:
        EventError: `too_deep`, `invalid_json` or `lone_surrogate`.
    """
    return _decode(raw, beyond=inf)


def names_of(raw: bytes) -> tuple[str | None, str | None]:
    """An event's `eid` and `mid`, where they can be read: for what is said of an event that is refused."""
    try:
        names = _names(raw)
    except REFUSED:
        return None, None
    eid, mid = (name if isinstance(name, str) else None for name in (names.eid, names.mid))
    return eid, mid


def load(raw: bytes) -> Any:
    """Decode bytes that have been judged valid; a number beyond the range of a double is None."""
    return _decode(raw, beyond=None)


def dump(document: Any) -> bytes:
    """The document as JSON on one line; raises EventError `not_json` for what JSON cannot express."""
    try:
        return msgspec.json.encode(document)
    except (TypeError, ValueError, RecursionError):
        reason = "write what JSON knows: objects, arrays, text, numbers, true, false and null"
        raise EventError("not_json", reason) from None


def _decode(raw: bytes, beyond: float | None) -> Any:
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError:
        document = _read(raw, beyond)
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except msgspec.DecodeError:  # grammar and numbers are in order, so this is what remains
        reason = "replace the half of a surrogate pair that stands alone in a \\u escape"
        raise EventError("lone_surrogate", reason) from None
    return document


def _read(raw: bytes, beyond: float | None) -> Any:
    """The standard library's reading: slow, but it takes any number and says where it stumbles."""

    def number(digits: str) -> float | None:
        value = float(digits)
        return beyond if isinf(value) else value

    def integer(digits: str) -> float | None:
        return int(digits) if len(digits) <= _LONGEST_INTEGER else number(digits)

    text = raw.decode()
    try:
        return json.loads(text, parse_float=number, parse_int=integer, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        place = len(text[: error.pos].encode())
        flaw = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        reason = f"write valid JSON: {flaw} (byte {place} of {len(raw)})"
        raise EventError("invalid_json", reason) from None
    except RecursionError:
        raise _too_deep() from None


def _refuse(word: str) -> NoReturn:
    raise EventError("invalid_json", f"leave out the key or write a number: {word} is not JSON")


def _too_deep() -> EventError:
    return EventError("too_deep", f"nest at most {MAX_DEPTH} arrays and objects")
