"""Follows one event to each sink, with the same parts as a pipeline, and says what happens to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bridge.engine.mapping import Doomed, map_events
from bridge.engine.routing import FIELDS, Router
from bridge.errors import BridgeError
from bridge.journals.base import Page
from bridge.settings import Patterns, RouteSettings
from bridge.sinks import Batch, ObjectSink, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.cli.host import Host
    from bridge.events import Event
    from bridge.settings import SinkSettings
    from bridge.sinks import Sink
    from bridge.validation import Invalid

__all__ = ["Explainer", "Verdict"]

STREAM = "explain"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an event at one sink, or ("") what it is as such; `payload` is what would be sent."""

    sink: str
    result: Literal["sent", "left out", "refused"]
    text: str
    payload: str = ""


class Explainer:
    """Explains events for these sinks; none of them is entered, so nothing reaches a network."""

    def __init__(self, host: Host, sinks: Sequence[str]) -> None:
        self._decoder = host.decoder()
        self._sinks = [_ExplainedSink(host.settings.sinks[name], host.sink(name)) for name in sinks]
        self._seen: dict[bytes, int] = {}
        self._number = 0

    def explain(self, record: bytes) -> Iterator[list[Verdict]]:
        """For each event of a record: first what it is, then what becomes of it at each sink."""
        decoded = self._decoder.batch([record])
        for event in decoded.events:
            yield [self._described(event), *(sink.follow(event) for sink in self._sinks)]
        for invalid in decoded.invalid:
            self._number += 1
            yield [_invalid(invalid)]

    def _described(self, event: Event) -> Verdict:
        self._number += 1
        original = self._seen.setdefault(event.identity, self._number)
        copy = f", a copy of event {original}" if original != self._number else ""
        return Verdict("", "sent", f"{event.eid} {event.mid}, valid{copy}")


class _ExplainedSink:
    def __init__(self, settings: SinkSettings, sink: Sink[Any, Any]) -> None:
        self._settings = settings
        self._sink = sink
        self._rules = list(_rules(settings.route))
        self._max_bytes = settings.limits(sink).max_payload_bytes

    def follow(self, event: Event) -> Verdict:
        """What becomes of the event here."""
        name = self._settings.id
        for rule, router in self._rules:
            if router.select([event]) is not None:
                return Verdict(name, "left out", f"left out by {rule}")
        page = Page(STREAM, 0, 1, [event.raw], len(event.raw), [1])
        mapped = map_events(self._sink, page, [event], [0], self._max_bytes)
        if mapped.doomed:
            return Verdict(name, "refused", f"dead letter: {_why(mapped.doomed[0])}")
        if not mapped.payloads:
            return Verdict(name, "left out", "left out: the sink has no use for it")
        return self._sent(event, mapped.payloads)

    def _sent(self, event: Event, payloads: Sequence[Any]) -> Verdict:
        name = self._settings.id
        span = Span(STREAM, 0, 1, 1)
        try:
            if isinstance(self._sink, ObjectSink):
                batch = Batch(self._sink.pack([event], payloads), [], name, spans=(span,))
            else:
                batch = Batch(payloads, [event], name, spans=(span,))
            return Verdict(name, "sent", "would send", self._sink.explain(batch))
        except BridgeError as error:
            return Verdict(name, "refused", f"cannot be shown: {error}")
        except Exception as error:  # noqa: BLE001 - boundary: one broken plugin must not hide the other sinks
            return Verdict(name, "refused", f"cannot be shown: the plugin failed with {type(error).__name__}")


def _rules(route: RouteSettings) -> Iterator[tuple[str, Router]]:
    """Every rule of a sink by itself, in the words of the configuration."""
    for field in FIELDS:
        if include := getattr(route, field):
            yield f"route.{field} = {json.dumps(include)}", Router(RouteSettings(**{field: include}))
        if exclude := getattr(route.exclude, field):
            rule = RouteSettings(exclude=Patterns(**{field: exclude}))
            yield f"route.exclude.{field} = {json.dumps(exclude)}", Router(rule)


def _invalid(invalid: Invalid) -> Verdict:
    name = " ".join(filter(None, (invalid.eid, invalid.mid))) or "an event"
    place = f" at {invalid.path}" if invalid.path else ""
    return Verdict("", "refused", f"{name}, not valid ({invalid.code}{place}): {invalid.reason}; dead letter")


def _why(doomed: Doomed) -> str:
    place = f" at {doomed.path}" if doomed.path else ""
    return f"{doomed.code}{place}: {doomed.reason}"
