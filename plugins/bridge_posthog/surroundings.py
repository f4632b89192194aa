"""What stands around `edata`: producer, object and groups, as ready pieces of JSON. Pure.

The events of a session share all of it; `mapping` keeps the pieces, so an event costs a look-up.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from bridge_posthog.naming import Source
from bridge_posthog.people import is_placeholder, shorten
from bridge_posthog.tokens import LONGEST_NAME, below, dump, load, prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from bridge.events import CData, Context, Event, Producer
    from bridge_posthog.config import PostHogConfig

__all__ = [
    "Piece",
    "Place",
    "Places",
    "Producers",
    "correlated",
    "piece",
    "placed",
    "relations",
    "tagged",
]

CACHE_SIZE = 8_192
SMALL = 4_096  # bytes of an event whose pieces may be cached: giants must not fill the memory
LEVELS = ("l1", "l2", "l3", "l4")
PEOPLE = frozenset({"user", "profile", "consumer"})
CONTENT = frozenset(
    {
        "assessment",
        "collection",
        "content",
        "course",
        "explanationresource",
        "lessonplan",
        "practicequestionset",
        "practiceresource",
        "questionset",
        "resource",
        "selfassess",
        "story",
        "textbook",
        "textbookunit",
        "worksheet",
    }
)

_ROLLUP = tuple((level, prefix(f"context_rollup_{level}")) for level in LEVELS)

Piece = bytes


def piece(properties: Mapping[str, Any]) -> Piece:
    """Members of a JSON object, each with a comma before it: `,"a":1,"b":2`."""
    return b"," + dump(properties)[1:-1] if properties else b""


def present(**values: Any) -> dict[str, Any]:
    """Leave out what is blank."""
    return {name: value for name, value in values.items() if value}


class Producers:
    """The part of an event that its producer, channel and type decide."""

    def __init__(self, config: PostHogConfig) -> None:
        self._is_app = re.compile(config.app_producers).search
        self._bases = config.base_urls

    def describe(
        self, ver: str, actor_type: str, channel: str, env: str, producer: Producer
    ) -> tuple[Source, Piece]:
        """What is known of the source, and its properties."""
        name, part, version = producer.id, producer.pid or "", producer.ver or ""
        app = bool(self._is_app(name.lower()) or self._is_app(part.lower()))
        base = self._bases.get(name) or (f"https://{name}" if name else "")
        properties = present(
            telemetry_version=ver,
            actor_type=actor_type,
            channel=channel,
            env=env,
            producer_id=name,
            producer_pid=part,
        )
        if version:
            properties["$app_version"] = version
        return Source(name, version, app, base), piece(properties)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Properties of an event's object and groups; `groups` for `$groupidentify`."""

    piece: Piece
    groups: tuple[tuple[str, str], ...]


class Places:
    """The part of an event that its object and its groups decide.

    Where they are `grouped`, more than setting and object decides.
    """

    def __init__(self, config: PostHogConfig, hide: Callable[[str], str]) -> None:
        self._groups = config.groups
        self._hide = hide if config.pseudonym_key else None
        self._more = more_groups(config)
        self.grouped = self._more is not None
        self._cached: Any = lru_cache(maxsize=CACHE_SIZE)(self._describe)

    def along(self, events: Sequence[Event], settings: Sequence[object]) -> list[Place]:
        """The place of each event; neighbours with one setting and one object have one."""
        grouped = self.grouped
        column: list[Place] = []
        known = thing = place = None
        for event, setting in zip(events, settings, strict=True):
            found = event.object
            if place is None or setting is not known or not (found is thing or found == thing) or grouped:
                known, thing = setting, found
                place = self.of(event)
            column.append(place)
        return column

    def of(self, event: Event) -> Place:
        """The place of one event."""
        context, more = event.context, self._more
        describe = self._cached if len(event.raw) <= SMALL else self._describe
        place: Place = describe(context.channel, dump(event.object), more(context) if more else ())
        return place

    def _describe(self, channel: str, thing: bytes, more: tuple[tuple[str, str], ...]) -> Place:
        """The properties of the object (in JSON), and the groups, for which `more` has other sources."""
        found = load(thing) or {}
        name, label = found.get("id") or "", found.get("type") or ""
        levels = found.get("rollup") or {}
        if self._hide and label.lower() in PEOPLE and name:
            name = self._hide(name)
        properties = present(object_id=name, object_type=label, object_version=found.get("ver"))
        properties |= {f"object_rollup_{level}": levels[level] for level in LEVELS if levels.get(level)}
        keys = {"channel": channel, "collection": levels.get("l1", ""), f"object:{label}": name, **dict(more)}
        if label.lower() in CONTENT:
            keys["content"] = name
        groups = tuple(
            (group, shorten(key))
            for group, source in self._groups.items()
            if (key := keys.get(source, "")) and not is_placeholder(key)
        )
        if groups:
            properties["$groups"] = dict(groups)
        return Place(piece(properties), groups)


def more_groups(config: PostHogConfig) -> Callable[[Context], tuple[tuple[str, str], ...]] | None:
    """A function that finds what groups are made from besides channel and object; None if nothing is."""
    sources = set(config.groups.values())
    if not any(source.startswith("cdata:") for source in sources) and not sources & {"env", "producer"}:
        return None

    def more(context: Context) -> tuple[tuple[str, str], ...]:
        found = [("env", context.env), ("producer", context.pdata.id)]
        found += [(f"cdata:{item.type}", item.id) for item in context.cdata or ()]
        return tuple(pair for pair in found if pair[0] in sources)

    return more


def relations(events: Sequence[Event]) -> list[Piece]:
    """The properties `cdata_<type>`, `context_rollup_<level>` and `tags` of each event.

    Neighbours mostly share them, or differ in one.
    """
    column: list[Piece] = []
    known = cdata = rollup = tags = None
    correlation = place = tag = related = b""
    for event in events:
        context = event.context
        if not (context is known and event.tags == tags):
            known = context
            if context.cdata != cdata:
                cdata = context.cdata
                correlation = correlated(cdata)
            if context.rollup != rollup:
                rollup = context.rollup
                place = placed(rollup)
            if event.tags != tags:
                tags = event.tags
                tag = tagged(tags)
            related = b"".join((correlation, place, tag))
        column.append(related)
    return column


def correlated(cdata: Iterable[CData] | None) -> Piece:
    """What the event belongs to, by type; numbered where a type repeats."""
    pieces: list[bytes] = []
    for item in cdata or ():
        if item.type and item.id:
            opened = _correlation(item.type) if len(item.type) <= LONGEST_NAME else _opened(item.type)
            pieces += (_numbered(item.type, pieces) if opened in pieces else opened, dump(item.id))
    return b"".join(pieces)


def placed(levels: Mapping[str, str] | None) -> Piece:
    """Where the tenant stands in its hierarchy."""
    if not levels:
        return b""
    return b"".join(opened + dump(value) for level, opened in _ROLLUP if (value := levels.get(level)))


def tagged(tags: Sequence[str] | None) -> Piece:
    """The tags, as one list."""
    return b',"tags":' + dump(tags) if tags else b""


def _opened(kind: str, number: str = "") -> bytes:
    return prefix(below("cdata", kind) + number)


_correlation = lru_cache(maxsize=CACHE_SIZE)(_opened)


def _numbered(kind: str, taken: Container[bytes]) -> bytes:
    numbers = (_opened(kind, f"_{number}") for number in count(2))
    return next(opened for opened in numbers if opened not in taken)
