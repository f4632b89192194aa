"""Telemetry's values as they stand in the JSON text, made fit to be properties. Pure.

A token is the text of one JSON value. Most pass as they are: decoding and encoding them again
would cost several times what the rest of the mapping does. Whoever writes telemetry chooses
keys, depths and sizes, so keys become snake_case behind a prefix of ours, which keeps them
from naming PostHog's own properties; depth and number of properties are bounded, and numbers
fit a double. Blank values are left out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

__all__ = [
    "Draft",
    "Members",
    "below",
    "elements",
    "load",
    "members",
    "number",
    "readable",
    "snake",
    "tame",
    "text",
]

Members = dict[str, msgspec.Raw]

MAX_DEPTH: Final = 3  # of unknown keys that become properties of their own
MAX_NESTING: Final = 100  # of values that stay objects; what is deeper becomes text
MAX_PROPERTIES: Final = 250
LONGEST_NAME: Final = 100
LONGEST_PLAIN: Final = 300  # digits that fit a double for sure
BLANK: Final = 2  # the quotes of an empty text
QUOTE, OBJECT, ARRAY, NULL = b'"{[n'
DIGITS: Final = frozenset(b"-0123456789")

dump = msgspec.json.Encoder().encode
load = msgspec.json.Decoder().decode
members = msgspec.json.Decoder(Members).decode
elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
objects = msgspec.json.Decoder(list[Members]).decode

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[\W_]+")
_LONG = re.compile(rb"[0-9]{%d}" % LONGEST_PLAIN)
# Every escape of JSON is consumed from the left, so a pair of surrogates is seen as a pair,
# and an escaped backslash never as the beginning of another escape.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<bad>u0000|u[dD][89a-fA-F]..)|.)", re.DOTALL)


def readable(line: bytes) -> bytes:
    """Replace, in a line of JSON, NUL and unpaired surrogates by U+FFFD; capture refuses them."""
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match["bad"] else match[0], line)


def snake(key: str) -> str:
    """Write a telemetry key as part of a property name: `gradeLevel` → `grade_level`."""
    return _GAP.sub("_", _HUMP.sub("_", key[:LONGEST_NAME]).lower()).strip("_") or "key"


def below(name: str, key: str) -> str:
    """The property name of what lies under `key`: `edata` and `gradeLevel` → `edata_grade_level`."""
    return _below(name, key) if len(name) + len(key) <= LONGEST_NAME else f"{name}_{snake(key)}"


_below = lru_cache(maxsize=8_192)(lambda name, key: f"{name}_{snake(key)}")


def prefix(name: str) -> bytes:
    """The beginning of a member with this name, whatever stands before it: `,"name":`."""
    return b",%b:" % dump(name)


_prefix = lru_cache(maxsize=8_192)(prefix)


class Draft:
    """The properties so far, as `pieces` of JSON that each begin with a comma."""

    __slots__ = ("_more", "_names", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._names: set[str] | None = None  # most events need none
        self._more: dict[str, bytes] | None = None

    def add(self, name: str, value: Any) -> None:
        """Add a property of ours."""
        self.pieces += (_prefix(name), dump(value))

    def splice(self, name: str, token: bytes) -> None:
        """Add a property whose value is JSON already."""
        self.pieces += (_prefix(name), token)

    def spill(self, name: str, token: bytes, depth: int = 1) -> None:
        """Add what no rule knows; the keys of an object become properties, down to `MAX_DEPTH` levels."""
        first = token[0]
        if first == QUOTE:
            if len(token) > BLANK:
                self._put(name, token)
        elif first == OBJECT and depth < MAX_DEPTH:
            for key, value in members(token).items():
                self.spill(below(name, key), bytes(value), depth + 1)
        elif first == OBJECT or first == ARRAY:
            if not is_empty(token):
                self._put(name, tame(token))
        elif first != NULL and (plain := token if token.isalpha() else number(token)):
            self._put(name, plain)

    def _put(self, name: str, token: bytes) -> None:
        """Add without repeating a name: `a.b` and `a_b` make the same one, and both are kept."""
        names = self._names
        if names is None:
            names = self._names = set()
        free, count = name, 2
        while free in names:
            free, count = f"{name}_{count}", count + 1
        names.add(free)
        if len(names) > MAX_PROPERTIES:
            self._more = self._more or {}
            self._more[free] = token
            return
        self.pieces += (_prefix(free) if len(free) <= LONGEST_NAME else prefix(free), token)

    def close(self) -> list[bytes]:
        """The pieces, with what was one property too many inside `edata_more`."""
        if self._more:
            rest = b"".join(prefix(name) + token for name, token in self._more.items())
            self.pieces.append(b',"edata_more":{%b}' % rest[1:])
        return self.pieces


def is_empty(token: bytes) -> bool:
    """Say whether an array or object has nothing in it."""
    return not token[1:-1].strip()


def text(token: bytes) -> bytes | None:
    """A scalar as text, as a token; None for arrays, objects and numbers beyond a double."""
    first = token[0]
    if first == QUOTE:
        return token
    if first in (OBJECT, ARRAY, NULL):
        return None
    plain = token if token.isalpha() else number(token)
    return None if plain is None else b'"%b"' % plain


def number(token: bytes) -> bytes | None:
    """A number, or a text that is one, as a token; None for anything else, and beyond a double."""
    if token[0] in DIGITS and len(token) <= LONGEST_PLAIN and b"e" not in token and b"E" not in token:
        return token
    value = figure(token)
    return None if value is None else dump(value)


def figure(token: bytes) -> float | None:
    """The value of a number, or of a text that is one; None for anything else, and beyond a double."""
    digits = token.strip(b'"')
    if not digits or digits[0] not in DIGITS or b"_" in digits:
        return None
    try:
        value = float(digits)
    except ValueError:
        return None
    return value if value - value == 0 else None


def tame(token: bytes) -> bytes:
    """An array or object that stays one: no `$` before keys, numbers in range, depth bounded."""
    if b"$" in token or token.count(b"{") + token.count(b"[") > MAX_NESTING or not _in_range(token):
        return _tamed(token, 0)
    return token


def _in_range(token: bytes) -> bool:
    """Say whether no number in it is beyond a double."""
    try:
        load(token)
    except msgspec.ValidationError:
        return False
    return len(token) <= LONGEST_PLAIN or not _LONG.search(token)


def _tamed(token: bytes, depth: int) -> bytes:
    first = token[0]
    if first not in (OBJECT, ARRAY):
        return token if first == QUOTE or token.isalpha() else number(token) or b"null"
    if depth >= MAX_NESTING:
        return dump(token.decode())
    if first == ARRAY:
        return b"[%b]" % b",".join(_tamed(bytes(item), depth + 1) for item in elements(token))
    pairs = (
        dump(key.lstrip("$") or "key") + b":" + _tamed(bytes(value), depth + 1)
        for key, value in members(token).items()
    )
    return b"{%b}" % b",".join(pairs)
