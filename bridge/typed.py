"""Typed decoders that take only what is surely valid; what they refuse, `bridge.verdicts` judges.

The types of `edata` are generated from the table of `bridge.schemas`. They exist to check, at the
speed of the JSON parser, and are thrown away: free-form objects are skipped, not built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bridge.model import Actor, Context, Event, Producer
from bridge.schemas import EDATA, ArrayOf, Number, Record, Rule, Text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OfficialActor", "OfficialContext", "OfficialEvent", "RoutedEvent", "edata_decoder", "type_of"]

NonBlank = Annotated[str, Meta(min_length=1)]


class OfficialActor(Actor, frozen=True, gc=False):
    """The actor as the official schemas want it."""

    id: str
    type: str


class _Producer(Producer, frozen=True, gc=False):
    id: str


class OfficialContext(Context, frozen=True, gc=False, kw_only=True):
    """The context as the official schemas want it."""

    channel: NonBlank
    pdata: _Producer
    env: str


class RoutedEvent(Event, kw_only=True, gc=False, eq=False):
    """The head of an event as level `envelope` wants it; actor, context and object are still text."""

    eid: NonBlank
    mid: NonBlank
    actor: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment]  # until it is recalled, or decoded
    context: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment]
    object: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]
    received: None = None  # a key of that name can be nothing but null
    digest: None = None
    original: None = None


class OfficialEvent(Event, kw_only=True, gc=False, eq=False):
    """The head of an event as the official schemas want it; actor, context and object are still text."""

    eid: NonBlank
    ets: float
    ver: Literal["3.0", "3.1"]
    mid: NonBlank
    actor: msgspec.Raw  # type: ignore[assignment]  # as above
    context: msgspec.Raw  # type: ignore[assignment]
    object: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]
    edata_held: msgspec.Raw
    received: None = None
    digest: None = None
    original: None = None


class StrictEvent(OfficialEvent, kw_only=True, gc=False, eq=False):
    """The same of an official type; its `eid` is one of a few texts that are made once."""

    eid: Literal[tuple(EDATA)]  # type: ignore[valid-type]


def edata_decoder(rule: Rule) -> Callable[[bytes | msgspec.Raw], Any]:
    """A function that raises one of `jsontext.REFUSED` on JSON text that may break `rule`."""
    return msgspec.json.Decoder(type_of(rule)).decode


def type_of(rule: Rule) -> Any:
    """The msgspec type whose values all follow `rule`."""
    match rule:
        case Text(choices=choices) if choices:
            return Literal[choices]
        case Text(min_length=least):
            return Annotated[str, Meta(min_length=least)] if least else str
        case Number(minimum=least):
            return float if least is None else Annotated[float, Meta(ge=least)]
        case ArrayOf(item=item):
            return list[type_of(item)]  # type: ignore[misc]
        case _:
            return _struct_of(rule)


def _struct_of(rule: Record) -> type[msgspec.Struct]:
    # Positions are the attribute names: keys such as `pass` are no identifiers.
    names = {f"key_{index}": key for index, key in enumerate(rule.keys)}
    return msgspec.defstruct(
        "Record",
        [_field(name, rule.keys[key], required=key in rule.required) for name, key in names.items()],
        rename=names,
        forbid_unknown_fields=rule.closed,
        kw_only=True,
        gc=False,
    )


def _field(name: str, rule: Rule, *, required: bool) -> Any:
    kind = type_of(rule)
    return (name, kind) if required else (name, kind | None, None)
