"""When to try again, and when a flood of refusals says that the set-up is wrong. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Backoff", "RejectLimiter"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off between `shortest` and `longest` seconds."""

    shortest: float = 0.1
    longest: float = 60.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait after failed attempt number `attempt` (from 1)."""
        doublings = min(attempt - 1, 32)  # beyond that a float overflows long after `longest` is met
        return float(min(self.longest, self.shortest * 2**doublings))

    def jittered(self, attempt: int, chance: float) -> float:
        """Full jitter: a uniform share, `chance` in [0, 1), of the ceiling."""
        return chance * self.ceiling(attempt)


class RejectLimiter:
    """Tells poison events from a broken set-up.

    More than `max_consecutive` refusals in a row, or more than `max_ratio` of the last `window`
    events, mean that the destination would refuse the whole stream. 0 consecutive or a ratio
    of 1 switches that half off.
    """

    def __init__(self, max_consecutive: int = 100, max_ratio: float = 0.1, window: int = 1_000) -> None:
        self._max_consecutive = max_consecutive
        self._max_ratio = max_ratio
        self._window = window
        self._recent: deque[tuple[int, int]] = deque()
        self._events = 0
        self._rejects = 0
        self._consecutive = 0
        self.probation = False

    def accepts(self, rejected: int, delivered: int) -> bool:
        """Record an answer with so many refusals and deliveries; False when it is one too many.

        An answer that is one too many is not recorded: its events are to be held, not
        dead-lettered, and will be answered again. From then on the destination is on
        probation, where an answer needs a delivery and a fair share of them to count.
        """
        if self.probation and rejected > self._max_ratio * (rejected + delivered):
            return False
        consecutive = 0 if delivered else self._consecutive + rejected
        events, rejects = self._events + rejected + delivered, self._rejects + rejected
        if rejected and self._exceeded(consecutive, events, rejects):
            self._trip()
            return False
        self.probation = self.probation and not delivered
        self._consecutive = consecutive
        self._remember(rejected, delivered)
        return True

    def _trip(self) -> None:
        self.probation = True
        self._recent.clear()
        self._events = self._rejects = self._consecutive = 0

    def _exceeded(self, consecutive: int, events: int, rejects: int) -> bool:
        in_a_row = 0 < self._max_consecutive < consecutive
        share = events >= self._window and rejects > self._max_ratio * events
        return in_a_row or share

    def _remember(self, rejected: int, delivered: int) -> None:
        self._recent.append((rejected, delivered))
        self._events += rejected + delivered
        self._rejects += rejected
        while self._recent and self._events - sum(self._recent[0]) >= self._window:
            old_rejected, old_delivered = self._recent.popleft()
            self._events -= old_rejected + old_delivered
            self._rejects -= old_rejected
