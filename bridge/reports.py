"""Frozen facts that observers, the metrics and the status page receive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BatchReport", "Counts", "PipelineState", "RunInfo", "Snapshot"]

PipelineState = Literal[
    "starting", "running", "idle", "retrying", "setup", "blocked", "draining", "stopped", "failed"
]


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of one pipeline since it started.

    At any moment `read` + `derived` = `delivered` + `duplicate` + `filtered` + `invalid` +
    `dead_lettered` + `outstanding` + `returned`. `derived` events were made of others by a stage;
    `returned` events were given back to the journal unsettled (a partition moved to another
    process, a range was cut anew) and are read again.
    """

    read: int = 0
    delivered: int = 0
    duplicate: int = 0
    filtered: int = 0
    invalid: int = 0
    dead_lettered: int = 0
    outstanding: int = 0
    returned: int = 0
    derived: int = 0

    @property
    def conserved(self) -> bool:
        """Whether every event that was read is accounted for."""
        settled = self.delivered + self.duplicate + self.filtered + self.invalid + self.dead_lettered
        return self.read + self.derived == settled + self.outstanding + self.returned


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One pipeline at one moment: a consistent picture, made on the pipeline's own thread.

    `lag_*` say what is in the journal and not yet read; `lag_of_retention` is its age as a share
    of the time the journal keeps records (at 1 they go), and `missed` counts the events that had
    gone before they were read. `held_bytes` is what is in memory; `rate` is delivered events a second
    over the last few seconds; `reason` says in one sentence why the pipeline does not run freely
    ("" when it does). `tally` is what the sink counts besides, by kind.
    """

    pipeline: str
    type: str
    state: PipelineState
    reason: str
    counts: Counts
    sends: int = 0
    retries: int = 0
    delivered_bytes: int = 0
    held_bytes: int = 0
    in_flight: int = 0
    rate: float = 0.0
    lag_records: int | None = None
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    lag_of_retention: float | None = None
    missed: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is running: the instance's name, the journal's type, the pipelines."""

    instance: str
    journal: str
    pipelines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """The outcome of one send attempt, counted in events; `seconds` is the time `send` took."""

    sink: str
    attempt: int
    events: int
    bytes: int
    delivered: int
    duplicates: int
    rejected: int
    remaining: int
    seconds: float
    reason: str = ""
