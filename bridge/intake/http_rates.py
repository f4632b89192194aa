"""How often each sender may come: a token bucket a sender. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Rates"]

REMEMBERED = 10_000


class Rates:
    """Buckets of `burst` requests that fill up again at `rate` a second (0: no limit).

    The senders seen longest ago are forgotten, which does them no harm: a full bucket is what they had.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, sender: str, now: float) -> float:
        """Count one request: 0.0 if it may pass, else the seconds until one may; `now` in seconds."""
        if not self._rate:
            return 0.0
        level, since = self._buckets.pop(sender, (self._burst, now))
        level = min(self._burst, level + max(0.0, now - since) * self._rate)
        passes = level >= 1.0
        self._buckets[sender] = (level - 1.0 if passes else level), now
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1.0 - level) / self._rate
