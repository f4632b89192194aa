"""From a Sunbird event to a PostHog event, as bytes: a pure function of event and configuration.

    {"uuid":…,"timestamp":…,"event":…,"distinct_id":…, opening … "properties":{
        always · person · producer · object and groups · edata }}

No clock, no randomness: the same event gives the same bytes in every process, on every day
and at every attempt. `uuid`, day, name and distinct_id are what PostHog recognises a
repetition by. The pieces are cached, which changes nothing but the speed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bridge.errors import EventError
from bridge_posthog.denormalised import add_surroundings, person_properties
from bridge_posthog.ids import DAY, HYPHENATED, derived_uuid, session_id, uuid8
from bridge_posthog.moments import AHEAD, FLOOR, LAST, client_time, iso, moment
from bridge_posthog.naming import Source, namers, unknown_name
from bridge_posthog.people import identify, pseudonymiser, shorten
from bridge_posthog.rules import apply, word
from bridge_posthog.surroundings import Places, Producers, correlate, piece, present
from bridge_posthog.tokens import Draft, Members, dump, readable
from bridge_posthog.vocabulary import NAMES, RULES
from bridge_posthog.wire import opening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.events import Event
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.naming import Namer
    from bridge_posthog.rules import Rule
    from bridge_posthog.wire import Protocol

__all__ = ["Mapper"]

CACHE_SIZE = 8_192
SMALL = 4_096  # bytes of an event whose pieces may be cached: giants must not fill the memory
FIRST_STAGES = frozenset({"app", "session"})
BRIDGE = "sunbird-bridge"


class _Told(msgspec.Struct, gc=False):
    edata: Members = {}


_decode = msgspec.json.Decoder(_Told).decode


class Plan(NamedTuple):
    """How one event type is mapped: its name in JSON, or a function that finds it; its rules."""

    name: bytes
    namer: Namer | None
    rules: Mapping[str, Rule]


class Persona(NamedTuple):
    """The distinct id in JSON (None: the event's own), what opens the event, whether it is a person."""

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
        special = namers(config)
        plans = {eid: Plan(dump(NAMES.get(eid, "")), special.get(eid), rules) for eid, rules in RULES.items()}
        self._plans: dict[str, Plan | None] = {**plans, **dict.fromkeys(config.exclude_eids)}
        places = Places(config, self._hide)
        self._more = places.more if places.asks_more() else None
        self._direct = (Producers(config).describe, places.describe, self._persona, correlate)
        self._cached = tuple(lru_cache(maxsize=CACHE_SIZE)(part) for part in self._direct)
        self._group_event = lru_cache(maxsize=CACHE_SIZE)(self._identify_group)

    def encode(self, event: Event) -> bytes | None:
        """The payload: one PostHog event, or more with a newline between; None if excluded.

        `EventError` for an event without a time, or whose `edata` cannot be decoded.
        """
        eid, raw, context, actor = event.eid, event.raw, event.context, event.actor
        plan = self._plans[eid] if eid in self._plans else _unknown(eid)
        if plan is None:
            return None
        producer, sid, did = context.pdata, context.sid or "", context.did or ""
        ets, syncts, corrected = event.ets, event.syncts, False
        if type(syncts) is int and FLOOR <= ets <= syncts + AHEAD and ets <= LAST:
            at = int(ets)
        else:
            at, corrected = moment(event)
        describe, locate, introduce, relate = self._cached if len(raw) <= SMALL else self._direct
        source, producer_piece = describe(eid, event.ver, actor.type, context.channel, context.env, producer)
        timed = len(sid) == HYPHENATED and sid[14] == "7"
        window = at if timed else at - (at - self._boundary) % DAY
        distinct_id, start, person = introduce(actor.type, actor.id, did, sid, producer.id, window)
        more = self._more(context) if self._more else ()
        thing = event.object
        if thing is None:
            place, groups = locate(context.channel, None, None, None, (), more)
        else:
            rollup = tuple(thing.rollup.items()) if thing.rollup else ()
            place, groups = locate(context.channel, thing.id, thing.type, thing.ver, rollup, more)
        cdata, tags = context.cdata, event.tags
        related = relate(tuple(cdata or ()), tuple(tags or ())) if cdata or tags else b""
        draft = Draft()
        name = self._fill(event, plan, source, person, draft)
        if corrected:
            draft.add("client_timestamp", client_time(ets))
            draft.add("timestamp_corrected", True)
        payload = b"".join(
            (
                b'{"uuid":"',
                (derived_uuid("mid", event.mid) if self._by_mid else uuid8(event.identity)).encode(),
                b'","timestamp":"',
                iso(at).encode(),
                b'","event":',
                name,
                b',"distinct_id":',
                distinct_id or dump(shorten(f"event:{event.mid}")),
                start,
                producer_piece,
                place,
                related,
                *draft.close(),
                b"}}",
            )
        )
        if b"\\" in raw:
            payload = readable(payload)
        if self._identifies and eid == "START" and groups:
            return b"\n".join((payload, *(self._group_event(*group, at // DAY) for group in groups)))
        return payload

    def _fill(self, event: Event, plan: Plan, source: Source, person: bool, draft: Draft) -> bytes:
        """Draft the properties from `edata`; return the event's name in JSON."""
        namer = plan.namer
        edata: Members = _edata(event.raw) if namer is not None or not self._raw else {}
        if self._raw:
            draft.splice("sunbird", event.raw)
        else:
            draft.add("mid", event.mid)
            apply(plan.rules, edata, draft)
        if self._asks_person:
            self._add_person(event, edata, person, draft)
        return plan.name if namer is None else _name(namer(edata, source, draft))

    def _persona(self, actor_type: str, actor_id: str, did: str, sid: str, producer: str, at: int) -> Persona:
        who = identify(actor_type, actor_id, did, sid, producer, self._hide)
        person = who is not None and who.person
        profile = {"always": True, "never": False, "identified_only": person}[self._config.person_profiles]
        session = session_id(sid, f"{did}\x1f{actor_id}", at, self._boundary) if sid.strip() else None
        properties = present(sunbird_session_id=sid)
        if did:
            properties["$device_id"] = self._hide(did)
        start = opening(self._protocol, profile, session) + piece(properties)
        return Persona(None if who is None else dump(who.distinct_id), start, person)

    def _add_person(self, event: Event, edata: Members, person: bool, draft: Draft) -> None:
        config, context = self._config, event.context
        document = event.document if config.denormalised or config.person_properties else {}
        if config.denormalised:
            add_surroundings(document, draft)
        if event.eid != "START" or not person or word(edata, "type").lower() not in FIRST_STAGES:
            return
        if config.set_once:
            draft.add("$set_once", present(first_channel=context.channel, first_producer=context.pdata.id))
        if chosen := person_properties(document, config.person_properties):
            draft.splice("$set", chosen)

    def _identify_group(self, kind: str, key: str, day: int) -> bytes:
        """The `$groupidentify` of a group for one UTC day: equal bytes from every event of that day."""
        head = {
            "uuid": derived_uuid("$groupidentify", kind, key, str(day)),
            "timestamp": iso(day * DAY),
            "event": "$groupidentify",
            "distinct_id": BRIDGE,
        }
        group = piece({"$group_type": kind, "$group_key": key, "$group_set": {}})
        return readable(dump(head)[:-1] + opening(self._protocol, profile=True, session=None) + group + b"}}")


_name = lru_cache(maxsize=256)(dump)


def _unknown(eid: str) -> Plan:
    return _named(eid[:SMALL])


@lru_cache(maxsize=256)
def _named(eid: str) -> Plan:
    return Plan(dump(unknown_name(eid)), None, {})


def _edata(raw: bytes) -> Members:
    """The keys of `edata` and their tokens; escapes that no decoder takes are made readable first."""
    try:
        return _decode(raw).edata
    except (msgspec.MsgspecError, ValueError):
        pass
    try:
        return _decode(readable(raw)).edata
    except (msgspec.MsgspecError, ValueError):
        raise EventError("edata", "edata is no object that can be decoded", "$.edata") from None
