"""How a key of `edata` becomes a property: the name it gets, and the type that name has. Pure.

A rule's converter is given the draft, its own name and the token. It adds what it can make of
the token, and answers False if that is nothing; then the token goes where unknown keys go.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import ValidationError

from bridge_posthog.moments import client_time
from bridge_posthog.tokens import (
    ARRAY,
    NULL,
    OBJECT,
    QUOTE,
    Draft,
    Members,
    below,
    dump,
    elements,
    figure,
    is_empty,
    load,
    members,
    number,
    objects,
    prefix,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Put",
    "Rule",
    "apply",
    "apply_rule",
    "attribute",
    "made_rule",
    "number_rule",
    "text_rule",
    "token_of",
    "word",
]

Put = Callable[[Draft, bytes, bytes], bool]

JS_EPOCH_SECONDS = 1e8  # the JavaScript SDK puts the time of day into START.duration
UNKNOWN = -1
LONGEST_WORD = 100


class Kind(Enum):
    """What a form reads without help: values of one JSON type. MADE is anything else."""

    TEXT = auto()
    NUMBER = auto()
    LIST = auto()
    TEXTS = auto()
    OBJECT = auto()
    MADE = auto()


class Rule(NamedTuple):
    """The property `name` a key becomes, its `kind`, and the converter for whatever is not of it.

    `inner` are the rules of an object whose keys become properties of their own.
    """

    name: str
    kind: Kind
    put: Put
    inner: Mapping[str, Rule] | None = None


def text_rule(name: str) -> Rule:
    """A text; other scalars are written as text."""
    return Rule(name, Kind.TEXT, _text)


def number_rule(name: str) -> Rule:
    """A number, always written as a float; texts that are numbers are read."""
    return Rule(name, Kind.NUMBER, _number)


def list_rule(name: str) -> Rule:
    """A list, as it is."""
    return Rule(name, Kind.LIST, _list)


def texts_rule(name: str) -> Rule:
    """A list of texts."""
    return Rule(name, Kind.TEXTS, _texts)


def object_rule(name: str) -> Rule:
    """An object, as it is."""
    return Rule(name, Kind.OBJECT, _object)


def made_rule(name: str, put: Put) -> Rule:
    """Whatever the converter makes of the token."""
    return Rule(name, Kind.MADE, put)


def nested_rule(name: str, inner: Mapping[str, Rule]) -> Rule:
    """An object with rules of its own; its other keys become `edata_<name>_<key>`."""
    return Rule(name, Kind.MADE, _unread, inner)


def _unread(_draft: Draft, _name: bytes, _token: bytes) -> bool:
    """Stand in until a form has been made of the inner rules."""
    return False


def apply(rules: Mapping[str, Rule], source: Members, draft: Draft, rest: str) -> None:
    """Add the properties that `rules` make of an object; other keys become `<rest>_<key>`."""
    for key, value in source.items():
        if (rule := rules.get(key)) is None:
            draft.spill(below(rest, key), bytes(value))
        else:
            apply_rule(rule, key, bytes(value), draft, rest)


def apply_rule(rule: Rule, key: str, token: bytes, draft: Draft, rest: str) -> None:
    """Add the property a rule makes of a token that is not blank; if it makes none, `<rest>_<key>`."""
    if token[0] != NULL and token != b'""' and not rule.put(draft, prefix(rule.name), token):
        draft.spill(below(rest, key), token)


def attribute(key: str) -> str:
    """The attribute that holds a key in a form: `pass` is no name in Python."""
    return f"{key}_"


def word(source: Any, name: str) -> str:
    """The text at an attribute of `edata`, as a form has read it or by key; blank if there is none."""
    value = source.get(name[:-1]) if type(source) is dict else getattr(source, name, None)
    if type(value) is str:
        return value
    found = load(value) if value is not None else ""
    return found if isinstance(found, str) else ""


def token_of(source: Any, name: str) -> bytes:
    """The token at an attribute of `edata`; `null` if there is none."""
    return dump(source.get(name[:-1]) if type(source) is dict else getattr(source, name, None))


def _text(draft: Draft, name: bytes, token: bytes) -> bool:
    found = text(token)
    if found is not None:
        draft += (name, found)
    return found is not None


def _number(draft: Draft, name: bytes, token: bytes) -> bool:
    found = number(token)
    if found is not None:
        draft += (name, found)
    return found is not None


def as_measurement(draft: Draft, name: bytes, token: bytes) -> bool:
    """A measurement of the device; -1 means unknown."""
    return figure(token) == UNKNOWN or _number(draft, name, token)


def as_start_duration(draft: Draft, name: bytes, token: bytes) -> bool:
    """Seconds; a time of day in their place is left out."""
    found = figure(token)
    if found is not None and found < JS_EPOCH_SECONDS:
        draft += (name, dump(found))
    return found is not None


def as_flag(draft: Draft, name: bytes, token: bytes) -> bool:
    """Yes or No."""
    found = {b'"yes"': b"true", b"true": b"true", b'"no"': b"false", b"false": b"false"}.get(token.lower())
    if found is not None:
        draft += (name, found)
    return found is not None


def as_upper(draft: Draft, name: bytes, token: bytes) -> bool:
    """A word of a list that producers spell in either case."""
    if token[0] != QUOTE:
        return _text(draft, name, token)
    draft += (name, _upper_cached(token) if len(token) <= LONGEST_WORD else _upper(token))
    return True


def as_lower(draft: Draft, name: bytes, token: bytes) -> bool:
    """The same, in lower case."""
    return _text(draft, name, dump(load(token).lower()) if token[0] == QUOTE else token)


def _upper(token: bytes) -> bytes:
    return dump(load(token).upper())


_upper_cached = lru_cache(maxsize=1_024)(_upper)


def as_time(draft: Draft, name: bytes, token: bytes) -> bool:
    """Milliseconds since the epoch, as a date and time."""
    found = figure(token)
    if found is not None:
        draft += (name, dump(client_time(found)))
    return found is not None


def _texts(draft: Draft, name: bytes, token: bytes) -> bool:
    """A list of texts."""
    found = [text(bytes(item)) for item in elements(token)] if token[0] == ARRAY else [None]
    if None in found:
        return False
    if found:
        draft += (name, b"[%b]" % b",".join(item for item in found if item))
    return True


def as_spilled(name: str) -> Put:
    """Return a converter of what is free-form by intention: each key a property of its own."""

    def put(draft: Draft, _name: bytes, token: bytes) -> bool:
        draft.spill(name, token)
        return True

    return put


def _list(draft: Draft, name: bytes, token: bytes) -> bool:
    """A list, as it is."""
    return _kept(draft, name, token, ARRAY)


def _object(draft: Draft, name: bytes, token: bytes) -> bool:
    """An object, as it is."""
    return _kept(draft, name, token, OBJECT)


def _kept(draft: Draft, name: bytes, token: bytes, first: int) -> bool:
    if token[0] == first and not is_empty(token):
        draft += (name, draft.whole(token))
    return token[0] == first


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
    return _list(draft, name, token)


def as_items(draft: Draft, name: bytes, token: bytes) -> bool:
    """What was shared: how many, which, and the whole list."""
    items = _objects(token)
    if items is None:
        return False
    draft.add("item_count", len(items))
    for column in ("id", "type"):
        found = [word(item, attribute(column)) for item in items]
        if any(found):
            draft.add(f"item_{column}s", [value for value in found if value])
    return _list(draft, name, token)


def as_pairs(name: str, label: str, value: str) -> Put:
    """Return a converter of `[{label: key, value: …}]` into properties by key."""

    def put(draft: Draft, _name: bytes, token: bytes) -> bool:
        items = _objects(token)
        if not items or not all(word(item, attribute(label)) for item in items):
            return False
        for item in items:
            draft.spill(below(name, word(item, attribute(label))), bytes(item.get(value, b"null")), 2)
        return True

    return put
