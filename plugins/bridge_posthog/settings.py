"""Who did it and with what: what neighbouring events share, made once for a run of them. Pure.

Telemetry arrives in runs, since a device uploads what it has gathered. Whether an event belongs
to the run of the one before is seen by comparing; what a new run needs is looked up in a cache.
Either way an event gets what it would get alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from bridge_posthog.ids import DAY, derived_session, own_session
from bridge_posthog.naming import Source
from bridge_posthog.people import identify, shorten
from bridge_posthog.surroundings import CACHE_SIZE, SMALL, Producers
from bridge_posthog.tokens import dump
from bridge_posthog.wire import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.events import Actor, Event, Producer
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.wire import Protocol

__all__ = ["Setting", "Settings"]

VERSION = 14  # where a UUID says which kind it is


class Setting(msgspec.Struct, frozen=True, gc=False):
    """What leads from an event's name to its own properties, and what is known of who did it.

    An `opening` that is not `named` lacks the distinct id: only the event itself can give it.
    """

    opening: bytes
    named: bool
    person: bool
    source: Source


class Settings:
    """Makes the settings of events for one configuration and one protocol."""

    def __init__(self, config: PostHogConfig, protocol: Protocol, hide: Callable[[str], str]) -> None:
        self._protocol: Protocol = protocol
        self._profiles = config.person_profiles
        self._boundary = config.session_boundary_hour * 3_600_000
        self._hide = hide
        self._describe: Any = lru_cache(maxsize=CACHE_SIZE)(Producers(config).describe)
        self._cached: Any = lru_cache(maxsize=CACHE_SIZE)(self._make)

    def along(self, events: Sequence[Event], times: Sequence[int]) -> list[Setting]:
        """The setting of each event, which happened at its time (ms)."""
        column: list[Setting] = []
        known = did = sid = actor = channel = env = producer = ver = None
        since = until = 0
        for event, at in zip(events, times, strict=True):
            context, doer = event.context, event.actor
            if not (
                since <= at < until
                and (doer is actor or doer == actor)
                and event.ver == ver
                and (
                    context is known  # validation gives equal texts one value, mostly
                    or (
                        context.did == did
                        and context.sid == sid
                        and context.channel == channel
                        and context.env == env
                        and context.pdata == producer
                    )
                )
            ):
                did, sid, channel, env = context.did, context.sid, context.channel, context.env
                actor, producer, ver = doer, context.pdata, event.ver
                setting, since, until = self.of(event, at)
            known = context
            column.append(setting)
        return column

    def of(self, event: Event, at: int) -> tuple[Setting, int, int]:
        """An event's setting, and from when to when (ms) others of its run have the same."""
        context = event.context
        sid = context.sid or ""
        window = at - (at - self._boundary) % DAY
        since, until, own = window, window + DAY, None
        if sid[VERSION : VERSION + 1] == "7":
            since, until, own = at, at + 1, own_session(sid, at)
        make = self._cached if len(event.raw) <= SMALL else self._make
        setting: Setting = make(
            event.actor, event.ver, context.channel, context.env, context.pdata,
            context.did or "", sid, own, 0 if own else window,
        )  # fmt: skip
        if setting.named:
            return setting, since, until
        opening = _named(f"event:{event.mid}") + setting.opening
        return Setting(opening, setting.named, setting.person, setting.source), since, since

    def _make(
        self,
        actor: Actor,
        ver: str,
        channel: str,
        env: str,
        producer: Producer,
        did: str,
        sid: str,
        own: str | None,
        window: int,
    ) -> Setting:
        who = identify(actor.type, actor.id, did, sid, producer.id, self._hide)
        person = who is not None and who.person
        profile = {"always": True, "never": False, "identified_only": person}[self._profiles]
        if own is None and sid.strip():
            own = derived_session(sid, f"{did}\x1f{actor.id}", window)
        source, described = self._describe(ver, actor.type, channel, env, producer)
        opened = (
            _named(who.distinct_id) if who else b"",
            opening(self._protocol, profile, own),
            b',"sunbird_session_id":' + dump(sid) if sid else b"",
            b',"$device_id":' + dump(self._hide(did)) if did else b"",
            described,
        )
        return Setting(b"".join(opened), who is not None, person, source)


def _named(name: str) -> bytes:
    return b',"distinct_id":' + dump(shorten(name))
