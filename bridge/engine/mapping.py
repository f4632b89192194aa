"""Mapping a page's events with a sink, so that only the culprits of a failure are lost from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any

from bridge.engine.batching import size_of
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
    """Parallel columns of the events a sink wants, and what became of the others."""

    events: Sequence[Event]
    origins: Sequence[int]
    payloads: Sequence[Any]
    declined: int = 0
    doomed: list[Doomed] = field(default_factory=list)


def map_events(
    sink: Sink[Any, Any], page: Page, events: Sequence[Event], origins: Sequence[int], max_bytes: int
) -> Mapped:
    """Map events at once; on a failure, or for an oversize payload, one by one."""
    if not events:
        return Mapped([], [], [])
    try:
        payloads = sink.map_batch(events)
        whole = len(payloads) == len(events)
    except Exception:  # noqa: BLE001 - boundary: the culprit is found by mapping one by one
        return _map_each(sink, page, events, origins, max_bytes)
    if not whole:
        return _map_each(sink, page, events, origins, max_bytes)
    mapped = _without_declined(Mapped(events, origins, payloads))
    if mapped.payloads and max(size_of(mapped.events, mapped.payloads)) > max_bytes:
        return _without_oversize(mapped, page, max_bytes)
    return mapped


def _without_declined(mapped: Mapped) -> Mapped:
    if None not in mapped.payloads:
        return mapped
    wanted = [payload is not None for payload in mapped.payloads]
    return _chosen(mapped, wanted, declined=len(wanted) - sum(wanted))


def _without_oversize(mapped: Mapped, page: Page, max_bytes: int) -> Mapped:
    sizes = size_of(mapped.events, mapped.payloads)
    fits = [size <= max_bytes for size in sizes]
    chosen = _chosen(mapped, fits, declined=mapped.declined)
    chosen.doomed = mapped.doomed + [
        _oversize(page, event, origin, size, max_bytes)
        for event, origin, size in zip(mapped.events, mapped.origins, sizes, strict=True)
        if size > max_bytes
    ]
    return chosen


def _chosen(mapped: Mapped, wanted: Sequence[bool], declined: int) -> Mapped:
    return Mapped(
        list(compress(mapped.events, wanted)),
        list(compress(mapped.origins, wanted)),
        list(compress(mapped.payloads, wanted)),
        declined,
        mapped.doomed,
    )


def _map_each(
    sink: Sink[Any, Any], page: Page, events: Sequence[Event], origins: Sequence[int], max_bytes: int
) -> Mapped:
    mapped = Mapped([], [], [])
    payloads: list[Any] = []
    kept: list[bool] = []
    for event, origin in zip(events, origins, strict=True):
        try:
            payload = sink.map(event)
        except Exception as error:  # noqa: BLE001 - boundary: poison for a plugin is a dead letter, not a crash
            mapped.doomed.append(_poison(page, event, origin, error))
            payload = None
        else:
            mapped.declined += payload is None
        payloads.append(payload)
        kept.append(payload is not None)
    chosen = _chosen(Mapped(events, origins, payloads, doomed=mapped.doomed), kept, mapped.declined)
    if chosen.payloads and max(size_of(chosen.events, chosen.payloads)) > max_bytes:
        return _without_oversize(chosen, page, max_bytes)
    return chosen


def _poison(page: Page, event: Event, origin: int, error: Exception) -> Doomed:
    if isinstance(error, EventError):
        code, reason, path = error.code, error.reason, error.path
    else:  # the text of a stranger's exception may quote the event; its kind is enough to find the fault
        code, reason, path = "plugin_error", f"mapping failed with {type(error).__name__}", ""
    return Doomed("map", code, reason, path, page.before(origin), event.eid, event.mid, event.source)


def _oversize(page: Page, event: Event, origin: int, size: int, max_bytes: int) -> Doomed:
    reason = f"the payload has {size} bytes, this sink takes at most {max_bytes}"
    return Doomed("map", "too_large", reason, "", page.before(origin), event.eid, event.mid, event.source)
