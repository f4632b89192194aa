"""From a page of the journal to loads: decode, count invalid, route, de-duplicate, map, batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any, Protocol

from bridge.engine import dedup
from bridge.engine.batching import Batcher
from bridge.engine.mapping import Doomed, map_events
from bridge.engine.packing import Packer
from bridge.events import identities
from bridge.sinks import ObjectSink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.engine.loads import Load
    from bridge.engine.mapping import Mapped
    from bridge.engine.progress import Progress, Ticket
    from bridge.engine.routing import Router
    from bridge.engine.sharing import SharedDecoder
    from bridge.engine.staging import Chain
    from bridge.events import Event
    from bridge.journals.base import Page
    from bridge.sinks import BatchLimits, Sink
    from bridge.validation import Invalid

__all__ = ["Harvest", "Inflow", "RejectsInflow", "SinkInflow"]


@dataclass(slots=True)
class Harvest:
    """What one page came to: closed loads, events for the dead letters, and counts.

    `ticket`, if any, may be sealed once the doomed events are durable.
    """

    read: int = 0
    filtered: int = 0
    invalid: int = 0
    duplicate: int = 0
    derived: int = 0
    loads: list[Load] = field(default_factory=list)
    doomed: list[Doomed] = field(default_factory=list)
    ticket: Ticket | None = None


class Inflow(Protocol):
    """From pages to loads: `SinkInflow`, or `RejectsInflow`."""

    @property
    def size(self) -> int:
        """Bytes in open batches."""

    @property
    def closes_at(self) -> float | None:
        """When an open batch becomes due."""

    def take(self, page: Page, now: float) -> Harvest:
        """Bring one page to loads."""

    def due(self, now: float) -> list[Load]:
        """Batches that have reached their age."""

    def flush(self) -> list[Load]:
        """Every open batch."""

    def discard(self, stream: str) -> None:
        """Forget what belongs to a stream."""

    def cut(self, stream: str, end: int) -> None:
        """End the stream's next object exactly here."""

    def rest(self) -> None:
        """There is no room before the destination answers; the neighbours need not wait for long."""

    def attend(self, reader: object) -> None:
        """Pages come from this reader."""


class RejectsInflow:
    """The pipeline of invalid events: every one becomes a dead letter, the valid ones pass by."""

    size = 0
    closes_at: float | None = None

    def __init__(self, decoder: SharedDecoder, progress: Progress) -> None:
        self._decoder = decoder
        self._seat = decoder.seat(patient=True)
        self._progress = progress

    def take(self, page: Page, now: float) -> Harvest:  # noqa: ARG002 - the inflows share one shape
        """Look at one page."""
        decoded = self._decoder.decode(page, self._seat)
        return Harvest(
            read=decoded.count,
            filtered=len(decoded.events) + decoded.dropped,
            derived=decoded.derived,
            doomed=[_refused(page, bad) for bad in decoded.invalid],
            ticket=self._progress.issue(page.stream, page.start, page.end),
        )

    def due(self, now: float) -> list[Load]:  # noqa: ARG002 - as above
        """Nothing is ever batched here."""
        return []

    def flush(self) -> list[Load]:
        """Nothing is ever batched here."""
        return []

    def discard(self, stream: str) -> None:
        """Nothing is kept."""
        self._decoder.forget(self._seat, stream)

    def cut(self, stream: str, end: int) -> None:
        """Nothing is cut."""

    def attend(self, reader: object) -> None:
        """Pages come from this reader."""
        self._seat.reader = reader

    def rest(self) -> None:
        """Nobody has to wait for this pipeline."""
        self._decoder.rest(self._seat)


class SinkInflow:
    """One sink's way in."""

    def __init__(
        self,
        sink: Sink[Any, Any],
        decoder: SharedDecoder,
        chain: Chain,
        router: Router,
        progress: Progress,
        limits: BatchLimits,
        window: int,
    ) -> None:
        self._sink = sink
        self._decoder = decoder
        self._seat = decoder.seat()
        self._chain = chain
        self._router = router
        self._progress = progress
        self._limits = limits
        self._packer = Packer(sink, limits, progress, window) if isinstance(sink, ObjectSink) else None
        self._batcher = Batcher(limits)
        self._window = dedup.window(window) if window and self._packer is None else None

    @property
    def size(self) -> int:
        """Bytes that wait in open batches."""
        return self._packer.size if self._packer else self._batcher.size

    @property
    def closes_at(self) -> float | None:
        """When an open batch becomes due."""
        return self._packer.closes_at if self._packer else self._batcher.closes_at

    def take(self, page: Page, now: float) -> Harvest:
        """Bring one page to loads."""
        shared = self._decoder.decode(page, self._seat)
        decoded = self._chain.run(shared)
        harvest = Harvest(read=decoded.count, invalid=len(shared.invalid), derived=decoded.derived)
        harvest.doomed = [_refused(page, bad) for bad in decoded.invalid[len(shared.invalid) :]]
        events: Sequence[Event] = decoded.events
        origins: Sequence[int] = decoded.origins if decoded.origins is not None else range(len(events))
        events, origins, left_out = _kept(events, origins, self._router.select(events))
        harvest.filtered = decoded.dropped + left_out
        if self._window is not None:
            known = decoded.identities if events is decoded.events else identities(events)
            events, origins, harvest.duplicate = _kept(events, origins, self._window.fresh(known))
        mapped = map_events(self._sink, page, events, origins, self._limits.max_payload_bytes)
        harvest.filtered += mapped.declined
        harvest.doomed += mapped.doomed
        if self._packer is not None:
            before = self._packer.duplicates
            harvest.loads = self._packer.add(page, mapped, now)
            harvest.duplicate += self._packer.duplicates - before
        else:
            harvest.ticket = self._progress.issue(page.stream, page.start, page.end)
            harvest.loads = self._batch(harvest.ticket, page, mapped, now)
        return harvest

    def due(self, now: float) -> list[Load]:
        """Batches that have reached their age."""
        return self._packer.due(now) if self._packer else self._batcher.due(now)

    def flush(self) -> list[Load]:
        """Every open batch, however small."""
        return self._packer.flush() if self._packer else self._batcher.flush()

    def discard(self, stream: str) -> None:
        """Let go of what belongs to a stream that is read again, by us or by another process."""
        self._decoder.forget(self._seat, stream)
        if self._packer is not None:
            self._packer.discard(stream)
        if self._window is not None:
            self._window = dedup.window(self._window.size)  # what was dropped as a copy must be sent now

    def cut(self, stream: str, end: int) -> None:
        """The stream's next object must end exactly here."""
        if self._packer is not None:
            self._packer.cuts[stream] = end

    def attend(self, reader: object) -> None:
        """Pages come from this reader."""
        self._seat.reader = reader

    def rest(self) -> None:
        """There is no room before the destination answers."""
        self._decoder.rest(self._seat)

    def _batch(self, ticket: Ticket, page: Page, mapped: Mapped, now: float) -> list[Load]:
        self._progress.add(ticket, len(mapped.events))
        return self._batcher.add(ticket, page, mapped, now)


def _refused(page: Page, bad: Invalid) -> Doomed:
    return Doomed(bad.step, bad.code, bad.reason, bad.path, page.before(bad.index), bad.eid, bad.mid, bad.raw)


def _kept(
    events: Sequence[Event], origins: Sequence[int], wanted: Sequence[bool] | None
) -> tuple[Sequence[Event], Sequence[int], int]:
    if wanted is None:
        return events, origins, 0
    kept = list(compress(events, wanted))
    return kept, list(compress(origins, wanted)), len(events) - len(kept)
