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
from itertools import count as count_from
from typing import Any, Final

import msgspec

__all__ = [
    "Draft",
    "Members",
    "StrictDraft",
    "below",
    "dump",
    "dump_lines",
    "elements",
    "is_marred",
    "load",
    "members",
    "number",
    "prefix",
    "prefix_cached",
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
LONGEST_BLANK: Final = 8
QUOTE, OBJECT, ARRAY, NULL = b'"{[n'
BACKSLASH: Final = ord("\\")
CONTAINERS: Final = frozenset((OBJECT, ARRAY))
DIGITS: Final = frozenset(b"-0123456789")

dump = msgspec.json.Encoder().encode
dump_lines = msgspec.json.Encoder().encode_lines
load = msgspec.json.Decoder().decode
members = msgspec.json.Decoder(Members).decode
elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
objects = msgspec.json.Decoder(list[Members]).decode

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[\W_]+")
_RUN = re.compile(rb"[0-9]{6}")  # what remains of a longer number in every fiftieth byte
_LONG = re.compile(rb"[0-9]{%d}" % LONGEST_PLAIN)
# Every escape of JSON is consumed from the left, so a pair of surrogates is seen as a pair,
# and an escaped backslash never as the beginning of another escape.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<bad>u0000|u[dD][89a-fA-F]..)|.)", re.DOTALL)
_MARRED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def is_marred(line: bytes) -> bool:
    """Say whether a line of JSON may have in it what `readable` replaces."""
    return BACKSLASH in line and _MARRED.search(line) is not None


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


def prefix_cached(name: str) -> bytes:
    """The same; what is short is remembered."""
    return _prefix(name) if len(name) <= LONGEST_NAME else prefix(name)


class Draft(list[bytes]):
    """The properties so far: pieces of JSON, each member with a comma before it."""

    _names: set[str] | None = None
    _more: dict[str, bytes] | None = None

    def add(self, name: str, value: Any) -> None:
        """Add a property of ours."""
        self += (_prefix(name), dump(value))

    def spill(self, name: str, token: bytes, depth: int = 1) -> None:
        """Add what no rule knows; the keys of an object become properties, down to `MAX_DEPTH` levels."""
        first = token[0]
        if first in CONTAINERS:
            self._spill_container(name, token, depth)
        elif first == QUOTE:
            if len(token) > BLANK:
                self._put(name, token)
        elif first != NULL and (plain := ranged(token) if first in DIGITS else token):
            self._put(name, plain)

    def _spill_container(self, name: str, token: bytes, depth: int) -> None:
        if token[0] == OBJECT and depth < MAX_DEPTH:
            for key, value in members(token).items():
                self.spill(below(name, key), bytes(value), depth + 1)
        elif len(token) > LONGEST_BLANK or not is_empty(token):
            self._put(name, self.whole(token))

    def _put(self, name: str, token: bytes) -> None:
        """Add without repeating a name: `a.b` and `a_b` make the same one, and both are kept."""
        names = self._names
        if names is None:
            names = self._names = set()
        elif name in names:
            name = next(free for count in count_from(2) if (free := f"{name}_{count}") not in names)
        names.add(name)
        if len(names) <= MAX_PROPERTIES:
            self.append(prefix_cached(name) + token)
        else:
            self._more = self._more or {}
            self._more[name] = token

    def whole(self, token: bytes) -> bytes:
        """A list or object that stays one, as this draft's reader takes it."""
        return token

    def take(self) -> bytes:
        """What has been added since the last time."""
        taken = b"".join(self)
        self.clear()
        return taken

    def rest(self) -> bytes:
        """What was one property too many, inside `edata_more`."""
        if self._more is None:
            return b""
        pairs = b"".join(prefix(name) + token for name, token in self._more.items())
        return b',"edata_more":{%b}' % pairs[1:]


class StrictDraft(Draft):
    """A draft for a parser that refuses what JSON allows; it looks into lists and objects."""

    def whole(self, token: bytes) -> bytes:
        """The same, with numbers in range and its depth bounded."""
        return tame(token)


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
    plain = token if token.isalpha() else ranged(token)
    return None if plain is None else b'"%b"' % plain


def ranged(token: bytes) -> bytes | None:
    """A number as it stands, if it fits a double."""
    if len(token) <= LONGEST_PLAIN and not token.strip(b"-.0123456789"):
        return token  # no exponent
    return token if figure(token) is not None else None


def number(token: bytes) -> bytes | None:
    """A number, or a text that is one, as a token; None for anything else, and beyond a double."""
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
    """An array or object that stays one, fit for a strict parser: numbers in range, depth bounded."""
    if token.count(b"{") + token.count(b"[") > MAX_NESTING or not _in_range(token):
        return _tamed(token, 0)
    return token


def _in_range(token: bytes) -> bool:
    """Say whether no number in it is beyond a double."""
    try:
        load(token)
    except msgspec.ValidationError:
        return False
    return len(token) <= LONGEST_PLAIN or not (_RUN.search(token[::50]) and _LONG.search(token))


def _tamed(token: bytes, depth: int) -> bytes:
    first = token[0]
    if first not in (OBJECT, ARRAY):
        return token if first == QUOTE or token.isalpha() else ranged(token) or b"null"
    if depth >= MAX_NESTING:
        return dump(token.decode())
    if first == ARRAY:
        return b"[%b]" % b",".join(_tamed(bytes(item), depth + 1) for item in elements(token))
    pairs = (dump(key) + b":" + _tamed(bytes(value), depth + 1) for key, value in members(token).items())
    return b"{%b}" % b",".join(pairs)
