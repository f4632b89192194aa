"""How a key of `edata` becomes a property: the name it gets, and the type that name has. Pure.

A rule's converter is given the draft, its own name and the token. It adds what it can make of
the token, and answers False if that is nothing; then the token goes where unknown keys go.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, Raw

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
    number,
    prefix,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Make",
    "Put",
    "Rule",
    "Whole",
    "apply",
    "attribute",
    "listed",
    "made_rule",
    "number_rule",
    "picker",
    "pure_rule",
    "scalar",
    "text_rule",
    "word",
]

Put = Callable[[Draft, bytes, bytes], bool]
Whole = Callable[[bytes], bytes]
Make = Callable[[bytes, bytes, Whole], bytes | None]


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

    `inner` are the rules of an object whose keys become properties of their own; those that it does
    not know count as `depth` levels down. `fits` says which numbers mean something. `make` does what the
    converter does, if that takes no draft: it returns the properties, None for a token that it does not take.
    Its answers are `kept` where there are few.
    """

    name: str
    kind: Kind
    put: Put
    inner: Mapping[str, Rule] | None = None
    fits: Callable[[float], bool] | None = None
    depth: int = 1
    make: Make | None = None
    kept: bool = False


def text_rule(name: str) -> Rule:
    """A text; other scalars are written as text."""
    return Rule(name, Kind.TEXT, _text)


def number_rule(name: str) -> Rule:
    """A number, always written as a float; texts that are numbers are read."""
    return Rule(name, Kind.NUMBER, _number)


def chosen_rule(name: str, fits: Callable[[float], bool]) -> Rule:
    """A number, left out unless it `fits`."""

    def put(draft: Draft, name: bytes, token: bytes) -> bool:
        found = figure(token)
        if found is not None and fits(found):
            draft += (name, dump(found))
        return found is not None

    return Rule(name, Kind.NUMBER, put, fits=fits)


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


def pure_rule(name: str, make: Make, *, kept: bool = False) -> Rule:
    """The properties that `make` makes of the token, whatever else there is in the event."""

    def put(draft: Draft, name: bytes, token: bytes) -> bool:
        made = make(name, token, draft.whole)
        if made is not None:
            draft.append(made)
        return made is not None

    return Rule(name, Kind.MADE, put, make=make, kept=kept)


def free_rule(name: str) -> Rule:
    """A list as it is, and whatever else there is as for an unknown key."""
    return Rule(name, Kind.LIST, as_spilled(name))


def nested_rule(name: str, inner: Mapping[str, Rule], depth: int = 1) -> Rule:
    """An object with rules of its own; its other keys become `edata_<name>_<key>`."""
    return Rule(name, Kind.MADE, _unread, inner, depth=depth)


def _unread(_draft: Draft, _name: bytes, _token: bytes) -> bool:
    """Stand in until a form has been made of the inner rules."""
    return False


def apply(rules: Mapping[str, Rule], source: Members, draft: Draft, rest: str, depth: int = 1) -> None:
    """Add the properties that `rules` make of an object; other keys become `<rest>_<key>`."""
    for key, value in source.items():
        token, rule = bytes(value), rules.get(key)
        if rule is None:
            draft.spill(below(rest, key), token, depth)
        elif token[0] != NULL and token != b'""' and not rule.put(draft, prefix(rule.name), token):
            draft.spill(below(rest, key), token)


def attribute(key: str) -> str:
    """The attribute that holds a key in a form: `pass` is no name in Python."""
    return f"{key}_"


def picker(paths: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that takes the values at some paths of attributes, which are names of ours.

    It is compiled, since the interpreter reads attributes at a quarter of what `attrgetter` costs.
    """
    values = "".join(f"one.{path}," for path in paths)
    found: Callable[[Any], tuple[Any, ...]] = eval(f"lambda one: ({values})")  # noqa: S307 - as said above
    return found


def word(value: Any) -> str:
    """A text, as a form has read it or by key; blank for anything else."""
    if type(value) is Raw:
        token = bytes(value)
        return load(token) if token[0] == QUOTE else ""
    return value if type(value) is str else ""


def scalar(value: Any) -> str:
    """A text, or another scalar as text, as a form has read it or by key; blank for anything else."""
    token = text(dump(None if value is UNSET else value))
    return "" if token is None else load(token)


def _text(draft: Draft, name: bytes, token: bytes) -> bool:
    """A scalar, as text."""
    found = text(token)
    if found is not None:
        draft += (name, found)
    return found is not None


def _number(draft: Draft, name: bytes, token: bytes) -> bool:
    found = number(token)
    if found is not None:
        draft += (name, found)
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
    """Return a converter of what may have any form: one property, or one for each of its keys."""

    def put(draft: Draft, _name: bytes, token: bytes) -> bool:
        draft.spill(name, token, 2)
        return True

    return put


def listed(name: bytes, token: bytes, whole: Whole) -> bytes | None:
    """A list, as it is."""
    if token[0] != ARRAY:
        return None
    return b"" if is_empty(token) else name + whole(token)


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
