"""Reads `edata` of a known type in one go: C decodes it by key and encodes it by property name. Pure.

A form is made from the rules of an event type. Where `edata` has the shape they expect, its
plain values never pass through Python. Where a key is unknown or a type is another, the same
rules are applied key by key, which gives the same properties, only slower.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.errors import EventError
from bridge_posthog.rules import Kind, Rule, apply, attribute
from bridge_posthog.tokens import NULL, OBJECT, Draft, Members, below, dump, members, prefix, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ABSENT", "Form", "Told", "read"]

ABSENT = msgspec.Raw(b"null")
_FIELDS: Mapping[Kind, tuple[Any, Any]] = {
    Kind.TEXT: (str, ""),
    Kind.NUMBER: (float | None, None),
    Kind.LIST: (list[msgspec.Raw], []),
    Kind.TEXTS: (list[str], []),
    Kind.OBJECT: (Members, {}),
    Kind.MADE: (msgspec.Raw, ABSENT),
}


class Around(msgspec.Struct, frozen=True, gc=False):
    """What of the context is taken as it stands."""

    cdata: msgspec.Raw = ABSENT
    rollup: msgspec.Raw = ABSENT


class Told(msgspec.Struct, kw_only=True, gc=False):
    """An event's parts as they stand in its JSON; `edata` as members or as a form has read it."""

    mid: msgspec.Raw = ABSENT
    edata: Any = {}
    context: Around = Around()
    tags: msgspec.Raw = ABSENT


class _Members(Told, kw_only=True, gc=False):
    edata: Members = {}


class _Unread(Told, kw_only=True, gc=False):
    edata: msgspec.Raw = ABSENT


_decode_members = msgspec.json.Decoder(_Members).decode
_decode_unread = msgspec.json.Decoder(_Unread).decode


class Form:
    """What the rules of one type of object make of it; `rest` names the keys they do not know.

    A `strict` form looks into lists and objects, for a parser that refuses what JSON allows.
    """

    def __init__(self, rules: Mapping[str, Rule], rest: str = "edata", *, strict: bool = False) -> None:
        rules = {key: _with_form(rule, strict) for key, rule in rules.items()}
        self._rules = rules
        self._rest = rest
        safe = {Kind.TEXT, Kind.NUMBER, Kind.TEXTS} if strict else set(Kind) - {Kind.MADE}
        plain = [key for key, rule in rules.items() if rule.kind in safe]
        made = [key for key in rules if key not in plain]
        fields = [(attribute(key), *_FIELDS[rules[key].kind]) for key in plain]
        others = [(attribute(key), *_FIELDS[Kind.MADE]) for key in made]
        names = {attribute(key): key for key in rules}
        given = msgspec.defstruct(
            "Given", fields + others, rename=names, forbid_unknown_fields=True, gc=False
        )
        names = {attribute(key): rules[key].name for key in plain}
        self._taken = msgspec.defstruct("Taken", fields, rename=names, omit_defaults=True, gc=False)
        told = msgspec.defstruct("GivenEvent", [("edata", given)], bases=(Told,), kw_only=True, gc=False)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(told).decode
        self._read = msgspec.json.Decoder(given).decode
        self._pick = _picker(plain)
        self._made = [
            (attrgetter(attribute(key)), rules[key].put, prefix(rules[key].name), key) for key in made
        ]

    def fill(self, edata: Any, draft: Draft) -> None:
        """Draft the properties of what `decode` has read, or of members."""
        if type(edata) is dict:
            apply(self._rules, edata, draft, self._rest)
            return
        data = dump(self._taken(*self._pick(edata)))
        if len(data) > 2:  # noqa: PLR2004 - the braces
            draft += (b",", data[1:-1])
        for get, put, name, key in self._made:
            value = get(edata)
            if value is not ABSENT:
                token = bytes(value)
                if token[0] != NULL and token != b'""' and not put(draft, name, token):
                    draft.spill(below(self._rest, key), token)

    def put(self, draft: Draft, _name: bytes, token: bytes) -> bool:
        """The converter of a nested object."""
        if token[0] != OBJECT:
            return False
        try:
            self.fill(self._read(token), draft)
        except msgspec.ValidationError:
            self.fill(members(token), draft)
        return True


def _with_form(rule: Rule, strict: bool) -> Rule:
    if rule.inner is None:
        return rule
    return rule._replace(put=Form(rule.inner, f"edata_{rule.name}", strict=strict).put)


def _picker(keys: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    names = [attribute(key) for key in keys]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda source: tuple(getattr(source, name) for name in names)  # attrgetter makes no tuple of one


def read(form: Form, raw: bytes) -> Told:
    """Read an event; escapes that no decoder takes are made readable first. `EventError` if it cannot be."""
    try:
        told: Told = form.decode(raw)
    except (msgspec.MsgspecError, ValueError):
        return _read_members(raw)  # another shape, or an escape that is none
    return told


def _read_members(raw: bytes) -> Told:
    for line in (raw, readable(raw)):
        try:
            return _decode_members(line)
        except (msgspec.MsgspecError, ValueError):
            continue
    try:
        told = _decode_unread(readable(raw))
    except (msgspec.MsgspecError, ValueError):
        raise EventError("edata", "the event cannot be decoded a second time") from None
    return Told(mid=told.mid, context=told.context, tags=told.tags)
