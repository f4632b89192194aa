"""Messages of many partitions, cut into pages of one stream each. Pure.

A page ends at an offset that is a multiple of 400, so that pipelines which stand at the same
place cut alike and one decoding serves them all. Only what the brokers have no more of at the
moment is handed on in shorter pages.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import accumulate, compress
from typing import TYPE_CHECKING

from bridge.journals.base import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Pager", "Run"]

PAGE_RECORDS = 400
PAGE_BYTES = 400 * 1024
MAX_LOOSE = 4 * 1024 * 1024

Run = tuple["Sequence[int]", "Sequence[bytes | None]", "Sequence[int]"]
"""Consecutive records of one partition: offsets (which may have gaps), values, timestamps in ms."""


class _Growing:
    """The page of one stream that is not full yet."""

    def __init__(self, start: int, boundary: int) -> None:
        self.start = start
        self.end = start
        self.boundary = boundary
        self.payloads: list[bytes] = []
        self.afters: list[int] = []
        self.received: list[int] = []
        self.size = 0

    def add(
        self, offsets: Sequence[int], values: Sequence[bytes | None], stamps: Sequence[int], size: int
    ) -> None:
        """Take records of `size` bytes in; one without a value (a tombstone) only moves the end."""
        self.end = offsets[-1] + 1
        self.size += size
        if not all(values):  # the usual records need no look at each
            held = [value is not None for value in values]
            offsets, stamps = list(compress(offsets, held)), list(compress(stamps, held))
            values = [value for value in values if value is not None]
        self.payloads += values  # type: ignore[arg-type]  # none of them is None any more
        self.received += stamps
        gapless = offsets and offsets[-1] - offsets[0] == len(offsets) - 1
        self.afters += range(offsets[0] + 1, offsets[-1] + 2) if gapless else [at + 1 for at in offsets]

    def page(self, stream: str) -> Page:
        """The records as a page; their times only where every one of them has one."""
        received = self.received if min(self.received, default=0) > 0 else None
        return Page(stream, self.start, self.end, self.payloads, self.size, self.afters, received)


class Pager:
    """Cuts what was consumed into pages, and keeps them until they are asked for."""

    def __init__(self) -> None:
        self._growing: dict[str, _Growing] = {}
        self._ready: deque[Page] = deque()
        self._loose = 0

    @property
    def ready(self) -> bool:
        """Whether a page can be taken."""
        return bool(self._ready)

    @property
    def empty(self) -> bool:
        """Whether nothing at all is kept."""
        return not self._ready and not self._growing

    def add(self, stream: str, position: int, run: Run) -> None:
        """Take a run of records in; `position` is where the stream was read to before it."""
        offsets, values, stamps = run
        sizes = list(map(len, values)) if all(values) else [len(value or b"") for value in values]  # type: ignore[arg-type]
        begin = 0
        while begin < len(offsets):
            growing = self._growing.get(stream)
            if growing is None:
                growing = self._growing[stream] = _Growing(position, _boundary(max(position, offsets[begin])))
            limit = bisect_left(offsets, growing.boundary, begin)
            end = begin + _fitting(sizes[begin:limit], PAGE_BYTES - growing.size)
            if end > begin:
                size = sum(sizes[begin:end])
                growing.add(offsets[begin:end], values[begin:end], stamps[begin:end], size)
                self._loose += size
            if end == limit < len(offsets):
                growing.end = growing.boundary  # whatever lies between has no records
            if growing.end == growing.boundary or growing.size >= PAGE_BYTES:
                self._close(stream)
            position, begin = growing.end, end
        if self._loose >= MAX_LOOSE:
            self.flush()

    def flush(self, stream: str | None = None) -> None:
        """Hand on pages, or only that of one stream, as they are: there is nothing to fill them with."""
        for name in [stream] if stream is not None else list(self._growing):
            if name in self._growing:
                self._close(name)

    def take(self) -> Page | None:
        """The next page."""
        return self._ready.popleft() if self._ready else None

    def start(self, stream: str) -> int | None:
        """Where the page of a stream that is not full yet begins; None if there is none."""
        growing = self._growing.get(stream)
        return None if growing is None else growing.start

    def cut(self, stream: str) -> None:
        """Forget the page of a stream that is not full yet."""
        growing = self._growing.pop(stream, None)
        self._loose -= growing.size if growing else 0

    def drop(self, stream: str) -> None:
        """Forget a stream that is read again, by us or by another process."""
        self.cut(stream)
        self._ready = deque(page for page in self._ready if page.stream != stream)

    def _close(self, stream: str) -> None:
        growing = self._growing.pop(stream)
        self._loose -= growing.size
        self._ready.append(growing.page(stream))


def _boundary(offset: int) -> int:
    return (offset // PAGE_RECORDS + 1) * PAGE_RECORDS


def _fitting(sizes: Sequence[int], space: int) -> int:
    """How many records go into a page with this much room: until it is full, and at least one."""
    if sum(sizes) < space:
        return len(sizes)
    return next((at + 1 for at, total in enumerate(accumulate(sizes)) if total >= space), len(sizes))
