"""Objects that grow: one contiguous range of one stream each, packed as events come. Pure.

Where a run is packed is counted in bytes from the object's start, so the same range of the
journal gives the same packs whatever pages it was read in.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from bridge.engine import dedup
from bridge.engine.batching import EVENT_BYTES
from bridge.engine.loads import Load
from bridge.events import identities
from bridge.sinks import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.engine.dedup import Window
    from bridge.engine.mapping import Mapped
    from bridge.engine.progress import Progress, Ticket
    from bridge.events import Event
    from bridge.journals.base import Page
    from bridge.sinks import BatchLimits, ObjectSink, Pack

__all__ = ["Packer"]

MAX_OPEN = 64
IDENTITY_BYTES = 128


class _Growing:
    """The open object of one stream."""

    def __init__(self, ticket: Ticket, start: int, now: float, window: Window | None) -> None:
        self.ticket = ticket
        self.window = window
        self.start = start
        self.opened = now
        self.count = 0
        self.packs: list[Pack] = []
        self.packed = 0
        self.events: list[Event] = []
        self.lines: list[Any] = []
        self.loose = 0

    @property
    def held(self) -> int:
        """Bytes of memory: packs, what is not packed yet, and the identities."""
        known = IDENTITY_BYTES * self.count if self.window else 0
        return self.packed + self.loose + EVENT_BYTES * len(self.events) + known


class Packer:
    """The open objects of every stream of one `ObjectSink`."""

    def __init__(
        self, sink: ObjectSink[Any], limits: BatchLimits, progress: Progress, window: int = 0
    ) -> None:
        """`window` identities are remembered per object, so that its content depends on its range alone."""
        self._sink = sink
        self._limits = limits
        self._progress = progress
        self._window = window
        self.duplicates = 0
        self._open: dict[str, _Growing] = {}
        self.cuts: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Bytes held in all open objects."""
        return sum(growing.held for growing in self._open.values())

    @property
    def closes_at(self) -> float | None:
        """When the oldest open object is too old to wait any longer."""
        oldest = min((growing.opened for growing in self._open.values()), default=None)
        return None if oldest is None else oldest + self._limits.max_age

    def add(self, page: Page, mapped: Mapped, now: float) -> list[Load]:
        """Add one page, all of it; returns the objects that this closed."""
        origins, total = mapped.origins, len(mapped.events)
        closed: list[Load] = []
        begin, at = 0, page.start
        while at < page.end:
            growing = self._growing(page.stream, at, now)
            if page.stream in self.cuts:
                growing.opened = now  # on its way to a planned end it is not too old while it grows
            stop = self._stop(growing, origins, mapped.sizes, begin)
            at = page.before(origins[stop]) if stop < total else page.end
            cut = self.cuts.get(page.stream)
            if cut is not None and growing.start < cut <= at:
                stop, at = max(begin, bisect_left(origins, cut, key=page.before)), cut
            self._take(growing, mapped.part(begin, stop))
            growing.ticket.end = at
            begin = stop
            if at == cut or (self._full(growing) and page.stream not in self.cuts):
                closed.append(self._close(page.stream))
        return closed + self._too_many()

    def due(self, now: float) -> list[Load]:
        """The objects that have reached their age."""
        old = [name for name, growing in self._open.items() if growing.opened + self._limits.max_age <= now]
        return [self._close(stream) for stream in old]

    def flush(self) -> list[Load]:
        """Every open object, however small."""
        return [self._close(stream) for stream in list(self._open)]

    def discard(self, stream: str) -> None:
        """Let go of the stream's open object; its range will be read again."""
        self._open.pop(stream, None)
        self.cuts.pop(stream, None)

    def _growing(self, stream: str, at: int, now: float) -> _Growing:
        growing = self._open.get(stream)
        if growing is None:
            window = dedup.window(self._window) if self._window else None
            growing = self._open[stream] = _Growing(self._progress.issue(stream, at, at), at, now, window)
        return growing

    def _stop(self, growing: _Growing, origins: Sequence[int], sizes: Sequence[int], begin: int) -> int:
        """Where the next run ends: at a full pack, the event limit or the page's end."""
        room = min(len(sizes) - begin, max(1, self._limits.max_events - growing.count))
        window = sizes[begin : begin + room]
        need = self._sink.pack_bytes - growing.loose
        stop = begin + room
        if sum(window) >= need:
            stop = begin + bisect_left(list(accumulate(window)), need) + 1
        while 0 < stop < len(origins) and origins[stop] == origins[stop - 1]:
            stop += 1  # a cursor cannot stand inside a record
        return stop

    def _take(self, growing: _Growing, part: Mapped) -> None:
        growing.loose += sum(part.sizes)
        fresh = growing.window.fresh(identities(part.events)) if growing.window else None
        if fresh is not None:
            self.duplicates += len(fresh) - sum(fresh)
            part = part.chosen(fresh)
        growing.events += part.events
        growing.lines += part.payloads
        growing.count += len(part.events)
        self._progress.add(growing.ticket, len(part.events))
        if growing.loose >= self._sink.pack_bytes:
            self._pack(growing)

    def _pack(self, growing: _Growing) -> None:
        packs = self._sink.pack(growing.events, growing.lines)
        growing.packs += packs
        growing.packed += sum(len(pack.data) for pack in packs)
        growing.events, growing.lines, growing.loose = [], [], 0

    def _full(self, growing: _Growing) -> bool:
        return growing.count >= self._limits.max_events or growing.packed >= self._limits.max_bytes

    def _too_many(self) -> list[Load]:
        closed: list[Load] = []
        while len(self._open) > MAX_OPEN:
            closed.append(self._close(min(self._open, key=lambda stream: self._open[stream].opened)))
        return closed

    def _close(self, stream: str) -> Load:
        growing = self._open.pop(stream)
        if growing.events:
            self._pack(growing)
        if self.cuts.get(stream) == growing.ticket.end:
            del self.cuts[stream]
        span = Span(stream, growing.start, growing.ticket.end, growing.count)
        return Load([], growing.packs, [], growing.packed, growing.count, ticket=growing.ticket, span=span)
