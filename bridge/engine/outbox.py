"""Which load is sent next: slots, retries that wait, and the hold of a broken set-up. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.engine.loads import Load
    from bridge.engine.retry import Backoff

__all__ = ["Outbox"]


class Outbox:
    """Closed loads on their way: ready, flying, or waiting for another try.

    At most `slots` loads are flying or waiting, so one that is retried holds its slot and
    memory stays bounded; fewer fly at a time while the destination asks for patience (halved
    when it does, one more after as many deliveries). While `held` one probe flies at a time.
    """

    def __init__(self, slots: int, probe: Backoff) -> None:
        self._slots = slots
        self._pace = float(slots)
        self._probe = probe
        self._ready: deque[Load] = deque()
        self._waiting: list[tuple[float, int, Load]] = []
        self._numbers = 0
        self._probes = 0
        self._probe_at = 0.0
        self.flying = 0
        self.size = 0
        self.held: str | None = None

    def __len__(self) -> int:
        return len(self._ready) + len(self._waiting) + self.flying

    @property
    def backlog(self) -> int:
        """Loads that are ready and have no slot yet."""
        return len(self._ready)

    def offer(self, load: Load) -> None:
        """Accept a newly closed load."""
        self._numbers += 1
        load.number = self._numbers
        self.size += load.held
        self._ready.append(load)

    def take(self, now: float) -> Load | None:
        """The next load to send at `now`, if there is one and a slot for it."""
        if self.held is not None:
            return self._take_probe(now)
        if self.flying >= int(self._pace):
            return None
        if self._waiting and self._waiting[0][0] <= now:
            return self._fly(heapq.heappop(self._waiting)[2])
        if self._ready and self.flying + len(self._waiting) < self._slots:
            return self._fly(self._ready.popleft())
        return None

    def wakes_at(self) -> float | None:
        """When a load that waits will be due, so that the pipeline can sleep until then."""
        if self.held is not None:
            return self._probe_at if not self.flying and len(self) else None
        return self._waiting[0][0] if self._waiting and self.flying < int(self._pace) else None

    def landed(self, load: Load) -> None:
        """A flying load was answered; what remains of it must be offered again."""
        self.flying -= 1
        self.size -= load.held

    def retry(self, load: Load, due: float) -> None:
        """Send this load again, not before `due`."""
        self.size += load.held
        heapq.heappush(self._waiting, (due, load.number, load))

    def slower(self) -> None:
        """The destination asks for patience."""
        self._pace = max(1.0, self._pace / 2)

    def faster(self) -> None:
        """The destination took a load."""
        self._pace = min(float(self._slots), self._pace + 1 / self._pace)

    def front(self, *loads: Load) -> None:
        """Send these next, in this order: the halves of a refused load, or one that was held."""
        self.size += sum(load.held for load in loads)
        self._ready.extendleft(reversed(loads))

    def hold(self, reason: str, now: float) -> None:
        """Stop sending because of `reason`; probe with one load after a while."""
        self._probes += 1
        self._probe_at = now + self._probe.ceiling(self._probes)
        self.held = reason

    def release(self) -> None:
        """The set-up works again."""
        self.held = None
        self._probes = 0

    def drop_dead(self) -> None:
        """Let go of loads whose streams now belong to somebody else."""
        everything = [*self._ready, *(entry[2] for entry in self._waiting)]
        self.size -= sum(load.held for load in everything if not load.alive())
        self._ready = deque(load for load in self._ready if load.alive())
        self._waiting = [entry for entry in self._waiting if entry[2].alive()]
        heapq.heapify(self._waiting)

    def _take_probe(self, now: float) -> Load | None:
        if self.flying or now < self._probe_at:
            return None
        waiting = [(load.number, load) for _, _, load in self._waiting]
        oldest = min(waiting, default=None, key=lambda entry: entry[0])
        if self._ready and (oldest is None or self._ready[0].number <= oldest[0]):
            return self._fly(self._ready.popleft())
        if oldest is None:
            return None
        self._waiting = [entry for entry in self._waiting if entry[2] is not oldest[1]]
        heapq.heapify(self._waiting)
        return self._fly(oldest[1])

    def _fly(self, load: Load) -> Load:
        load.attempt += 1
        self.flying += 1
        return load
