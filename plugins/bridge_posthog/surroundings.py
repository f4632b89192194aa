"""What stands around `edata`: producer, object and groups, as ready pieces of JSON. Pure.

The events of a session share all of it; `mapping` keeps the pieces, so an event costs a look-up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge_posthog.naming import Source
from bridge_posthog.people import is_placeholder, shorten
from bridge_posthog.tokens import below, dump, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.events import Event
    from bridge_posthog.config import PostHogConfig

__all__ = ["Piece", "Place", "Places", "Producers", "piece"]

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

    def describe(self, event: Event) -> tuple[Source, Piece]:
        """What is known of the source, and its properties."""
        context, producer = event.context, event.context.pdata
        name, part, version = producer.id, producer.pid or "", producer.ver or ""
        app = bool(self._is_app(name.lower()) or self._is_app(part.lower()))
        base = self._bases.get(name) or (f"https://{name}" if name else "")
        properties = present(
            telemetry_version=event.ver,
            actor_type=event.actor.type,
            channel=context.channel,
            env=context.env,
            producer_id=name,
            producer_pid=part,
        )
        if version:
            properties["$app_version"] = version
        return Source(name, version, app, base), piece(properties)


class Place(NamedTuple):
    """Properties of an event's object and groups; `groups` for `$groupidentify`."""

    piece: Piece
    groups: tuple[tuple[str, str], ...]


class Places:
    """The part of an event that its object and its groups decide."""

    def __init__(self, config: PostHogConfig, hide: Callable[[str], str]) -> None:
        self._groups = config.groups
        self._hide = hide if config.pseudonym_key else None

    def describe(self, event: Event) -> Place:
        """The properties of the object, and the groups."""
        context, thing = event.context, event.object
        name, label = (thing.id or "", thing.type or "") if thing else ("", "")
        levels = (thing.rollup or {}) if thing else {}
        if self._hide and label.lower() in PEOPLE and name:
            name = self._hide(name)
        properties = present(object_id=name, object_type=label, object_version=thing.ver if thing else "")
        properties |= {f"object_rollup_{level}": levels[level] for level in LEVELS if levels.get(level)}
        keys = {
            "channel": context.channel,
            "env": context.env,
            "producer": context.pdata.id,
            "collection": levels.get("l1", ""),
            f"object:{label}": name,
            **{f"cdata:{item.type}": item.id for item in context.cdata or ()},
        }
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


def relate(context: bytes, tags: bytes) -> Piece:
    """`cdata_<type>` (numbered where a type repeats), `context_rollup_<level>` and `tags`.

    Both arguments as they stand in the event; in the context, only what is of the right type counts.
    """
    properties: dict[str, Any] = {}
    found = load(context)
    whole: dict[str, Any] = found if isinstance(found, dict) else {}
    for item in _listed(whole.get("cdata")):
        kind, value = (item.get("type"), item.get("id")) if isinstance(item, dict) else (None, None)
        if isinstance(kind, str) and isinstance(value, str) and kind and value:
            name, count = below("cdata", kind), 2
            while name in properties:
                name, count = f"{below('cdata', kind)}_{count}", count + 1
            properties[name] = value
    rollup = whole.get("rollup")
    levels: dict[str, Any] = rollup if isinstance(rollup, dict) else {}
    for level in LEVELS:
        if isinstance(levels.get(level), str) and levels[level]:
            properties[f"context_rollup_{level}"] = levels[level]
    labels = [label for label in _listed(load(tags)) if isinstance(label, str) and label]
    return piece({**properties, "tags": labels} if labels else properties)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
