"""Batches of mapped events, closed by count, bytes or age. Pure: the time is an argument."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bridge.engine.loads import Load, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.engine.mapping import Mapped
    from bridge.engine.progress import Ticket
    from bridge.events import Event
    from bridge.journals.base import Page
    from bridge.sinks import BatchLimits

__all__ = ["EVENT_BYTES", "Batcher"]

# A decoded event without its text: 750 in a run of its session, 1,400 among those of many others, 3,000 where
# no two have anything in common (tracemalloc).
EVENT_BYTES = 1_200


def beside(events: Sequence[Event], payloads: Sequence[Any]) -> int:
    """Bytes that events hold besides their payloads: decoded, and the text where that is not the payload."""
    decoded = EVENT_BYTES * len(events)
    if not events or payloads[0] is events[0].raw:
        return decoded
    return decoded + sum(len(event.raw) for event in events)


class Batcher:
    """Collects mapped events in delivery order; one open batch at a time."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._reset()

    @property
    def size(self) -> int:
        """Bytes that the open batch holds."""
        return self._size + self._beside

    @property
    def closes_at(self) -> float | None:
        """When the open batch is too old to wait any longer."""
        return self._opened + self._limits.max_age if self._events else None

    def add(self, ticket: Ticket, page: Page, mapped: Mapped, now: float) -> list[Load]:
        """Add one page's mapped events; returns the batches that this closed."""
        closed: list[Load] = []
        begin, total = 0, len(mapped.events)
        while begin < total:
            end = begin + self._room(mapped.sizes, begin)
            if end > begin:
                self._take(ticket, page, mapped.part(begin, end), now)
                begin = end
            if begin < total or self._full():
                closed += self.flush()
        return closed

    def due(self, now: float) -> list[Load]:
        """The open batch, if it has reached its age."""
        closes = self.closes_at
        return self.flush() if closes is not None and closes <= now else []

    def flush(self) -> list[Load]:
        """The open batch, however small; nothing if it is empty."""
        if not self._events:
            return []
        load = Load(
            self._events, self._payloads, self._segments, self._size, len(self._events), beside=self._beside
        )
        self._reset()
        return [load]

    def _reset(self) -> None:
        self._events: list[Event] = []
        self._payloads: list[Any] = []
        self._segments: list[Segment] = []
        self._size = self._beside = 0
        self._opened = 0.0

    def _take(self, ticket: Ticket, page: Page, part: Mapped, now: float) -> None:
        if not self._events:
            self._opened = now
        self._events += part.events
        self._payloads += part.payloads
        self._size += sum(part.sizes)
        self._beside += beside(part.events, part.payloads)
        self._segments.append(Segment(ticket, page, part.origins))

    def _full(self) -> bool:
        return len(self._events) >= self._limits.max_events or self._size >= self._limits.max_bytes

    def _room(self, sizes: Sequence[int], begin: int) -> int:
        """How many of `sizes[begin:]` fit; an empty batch takes at least one."""
        events = min(len(sizes) - begin, self._limits.max_events - len(self._events))
        window = sizes[begin : begin + events]
        if self._size + sum(window) > self._limits.max_bytes:
            space = self._limits.max_bytes - self._size
            events = next(i for i, total in enumerate(accumulate(window)) if total > space)
        return events if events or self._events else 1
