"""Reads `edata` of a known type in one go: C decodes it by key and encodes it by property name. Pure.

A form is made from the rules of an event type. Where `edata` has the shape they expect, its
plain values, those of nested objects included, never pass through Python. Where a key is unknown
or a type is another, the same rules are applied key by key: the same properties, only slower.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import starmap
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from bridge.errors import EventError
from bridge_posthog.rules import Kind, Rule, apply, attribute, picker
from bridge_posthog.tokens import (
    BACKSLASH,
    NULL,
    OBJECT,
    Draft,
    Members,
    below,
    dump_lines,
    is_marred,
    members,
    prefix,
    readable,
    tame,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bridge.events import Event
    from bridge_posthog.rules import Make, Whole

__all__ = ["Form", "read", "read_all"]

LONGEST_WORD, MOST_WORDS = 100, 1_024
ABSENT = msgspec.Raw(b"null")
_FIELDS: Mapping[Kind, tuple[Any, Any]] = {
    Kind.TEXT: (str | None, ""),
    Kind.NUMBER: (float | None | UnsetType, UNSET),
    Kind.LIST: (list[msgspec.Raw] | None, []),
    Kind.TEXTS: (list[str] | None, []),
    Kind.OBJECT: (Members | None, {}),
    Kind.MADE: (msgspec.Raw, ABSENT),
}
_TAMED = frozenset({Kind.LIST, Kind.OBJECT})  # what a strict parser may stumble over, so it is looked into


class Plain(NamedTuple):
    """A value that becomes a property as it is: where it lies in what is read, and what it is called."""

    path: str
    name: str
    kind: Kind
    fits: Callable[[float], bool] | None


class Made(NamedTuple):
    """A value that a converter takes; `spilled` is its property's name if the converter takes it not."""

    path: str
    rule: Rule
    name: bytes
    spilled: str


class Converter:
    """Applies a rule's converter to a column of values, each as it stands in the JSON.

    `make` is the converter of a rule that has a pure one, and `kept` the same with a memory for short values.
    """

    def __init__(self, made: Made, whole: Whole) -> None:
        self.values = attrgetter(made.path)
        self._put, self._name, self._spilled = made.rule.put, made.name, made.spilled
        self.make = _made_of(made.rule.make, made.name, whole) if made.rule.make else None
        self.kept: Any = lru_cache(maxsize=MOST_WORDS)(self.make) if self.make and made.rule.kept else None

    def column(self, values: Sequence[msgspec.Raw], drafts: Mapping[int, Draft]) -> list[bytes]:
        """The properties of each value; in the draft with its index is what the same event has already."""
        tokens = list(map(bytes, values))
        if self.make is None:
            return [
                b"" if value is ABSENT else self.drafted(token, drafts[index])
                for index, (value, token) in enumerate(zip(values, tokens, strict=True))
            ]
        few = self.kept is not None and max(map(len, tokens)) <= LONGEST_WORD
        make: Callable[[bytes], bytes | None] = self.kept if few else self.make
        pieces: list[Any] = list(map(make, tokens))
        for index, piece in enumerate(pieces) if None in pieces else ():
            if piece is None:
                pieces[index] = self.drafted(tokens[index], drafts[index])
        return pieces

    def drafted(self, token: bytes, draft: Draft) -> bytes:
        """The properties of one value, if nothing but the draft can tell what they are called."""
        if token[0] != NULL and token != b'""' and not self._put(draft, self._name, token):
            draft.spill(self._spilled, token)
        return draft.take()


def _made_of(make: Make, name: bytes, whole: Whole) -> Callable[[bytes], bytes | None]:
    def made(token: bytes) -> bytes | None:
        return make(name, token, whole) if token[0] != NULL and token != b'""' else b""

    return made


