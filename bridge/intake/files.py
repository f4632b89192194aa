"""Import files of telemetry into the journal: read, cut, judge, append one record an event.

    Input ─► Cutter ─► Decoder ─► rows, each an event's own bytes ─► journal.append
     (.gz .zst -)  (lines, batches, arrays)   (counts by code)         (≤ 1,000 events, ≤ 2 MiB at a time)

What is not valid is appended as it is: the `rejects` pipeline makes it a dead letter, once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.intake.cutting import Cutter
from bridge.intake.opening import Input
from bridge.journals.base import Journal, JournalFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bridge.validation import Decoded, Decoder

__all__ = ["FileImport", "FileReport", "require_writable"]

GROUP_EVENTS = 1_000
GROUP_BYTES = 2 * 1024 * 1024
LEAST_LONGEST = 16 * 1024 * 1024
STOPPED = "stopped before its end"


@dataclass
class FileReport:
    """What became of one file so far: events `accepted` as valid, and `rejected` ones by code.

    Both kinds are in the journal. `position` of `total` bytes were read (None: unknown).
    `problem` says what kept the rest out, "" if nothing did.
    """

    name: str
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    position: int = 0
    total: int | None = None
    problem: str = ""
    done: bool = False

    @property
    def events(self) -> int:
        """Events now in the journal."""
        return self.accepted + self.rejected.total()


class FileImport:
    """Imports files one by one; holds a few thousand events and one block of the file at most."""

    def __init__(
        self,
        journal: Journal,
        decoder: Decoder,
        max_event_bytes: int,
        wait: Callable[[JournalFullError], bool],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """`wait` is called while the journal is full: True tries again, False ends the import.

        `stopped` is asked now and then whether to end early.
        """
        self._journal = journal
        self._decoder = decoder
        self._longest = max(LEAST_LONGEST, 2 * max_event_bytes)
        self._wait = wait
        self._stopped = stopped

    def run(self, report: FileReport) -> None:
        """Import the file that `report` names, to its end or as far as it can be read.

        `report` may be read by other threads meanwhile. `BridgeError` if the journal cannot take
        events; what was appended before stays.
        """
        try:
            source = Input(report.name)
        except BridgeError as error:
            report.problem, report.done = str(error), True
            return
        with source:
            report.total = source.total
            for records in _slices(self._records(source, report)):
                if not self._take(records, report):
                    report.problem = STOPPED
                    break
        report.done = True

    def _records(self, source: Input, report: FileReport) -> Iterator[bytes]:
        cutter = Cutter(self._longest)
        try:
            for block in source.blocks():
                yield from cutter.feed(block)
                report.position = source.position
                if self._stopped():
                    report.problem = STOPPED
                    return
        except BridgeError as error:  # what came before the damage counts
            report.problem = str(error)
        yield from cutter.close()
        if cutter.too_long:
            left_out = f"{cutter.too_long} events longer than {self._longest} bytes were left out"
            report.problem = "; ".join(filter(None, (report.problem, left_out)))

    def _take(self, records: Sequence[bytes], report: FileReport) -> bool:
        """Append the events of some records; False when told to end."""
        decoded = self._decoder.batch(records)
        for rows in _slices(_in_order(decoded)):
            if not self._append(rows, f"import {report.name}"):
                return False
        report.accepted += len(decoded.events)
        report.rejected.update(invalid.code for invalid in decoded.invalid)
        return True

    def _append(self, rows: list[bytes], source: str) -> bool:
        """Append all rows, fewer at a time where the journal has no room for so many."""
        while True:
            try:
                self._journal.append(rows, source)
            except JournalFullError as error:
                half = len(rows) // 2
                if half:
                    return self._append(rows[:half], source) and self._append(rows[half:], source)
                if not self._wait(error):
                    return False
            else:
                return True


def require_writable(journal: Journal) -> None:
    """Raise the journal's own `BridgeError` if it is of a kind that takes no events."""
    if type(journal).append is Journal.append:
        journal.append([], "")


def _in_order(decoded: Decoded) -> Iterable[bytes]:
    """The bytes of every event, refused ones too, as they stood in the file."""
    if not decoded.invalid or decoded.origins is None:
        return [event.raw for event in decoded.events]
    valid = zip(decoded.origins, (event.raw for event in decoded.events), strict=True)
    refused = ((invalid.index, invalid.raw) for invalid in decoded.invalid)
    return [raw for _, raw in merge(valid, refused, key=itemgetter(0))]


def _slices(rows: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Runs of rows that are cheap to hold and to commit at once."""
    rows_now: list[bytes] = []
    size = 0
    for row in rows:
        if rows_now and (len(rows_now) == GROUP_EVENTS or size + len(row) > GROUP_BYTES):
            yield rows_now
            rows_now, size = [], 0
        rows_now.append(row)
        size += len(row)
    if rows_now:
        yield rows_now
