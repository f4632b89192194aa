"""Edit JSON bytes at chosen places and leave every other value as it was written. Pure.

Only the objects and lists on the way to a place are taken apart, into values that stay raw bytes,
so a number elsewhere keeps its notation and a large one its digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import EventError
from bridge.stages.jsonvalues import (
    LIST,
    NULL,
    OBJECT,
    Fields,
    empty,
    kind_of,
    read_fields,
    read_items,
    write,
)

if TYPE_CHECKING:
    from bridge.stages.jsonpaths import Node

__all__ = ["Action", "Doubt", "edit_event", "leaves", "only"]

# Each level is read once for every level above it, so depth is time; real events have a dozen levels.
MOST_LEVELS = 100


class Doubt:
    """Whether an event names a key twice in one object, looked up when first asked for."""

    __slots__ = ("_raw", "_repeats")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._repeats: bool | None = None

    def fields(self, raw: msgspec.Raw | bytes) -> tuple[Fields, bool]:
        """The object's fields, and whether they are not all: what a key held first is lost on reading.

        Such an object has to be written anew even where no field is edited, or what nobody sees would stay.
        """
        fields = read_fields(raw)
        if len(msgspec.json.encode(fields)) == len(memoryview(raw)):
            return fields, False
        if self._repeats is None:  # spaces or escapes in keys, most of the time
            self._repeats = _repeats(self._raw)
        return fields, self._repeats


Action = Callable[[msgspec.Raw, Doubt], msgspec.Raw | None]
"""What becomes of the value at a place: the very same one, another one, or None to take it out."""


def edit_event(raw: bytes, root: Node, actions: tuple[Action, ...]) -> Fields | None:
    """The event's fields with `actions[n]` applied where path n ends; None if nothing changes."""
    doubt = Doubt(raw)
    fields, changed = doubt.fields(raw)
    for key in root.keys if root.other is None else list(fields):
        node = root.keys.get(key, root.other)
        if node is not None and (old := fields.get(key)) is not None:
            new = _edit(old, node, actions, doubt, MOST_LEVELS)
            if new is not old:
                changed = True
                _replace(fields, key, new)
    return fields if changed else None


def _edit(
    raw: msgspec.Raw, node: Node, actions: tuple[Action, ...], doubt: Doubt, levels: int
) -> msgspec.Raw | None:
    kind = kind_of(raw)
    if kind == OBJECT and (node.keys or node.other is not None):
        fields, changed = doubt.fields(raw)
        for key in node.keys if node.other is None else list(fields):
            child = node.keys.get(key, node.other)
            if child is not None and (old := fields.get(key)) is not None:
                new = _edit(old, child, actions, doubt, _below(levels))
                if new is not old:
                    changed = True
                    _replace(fields, key, new)
        raw = write(fields) if changed else raw
    elif kind == LIST and node.item is not None:
        items, changed = read_items(raw), False
        edited = []
        for old in items:
            new = _edit(old, node.item, actions, doubt, _below(levels))
            changed = changed or new is not old
            if new is not None:
                edited.append(new)
        raw = write(edited) if changed else raw
    for number in node.ends:
        result = actions[number](raw, doubt)
        if result is None:
            return None
        raw = result
    return raw


def leaves(
    raw: msgspec.Raw, doubt: Doubt, change: Callable[[msgspec.Raw], msgspec.Raw], levels: int = MOST_LEVELS
) -> msgspec.Raw:
    """The value with `change` applied to each text, number, true and false in it; keys and nulls stay."""
    kind = kind_of(raw)
    if kind == OBJECT:
        fields, changed = doubt.fields(raw)
        for key, old in fields.items():
            new = leaves(old, doubt, change, _below(levels))
            changed = changed or new is not old
            fields[key] = new
        return write(fields) if changed else raw
    if kind == LIST:
        items, changed = read_items(raw), False
        for index, old in enumerate(items):
            new = leaves(old, doubt, change, _below(levels))
            changed = changed or new is not old
            items[index] = new
        return write(items) if changed else raw
    return raw if kind == NULL else change(raw)


def only(raw: msgspec.Raw, doubt: Doubt, keys: frozenset[str], levels: int = MOST_LEVELS) -> msgspec.Raw:
    """An object with these keys alone; a list of such objects; anything else becomes empty."""
    kind = kind_of(raw)
    if kind == OBJECT:
        fields, changed = doubt.fields(raw)
        kept = {key: value for key, value in fields.items() if key in keys}
        return write(kept) if changed or len(kept) < len(fields) else raw
    if kind == LIST:
        items = read_items(raw)
        kept_items = [only(item, doubt, keys, _below(levels)) for item in items]
        same = all(new is old for new, old in zip(kept_items, items, strict=True))
        return raw if same else write(kept_items)
    return empty(raw)


def _below(levels: int) -> int:
    if not levels:
        raise EventError(
            "too_deep", f"nest at most {MOST_LEVELS} arrays and objects where a rule looks into them"
        )
    return levels - 1


def _replace(fields: Fields, key: str, new: msgspec.Raw | None) -> None:
    if new is None:
        del fields[key]
    else:
        fields[key] = new


class _RepeatedError(Exception):
    pass


def _no_repeats(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise _RepeatedError


def _repeats(raw: bytes) -> bool:
    try:
        json.loads(raw, object_pairs_hook=_no_repeats, parse_int=str, parse_float=str)
    except (_RepeatedError, RecursionError):  # too deep to tell counts as the worse of both
        return True
    return False
