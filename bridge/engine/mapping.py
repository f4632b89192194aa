"""Mapping a page's events with a sink, so that only the culprits of a failure are lost from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any

from bridge.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.deadletters import Step
    from bridge.events import Event
    from bridge.journals.base import Page
    from bridge.sinks import Sink

__all__ = ["Doomed", "Mapped", "map_events"]


@dataclass(frozen=True, slots=True)
class Doomed:
    """An event that goes to the dead letters instead of the destination."""

    stage: Step
    code: str
    reason: str
    path: str
    position: int
    eid: str | None
    mid: str | None
    payload: bytes


@dataclass(slots=True)
class Mapped:
    """Parallel columns of the events a sink wants (`sizes` are bytes), and what became of the others."""

    events: Sequence[Event]
    origins: Sequence[int]
    payloads: Sequence[Any]
    sizes: Sequence[int]
    declined: int = 0
    doomed: list[Doomed] = field(default_factory=list)

    @classmethod
    def of(cls, events: Sequence[Event], origins: Sequence[int], payloads: Sequence[Any]) -> Mapped:
        """Measure what events have become; those that were declined (None) are left out and counted."""
        if set(map(type, payloads)) == {bytes}:
            return cls(events, origins, payloads, list(map(len, payloads)))
        mapped = cls(events, origins, payloads, list(map(_size, events, payloads)))
        wanted = [payload is not None for payload in payloads]
        mapped.declined = len(wanted) - sum(wanted)
        return mapped.chosen(wanted) if mapped.declined else mapped

    def part(self, begin: int, end: int) -> Mapped:
        """The columns from `begin` to `end`: the very same ones for all of them."""
        if begin == 0 and end == len(self.events):
            return self
        cut = slice(begin, end)
        return Mapped(self.events[cut], self.origins[cut], self.payloads[cut], self.sizes[cut])

    def chosen(self, wanted: Sequence[bool]) -> Mapped:
        """The columns without what is not wanted."""
        return Mapped(
            list(compress(self.events, wanted)),
            list(compress(self.origins, wanted)),
            list(compress(self.payloads, wanted)),
            list(compress(self.sizes, wanted)),
            self.declined,
            self.doomed,
        )


def map_events(
    sink: Sink[Any, Any], page: Page, events: Sequence[Event], origins: Sequence[int], max_bytes: int
) -> Mapped:
    """Map events at once; on a failure, or for an oversize payload, one by one."""
    if not events:
        return Mapped([], [], [], [])
    try:
        payloads = sink.map_batch(events)
        whole = len(payloads) == len(events)
    except Exception:  # noqa: BLE001 - boundary: the culprit is found by mapping one by one
        return _map_each(sink, page, events, origins, max_bytes)
    if not whole:
        return _map_each(sink, page, events, origins, max_bytes)
    return _without_oversize(Mapped.of(events, origins, payloads), page, max_bytes)


def _size(event: Event, payload: Any) -> int:
    """Bytes of a payload: exact for `bytes`, the event's own size for anything else."""
    return len(payload) if isinstance(payload, bytes) else len(event.raw)


def _without_oversize(mapped: Mapped, page: Page, max_bytes: int) -> Mapped:
    if max(mapped.sizes, default=0) <= max_bytes:
        return mapped
    chosen = mapped.chosen([size <= max_bytes for size in mapped.sizes])
    chosen.doomed = mapped.doomed + [
        _oversize(page, event, origin, size, max_bytes)
        for event, origin, size in zip(mapped.events, mapped.origins, mapped.sizes, strict=True)
        if size > max_bytes
    ]
    return chosen


def _map_each(
    sink: Sink[Any, Any], page: Page, events: Sequence[Event], origins: Sequence[int], max_bytes: int
) -> Mapped:
    payloads: list[Any] = []
    doomed: list[Doomed] = []
    for event, origin in zip(events, origins, strict=True):
        try:
            payload = sink.map(event)
        except Exception as error:  # noqa: BLE001 - boundary: poison for a plugin is a dead letter, not a crash
            doomed.append(_poison(page, event, origin, error))
            payload = None
        payloads.append(payload)
    mapped = Mapped.of(events, origins, payloads)
    mapped.declined -= len(doomed)
    mapped.doomed = doomed
    return _without_oversize(mapped, page, max_bytes)


def _poison(page: Page, event: Event, origin: int, error: Exception) -> Doomed:
    if isinstance(error, EventError):
        code, reason, path = error.code, error.reason, error.path
    else:  # the text of a stranger's exception may quote the event; its kind is enough to find the fault
        code, reason, path = "plugin_error", f"mapping failed with {type(error).__name__}", ""
    return Doomed("map", code, reason, path, page.before(origin), event.eid, event.mid, event.source)


def _oversize(page: Page, event: Event, origin: int, size: int, max_bytes: int) -> Doomed:
    reason = f"the payload has {size} bytes, this sink takes at most {max_bytes}"
    return Doomed("map", "too_large", reason, "", page.before(origin), event.eid, event.mid, event.source)
