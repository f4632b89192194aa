"""How a key of `edata` becomes a property: the name it gets, and the type that name has. Pure.

A rule's converter is given the draft, its own name and the token. It adds what it can make of
the token, and answers False if that is nothing; then the token goes where unknown keys go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from msgspec import ValidationError

from bridge_posthog.moments import client_time
from bridge_posthog.tokens import (
    ARRAY,
    BLANK,
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
    tame,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Put", "Rule", "apply", "made_rule", "number_rule", "text_rule", "word"]

Put = Callable[[Draft, str, bytes], bool]

JS_EPOCH_SECONDS = 1e8  # the JavaScript SDK puts the time of day into START.duration
UNKNOWN = -1


class Rule(NamedTuple):
    """The property `name` a key becomes: a text as it is if `plain`, anything else as `put` makes it.

    `prefix` is the name as it is written, a comma before and a colon behind it.
    """

    name: str
    prefix: bytes
    plain: bool
    put: Put


def text_rule(name: str) -> Rule:
    """A text; other scalars are written as text."""
    return Rule(name, prefix(name), plain=True, put=_text)


def number_rule(name: str) -> Rule:
    """A number; texts that are numbers are read."""
    return made_rule(name, _number)


def made_rule(name: str, put: Put) -> Rule:
    """Whatever the converter makes of the token."""
    return Rule(name, prefix(name), plain=False, put=put)


def apply(rules: Mapping[str, Rule], source: Members, draft: Draft, rest: str = "edata") -> None:
    """Add the properties that `rules` make of an object; other keys become `<rest>_<key>`."""
    known, pieces = rules.get, draft.pieces
    for key, value in source.items():
        token = bytes(value)
        rule = known(key)
        if rule is None:
            draft.spill(below(rest, key), token)
        elif rule[2] and token[0] == QUOTE:
            if len(token) > BLANK:
                pieces.append(rule[1])
                pieces.append(token)
        elif token[0] != NULL and token != b'""' and not rule[3](draft, rule[0], token):
            draft.spill(below(rest, key), token)


def word(source: Members, key: str) -> str:
    """The text under a key; blank if there is none."""
    value = source.get(key)
    found = load(value) if value is not None else ""
    return found if isinstance(found, str) else ""


def _text(draft: Draft, name: str, token: bytes) -> bool:
    found = text(token)
    if found is not None:
        draft.splice(name, found)
    return found is not None


def _number(draft: Draft, name: str, token: bytes) -> bool:
    found = number(token)
    if found is not None:
        draft.splice(name, found)
    return found is not None


def as_measurement(draft: Draft, name: str, token: bytes) -> bool:
    """A measurement of the device; -1 means unknown."""
    return figure(token) == UNKNOWN or _number(draft, name, token)


def as_start_duration(draft: Draft, name: str, token: bytes) -> bool:
    """Seconds; a time of day in their place is left out."""
    found = figure(token)
    return (found is not None and found >= JS_EPOCH_SECONDS) or _number(draft, name, token)


def as_flag(draft: Draft, name: str, token: bytes) -> bool:
    """Yes or No."""
    found = {b'"yes"': b"true", b"true": b"true", b'"no"': b"false", b"false": b"false"}.get(token.lower())
    if found is not None:
        draft.splice(name, found)
    return found is not None


def as_upper(draft: Draft, name: str, token: bytes) -> bool:
    """A word of a list that producers spell in either case."""
    return _cased(draft, name, token, str.upper)


def as_lower(draft: Draft, name: str, token: bytes) -> bool:
    """The same, in lower case."""
    return _cased(draft, name, token, str.lower)


def _cased(draft: Draft, name: str, token: bytes, case: Callable[[str], str]) -> bool:
    if token[0] != QUOTE:
        return _text(draft, name, token)
    draft.add(name, case(load(token)))
    return True


def as_time(draft: Draft, name: str, token: bytes) -> bool:
    """Milliseconds since the epoch, as a date and time."""
    found = figure(token)
    if found is not None:
        draft.add(name, client_time(found))
    return found is not None


def as_texts(draft: Draft, name: str, token: bytes) -> bool:
    """A list of texts."""
    found = [text(bytes(item)) for item in elements(token)] if token[0] == ARRAY else [None]
    if None in found:
        return False
    if found:
        draft.splice(name, b"[%b]" % b",".join(item for item in found if item))
    return True


def as_list(draft: Draft, name: str, token: bytes) -> bool:
    """A list, as it is."""
    return _kept(draft, name, token, ARRAY)


def as_object(draft: Draft, name: str, token: bytes) -> bool:
    """An object, as it is."""
    return _kept(draft, name, token, OBJECT)


def _kept(draft: Draft, name: str, token: bytes, first: int) -> bool:
    if token[0] == first and not is_empty(token):
        draft.splice(name, tame(token))
    return token[0] == first


def _objects(token: bytes) -> list[Members] | None:
    """The objects in a list of objects, or the one object there is; None if it is neither."""
    try:
        return objects(token) if token[0] == ARRAY else [members(token)]
    except ValidationError:
        return None


def as_merged(draft: Draft, name: str, token: bytes) -> bool:
    """A list of small objects, as Sunbird writes maps, becomes one object; keys that repeat are numbered."""
    items = _objects(token)
    if items is None:
        return False
    whole: Members = {}
    for item in items:
        for key, value in item.items():
            free, count = key, 2
            while free in whole:
                free, count = f"{key}_{count}", count + 1
            whole[free] = value
    if whole:
        draft.splice(name, tame(dump(whole)))
    return True


def as_columns(draft: Draft, name: str, token: bytes) -> bool:
    """The same list, each key a property of its own."""
    items = _objects(token)
    for item in items or ():
        for key, value in item.items():
            draft.spill(below(name, key), bytes(value), 2)
    return items is not None


def as_visits(draft: Draft, name: str, token: bytes) -> bool:
    """What was seen on a page, and how much of it."""
    if token[0] == ARRAY and not is_empty(token):
        draft.add("visit_count", len(elements(token)))
    return as_list(draft, name, token)


def as_items(draft: Draft, name: str, token: bytes) -> bool:
    """What was shared: how many, which, and the whole list."""
    items = _objects(token)
    if items is None:
        return False
    draft.add("item_count", len(items))
    for column in ("id", "type"):
        found = [word(item, column) for item in items]
        if any(found):
            draft.add(f"item_{column}s", [value for value in found if value])
    return as_list(draft, name, token)


def as_pairs(label: str, value: str) -> Put:
    """Return a converter of `[{label: name, value: …}]` into properties by name."""

    def put(draft: Draft, name: str, token: bytes) -> bool:
        items = _objects(token)
        if not items or not all(word(item, label) for item in items):
            return False
        for item in items:
            draft.spill(below(name, word(item, label)), bytes(item.get(value, b"null")), 2)
        return True

    return put


def as_object_of(rules: Mapping[str, Rule]) -> Put:
    """Return a converter of an object with rules of its own."""

    def put(draft: Draft, name: str, token: bytes) -> bool:
        if token[0] == OBJECT:
            apply(rules, members(token), draft, f"edata_{name}")
        return token[0] == OBJECT

    return put