class Form:
    """What the rules of one type of object make of it; `rest` names the keys they do not know, at `depth`.

    A form that is `part` of another passes unknown keys by. A `strict` form looks into lists and
    objects, for a parser that refuses what JSON allows. `plain` and `made` are the values it finds,
    those of nested forms included, and `given` is the type that holds them.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        rest: str = "edata",
        depth: int = 1,
        *,
        strict: bool = False,
        part: bool = False,
    ) -> None:
        inner = {
            key: Form(rule.inner, f"edata_{rule.name}", rule.depth, strict=strict, part=part)
            for key, rule in rules.items()
            if rule.inner is not None
        }
        self._rest, self._depth = rest, depth
        self.is_part = part
        self._rules = {
            key: rule._replace(put=inner[key].put) if key in inner else rule for key, rule in rules.items()
        }
        self.plain = list(_plain(rules, inner, strict))
        self.made = list(_made(rules, inner, rest, strict))
        self.given: Any = _given(rules, inner, strict, part) if rules else Members
        self._taken = _taken(self.plain)
        self._pick: Callable[[Any], Sequence[Any]] = picker([one.path for one in self.plain])
        self._chosen = [(index, one.fits) for index, one in enumerate(self.plain) if one.fits]
        self.converters = [Converter(one, tame if strict else bytes) for one in self.made]
        self.decode: Callable[[bytes | msgspec.Raw], Any] = msgspec.json.Decoder(self.given).decode
        whole = msgspec.defstruct("Whole", [("edata", self.given)], gc=False)
        self.decode_whole: Callable[[bytes], Any] = msgspec.json.Decoder(whole).decode

    def fill(self, edata: Any, draft: Draft) -> None:
        """Draft the properties of what `read` has found."""
        before = draft.take()
        columns = self.columns((edata,), {0: draft})
        draft.extend((before, *(piece for (piece,) in columns)))

    def columns(self, edatas: Sequence[Any], drafts: Mapping[int, Draft]) -> list[list[bytes]]:
        """The properties of many that were read in one way, column by column; their drafts are by index."""
        if type(edatas[0]) is dict:
            return [[self._by_key(edata, drafts[index]) for index, edata in enumerate(edatas)]]
        columns = [self._plain(edatas)]
        for converter in self.converters:
            values = list(map(converter.values, edatas))
            if values.count(ABSENT) < len(values):
                columns.append(converter.column(values, drafts))
        return columns

    def _by_key(self, edata: Members, draft: Draft) -> bytes:
        apply(self._rules, edata, draft, self._rest, self._depth)
        return draft.take()

    def _plain(self, column: Sequence[Any]) -> list[bytes]:
        """The plain values of each as members of an object, encoded all at once."""
        values: Iterable[Sequence[Any]] = map(self._pick, column)
        if self._chosen:
            values = map(self._choose, values)
        values = list(values)
        lines = dump_lines(list(starmap(self._taken, values)))
        if b"null" in lines:
            lines = dump_lines([self._taken(*map(_given_or_unset, one)) for one in values])
        # Nothing within a line looks like the end of one: JSON has a comma between objects.
        pieces = (b"," + lines[1:-2].replace(b"}\n{", b"}\n{,")).split(b"}\n{")
        return pieces if b"," not in pieces else [piece if piece != b"," else b"" for piece in pieces]

    def _choose(self, values: Sequence[Any]) -> Sequence[Any]:
        chosen = list(values)
        for index, fits in self._chosen:
            if type(chosen[index]) is float and not fits(chosen[index]):
                chosen[index] = UNSET
        return chosen

    def put(self, draft: Draft, _name: bytes, token: bytes) -> bool:
        """The converter of a nested object."""
        if token[0] != OBJECT:
            return False
        try:
            self.fill(self.decode(token), draft)
        except msgspec.ValidationError:
            self.fill(members(token), draft)
        return True


def _given_or_unset(value: Any) -> Any:
    return UNSET if value is None else value


def _kind(rule: Rule, strict: bool) -> Kind:
    return Kind.MADE if strict and rule.kind in _TAMED else rule.kind


def _plain(rules: Mapping[str, Rule], inner: Mapping[str, Form], strict: bool) -> Iterator[Plain]:
    for key, rule in rules.items():
        if key in inner:
            yield from (one._replace(path=f"{attribute(key)}.{one.path}") for one in inner[key].plain)
        elif _kind(rule, strict) is not Kind.MADE:
            yield Plain(attribute(key), rule.name, rule.kind, rule.fits)


def _made(rules: Mapping[str, Rule], inner: Mapping[str, Form], rest: str, strict: bool) -> Iterator[Made]:
    for key, rule in rules.items():
        if key in inner:
            yield from (one._replace(path=f"{attribute(key)}.{one.path}") for one in inner[key].made)
        elif _kind(rule, strict) is Kind.MADE:
            yield Made(attribute(key), rule, prefix(rule.name), below(rest, key))


def _given(
    rules: Mapping[str, Rule], inner: Mapping[str, Form], strict: bool, part: bool
) -> type[msgspec.Struct]:
    """The shape of the object itself, under its own keys."""
    nested = [(attribute(key), form.given, form.given()) for key, form in inner.items()]
    others = [
        (attribute(key), *_FIELDS[_kind(rule, strict)]) for key, rule in rules.items() if key not in inner
    ]
    names = {attribute(key): key for key in rules}
    return msgspec.defstruct(
        "Given", nested + others, rename=names, forbid_unknown_fields=not part, frozen=True, gc=False
    )


def _taken(plain: list[Plain]) -> type[msgspec.Struct]:
    """The plain values under the names of their properties; what is blank is left out."""
    fields = [(f"value_{index}", *_FIELDS[one.kind]) for index, one in enumerate(plain)]
    names = {f"value_{index}": one.name for index, one in enumerate(plain)}
    return msgspec.defstruct("Taken", fields, rename=names, omit_defaults=True, gc=False)


class _Members(msgspec.Struct, gc=False):
    edata: Members = {}


class _Unread(msgspec.Struct, gc=False):
    edata: msgspec.Raw = ABSENT


_decode_members = msgspec.json.Decoder(_Members).decode
_decode_unread = msgspec.json.Decoder(_Unread).decode


def is_apart(event: Event) -> bool:
    """Say whether an event with escapes is to be read from its own bytes, by `read`.

    Escapes may be such that no decoder takes them; the text of `edata` may be on several lines.
    """
    text: Any = event.edata_text
    return is_marred(event.raw) or (type(text) is msgspec.Raw and b"\n" in bytes(text))


def read(form: Form, event: Event) -> Any:
    """An event's `edata` as the form reads it, or by key; `EventError` if the event cannot be decoded."""
    raw = readable(event.raw) if is_marred(event.raw) else event.raw
    try:
        return form.decode_whole(raw).edata
    except (msgspec.MsgspecError, ValueError):
        return _read_members(raw)  # another shape


