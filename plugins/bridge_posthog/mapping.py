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
from bridge_posthog.naming import Source, namers, unknown_name
from bridge_posthog.people import identify, pseudonymiser, shorten
from bridge_posthog.rules import word
from bridge_posthog.surroundings import Places, Producers, piece, present, relate
from bridge_posthog.tokens import Draft, StrictDraft, dump, readable
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
BACKSLASH = ord("\\")
SMALL = 4_096  # bytes of an event whose pieces may be cached: giants must not fill the memory
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


class Scene(NamedTuple):
    """What many events have in common: everything but time, identity, type and `edata`.

    `distinct_id` in JSON (None: the event's own), the pieces that open the event, whether the
    actor is a person, where it comes from, its groups.
    """

    distinct_id: bytes | None
    opening: bytes
    person: bool
    source: Source
    groups: tuple[tuple[str, str], ...]


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
        strict = protocol == "v0"
        self._draft = StrictDraft if strict else Draft
        self._producers = Producers(config)
        self._special = special
        self._strict = strict
        plans = {eid: self._plan(eid, rules) for eid, rules in RULES.items()}
        self._plans: dict[str, Plan | None] = {**plans, **dict.fromkeys(config.exclude_eids)}
        self._unknown = lru_cache(maxsize=256)(lambda eid: self._plan(eid, {}))
        self._places = Places(config, self._hide)
        self._scenes: dict[Any, Scene] = {}
        self._group_event = lru_cache(maxsize=CACHE_SIZE)(self._identify_group)

    def _plan(self, eid: str, rules: Mapping[str, Rule]) -> Plan:
        name = dump(NAMES.get(eid) or unknown_name(eid))
        return Plan(name, self._special.get(eid), Form(rules, strict=self._strict), piece({"eid": eid}))

    def encode(self, event: Event) -> bytes | None:
        """The payload: one PostHog event, or more with a newline between; None if excluded.

        `EventError` for an event without a time, or whose `edata` cannot be decoded.
        """
        eid, raw = event.eid, event.raw
        plan = self._plans[eid] if eid in self._plans else self._unknown(eid[:SMALL])
        if plan is None:
            return None
        name, namer, form, eid_piece = plan
        at, corrected = moment(event)
        told = read(form, raw) if namer or not self._raw else NOTHING
        scene = self._scene(event, told, at)
        draft = self._draft()
        if self._raw:
            draft += (b',"sunbird":', draft.whole(raw if BACKSLASH not in raw else readable(raw)))
        else:
            draft += (b',"mid":', told.mid)
            form.fill(told.edata, draft)
        if namer is not None:
            name = _name(namer(told.edata, scene.source, draft))
        if self._asks_person:
            self._add_person(event, told, scene.person, draft)
        if corrected:
            draft.add("client_timestamp", client_time(event.ets))
            draft.add("timestamp_corrected", value=True)
        digest = derived_digest("mid", event.mid) if self._by_mid else event.identity
        payload = b"".join(
            (
                head(digest, at),
                name,
                b',"distinct_id":',
                scene.distinct_id or dump(shorten(f"event:{event.mid}")),
                scene.opening,
                eid_piece,
                *draft,
                draft.rest(),
                b"}}",
            )
        )
        if BACKSLASH in raw:
            payload = readable(payload)
        if self._identifies and eid == "START" and scene.groups:
            return b"\n".join((payload, *(self._group_event(*group, at // DAY) for group in scene.groups)))
        return payload

    def _scene(self, event: Event, told: Told, at: int) -> Scene:
        """Look up, or set, what the event has in common with others of its session."""
        context, sid = event.context, event.context.sid
        own = own_session(sid, at) if sid else None
        window = at - (at - self._boundary) % DAY
        if self._raw:
            key: Any = (own, window, event.ver, event.actor, dump(context), dump(event.object))
        else:
            parts = (bytes(told.context), bytes(told.object), bytes(told.tags))
            key = (own, window, event.ver, event.actor, *parts)
        scene = self._scenes.get(key)
        if scene is None:
            scene = self._set_scene(event, told, own, window)
            if len(event.raw) <= SMALL:
                if len(self._scenes) >= CACHE_SIZE:
                    self._scenes.clear()
                self._scenes[key] = scene
        return scene

    def _set_scene(self, event: Event, told: Told, own: str | None, window: int) -> Scene:
        actor, context, config = event.actor, event.context, self._config
        sid, did = context.sid or "", context.did or ""
        who = identify(actor.type, actor.id, did, sid, context.pdata.id, self._hide)
        person = who is not None and who.person
        profile = {"always": True, "never": False, "identified_only": person}[config.person_profiles]
        session = own or (derived_session(sid, f"{did}\x1f{actor.id}", window) if sid.strip() else None)
        source, described = self._producers.describe(event)
        place, groups = self._places.describe(event)
        properties = present(sunbird_session_id=sid)
        if did:
            properties["$device_id"] = self._hide(did)
        related = b"" if self._raw else relate(bytes(told.context), bytes(told.tags))
        pieces = opening(self._protocol, profile, session) + piece(properties) + described + place + related
        return Scene(None if who is None else dump(who.distinct_id), pieces, person, source, groups)

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
