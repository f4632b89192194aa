"""What stands around `edata`: producer, object and groups, as ready pieces of JSON. Pure.

Thousands of events share a producer, a content item, a session; their pieces are encoded
once and kept in caches of bounded size, so an event costs a look-up instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge_posthog.naming import Source
from bridge_posthog.people import is_placeholder, shorten
from bridge_posthog.tokens import below, dump

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.events import CData, Context, Producer
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

    def describe(
        self, eid: str, ver: str, actor_type: str, channel: str, env: str, producer: Producer
    ) -> tuple[Source, Piece]:
        """What is known of the source, and its properties."""
        name, part, version = producer.id, producer.pid or "", producer.ver or ""
        app = bool(self._is_app(name.lower()) or self._is_app(part.lower()))
        base = self._bases.get(name) or (f"https://{name}" if name else "")
        properties = present(
            eid=eid,
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


class Place(NamedTuple):
    """Properties of an event's object and groups; `groups` for `$groupidentify`."""

    piece: Piece
    groups: tuple[tuple[str, str], ...]


class Places:
    """The part of an event that its object and its groups decide."""

    def __init__(self, config: PostHogConfig, hide: Callable[[str], str]) -> None:
        self._groups = config.groups
        self._hide = hide if config.pseudonym_key else None
        self._cdata = {
            source.partition(":")[2] for source in config.groups.values() if source.startswith("cdata:")
        }

    def more(self, context: Context) -> tuple[tuple[str, str], ...]:
        """What of the context groups are made from, besides the channel."""
        known = (("env", context.env), ("producer", context.pdata.id))
        return known + tuple(
            (f"cdata:{item.type}", item.id) for item in context.cdata or () if item.type in self._cdata
        )

    def asks_more(self) -> bool:
        """Say whether groups are made from more than channel and object."""
        return bool(self._cdata or {"env", "producer"} & set(self._groups.values()))

    def describe(
        self,
        channel: str,
        identifier: str | None,
        kind: str | None,
        version: str | None,
        rollup: tuple[tuple[str, str], ...],
        more: tuple[tuple[str, str], ...],
    ) -> Place:
        """The properties and groups; `rollup` holds the object's levels, `more` other sources of groups."""
        name, label, levels = identifier or "", kind or "", dict(rollup)
        if self._hide and label.lower() in PEOPLE and name:
            name = self._hide(name)
        properties = present(object_id=name, object_type=label, object_version=version)
        properties |= {f"object_rollup_{level}": levels[level] for level in LEVELS if levels.get(level)}
        keys = {"channel": channel, f"object:{label}": name, "collection": levels.get("l1", ""), **dict(more)}
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


def correlate(cdata: tuple[CData, ...], tags: tuple[str, ...]) -> Piece:
    """Properties `cdata_<type>` for each correlation, numbered where a type repeats, and `tags`."""
    properties: dict[str, Any] = {}
    for item in cdata:
        if item.id and item.type:
            name, count = below("cdata", item.type), 2
            while name in properties:
                name, count = f"{below('cdata', item.type)}_{count}", count + 1
            properties[name] = item.id
    return piece({**properties, "tags": tags} if tags else properties)
