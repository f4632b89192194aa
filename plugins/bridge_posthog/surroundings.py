"""What stands around `edata`: producer, object and groups, as ready pieces of JSON. Pure.

Thousands of events share a producer, a content item, a session; their pieces are encoded
once and kept in caches of bounded size, so an event costs a look-up instead.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bridge_posthog.naming import Source
from bridge_posthog.people import is_placeholder, shorten
from bridge_posthog.values import snake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.values import Properties

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
_encode = msgspec.json.Encoder().encode


def piece(properties: Mapping[str, Any]) -> Piece:
    """Members of a JSON object, each followed by a comma: `"a":1,"b":2,`."""
    return _encode(properties)[1:-1] + b"," if properties else b""


def present(**values: Any) -> Properties:
    """Leave out what is blank."""
    return {name: value for name, value in values.items() if value}


class Producers:
    """The part of an event that its producer, channel and type decide."""

    def __init__(self, config: PostHogConfig, always: Mapping[str, Any]) -> None:
        self._is_app = re.compile(config.app_producers).search
        self._bases = config.base_urls
        self._always = always

    def describe(  # noqa: PLR0913, PLR0917 - the key of a cache, spelt out
        self,
        eid: str,
        ver: str,
        actor_type: str,
        channel: str,
        env: str,
        producer: str,
        pid: str | None,
        version: str | None,
    ) -> tuple[Source, Piece]:
        """What is known of the source, and its properties."""
        app = bool(self._is_app(producer.lower()) or self._is_app((pid or "").lower()))
        base = self._bases.get(producer) or (f"https://{producer}" if producer else "")
        properties = present(
            eid=eid,
            telemetry_version=ver,
            actor_type=actor_type,
            channel=channel,
            env=env,
            producer_id=producer,
            producer_pid=pid,
        )
        if version:
            properties["$app_version"] = version
        return Source(producer, version or "", app, base), piece({**properties, **self._always})


class Place(NamedTuple):
    """Properties of an event's object and groups; `groups` for `$groupidentify`."""

    piece: Piece
    groups: tuple[tuple[str, str], ...]


class Places:
    """The part of an event that its object and its groups decide."""

    def __init__(self, config: PostHogConfig, hide: Callable[[str], str]) -> None:
        self._groups = config.groups
        self._hide = hide if config.pseudonym_key else None

    def describe(  # noqa: PLR0913, PLR0917 - the key of a cache, spelt out
        self,
        channel: str,
        env: str,
        producer: str,
        identifier: str,
        kind: str,
        version: str,
        rollup: tuple[str | None, ...],
        cdata: tuple[tuple[str, str], ...],
    ) -> Place:
        """The properties; `cdata` only of the types that groups are made from."""
        if self._hide and kind.lower() in PEOPLE and identifier:
            identifier = self._hide(identifier)
        properties = present(object_id=identifier, object_type=kind, object_version=version)
        for level, node in zip(LEVELS, rollup, strict=False):
            if node:
                properties[f"object_rollup_{level}"] = node
        keys = {"channel": channel, "env": env, "producer": producer, f"object:{kind}": identifier}
        keys |= {f"cdata:{name}": value for name, value in cdata}
        if kind.lower() in CONTENT:
            keys["content"] = identifier
        if rollup:
            keys["collection"] = rollup[0] or ""
        groups = tuple(
            (name, shorten(key))
            for name, source in self._groups.items()
            if (key := keys.get(source, "")) and not is_placeholder(key)
        )
        if groups:
            properties["$groups"] = dict(groups)
        return Place(piece(properties), groups)


def context_of(cdata: Any, out: Properties) -> None:
    """Add `cdata_<type>` for each correlation; a type that repeats is numbered."""
    for item in cdata:
        if item.id and item.type:
            name, count = f"cdata_{snake(item.type)}", 2
            while name in out:
                name, count = f"cdata_{snake(item.type)}_{count}", count + 1
            out[name] = item.id
