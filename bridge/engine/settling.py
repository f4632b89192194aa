"""What comes back from a destination: settle, send again, halve, hold, or dead-letter."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.engine.meter import Rate
from bridge.engine.verdicts import Judgement, judge
from bridge.reports import BatchReport
from bridge.secrets import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.engine.burying import DeadLetterDesk
    from bridge.engine.loads import Load
    from bridge.engine.meter import Status, Tally
    from bridge.engine.outbox import Outbox
    from bridge.engine.progress import Progress
    from bridge.engine.retry import Backoff, RejectLimiter

__all__ = ["Options", "Settler"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How one pipeline runs. `until_idle` ends it once everything in the journal is settled."""

    name: str
    type: str
    plugin: str
    max_in_flight: int
    max_held_bytes: int
    max_idle_bytes: int
    backoff: Backoff
    probe: Backoff
    until_idle: bool = False
    grace: float = 25.0


class Settler:
    """Handles the answers of one pipeline, on that pipeline's thread.

    `recut(load, end)` is called when another owner has planned the load's range.
    """

    def __init__(
        self,
        options: Options,
        outbox: Outbox,
        progress: Progress,
        desk: DeadLetterDesk,
        limiter: RejectLimiter,
        tally: Tally,
        status: Status,
        notify: Callable[..., None],
        chance: Callable[[], float],
        recut: Callable[[Load, int], None],
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._progress = progress
        self._desk = desk
        self._limiter = limiter
        self._tally = tally
        self._status = status
        self._notify = notify
        self._chance = chance
        self._recut = recut
        self.rate = Rate()
        self.bytes = 0

    def answered(self, load: Load, answer: Any, seconds: float) -> None:
        """`send` returned or raised `answer` for a load, after so many seconds."""
        self._outbox.landed(load)
        load, answer = _without_lost(load, answer)
        judgement = judge(load, answer)
        self._observe(load, judgement, seconds)
        if load.alive() and not self._held(load, judgement):
            self._act(load, judgement)

    def _held(self, load: Load, judgement: Judgement) -> bool:
        """Whether this answer says that the set-up is wrong; the load is then kept as it is."""
        taken = judgement.delivered + judgement.duplicates
        if judgement.hold is not None:
            self._outbox.front(load)
            self._hold(judgement.hold)
            return True
        if (judgement.rejected or taken) and not self._limiter.accepts(len(judgement.rejected), taken):
            first = judgement.rejected[0][1]
            self._put_back(load)
            self._hold(f"too many events are refused, the last with {first.code}: {first.reason}")
            return True
        if self._outbox.held is not None and judgement.halve:
            self._outbox.front(*load.halves())
            self._hold(self._outbox.held)  # a refusal proves nothing; the halves are the next probes
            return True
        if self._outbox.held is not None:
            log.warning("sink %s works again", self._options.name)
            self._outbox.release()
        return False

    def _put_back(self, load: Load) -> None:
        """At the back, so that the probe is not the same event for ever, unless the sink has an order."""
        if self._options.max_in_flight == 1:
            self._outbox.front(load)
        else:
            self._outbox.offer(load)

    def _hold(self, reason: str) -> None:
        if self._outbox.held != reason:
            log.error("sink %s is on hold: %s", self._options.name, reason)
        self._outbox.hold(reason, time.monotonic())

    def _act(self, load: Load, judgement: Judgement) -> None:
        if judgement.recut is not None:
            self._recut(load, judgement.recut)
        elif judgement.halve:
            self._outbox.front(*load.halves())
        else:
            self._settle(load, judgement)

    def _settle(self, load: Load, judgement: Judgement) -> None:
        letters = [self._desk.refusal(load, index, reject) for index, reject in judgement.rejected]
        if letters and not self._desk.bury(letters):
            return
        if letters and (alive := load.living()) is not None:
            # Streams went to another process while this waited for the dead letters.
            self._outbox.front(*([load.part(alive)] if alive else []))
            return
        self._tally.add(
            delivered=judgement.delivered, duplicate=judgement.duplicates, dead_lettered=len(letters)
        )
        self.rate.add(judgement.delivered, time.monotonic())
        if judgement.throttled:
            self._outbox.slower()
        elif not judgement.remaining:
            self._outbox.faster()
        self.bytes += load.size
        if judgement.remaining:
            self._again(load, judgement)
        else:
            load.settle(self._progress)

    def _again(self, load: Load, judgement: Judgement) -> None:
        left = load
        if len(judgement.remaining) < load.count:
            again = set(judgement.remaining)
            load.part([index for index in range(load.count) if index not in again]).settle(self._progress)
            left = load.part(judgement.remaining)
        left.faults += judgement.fault
        self.bytes -= left.size
        self._status.note(judgement.reason)
        wait = self._options.backoff.jittered(load.attempt, self._chance())
        if judgement.wait is not None:
            wait = max(judgement.wait, wait)
        self._outbox.retry(left, time.monotonic() + wait)

    def _observe(self, load: Load, judgement: Judgement, seconds: float) -> None:
        report = BatchReport(
            self._options.name, load.attempt, load.count, load.size, judgement.delivered,
            judgement.duplicates, len(judgement.rejected), len(judgement.remaining), seconds,
            redact(judgement.hold or judgement.reason),
        )  # fmt: skip
        self._notify("bridge_settled", report=report)


def _without_lost(load: Load, answer: Any) -> tuple[Load, Any]:
    """What is left of a load, and of its answer, after some of its streams went to another process."""
    alive = load.living()
    if not alive:
        return load, answer
    if isinstance(answer, Sequence) and len(answer) == load.count:
        answer = [answer[index] for index in alive]
    return load.part(alive), answer
