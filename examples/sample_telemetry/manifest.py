"""What a generated stream holds, counted as it goes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DAY_MS = 86_400_000
AHEAD_MS = 60_000


class Record(NamedTuple):
    """One line: its bytes, its event type, its fault ("" = none), whether it went out before.

    `delay` is how long after its own time the event arrives, in ms; negative if its clock is ahead.
    """

    line: bytes
    eid: str
    fault: str
    again: bool
    delay: int


@dataclass
class Manifest:
    """Exact counts: `events` = `valid` + `invalid` + `duplicates`.

    `valid` events pass `lenient` validation and are unique; `unofficial` of them have a type
    that `strict` refuses. `duplicates` repeat a valid one byte for byte. `late` valid events arrive
    more than a day after they happened, `ahead` ones more than a minute before.
    """

    events: int = 0
    valid: int = 0
    invalid: int = 0
    duplicates: int = 0
    unofficial: int = 0
    late: int = 0
    ahead: int = 0
    bytes: int = 0
    by_eid: Counter[str] = field(default_factory=Counter)
    duplicates_by_eid: Counter[str] = field(default_factory=Counter)
    invalid_by_fault: Counter[str] = field(default_factory=Counter)

    def count(self, record: Record) -> None:
        """Add one line that goes out."""
        self.events += 1
        self.bytes += len(record.line)
        if record.fault:
            self.invalid += 1
            self.invalid_by_fault[record.fault] += 1
        elif record.again:
            self.duplicates += 1
            self.duplicates_by_eid[record.eid] += 1
        else:
            self._count_valid(record)

    def _count_valid(self, record: Record) -> None:
        self.valid += 1
        self.by_eid[record.eid] += 1
        self.unofficial += record.eid.startswith("JOB_")
        self.late += record.delay > DAY_MS
        self.ahead += record.delay < -AHEAD_MS

    def summary(self) -> dict[str, Any]:
        """Give the counts as plain JSON, the largest of a kind first."""
        return {
            name: dict(value.most_common()) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
        }