def read_all(form: Form, events: Sequence[Event]) -> list[Any]:
    """The same for many events.

    The text of `edata` is there unless somebody has read it.
    """
    texts: list[Any] = [event.edata_text for event in events]
    escaped = [event for event in events if BACKSLASH in event.raw]
    if set(map(type, texts)) != {msgspec.Raw} or any(map(is_apart, escaped)):
        return [read(form, event) for event in events]
    found: list[Any] = []
    decoded = map(form.decode, texts)
    while len(found) < len(texts):
        try:
            # What stood before an exception stays in the list, and the map goes on behind it.
            found.extend(decoded)
        except (msgspec.MsgspecError, ValueError):
            found.append(_read_by_key(texts[len(found)], events[len(found)].raw))
    return found


def _read_by_key(text: msgspec.Raw, raw: bytes) -> Members:
    try:
        return members(text)
    except (msgspec.MsgspecError, ValueError):
        return _read_members(raw)  # no object


def _read_members(raw: bytes) -> Members:
    try:
        return _decode_members(raw).edata
    except (msgspec.MsgspecError, ValueError):
        pass
    try:
        _decode_unread(raw)
    except (msgspec.MsgspecError, ValueError):
        raise EventError("edata", "the event cannot be decoded a second time") from None
    return {}
