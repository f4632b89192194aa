"""From a Sunbird event to a PostHog event, as bytes: a pure function of event and configuration.

    {"uuid":…,"timestamp":…,"event":…,"distinct_id":…, opening … "properties":{
        always · person · producer · object and groups · edata }}

No clock, no randomness: the same event gives the same bytes in every process, on every day
and at every attempt. `uuid`, day, name and distinct_id are what PostHog recognises a
repetition by. The pieces are cached, which changes nothing but the speed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from bridge_posthog.denormalised import add_place, person_properties
from bridge_posthog.forms import Form, Told, read
from bridge_posthog.ids import DAY, derived_digest, derived_session, head, own_session, uuid8
from bridge_posthog.moments import client_time, iso, moment
from bridge_posthog.naming import namers, unknown_name
from bridge_posthog.people import identify, pseudonymiser, shorten
from bridge_posthog.rules import word
from bridge_posthog.surroundings import Places, Producers, more_groups, piece, present, relate
from bridge_posthog.tokens import Draft, StrictDraft, dump, readable
from bridge_posthog.vocabulary import NAMES, RULES
from bridge_posthog.wire import opening

if TYPE_CHECKING:
    from bridge.events import Actor, Event
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.naming import Namer, Source
    from bridge_posthog.wire import Protocol

__all__ = ["Mapper"]

CACHE_SIZE = 8_192
BACKSLASH = ord("\\")
SMALL = 4_096  # bytes of an event whose pieces may be cached: giants must not fill the memory
LONGEST_VALUE = 200
FIRST_STAGES = frozenset({"app", "session"})
BRIDGE = "sunbird-bridge"
NOTHING = Told()


class Plan(NamedTuple):
    """How one event type is mapped: its name, or a function that finds it; the form of its `edata`.

    `name` is in JSON, `eid` a piece of the properties.
    """

    name: bytes
    namer: Namer | None
    form: Form
    eid: bytes


class Persona(NamedTuple):
    """Who: the distinct id in JSON (None: the event's own), what opens the event, whether a person."""

    distinct_id: bytes | None
    opening: bytes
    person: bool


class Mapper:
    """Maps events for one configuration and one protocol."""

    def __init__(self, config: PostHogConfig, protocol: Protocol) -> None:
        self._config = config
        self._protocol: Protocol = protocol
        self._raw = config.properties == "raw"
        self._by_mid = config.id == "mid"
        self._identifies = config.group_identify
        self._asks_person = bool(config.denormalised or config.person_properties or config.set_once)
        self._boundary = config.session_boundary_hour * 3_600_000
        self._hide = pseudonymiser(config.pseudonym_key.reveal().encode()) if config.pseudonym_key else str
        strict = protocol == "v0"
        self._draft = StrictDraft if strict else Draft
        special = namers(config)
        plans = {
            eid: Plan(
                dump(NAMES.get(eid, "")), special.get(eid), Form(rules, strict=strict), piece({"eid": eid})
            )
            for eid, rules in RULES.items()
        }
        self._plans: dict[str, Plan | None] = {**plans, **dict.fromkeys(config.exclude_eids)}
        self._free_form = Form({}, strict=strict)
        self._direct: Any = (self._introduce, Producers(config).describe, Places(config, self._hide).describe)
        self._cached: Any = tuple(lru_cache(maxsize=CACHE_SIZE)(part) for part in self._direct)
        self._more = more_groups(config)
        self._group_event = lru_cache(maxsize=CACHE_SIZE)(self._identify_group)

    def encode(self, event: Event) -> bytes | None:
        """The payload: one PostHog event, or more with a newline between; None if excluded.

        `EventError` for an event without a time, or that cannot be decoded.
        """
        eid, raw, context, actor = event.eid, event.raw, event.context, event.actor
        plan = self._plans[eid] if eid in self._plans else self._unknown(eid)
        if plan is None:
            return None
        at, corrected = moment(event)
        introduce, describe, locate = self._cached if len(raw) <= SMALL else self._direct
        sid, producer = context.sid, context.pdata
        own = own_session(sid, at) if sid and sid[14:15] == "7" else None
        window = at - (at - self._boundary) % DAY
        distinct_id, opened, person = introduce(actor, context.did, sid, producer.id, own, window)
        source, described = describe(event.ver, actor.type, context.channel, context.env, producer)
        place, groups = locate(context.channel, dump(event.object), self._more(context) if self._more else ())
        name, draft = self._fill(event, plan, source, person)
        if corrected:
            draft.add("client_timestamp", client_time(event.ets))
            draft.add("timestamp_corrected", value=True)
        digest = derived_digest("mid", event.mid) if self._by_mid else event.identity
        distinct_id = distinct_id or dump(shorten(f"event:{event.mid}"))
        start = (head(digest, at), name, b',"distinct_id":', distinct_id, opened, plan.eid, described, place)
        payload = b"".join((*start, *draft, draft.rest(), b"}}"))
        if BACKSLASH in raw:
            payload = readable(payload)
        if self._identifies and eid == "START" and groups:
            return b"\n".join((payload, *(self._group_event(*group, at // DAY) for group in groups)))
        return payload

    def _unknown(self, eid: str) -> Plan:
        short = eid[:LONGEST_VALUE]
        return Plan(_name(unknown_name(short)), None, self._free_form, piece({"eid": short}))

    def _fill(self, event: Event, plan: Plan, source: Source, person: bool) -> tuple[bytes, Draft]:
        """The event's name in JSON, and its own properties."""
        name, namer, form, _ = plan
        raw, draft, told = event.raw, self._draft(), NOTHING
        if self._raw:
            draft += (b',"sunbird":', draft.whole(raw if BACKSLASH not in raw else readable(raw)))
            if namer is not None:
                told = read(form, raw)
        else:
            told = read(form, raw)
            draft += (b',"mid":', told.mid)
            relate(told, draft)
            form.fill(told.edata, draft)
        if namer is not None:
            name = _name(namer(told.edata, source, draft))
        if self._asks_person:
            self._add_person(event, told, person, draft)
        return name, draft

    def _introduce(
        self,
        actor: Actor,
        device: str | None,
        session: str | None,
        producer: str,
        own: str | None,
        window: int,
    ) -> Persona:
        did, sid = device or "", session or ""
        who = identify(actor.type, actor.id, did, sid, producer, self._hide)
        person = who is not None and who.person
        profile = {"always": True, "never": False, "identified_only": person}[self._config.person_profiles]
        if own is None and sid.strip():
            own = derived_session(sid, f"{did}\x1f{actor.id}", window)
        properties = present(sunbird_session_id=sid)
        if did:
            properties["$device_id"] = self._hide(did)
        opened = opening(self._protocol, profile, own) + piece(properties)
        return Persona(None if who is None else dump(who.distinct_id), opened, person)

    def _add_person(self, event: Event, told: Told, person: bool, draft: Draft) -> None:
        config, context = self._config, event.context
        document = event.document if config.denormalised or config.person_properties else {}
        if config.denormalised:
            add_place(document, draft)
        if event.eid != "START" or not person or word(told.edata, "type_").lower() not in FIRST_STAGES:
            return
        if config.set_once:
            draft.add("$set_once", present(first_channel=context.channel, first_producer=context.pdata.id))
        if chosen := person_properties(document, config.person_properties):
            draft += (b',"$set":', chosen)

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


_name = lru_cache(maxsize=256)(dump)
