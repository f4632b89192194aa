"""What events are called and what their `edata` says, type by type: the second half of a payload. Pure.

The events of one type in a page are read together, so that a step of the work is one call for all
of them. Those with escapes, or with a shape that the rules do not expect, are read alone.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import compress
from operator import not_
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bridge_posthog.compiled import compiled_form
from bridge_posthog.denormalised import add_place, person_properties
from bridge_posthog.forms import Form, read_all
from bridge_posthog.naming import Namer, namers, opened_by, unknown_name
from bridge_posthog.rules import word
from bridge_posthog.surroundings import SMALL, piece, present
from bridge_posthog.tokens import Draft, StrictDraft
from bridge_posthog.vocabulary import NAMES, RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bridge.events import Event
    from bridge_posthog.config import PostHogConfig
    from bridge_posthog.rules import Rule
    from bridge_posthog.settings import Setting

__all__ = ["Teller", "Told"]

LONGEST_VALUE = 200
MOST_UNKNOWN = 1_024
FIRST_STAGES = frozenset({"app", "session"})


class Plan(msgspec.Struct, frozen=True):
    """How one event type is mapped: its name, or what finds it; the form of its `edata`.

    `name` is in JSON, and opens what follows the time; `eid` is a piece of the properties.
    """

    name: bytes
    namer: Namer | None
    form: Form
    eid: bytes


class Told(NamedTuple):
    """Columns: the name of each event, its type as a property, its other properties."""

    names: list[bytes]
    eids: list[bytes]
    ends: list[bytes]


class Teller:
    """Tells of events for one configuration; `strict` for a parser that refuses what JSON allows.

    `native` is the compiled part of the bridge, or None.
    """

    def __init__(self, config: PostHogConfig, *, strict: bool, native: Any = None) -> None:
        self._config = config
        self._flat = config.properties == "flat"
        self._asks_person = bool(config.denormalised or config.person_properties or config.set_once)
        self._names_only = not self._flat and not self._asks_person
        self._draft: type[Draft] = StrictDraft if strict else Draft
        special = namers(config)
        self._plans = {eid: self._plan(eid, rules, special.get(eid), strict) for eid, rules in RULES.items()}
        self._free_form = Form({}, strict=strict)
        self._unknown = lru_cache(maxsize=MOST_UNKNOWN)(self._make_unknown)
        self._compiled = None if native is None or self._asks_person else self._compile(native)

    def tell(self, events: Sequence[Event], settings: Sequence[Setting]) -> Told:
        """The columns of some events, each of which has a setting."""
        blank = [b""] * len(events)
        told, left = Told(blank, [*blank], [*blank]), [*range(len(events))]
        if self._compiled is not None:
            told, left = self._tell_compiled(self._compiled, events, settings)
        if left:
            self._tell_slowly(left, events, settings, told)
        return told

    def _tell_compiled(
        self, compiled: Any, events: Sequence[Event], settings: Sequence[Setting]
    ) -> tuple[Told, list[int]]:
        """What the compiled part tells, and the places of what it leaves."""
        names, eids, ends, left = compiled.tell([*events], [*settings])
        return Told(names, eids, ends), left

    def _tell_slowly(
        self, left: Sequence[int], events: Sequence[Event], settings: Sequence[Setting], told: Told
    ) -> None:
        """Fill in what is to be told of the events at these places, type by type."""
        eids = [events[place].eid for place in left]
        plans = {eid: self._plans.get(eid) or self._unknown(eid[:LONGEST_VALUE]) for eid in set(eids)}
        places = defaultdict(list)
        for place, eid in zip(left, eids, strict=True):
            plan = plans[eid]
            told.names[place], told.eids[place], told.ends[place] = plan.name, plan.eid, b""
            places[eid].append(place)
        for eid, found in places.items():
            plan = plans[eid]
            if plan.namer is not None or not self._names_only:
                for alike in _alike(found, read_all(plan.form, [events[place] for place in found])):
                    self._tell_alike(plan, *alike, events, settings, told)

    def _plan(self, eid: str, rules: Mapping[str, Rule], namer: Namer | None, strict: bool) -> Plan:
        if self._names_only and namer is not None and namer.of_words:
            form = Form(only(rules, namer.paths), strict=strict, part=True)
        else:
            form = Form(rules, strict=strict)
        return Plan(opened_by(NAMES.get(eid, "")), namer, form, piece({"eid": eid}))

    def _compile(self, native: Any) -> Any:
        """What tells of the types whose words it can give, as `_tell_slowly` does."""
        types = {}
        for eid, plan in self._plans.items():
            silent = plan.namer is None and self._names_only
            words = plan.namer.paths if plan.namer is not None else ()
            form = None if silent else compiled_form(native, plan.form, words, self._draft, told=self._flat)
            if silent or form is not None:
                namer = None if plan.namer is None else (plan.namer.kept, plan.namer.tell)
                types[eid] = (plan.name, plan.eid, form, namer)
        return native.Teller(types, SMALL)

    def _make_unknown(self, eid: str) -> Plan:
        return Plan(opened_by(unknown_name(eid)), None, self._free_form, piece({"eid": eid}))

    def _tell_alike(
        self,
        plan: Plan,
        places: Sequence[int],
        edatas: Sequence[Any],
        events: Sequence[Event],
        settings: Sequence[Setting],
        told: Told,
    ) -> None:
        """Fill in what is to be told of the events at these places, whose `edata` was read in one way."""
        columns: list[Sequence[bytes]] = []
        if plan.namer is not None:
            keep = max([len(events[place].raw) for place in places]) <= SMALL
            sources = [settings[place].source for place in places]
            names, properties = zip(*plan.namer.name_all(edatas, sources, keep=keep), strict=True)
            for place, name in zip(places, names, strict=True):
                told.names[place] = name
            columns.append(properties)
        drafts = defaultdict[int, Draft](self._draft)
        if self._flat:
            columns += plan.form.columns(edatas, drafts)
        if self._asks_person:
            columns.append(
                [
                    self._person(events[place], edata, settings[place].person)
                    for place, edata in zip(places, edatas, strict=True)
                ]
            )
        if drafts:
            columns.append([drafts[index].rest() if index in drafts else b"" for index in range(len(places))])
        ends = list(map(b"".join, zip(*columns, strict=True))) if len(columns) > 1 else columns[0]
        for place, end in zip(places, ends, strict=True):
            told.ends[place] = end

    def _person(self, event: Event, edata: Any, person: bool) -> bytes:
        config, context, draft = self._config, event.context, Draft()
        document = event.document if config.denormalised or config.person_properties else {}
        if config.denormalised:
            add_place(document, draft)
        kind = edata.get("type") if type(edata) is dict else getattr(edata, "type_", None)
        if event.eid == "START" and person and word(kind).lower() in FIRST_STAGES:
            if config.set_once:
                found = present(first_channel=context.channel, first_producer=context.pdata.id)
                draft.add("$set_once", found)
            if chosen := person_properties(document, config.person_properties):
                draft += (b',"$set":', chosen)
        return draft.take()


def only(rules: Mapping[str, Rule], paths: Collection[tuple[str, ...]]) -> dict[str, Rule]:
    """The rules at some paths of keys, and of the objects around them."""
    chosen = {}
    for key in dict.fromkeys(path[0] for path in paths):
        inside = {path[1:] for path in paths if path[0] == key and path[1:]}
        inner = rules[key].inner
        chosen[key] = rules[key]._replace(inner=only(inner, inside)) if inner else rules[key]
    return chosen


def _alike(places: Sequence[int], edatas: Sequence[Any]) -> list[tuple[Sequence[int], Sequence[Any]]]:
    """Places and what was read there, apart by how it was read: in a form's shape, or by key."""
    by_key = [type(edata) is dict for edata in edatas]
    if True not in by_key:
        return [(places, edatas)]
    in_shape = list(map(not_, by_key))
    columns = [
        (list(compress(places, chosen)), list(compress(edatas, chosen))) for chosen in (in_shape, by_key)
    ]
    return [column for column in columns if column[0]]
