"""JSON values as raw bytes: their kind, their text, and one among the fields of an object. Pure."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LIST",
    "NULL",
    "OBJECT",
    "TEXT",
    "Fields",
    "empty",
    "get",
    "kind_of",
    "put",
    "read_fields",
    "read_items",
    "text_of",
    "write",
]

Fields = dict[str, msgspec.Raw]

TEXT, LIST, OBJECT, TRUE, FALSE, NULL = b'"[{tfn'
EMPTY = {TEXT: b'""', LIST: b"[]", OBJECT: b"{}", TRUE: b"false", FALSE: b"false", NULL: b"null"}
NUMBER = b"0"

read_fields = msgspec.json.Decoder(Fields).decode
read_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def kind_of(raw: msgspec.Raw) -> int:
    """The first byte of a value, which tells its type; none of the named ones means a number."""
    return memoryview(raw)[0]


def write(value: object) -> msgspec.Raw:
    """The value as raw JSON; raw values within it stay as they are."""
    return msgspec.Raw(msgspec.json.encode(value))


def empty(raw: msgspec.Raw) -> msgspec.Raw:
    """The value of this type that says nothing: "", [], {}, 0, false; null stays."""
    blank = EMPTY.get(kind_of(raw), NUMBER)
    return raw if bytes(raw) == blank else msgspec.Raw(blank)


def text_of(raw: msgspec.Raw) -> str | None:
    """A text, or a number, true or false as text: `1.0` and `1` are both "1"; None for the rest."""
    kind = kind_of(raw)
    if kind in {OBJECT, LIST, NULL}:
        return None
    if kind in {TRUE, FALSE}:
        return bytes(raw).decode()
    if kind == TEXT:
        return msgspec.json.decode(raw, type=str)
    return _plain_number(bytes(raw).decode())


def get(fields: Mapping[str, msgspec.Raw], keys: tuple[str, ...]) -> msgspec.Raw | None:
    """The value under these keys, one below the other; None if there is none or it is null."""
    *above, last = keys
    for key in above:
        raw = fields.get(key)
        if raw is None or kind_of(raw) != OBJECT:
            return None
        fields = read_fields(raw)
    raw = fields.get(last)
    return None if raw is None or kind_of(raw) == NULL else raw


def put(fields: Fields, keys: tuple[str, ...], value: msgspec.Raw, *, overwrite: bool) -> bool:
    """Put a value under these keys, making objects on the way; False if that changes nothing."""
    key, *rest = keys
    old = fields.get(key)
    absent = old is None or kind_of(old) == NULL
    if not rest:
        changed = absent or (overwrite and old != value)
        if changed:
            fields[key] = value
        return changed
    if old is not None and not absent and kind_of(old) != OBJECT:
        return False
    inner = {} if old is None or absent else read_fields(old)
    if done := put(inner, tuple(rest), value, overwrite=overwrite):
        fields[key] = write(inner)
    return done


def _plain_number(digits: str) -> str:
    if digits.removeprefix("-").isdigit():
        return digits
    number = float(digits)
    if isinf(number):
        return digits
    return str(int(number)) if number.is_integer() else repr(number)
