"""From a Sunbird event to a PostHog event, as bytes: a pure function of event and configuration.

    {"uuid":…,"timestamp":…,"event":…,"distinct_id":…, opening … "properties":{
        producer · object and groups · edata   }}

No clock, no randomness: the same event gives the same bytes in every process, on every day
and at every attempt. `uuid`, day, name and distinct_id are what PostHog recognises a
repetition by. The pieces are cached, which changes nothing but the speed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bridge.errors import EventError
from bridge_posthog.denormalised import add_place, person_properties
from bridge_posthog.ids import DAY, HYPHENATED, derived_uuid, session_id, uuid8
from bridge_posthog.moments import client_time, iso, moment
from bridge_posthog.naming import Source, namers, unknown_name
from bridge_posthog.people import identify, pseudonymiser, shorten
from bridge_posthog.rules import apply
from bridge_posthog.surroundings import LEVELS, Places, Producers, context_of, piece, present
from bridge_posthog.values import readable
from bridge_posthog.vocabulary import NAMES, RULES
from bridge_posthog.wire import always, opening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.events import Event
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.rules import Rule
    from bridge_posthog.values import Properties
    from bridge_posthog.wire import Protocol

__all__ = ["Mapper"]

CACHE_SIZE = 8_192
SMALL = 4_096  # bytes of an event whose pieces may be cached: giants must not fill the memory
FIRST_STAGES = frozenset({"app", "session"})
BRIDGE = "sunbird-bridge"

_encode = msgspec.json.Encoder().encode


class _Edata(msgspec.Struct, gc=False):
    edata: dict[str, Any]


_decode_edata = msgspec.json.Decoder(_Edata).decode


class Plan(NamedTuple):
    """How one event type is mapped: its name in JSON, or a function that finds it; its rules."""

    name: bytes
    namer: Callable[[Mapping[str, Any], Source, Properties], str] | None
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
        self._boundary = config.session_boundary_hour * 3_600_000
        self._hide = pseudonymiser(config.pseudonym_key.reveal().encode()) if config.pseudonym_key else str
        self._group_cdata = {
            source.partition(":")[2] for source in config.groups.values() if source.startswith("cdata:")
        }
        self._asks_document = bool(config.denormalised or config.person_properties)
        self._plans = self._planned()
        self._name = lru_cache(maxsize=CACHE_SIZE)(_encode)
        producers = Producers(config, always(protocol)).describe
        places = Places(config, self._hide).describe
        self._direct = (producers, places, self._persona)
        self._cached = tuple(lru_cache(maxsize=CACHE_SIZE)(part) for part in self._direct)
        self._group_event = lru_cache(maxsize=CACHE_SIZE)(self._identify_group)

    def _planned(self) -> dict[str, Plan | None]:
        special = namers(self._config)
        plans: dict[str, Plan | None] = {
            eid: Plan(_encode(NAMES.get(eid, "")), special.get(eid), rules) for eid, rules in RULES.items()
        }
        return plans | dict.fromkeys(self._config.exclude_eids)

    def encode(self, event: Event) -> bytes | None:
        """The payload: one PostHog event, or more with a newline between; None if excluded."""
        try:
            return self._encode(event)
        except RecursionError:
            raise EventError("too_deep", "edata is nested too deep", "$.edata") from None

    def _encode(self, event: Event) -> bytes | None:
        eid, raw, context, actor = event.eid, event.raw, event.context, event.actor
        plan = self._plans[eid] if eid in self._plans else _unknown(eid)
        if plan is None:
            return None
        producer = context.pdata
        at, corrected = moment(event)
        sid, did = context.sid or "", context.did or ""
        describe, locate, introduce = self._cached if len(raw) <= SMALL else self._direct
        source, producer_piece = describe(
            eid, event.ver, actor.type, context.channel, context.env, producer.id, producer.pid, producer.ver
        )
        timed = len(sid) == HYPHENATED and sid[14] == "7"
        at_window = at if timed else at - (at - self._boundary) % DAY
        persona = introduce(actor.type, actor.id, did, sid, producer.id, at_window)
        place = locate(context.channel, context.env, producer.id, *self._object(event))
        out: Properties = {}
        name = self._describe(event, plan, source, persona, out)
        if corrected:
            out["client_timestamp"], out["timestamp_corrected"] = client_time(event.ets), True
        distinct_id = persona.distinct_id or _encode(shorten(f"event:{event.mid}"))
        uuid = derived_uuid("mid", event.mid) if self._by_mid else uuid8(event.identity)
        payload = b"".join(
            (
                b'{"uuid":"',
                uuid.encode(),
                b'","timestamp":"',
                iso(at).encode(),
                b'","event":',
                name,
                b',"distinct_id":',
                distinct_id,
                persona.opening,
                producer_piece,
                place.piece,
                self._closing(out, raw),
            )
        )
        if b"\\" in raw:
            payload = readable(payload)
        if self._config.group_identify and eid == "START" and place.groups:
            return b"\n".join((payload, *(self._group_event(*group, at // DAY) for group in place.groups)))
        return payload

    def _describe(self, event: Event, plan: Plan, source: Source, persona: Persona, out: Properties) -> bytes:
        """Fill in the properties from `edata`; return the event's name in JSON."""
        namer = plan.namer
        edata: Mapping[str, Any] = {}
        if namer is not None or not self._raw:
            edata = _edata(event)
        if not self._raw:
            out["mid"] = event.mid
            if event.tags:
                out["tags"] = event.tags
            if event.context.cdata:
                context_of(event.context.cdata, out)
            apply(plan.rules, edata, out)
        if self._asks_document or self._config.set_once:
            self._add_person(event, edata, persona, out)
        return plan.name if namer is None else self._name(namer(edata, source, out))

    def _closing(self, out: Properties, raw: bytes) -> bytes:
        if self._raw:
            return b"".join((piece(out), b'"sunbird":', raw, b"}}"))
        return _encode(out)[1:] + b"}"

    def _object(
        self, event: Event
    ) -> tuple[str, str, str, tuple[str | None, ...], tuple[tuple[str, str], ...]]:
        wanted, cdata = self._group_cdata, event.context.cdata
        chosen = (
            tuple((item.type, item.id) for item in cdata if item.type in wanted) if wanted and cdata else ()
        )
        thing = event.object
        if thing is None:
            return "", "", "", (), chosen
        return (
            thing.id or "",
            thing.type or "",
            thing.ver or "",
            tuple(map(thing.rollup.get, LEVELS)) if thing.rollup else (),
            chosen,
        )

    def _persona(  # noqa: PLR0913, PLR0917 - the key of a cache, spelt out
        self, actor_type: str, actor_id: str, did: str, sid: str, producer: str, at: int
    ) -> Persona:
        who = identify(actor_type, actor_id, did, sid, producer, self._hide)
        person = who is not None and who.person
        profile = {"always": True, "never": False, "identified_only": person}[self._config.person_profiles]
        session = session_id(sid, f"{did}\x1f{actor_id}", at, self._boundary) if sid.strip() else None
        properties = present(sunbird_session_id=sid)
        if did:
            properties["$device_id"] = self._hide(did)
        return Persona(
            None if who is None else _encode(who.distinct_id),
            opening(self._protocol, profile, session) + piece(properties),
            person,
        )

    def _add_person(self, event: Event, edata: Mapping[str, Any], persona: Persona, out: Properties) -> None:
        document = event.document if self._asks_document else {}
        if self._config.denormalised:
            add_place(document, out)
        if event.eid != "START" or not persona.person or edata.get("type") not in FIRST_STAGES:
            return
        if self._config.set_once:
            context = event.context
            out["$set_once"] = present(first_channel=context.channel, first_producer=context.pdata.id)
        if chosen := person_properties(document, self._config.person_properties):
            out["$set"] = chosen

    def _identify_group(self, kind: str, key: str, day: int) -> bytes:
        """The `$groupidentify` of a group for one UTC day: equal bytes from every event of that day."""
        properties = {"$group_type": kind, "$group_key": key, "$group_set": {}, **always(self._protocol)}
        fields = {
            "uuid": derived_uuid("$groupidentify", kind, key, str(day)),
            "timestamp": iso(day * DAY),
            "event": "$groupidentify",
            "distinct_id": BRIDGE,
        }
        head = _encode(fields)[:-1] + opening(self._protocol, profile=True, session=None)
        return readable(head + _encode(properties)[1:] + b"}")


@lru_cache(maxsize=256)
def _named(eid: str) -> Plan:
    return Plan(_encode(unknown_name(eid)), None, {})


def _unknown(eid: str) -> Plan:
    return _named(eid[:SMALL])


def _edata(event: Event) -> Mapping[str, Any]:
    """`edata`, even where the event has escapes that no decoder takes."""
    try:
        edata = event.edata
    except (EventError, msgspec.MsgspecError, ValueError):
        edata = _salvaged(event.raw)
    return edata if isinstance(edata, dict) else {}


def _salvaged(raw: bytes) -> dict[str, Any]:
    try:
        return _decode_edata(readable(raw)).edata
    except (msgspec.MsgspecError, ValueError):
        raise EventError(
            "edata", "edata cannot be decoded: a number beyond a double, or no object", "$.edata"
        ) from None
