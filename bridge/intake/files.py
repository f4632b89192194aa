"""Import files of telemetry into the journal: read, cut, judge, append one record an event.

    Input ─► parts ─► Cutter ─► units ─► Decoder ─► rows ─► journal.append ─► ledger.note
     (.gz .zst -)  (archives)  (lines, batches, arrays)  (counts by code)  (≤ 1,000 events, ≤ 2 MiB at a time)

What is not valid is appended as it is: the `rejects` pipeline makes it a dead letter, once.
What the ledger knows is not appended again. A group of rows is noted there after it was appended
and before the next one is, so a kill in between repeats that group at most, byte for byte.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from heapq import merge
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bridge.errors import BridgeError
from bridge.intake.archive_parts import parts_of
from bridge.intake.cutting import Cutter
from bridge.intake.ledger import PAGE_BYTES, PAGE_EVENTS, Unit, mark_of, marks_of, units
from bridge.intake.opening import Input
from bridge.journals.base import Journal, JournalFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from bridge.intake.archive_content import Part
    from bridge.intake.ledger import Ledger
    from bridge.validation import Decoded, Decoder

__all__ = ["FileImport", "FileReport", "require_writable"]

T = TypeVar("T")
_Known = dict[bytes, frozenset[bytes]]

GROUP_EVENTS = PAGE_EVENTS
GROUP_BYTES = PAGE_BYTES
LEAST_LONGEST = 16 * 1024 * 1024
MOST_FAULTS = 20
STOPPED = "stopped before its end"


class _Row(NamedTuple):
    """One event: the place of its record among those decoded, and why it is refused.

    `key` and `mark` are what the ledger knows it by.
    """

    record: int
    key: bytes
    raw: bytes
    mark: bytes
    code: str


@dataclass
class FileReport:
    """What became of one file so far: events `accepted` as valid, and `rejected` ones by code.

    Both kinds are in the journal; a `duplicate` was imported before and is not there twice.
    `position` of `total` bytes were read (None: unknown), and `part` of `parts` entries of an
    archive begun. `faults` are the first of those entries that were left out, `faulty` is how many.
    `found` is set where the file was not named, but found in a folder: it may be anything.
    """

    name: str
    found: bool = False
    accepted: int = 0
    duplicate: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    position: int = 0
    total: int | None = None
    part: int = 0
    parts: int = 0
    faults: list[str] = field(default_factory=list)
    faulty: int = 0
    failure: str = ""
    remark: str = ""
    done: bool = False

    @property
    def events(self) -> int:
        """Events now in the journal because of this file."""
        return self.accepted + self.rejected.total()

    @property
    def problem(self) -> str:
        """What kept the rest, or parts, of it out; "" if nothing did."""
        share = f" of {self.parts}" if self.parts else ""
        left_out = f"{self.faulty}{share} entries with faults" if self.faulty else ""
        return "; ".join(filter(None, (self.failure, left_out)))

    def fail(self, reason: str) -> None:
        """Tell what is wrong with the file; `reason` names it."""
        self.failure = "; ".join(filter(None, (self.failure, reason)))

    def fault(self, place: str, reason: str) -> None:
        """Tell what is wrong with one entry of it."""
        self.faulty += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"{place}: {reason}")

    def details(self) -> list[str]:
        """One line for each kind of refusal and each entry with faults."""
        lines = [f"{number:,} rejected as {code}" for code, number in self.rejected.most_common()]
        lines += self.faults
        if self.faulty > len(self.faults):
            lines.append(f"and {self.faulty - len(self.faults):,} more")
        return lines


class FileImport:
    """Imports files one by one; holds a few thousand events and one block of the file at most."""

    def __init__(
        self,
        journal: Journal,
        decoder: Decoder,
        max_event_bytes: int,
        wait: Callable[[JournalFullError], bool],
        stopped: Callable[[], bool] = lambda: False,
        *,
        ledger: Ledger | None = None,
        again: bool = False,
    ) -> None:
        """`wait` is called while the journal is full: True tries again, False ends the import.

        `stopped` is asked now and then whether to end early. Copies of what the `ledger` knows are
        left out, unless they are wanted `again`; without a ledger nothing is known.
        """
        self._journal = journal
        self._decoder = decoder
        self._longest = max(LEAST_LONGEST, 2 * max_event_bytes)
        self._wait = wait
        self._stopped = stopped
        self._again = again
        self._ledger = ledger
        self._noted: Future[None] | None = None

    def run(self, report: FileReport) -> None:
        """Import the file that `report` names, to its end or as far as it can be read.

        `report` may be read by other threads meanwhile. `BridgeError` if the journal cannot take
        events; what was appended before stays.
        """
        try:
            source = Input(report.name)
        except BridgeError as error:
            report.fail(str(error))
            report.done = True
            return
        with source:
            report.total = source.total
            for number, part in enumerate(parts_of(source, report)):
                if (number and self._stopped()) or not self._import(part, report):
                    report.fail(STOPPED)
                    break
        self._settle()
        report.done = True

    def _import(self, part: Part, report: FileReport) -> bool:
        before = report.events + report.duplicate
        for group in _slices(units(self._records(part, report)), _weight):
            if not self._take(group, report):
                return False
        part.events = report.events + report.duplicate - before
        return not part.cut

    def _records(self, part: Part, report: FileReport) -> Iterator[bytes]:
        cutter = Cutter(self._longest)
        try:
            for block in part.blocks():
                yield from cutter.feed(block)
                if self._stopped():
                    part.cut = True
                    return
        except BridgeError as error:  # what came before the damage counts
            report.fail(str(error))
        yield from cutter.close()
        if cutter.too_long:
            report.fail(f"{cutter.too_long} events longer than {self._longest} bytes were left out")

    def _take(self, group: Sequence[Unit], report: FileReport) -> bool:
        """Append the events of some batches and pages that are new; False when told to end."""
        keys = [unit.key for unit in group for _ in unit.records]
        rows = _rows(self._decoder.batch([record for unit in group for record in unit.records]), keys)
        known = self._ledger.known({unit.key for unit in group}) if self._ledger else {}
        if known and not self._again:
            fresh = [row for row in rows if row.mark not in known.get(row.key, ())]
            report.duplicate += len(rows) - len(fresh)
            rows = fresh
        slices = _slices(rows, lambda row: (1, len(row.raw)))
        return all(self._append(some, known, report) for some in slices)

    def _append(self, rows: list[_Row], known: _Known, report: FileReport) -> bool:
        """Append rows and note them, fewer at a time where the journal has no room for so many."""
        while True:
            self._settle()
            try:
                self._journal.append([row.raw for row in rows], f"import {report.name}")
            except JournalFullError as error:
                half = len(rows) // 2
                if half:
                    return all(self._append(some, known, report) for some in (rows[:half], rows[half:]))
                if not self._wait(error):
                    return False
            else:
                self._note(rows, known)
                refused = Counter(row.code for row in rows if row.code)
                report.rejected.update(refused)
                report.accepted += len(rows) - refused.total()
                return True

    def _note(self, rows: Sequence[_Row], known: _Known) -> None:
        if self._ledger is None:
            return
        found: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for row in rows:
            if row.mark not in known.get(row.key, ()):
                found[row.key].append(row.mark)
        self._noted = self._ledger.note(found)

    def _settle(self) -> None:
        """Wait until what was appended is noted too."""
        if self._noted is not None:
            noted, self._noted = self._noted, None
            noted.result()


def require_writable(journal: Journal) -> None:
    """Raise the journal's own `BridgeError` if it is of a kind that takes no events."""
    if type(journal).append is Journal.append:
        journal.append([], "")


