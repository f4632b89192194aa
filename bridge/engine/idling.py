"""Whether this process idles: its processor time, beside what it gets of it while it surely works.

Processes beside this one take their share of the processors, which is nobody's fault here, so what
is compared is not seconds of the clock but what this process got of them when it had work to do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Idling", "Moment"]

RECENT = 0.99  # of what was learnt before still counts after the next span of work
LEAST = 0.05  # a share that small is a clock too coarse, or a machine that stood still


class Moment(NamedTuple):
    """The clock (s), and the seconds that this process has used its processors for."""

    clock: float
    worked: float


class Idling:
    """Learns from spans of work, and judges spans of waiting by them."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, worked: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._worked = worked
        self._asked = self._got = 0.001

    def now(self) -> Moment:
        """Where a span begins."""
        return Moment(self._clock(), self._worked())

    def learn(self, since: Moment) -> None:
        """Some thread had work to do all the time until now."""
        self._asked = RECENT * self._asked + self._clock() - since.clock
        self._got = RECENT * self._got + self._worked() - since.worked

    def idle(self, since: Moment) -> float:
        """Seconds for which the process did nothing until now; less than none if it did more than usual."""
        share = min(1.0, max(LEAST, self._got / self._asked))
        return self._clock() - since.clock - (self._worked() - since.worked) / share
