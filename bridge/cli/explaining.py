"""Follows one event to each sink, with the same parts as a pipeline, and says what happens to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from bridge.engine.mapping import Doomed, map_events
from bridge.engine.routing import FIELDS, Router
from bridge.engine.staging import Chain
from bridge.errors import BridgeError
from bridge.journals.base import Page
from bridge.settings import Patterns, RouteSettings
from bridge.sinks import Batch, ObjectSink, Span
from bridge.validation import Decoded

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
    """What becomes of an event at one sink or `stage NAME`, or ("") what it is as such.

    `payload` is what would be sent.
    """

    sink: str
    result: Literal["sent", "left out", "refused"]
    text: str
    payload: str = ""


class Explainer:
    """Explains events for these sinks; none of them is entered, so nothing reaches a network.

    Stages are entered, as in a run; `BridgeError` if one cannot work.
    """

    def __init__(self, host: Host, sinks: Sequence[str]) -> None:
        self._decoder = host.decoder()
        self._stages = host.stages()
        self._sinks = [
            _ExplainedSink(host.settings.sinks[name], host.sink(name), self._stages.of(name))
            for name in sinks
        ]
        self._stages.open()
        self._seen: dict[bytes, int] = {}
        self._number = 0

    def explain(self, record: bytes) -> Iterator[list[Verdict]]:
        """For each event of a record: what it is, what stages do, what becomes of it at each sink."""
        decoded = self._decoder.batch([record])
        for event in decoded.events:
            events, verdicts = _through(self._stages.shared, event)
            for sink in self._sinks:
                for new in events:
                    verdicts += sink.follow(new, apart=len(events) > 1)
            yield [self._described(event), *verdicts]
        for invalid in decoded.invalid:
            self._number += 1
            yield [_invalid(invalid)]

    def close(self) -> None:
        """Leave the stages."""
        self._stages.close()

    def _described(self, event: Event) -> Verdict:
        self._number += 1
        original = self._seen.setdefault(event.identity, self._number)
        copy = f", a copy of event {original}" if original != self._number else ""
        return Verdict("", "sent", f"{event.eid} {event.mid}, valid{copy}")


class _ExplainedSink:
    def __init__(self, settings: SinkSettings, sink: Sink[Any, Any], chain: Chain) -> None:
        self._settings = settings
        self._sink = sink
        self._chain = chain
        self._rules = list(_rules(settings.route))
        self._max_bytes = settings.limits(sink).max_payload_bytes

    def follow(self, event: Event, *, apart: bool) -> list[Verdict]:
        """What becomes of the event here; `apart` says which one is meant, where there are several."""
        events, verdicts = _through(self._chain, event)
        named = apart or len(events) > 1
        for new in events:
            verdict = self._verdict(new)
            verdicts.append(
                replace(verdict, text=f"{new.eid} {new.mid}, {verdict.text}") if named else verdict
            )
        return verdicts

    def _verdict(self, event: Event) -> Verdict:
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


def _through(chain: Chain, event: Event) -> tuple[list[Event], list[Verdict]]:
    """The events that come out of a chain, and what each stage did, where it did anything."""
    events, verdicts = [event], []
    for link in chain.links:
        found = Chain([link]).run(Decoded(events, None, []))
        name = f"stage {link.id}"
        if found.invalid:
            verdicts += [Verdict(name, "refused", f"dead letter: {bad.reason}") for bad in found.invalid]
        if found.dropped:
            verdicts.append(Verdict(name, "left out", "left out by this stage"))
        if found.derived:
            verdicts.append(Verdict(name, "sent", f"makes {len(found.events)} events"))
        elif any(new is not old for new, old in zip(found.events, events, strict=False)):
            verdicts.append(Verdict(name, "sent", "changes it"))
        events = found.events
    return events, verdicts


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
