"""What rules make of the values that do not pass as they are: words, times, small objects in lists. Pure.

The contract is that of `rules`: a converter adds what it can make of a token, and answers False if
that is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw, ValidationError, defstruct
from msgspec.json import Decoder

from bridge_posthog.moments import client_time
from bridge_posthog.rules import listed, word
from bridge_posthog.tokens import (
    ARRAY,
    QUOTE,
    below,
    dump,
    elements,
    figure,
    load,
    members,
    objects,
    prefix_cached,
    text,
)

if TYPE_CHECKING:
    from bridge_posthog.rules import Whole
    from bridge_posthog.tokens import Draft, Members

__all__ = [
    "Columns",
    "Pairs",
    "as_flag",
    "as_items",
    "as_lower",
    "as_merged",
    "as_time",
    "as_upper",
    "as_visits",
    "is_duration",
    "is_measured",
]

JS_EPOCH_SECONDS = 1e8
UNKNOWN = -1

_FLAGS = {b'"yes"': b"true", b"true": b"true", b'"no"': b"false", b"false": b"false"}


def is_measured(value: float) -> bool:
    """Say whether a device knows a measurement: -1 means that it does not."""
    return value != UNKNOWN


def is_duration(value: float) -> bool:
    """Say whether these are seconds; the JavaScript SDK puts the time of day into START.duration."""
    return value < JS_EPOCH_SECONDS


def as_flag(name: bytes, token: bytes, _whole: Whole) -> bytes | None:
    """Yes or No."""
    found = _FLAGS.get(token.lower())
    return None if found is None else name + found


def as_upper(name: bytes, token: bytes, _whole: Whole) -> bytes | None:
    """A word of a list that producers spell in either case."""
    found = dump(load(token).upper()) if token[0] == QUOTE else text(token)
    return None if found is None else name + found


def as_lower(name: bytes, token: bytes, _whole: Whole) -> bytes | None:
    """The same, in lower case."""
    found = dump(load(token).lower()) if token[0] == QUOTE else text(token)
    return None if found is None else name + found


def as_time(name: bytes, token: bytes, _whole: Whole) -> bytes | None:
    """Milliseconds since the epoch, as a date and time."""
    found = figure(token)
    return None if found is None else b'%b"%b"' % (name, client_time(found).encode())


def _objects(token: bytes) -> list[Members] | None:
    """The objects in a list of objects, or the one object there is; None if it is neither."""
    try:
        return objects(token) if token[0] == ARRAY else [members(token)]
    except ValidationError:
        return None


def as_merged(name: bytes, token: bytes, whole: Whole) -> bytes | None:
    """A list of small objects, as Sunbird writes maps, becomes one object; keys that repeat are numbered."""
    items = _objects(token)
    if items is None:
        return None
    merged: Members = {}
    for item in items:
        merged |= item
    if len(merged) < sum(map(len, items)):
        merged = _numbered(items)
    return name + whole(dump(merged)) if merged else b""


def _numbered(items: list[Members]) -> Members:
    whole: Members = {}
    for item in items:
        for key, value in item.items():
            free, count = key, 2
            while free in whole:
                free, count = f"{key}_{count}", count + 1
            whole[free] = value
    return whole


class Columns:
    """A converter of the same list, each key a property of its own, called as it is behind `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, draft: Draft, _name: bytes, token: bytes) -> bool:
        """See `rules.Put`."""
        items = _objects(token)
        for item in items or ():
            for key, value in item.items():
                draft.spill(below(self._name, key), bytes(value), 2)
        return items is not None

    def prefix(self, key: str) -> bytes:
        """What stands before the property of a key."""
        return prefix_cached(below(self._name, key))


def as_visits(name: bytes, token: bytes, whole: Whole) -> bytes | None:
    """What was seen on a page, and how much of it."""
    found = listed(name, token, whole)
    return b',"visit_count":%d%b' % (len(elements(token)), found) if found else found


def as_items(draft: Draft, name: bytes, token: bytes) -> bool:
    """What was shared: how many, which, and the whole list."""
    items = _objects(token)
    if items is None:
        return False
    draft.add("item_count", len(items))
    for column in ("id", "type"):
        found = [word(item.get(column)) for item in items]
        if any(found):
            draft.add(f"item_{column}s", [value for value in found if value])
    whole = listed(name, token, draft.whole)
    draft.append(whole or b"")
    return whole is not None  # else it is the one item, which is told key by key as well


class Pairs:
    """A converter of `[{label: key, value: …}]` into properties by key, called as they are behind `name`."""

    def __init__(self, name: str, label: str, value: str) -> None:
        self.label, self.value = label, value
        self._name = name
        fields: list[Any] = [("label", str), ("value", Raw, Raw(b"null"))]
        pair = defstruct("Pair", fields, rename={"label": label, "value": value}, gc=False)
        self._decode = Decoder(list[pair]).decode  # type: ignore[valid-type]

    def __call__(self, draft: Draft, _name: bytes, token: bytes) -> bool:
        """See `rules.Put`."""
        try:
            pairs: list[Any] = self._decode(token if token[0] == ARRAY else b"[%b]" % token)
        except ValidationError:
            return False
        if not pairs or not all(pair.label for pair in pairs):
            return False
        for pair in pairs:
            draft.spill(below(self._name, pair.label), bytes(pair.value), 2)
        return True

    def prefix(self, key: str) -> bytes:
        """What stands before the property of a key."""
        return prefix_cached(below(self._name, key))
