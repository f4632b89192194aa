"""A load: the payloads of one batch together with where each came from and what it settles. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bridge.sinks import Batch, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.engine.progress import Progress, Ticket
    from bridge.events import Event
    from bridge.journals.base import Page

__all__ = ["Load", "Segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Events of one page: the ticket they settle and the record (index) each came from."""

    ticket: Ticket
    page: Page
    origins: Sequence[int]


@dataclass(slots=True, eq=False)
class Load:
    """What is sent at once.

    For an ordinary sink `events`, `payloads` and the `segments`' origins are parallel. For an
    `ObjectSink` the payloads are packs, `events` is empty and `ticket` settles all `count`
    events together. `attempt` counts sends so far; times are seconds of a monotonic clock.
    `size` is bytes of payload, `beside` what the events hold in memory besides.
    """

    events: Sequence[Event]
    payloads: Sequence[Any]
    segments: Sequence[Segment]
    size: int
    count: int
    number: int = 0
    attempt: int = 0
    faults: int = 0
    first_ms: int = 0
    ticket: Ticket | None = None
    span: Span | None = None
    beside: int = 0

    @property
    def held(self) -> int:
        """Bytes of memory that this load keeps from being used for another."""
        return self.size + self.beside

    def batch(self, sink: str) -> Batch[Any]:
        """The public view of this load, for its next attempt."""
        return Batch(self.payloads, self.events, sink, self.attempt, self.spans())

    def spans(self) -> tuple[Span, ...]:
        """Where the events stand in the journal, one span a page."""
        if self.span is not None:
            return (self.span,)
        return tuple(
            Span(s.page.stream, s.page.before(s.origins[0]), s.page.after(s.origins[-1]), len(s.origins))
            for s in self.segments
        )

    def settle(self, progress: Progress) -> None:
        """Settle every event of this load."""
        if self.ticket is not None:
            progress.settle(self.ticket, self.count)
            progress.seal(self.ticket)  # only now: an object without events is still a range to finish
        for segment in self.segments:
            progress.settle(segment.ticket, len(segment.origins))

    def alive(self) -> bool:
        """Whether anything in it still belongs to this pipeline."""
        if self.ticket is not None:
            return self.ticket.alive
        return any(segment.ticket.alive for segment in self.segments)

    def living(self) -> list[int] | None:
        """The indexes of the events that still belong to this pipeline; None if all of them do."""
        if self.ticket is not None or all(segment.ticket.alive for segment in self.segments):
            return None
        alive = [segment.ticket.alive for segment in self.segments for _ in segment.origins]
        return [index for index, still_ours in enumerate(alive) if still_ours]

    def source(self, index: int) -> tuple[str, int, Ticket]:
        """Stream, record position and ticket of the event at `index`."""
        ends = list(accumulate(len(segment.origins) for segment in self.segments))
        which = bisect_right(ends, index)
        segment = self.segments[which]
        inside = index - (ends[which - 1] if which else 0)
        return segment.page.stream, segment.page.before(segment.origins[inside]), segment.ticket

    def part(self, indexes: Sequence[int]) -> Load:
        """A load of only these events (ascending), which keeps order, attempts and sources."""
        chosen = iter(indexes)
        wanted = next(chosen, None)
        segments: list[Segment] = []
        base = 0
        for segment in self.segments:
            origins: list[int] = []
            while wanted is not None and wanted < base + len(segment.origins):
                origins.append(segment.origins[wanted - base])
                wanted = next(chosen, None)
            if origins:
                segments.append(Segment(segment.ticket, segment.page, origins))
            base += len(segment.origins)
        size, beside = (whole * len(indexes) // max(self.count, 1) for whole in (self.size, self.beside))
        return Load(
            [self.events[i] for i in indexes], [self.payloads[i] for i in indexes], segments, size,
            len(indexes), self.number, self.attempt, self.faults, self.first_ms, beside=beside,
        )  # fmt: skip

    def halves(self) -> tuple[Load, Load]:
        """Two fresh loads of half the events each."""
        middle = self.count // 2
        first, second = self.part(range(middle)), self.part(range(middle, self.count))
        first.attempt = second.attempt = first.faults = second.faults = 0
        return first, second