def _rows(decoded: Decoded, keys: Sequence[bytes]) -> list[_Row]:
    """Every event, refused ones too, with its bytes as they stood in the file and in that order."""
    places = range(len(decoded.events)) if decoded.origins is None else decoded.origins
    raws = [event.raw for event in decoded.events]
    found = zip(places, map(keys.__getitem__, places), raws, marks_of(decoded.events), repeat(""))
    valid = map(_Row._make, found)
    if not decoded.invalid:
        return list(valid)
    refused = (_Row(one.index, keys[one.index], one.raw, mark_of(one), one.code) for one in decoded.invalid)
    return list(merge(valid, refused, key=itemgetter(0)))


def _weight(unit: Unit) -> tuple[int, int]:
    return len(unit.records), unit.size


def _slices(items: Iterable[T], weight: Callable[[T], tuple[int, int]]) -> Iterator[list[T]]:
    """Runs of items that are cheap to hold and to commit at once; `weight` tells events and bytes."""
    run: list[T] = []
    events = size = 0
    for item in items:
        more, longer = weight(item)
        if run and (events + more > GROUP_EVENTS or size + longer > GROUP_BYTES):
            yield run
            run, events, size = [], 0, 0
        run.append(item)
        events += more
        size += longer
    if run:
        yield run
