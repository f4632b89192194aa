"""What rules make of the values that do not pass as they are: words, times, small objects in lists. Pure.

The contract is that of `rules`: a converter adds what it can make of a token, and answers False if
that is nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Raw, ValidationError, defstruct
from msgspec.json import Decoder

from bridge_posthog.moments import client_time
from bridge_posthog.rules import put_list, put_text, word
from bridge_posthog.tokens import (
    ARRAY,
    QUOTE,
    below,
    dump,
    elements,
    figure,
    is_empty,
    load,
    members,
    objects,
)

if TYPE_CHECKING:
    from bridge_posthog.rules import Put
    from bridge_posthog.tokens import Draft, Members

__all__ = [
    "as_columns",
    "as_flag",
    "as_items",
    "as_lower",
    "as_merged",
    "as_pairs",
    "as_time",
    "as_upper",
    "as_visits",
    "is_duration",
    "is_measured",
]

JS_EPOCH_SECONDS = 1e8
UNKNOWN = -1
LONGEST_WORD = 100


def is_measured(value: float) -> bool:
    """Say whether a device knows a measurement: -1 means that it does not."""
    return value != UNKNOWN


def is_duration(value: float) -> bool:
    """Say whether these are seconds; the JavaScript SDK puts the time of day into START.duration."""
    return value < JS_EPOCH_SECONDS


def as_flag(draft: Draft, name: bytes, token: bytes) -> bool:
    """Yes or No."""
    found = {b'"yes"': b"true", b"true": b"true", b'"no"': b"false", b"false": b"false"}.get(token.lower())
    if found is not None:
        draft += (name, found)
    return found is not None


def as_upper(draft: Draft, name: bytes, token: bytes) -> bool:
    """A word of a list that producers spell in either case."""
    if token[0] != QUOTE:
        return put_text(draft, name, token)
    draft += (name, _upper_cached(token) if len(token) <= LONGEST_WORD else _upper(token))
    return True


def as_lower(draft: Draft, name: bytes, token: bytes) -> bool:
    """The same, in lower case."""
    return put_text(draft, name, dump(load(token).lower()) if token[0] == QUOTE else token)


def _upper(token: bytes) -> bytes:
    return dump(load(token).upper())


_upper_cached = lru_cache(maxsize=1_024)(_upper)


def as_time(draft: Draft, name: bytes, token: bytes) -> bool:
    """Milliseconds since the epoch, as a date and time."""
    found = figure(token)
    if found is not None:
        draft += (name, dump(client_time(found)))
    return found is not None


def _objects(token: bytes) -> list[Members] | None:
    """The objects in a list of objects, or the one object there is; None if it is neither."""
    try:
        return objects(token) if token[0] == ARRAY else [members(token)]
    except ValidationError:
        return None


def as_merged(draft: Draft, name: bytes, token: bytes) -> bool:
    """A list of small objects, as Sunbird writes maps, becomes one object; keys that repeat are numbered."""
    items = _objects(token)
    if items is None:
        return False
    whole: Members = {}
    for item in items:
        whole.update(item)
    if len(whole) < sum(map(len, items)):
        whole = _numbered(items)
    if whole:
        draft += (name, draft.whole(dump(whole)))
    return True


def _numbered(items: list[Members]) -> Members:
    whole: Members = {}
    for item in items:
        for key, value in item.items():
            free, count = key, 2
            while free in whole:
                free, count = f"{key}_{count}", count + 1
            whole[free] = value
    return whole


def as_columns(name: str) -> Put:
    """Return a converter of the same list, each key a property of its own."""

    def put(draft: Draft, _name: bytes, token: bytes) -> bool:
        items = _objects(token)
        for item in items or ():
            for key, value in item.items():
                draft.spill(below(name, key), bytes(value), 2)
        return items is not None

    return put


def as_visits(draft: Draft, name: bytes, token: bytes) -> bool:
    """What was seen on a page, and how much of it."""
    if token[0] == ARRAY and not is_empty(token):
        draft.add("visit_count", len(elements(token)))
    return put_list(draft, name, token)


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
    return put_list(draft, name, token)


def as_pairs(name: str, label: str, value: str) -> Put:
    """Return a converter of `[{label: key, value: …}]` into properties by key."""
    fields: list[Any] = [("label", str), ("value", Raw, Raw(b"null"))]
    pair = defstruct("Pair", fields, rename={"label": label, "value": value}, gc=False)
    decode = Decoder(list[pair]).decode  # type: ignore[valid-type]

    def put(draft: Draft, _name: bytes, token: bytes) -> bool:
        try:
            pairs: list[Any] = decode(token if token[0] == ARRAY else b"[%b]" % token)
        except ValidationError:
            return False
        if not pairs or not all(pair.label for pair in pairs):
            return False
        for pair in pairs:
            draft.spill(below(name, pair.label), bytes(pair.value), 2)
        return True

    return put
