"""From Sunbird events to PostHog events, as bytes: a pure function of event and configuration.

    {"uuid":…,"timestamp":…,"event":…,"distinct_id":…, opening … "properties":{
        always · person · producer · type · object and groups · edata }}

No clock, no randomness: the same event gives the same bytes in every process, on every day,
at every attempt and whatever its neighbours. `uuid`, day, name and distinct_id are what PostHog
recognises a repetition by. Events are mapped column by column, and pieces are cached, which changes
nothing but the speed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Any

from bridge.events import identities
from bridge.native import compiled
from bridge_posthog.around import Surroundings
from bridge_posthog.heads import joined
from bridge_posthog.ids import DAY, derived_digest, uuid8
from bridge_posthog.moments import client_time, iso
from bridge_posthog.people import pseudonymiser
from bridge_posthog.surroundings import CACHE_SIZE, piece
from bridge_posthog.telling import Teller
from bridge_posthog.tokens import dump, dump_lines, is_marred, readable, tame
from bridge_posthog.wire import opening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.events import Event
    from bridge_posthog.around import Around
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.wire import Protocol

__all__ = ["Mapper"]

BRIDGE = "sunbird-bridge"
END = b"}}"
RAW, FLAT = b',"sunbird":', b',"mid":'


class Mapper:
    """Maps events for one configuration and one protocol.

    `native` is the compiled part of the bridge; without, the same is done in Python.
    """

    def __init__(self, config: PostHogConfig, protocol: Protocol, native: Any = compiled()) -> None:  # noqa: B008 - found once
        self._config = config
        self._protocol: Protocol = protocol
        self._raw = config.properties == "raw"
        hide = pseudonymiser(config.pseudonym_key.reveal().encode()) if config.pseudonym_key else str
        self._surroundings = Surroundings(config, protocol, hide, native)
        self._teller = Teller(config, strict=protocol == "v0", native=native)
        self._joined = joined if native is None else native.joined
        self._group_event = lru_cache(maxsize=CACHE_SIZE)(self._identify_group)

    def encode(self, events: Sequence[Event]) -> list[bytes | None]:
        """The payloads: a PostHog event each, or more with a newline between; None if excluded.

        `EventError` if there is one without a time, or that cannot be decoded.
        """
        excluded = self._config.exclude_eids
        if not excluded:
            return [*self._encode(events)]
        wanted = [event.eid not in excluded for event in events]
        payloads = iter(self._encode(list(compress(events, wanted))))
        return [next(payloads) if is_wanted else None for is_wanted in wanted]

    def _encode(self, events: Sequence[Event]) -> list[bytes]:
        around = self._surroundings.along(events)
        told = self._teller.tell(events, around.settings)
        for index in around.overruled:
            told.ends[index] = _overruled(events[index]) + told.ends[index]
        columns = (
            told.names,
            around.openings,
            around.relations or b"",
            told.eids,
            around.pieces,
            RAW if self._raw else FLAT,
            self._bodies(events),
            told.ends,
            END,
        )
        payloads, escaped = self._joined(self._digests(events), around.times, columns)
        for index in escaped:
            if is_marred(payloads[index]):
                payloads[index] = readable(payloads[index])
        return self._with_groups(events, around, payloads) if self._config.group_identify else payloads

    def _digests(self, events: Sequence[Event]) -> list[bytes]:
        if self._config.id == "mid":
            return [derived_digest("mid", event.mid) for event in events]
        return identities(events)

    def _bodies(self, events: Sequence[Event]) -> list[bytes]:
        """The first property of each event: itself, or its `mid`."""
        if not self._raw:
            return dump_lines([event.mid for event in events]).splitlines()
        raws = [event.raw for event in events]
        if self._protocol == "v1":
            return raws
        return [tame(readable(raw) if is_marred(raw) else raw) for raw in raws]

    def _with_groups(self, events: Sequence[Event], around: Around, payloads: list[bytes]) -> list[bytes]:
        """The payloads, with a `$groupidentify` for each group of a START."""
        return [
            b"\n".join((payload, *(self._group_event(*group, at // DAY) for group in place.groups)))
            if event.eid == "START"
            else payload
            for event, at, place, payload in zip(events, around.times, around.places, payloads, strict=True)
        ]

    def _identify_group(self, kind: str, key: str, day: int) -> bytes:
        """The `$groupidentify` of a group for one UTC day: equal bytes from every event of that day."""
        head = {
            "uuid": uuid8(derived_digest("$groupidentify", kind, key, str(day))),
            "timestamp": iso(day * DAY),
            "event": "$groupidentify",
            "distinct_id": BRIDGE,
        }
        group = piece({"$group_type": kind, "$group_key": key, "$group_set": {}})
        return readable(dump(head)[:-1] + opening(self._protocol, profile=True, session=None) + group + b"}}")


def _overruled(event: Event) -> bytes:
    """What the device's clock said, where the server's stands in for it."""
    return piece({"client_timestamp": client_time(event.ets), "timestamp_corrected": True})
