"""What a running bridge shows: a live table on a terminal, a line in the log every half minute elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bridge import logs
from bridge.cli.output import ago, is_terminal, say, size, table
from bridge.configuration.problems import shown
from bridge.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from rich.console import RenderableType

    from bridge.reports import Snapshot
    from bridge.settings import LogSettings

__all__ = ["LiveTable", "PeriodicLog", "Screen", "lag", "screen_for", "summarise"]

log = logging.getLogger(__name__)

EVERY = 30.0
COLUMNS = ("read", "delivered", "duplicate", "filtered", "invalid", "dead letters", "outstanding")
RARE = ("derived", "returned")  # shown where there are any
COLOURS = {
    "running": "green",
    "idle": "green",
    "retrying": "yellow",
    "blocked": "red",
    "setup": "red",
    "failed": "bold red",
}


class Screen(Protocol):
    """Shows how a run goes on; used as a context manager."""

    def show(self, snapshots: Sequence[Snapshot], notes: Sequence[str]) -> None:
        """The pipelines as they are, and lines about what else goes on."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def screen_for(settings: LogSettings) -> Screen:
    """The screen that suits standard output."""
    return LiveTable(settings) if is_terminal() else PeriodicLog()


class LiveTable:
    """A table that is drawn anew where it stands; log lines go by above it."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._drawn: RenderableType = Text("starting")
        # what the log writes would tear the table, unless it goes somewhere else than the terminal
        self._live = Live(
            get_renderable=lambda: self._drawn,
            console=Console(),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._closing = ExitStack()

    def show(self, snapshots: Sequence[Snapshot], notes: Sequence[str]) -> None:
        """Draw with these values from now on."""
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("pipeline", "state"):
            grid.add_column(column, no_wrap=True)
        for column in (*COLUMNS, "rate/s", "lag"):
            grid.add_column(column, justify="right")
        for snapshot in snapshots:
            state = Text(snapshot.state, style=COLOURS.get(snapshot.state, ""))
            numbers = [f"{count:,}" for count in _counts(snapshot)]
            grid.add_row(snapshot.pipeline, state, *numbers, f"{snapshot.rate:,.0f}", lag(snapshot))
        reasons = [f"{s.pipeline}: {shown(s.reason)}" for s in snapshots if s.reason]
        self._drawn = Group(grid, *(Text(printable(line), style="dim") for line in (*reasons, *notes)))

    def __enter__(self) -> Self:
        self._live.__enter__()
        logs.configure(self._settings, sys.stderr)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(exc_type, exc, traceback)
        logs.configure(self._settings)


class PeriodicLog:
    """One line for each pipeline, now and then."""

    def __init__(self, every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._last = clock()

    def show(self, snapshots: Sequence[Snapshot], notes: Sequence[str]) -> None:
        """Log if it is time to."""
        now = self._clock()
        if now - self._last < self._every:
            return
        self._last = now
        for snapshot in snapshots:
            names = (name.replace(" ", "_") for name in COLUMNS)
            facts: dict[str, object] = dict(zip(names, _counts(snapshot), strict=True))
            facts |= {"rate": round(snapshot.rate), "lag": lag(snapshot)}
            log.info("%s is %s", snapshot.pipeline, snapshot.state, extra=facts)
        for note in notes:
            log.info("%s", note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


def summarise(snapshots: Sequence[Snapshot], elapsed: float) -> None:
    """Print what became of every event, pipeline by pipeline."""
    extra = [name for name in RARE if any(getattr(snapshot.counts, name) for snapshot in snapshots)]
    rows = [
        (
            snapshot.pipeline,
            *_counts(snapshot),
            *(getattr(snapshot.counts, name) for name in extra),
            f"{snapshot.counts.delivered / max(elapsed, 1e-3):,.0f}/s",
        )
        for snapshot in snapshots
    ]
    table(("pipeline", *COLUMNS, *extra, "rate"), rows, numbers=True)
    for snapshot in snapshots:
        if snapshot.reason:
            say(f"{snapshot.pipeline} {snapshot.state}: {shown(snapshot.reason)}", "red")


def lag(snapshot: Snapshot) -> str:
    """What is not read yet, and how old it is, as far as the journal knows."""
    parts = []
    if snapshot.lag_records is not None:
        parts.append(f"{snapshot.lag_records:,}")
    if snapshot.lag_bytes is not None:
        parts.append(size(snapshot.lag_bytes))
    if snapshot.lag_seconds:
        parts.append(ago(snapshot.lag_seconds))
    return ", ".join(parts)


def _counts(snapshot: Snapshot) -> tuple[int, ...]:
    counts = snapshot.counts
    return (
        counts.read,
        counts.delivered,
        counts.duplicate,
        counts.filtered,
        counts.invalid,
        counts.dead_lettered,
        counts.outstanding,
    )
