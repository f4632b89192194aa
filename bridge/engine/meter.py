"""Counting: what became of every event, how fast, and how the pipeline does. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from bridge.reports import Counts, PipelineState
from bridge.secrets import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.sinks import Sink

__all__ = ["Rate", "Status", "Tally", "besides"]

RATE_WINDOW = 5.0


class Tally:
    """The running counts of one pipeline; `limbo` events are read and being dead-lettered right now."""

    def __init__(self) -> None:
        self._totals: dict[str, int] = {}
        self.limbo = 0

    def add(self, **changes: int) -> None:
        """Count events by what became of them."""
        for name, change in changes.items():
            self._totals[name] = self._totals.get(name, 0) + change

    def counts(self, outstanding: int) -> Counts:
        """A frozen copy, in which everything is accounted for."""
        return Counts(**self._totals, outstanding=outstanding + self.limbo)


class Rate:
    """Events a second over the last few seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, events: int, now: float) -> None:
        """So many events went through at `now`."""
        if events:
            self._marks.append((now, events))
            self._sum += events

    def value(self, now: float) -> float:
        """The present rate."""
        while self._marks and self._marks[0][0] < now - RATE_WINDOW:
            self._sum -= self._marks.popleft()[1]
        if not self._marks:
            return 0.0
        return self._sum / max(now - self._marks[0][0], 1.0)


class Status:
    """The pipeline's state in one word and, where it does not run freely, why."""

    def __init__(self) -> None:
        self.state: PipelineState = "starting"
        self.reason = ""
        self._pinned = False
        self._trouble = ""

    def pin(self, state: PipelineState, reason: str = "") -> None:
        """Stay in this state until unpinned."""
        self.state, self.reason, self._pinned = state, redact(reason), True

    def unpin(self) -> None:
        """Follow what is going on again."""
        self.state, self.reason, self._pinned = "running", "", False

    def end(self, state: PipelineState, reason: str = "") -> None:
        """The last state."""
        self.pin(state, reason)

    def note(self, reason: str) -> None:
        """Something is sent again, and why."""
        self._trouble = redact(reason)

    def refresh(self, held: str | None, *, busy: bool, waiting: bool) -> None:
        """Say what is going on: on hold, waiting for another try, busy or idle."""
        if self._pinned:
            return
        if held is not None:
            self.state, self.reason = "setup", redact(held)
        elif waiting:
            self.state, self.reason = "retrying", self._trouble
        else:
            self.state, self.reason = ("running" if busy else "idle"), ""


def besides(sink: Sink[Any, Any] | None) -> Mapping[str, int]:
    """What a sink counts besides the outcomes of its events."""
    try:
        return {} if sink is None else dict(sink.tally())
    except Exception:  # noqa: BLE001 - boundary: a pipeline goes on, whatever its sink cannot count
        return {}
