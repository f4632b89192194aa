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
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge.events import identities
from bridge_posthog.denormalised import add_place, person_properties
from bridge_posthog.forms import Form, read
from bridge_posthog.ids import DAY, derived_digest, heads, uuid8
from bridge_posthog.moments import client_time, iso, moments, stamps
from bridge_posthog.naming import namers, opened_by, unknown_name
from bridge_posthog.people import pseudonymiser
from bridge_posthog.rules import word
from bridge_posthog.settings import Settings
from bridge_posthog.surroundings import CACHE_SIZE, SMALL, Places, piece, present
from bridge_posthog.tokens import BACKSLASH, Draft, StrictDraft, dump, readable, tame
from bridge_posthog.vocabulary import NAMES, RULES
from bridge_posthog.wire import opening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.events import Event
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.naming import Namer
    from bridge_posthog.settings import Setting
    from bridge_posthog.surroundings import Place
    from bridge_posthog.wire import Protocol

__all__ = ["Mapper"]

LONGEST_VALUE = 200
FIRST_STAGES = frozenset({"app", "session"})
BRIDGE = "sunbird-bridge"
RAW, FLAT, END = b',"sunbird":', b',"mid":', b"}}"


class Plan(NamedTuple):
    """How one event type is mapped: its name, or a function that finds it; the form of its `edata`.

    `name` is in JSON, and opens what follows the time; `eid` is a piece of the properties.
    """

    name: bytes
    namer: Namer | None
    form: Form
    eid: bytes


class Mapper:
    """Maps events for one configuration and one protocol."""

    def __init__(self, config: PostHogConfig, protocol: Protocol) -> None:
        self._config = config
        self._protocol: Protocol = protocol
        self._raw = config.properties == "raw"
        self._asks_person = bool(config.denormalised or config.person_properties or config.set_once)
        strict = protocol == "v0"
        self._draft: type[Draft] = StrictDraft if strict else Draft
        special = namers(config)
        self._plans = {
            eid: Plan(
                opened_by(NAMES.get(eid, "")),
                special.get(eid),
                Form(rules, strict=strict),
                piece({"eid": eid}),
            )
            for eid, rules in RULES.items()
        }
        self._free_form = Form({}, strict=strict)
        hide = pseudonymiser(config.pseudonym_key.reveal().encode()) if config.pseudonym_key else str
        self._settings = Settings(config, protocol, hide)
        self._places = Places(config, hide)
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
        times, overruled = moments(events)
        plans = [self._plans.get(event.eid) or self._unknown(event.eid) for event in events]
        settings = self._settings.along(events, times)
        places = self._places.along(events, settings)
        names, ends = self._tell(events, plans, settings)
        for index in overruled:
            ends[index] = _overruled(events[index]) + ends[index]
        uuids, bodies, lead = heads(self._digests(events)), self._bodies(events), RAW if self._raw else FLAT
        columns = zip(uuids, stamps(times), names, settings, plans, places, bodies, ends, strict=True)
        payloads = [
            b"".join((uuid, stamp, name, setting.opening, plan.eid, place.piece, lead, body, end))
            for uuid, stamp, name, setting, plan, place, body, end in columns
        ]
        for index, event in enumerate(events):
            if BACKSLASH in event.raw:
                payloads[index] = readable(payloads[index])
        return self._with_groups(events, times, places, payloads) if self._config.group_identify else payloads

    def _digests(self, events: Sequence[Event]) -> list[bytes]:
        if self._config.id == "mid":
            return [derived_digest("mid", event.mid) for event in events]
        return identities(events)

    def _unknown(self, eid: str) -> Plan:
        short = eid[:LONGEST_VALUE]
        return Plan(opened_by(unknown_name(short)), None, self._free_form, piece({"eid": short}))

    def _bodies(self, events: Sequence[Event]) -> list[bytes]:
        """The first property of each event: itself, or its `mid`."""
        if not self._raw:
            return [dump(event.mid) for event in events]
        if self._protocol == "v1":
            return [event.raw for event in events]
        return [tame(event.raw if BACKSLASH not in event.raw else readable(event.raw)) for event in events]

    def _tell(
        self, events: Sequence[Event], plans: Sequence[Plan], settings: Sequence[Setting]
    ) -> tuple[list[bytes], list[bytes]]:
        """The name of each event, and its other properties up to the event's end."""
        names, ends = [plan.name for plan in plans], [END] * len(plans)
        always = not self._raw or self._asks_person
        for index, plan in enumerate(plans):
            if always or plan.namer is not None:
                names[index], ends[index] = self._read(events[index], plan, settings[index])
        return names, ends

    def _read(self, event: Event, plan: Plan, setting: Setting) -> tuple[bytes, bytes]:
        """The same for one event, from its `edata`."""
        name, properties, form, namer = plan.name, b"", plan.form, plan.namer
        edata = read(form, event)
        if namer is not None:
            name, properties = namer.name(edata, setting.source, keep=len(event.raw) <= SMALL)
        if self._raw and not self._asks_person:
            return name, properties + END
        draft = self._draft((properties,))
        if not self._raw:
            form.fill(edata, draft)
        if self._asks_person:
            self._add_person(event, edata, setting.person, draft)
        draft += (draft.rest(), END)
        return name, b"".join(draft)

    def _add_person(self, event: Event, edata: Any, person: bool, draft: Draft) -> None:
        config, context = self._config, event.context
        document = event.document if config.denormalised or config.person_properties else {}
        if config.denormalised:
            add_place(document, draft)
        kind = edata.get("type") if type(edata) is dict else getattr(edata, "type_", None)
        if event.eid != "START" or not person or word(kind).lower() not in FIRST_STAGES:
            return
        if config.set_once:
            draft.add("$set_once", present(first_channel=context.channel, first_producer=context.pdata.id))
        if chosen := person_properties(document, config.person_properties):
            draft += (b',"$set":', chosen)

    def _with_groups(
        self, events: Sequence[Event], times: Sequence[int], places: Sequence[Place], payloads: list[bytes]
    ) -> list[bytes]:
        """The payloads, with a `$groupidentify` for each group of a START."""
        return [
            b"\n".join((payload, *(self._group_event(*group, at // DAY) for group in place.groups)))
            if event.eid == "START"
            else payload
            for event, at, place, payload in zip(events, times, places, payloads, strict=True)
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
