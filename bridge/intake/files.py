"""Import files of telemetry into the journal: read, cut, judge, append one record an event.

    Input ─► Cutter ─► Decoder ─► rows, each an event's own bytes ─► journal.append
     (.gz .zst -)  (lines, batches, arrays)   (counts by code)         (≤ 1,000 events, ≤ 2 MiB at a time)

What is not valid is appended as it is: the `rejects` pipeline makes it a dead letter, once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.intake.cutting import Cutter
from bridge.intake.opening import Input
from bridge.journals.base import Journal, JournalFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.validation import Decoded, Decoder

__all__ = ["FileImport", "FileReport", "require_appendable"]

GROUP_EVENTS = 1_000
GROUP_BYTES = 2 * 1024 * 1024
LEAST_LONGEST = 16 * 1024 * 1024


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
    """Imports files one by one. `run` belongs to one thread; its reports may be read from any."""

    def __init__(
        self,
        journal: Journal,
        decoder: Decoder,
        max_event_bytes: int,
        *,
        wait: Callable[[JournalFullError], bool],
    ) -> None:
        """`wait` is asked when the journal is full: True tries again, False ends the import."""
        self._journal = journal
        self._decoder = decoder
        self._longest = max(LEAST_LONGEST, 2 * max_event_bytes)
        self._wait = wait

    def run(self, report: FileReport, stopped: Callable[[], bool] = lambda: False) -> None:
        """Import the file that `report` names, up to its end, its damage, or until `stopped` says so.

        Raises:
            BridgeError: the journal cannot take events; what was appended before stays.
        """
        cutter = Cutter(self._longest)
        try:
            with Input(report.name) as source:
                report.total = source.total
                self._read(source, cutter, report, stopped)
        except _UnreadableError as error:
            report.problem = str(error)
        if cutter.too_long:
            report.problem = report.problem or (
                f"{cutter.too_long} events longer than {self._longest} bytes were left out"
            )
        report.done = True

    def _read(
        self, source: Input, cutter: Cutter, report: FileReport, stopped: Callable[[], bool]
    ) -> None:
        records: list[bytes] = []
        size = 0
