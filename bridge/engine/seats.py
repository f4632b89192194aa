"""Where pipelines that share decoded pages stand, and whether it is worth waiting for one. Pure.

Waiting costs nothing as long as the processor is used for what the neighbours need anyway. Where
it does cost something, the seconds are put to the account of the one who is waited for. Nobody
waits for one who has used up its credit; what it owes is forgiven slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CREDIT", "FORGIVEN", "HEAVY", "Seat"]

CREDIT = 1.0  # seconds that may be lost by waiting for one pipeline
FORGIVEN = 0.02  # of them for each second: so much of the time may be lost in the long run
HEAVY = 10  # whose work on a page takes so many times what decoding it takes has little use for sharing
RECENT = 0.9  # of what was known before still counts after the next page


@dataclass(slots=True, eq=False)
class Seat:
    """Where one pipeline stands: in each stream at the page it came to last.

    It is `away` in a stream where it fell so far behind that its next page is not remembered, until
    it stands at the front again, and `gone` if it did not move at all when others waited for it.
    It is `heavy` if its own work on a page takes many times what decoding it does. `debt` are seconds
    that were lost by waiting for it. A `patient` one leaves the decoding to others: what it decoded
    would lie in the cache of the wrong core.
    """

    patient: bool = False
    at: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    gone: bool = False
    heavy: bool = False
    pages: int = 0
    debt: float = 0.0
    _seen: float = 0.0
    _effort: float = 0.0
    _rests_since: float | None = None
    _rested: float = 0.0

    def come(self, stream: str, start: int, now: float) -> None:
        """The pipeline has come, at `now`, to the page that begins here."""
        self.at[stream] = start
        self.gone = False
        self.pages += 1
        self._rested, self._rests_since = self.rested(now), None
        self.debt = max(0.0, self.debt - FORGIVEN * (now - self._seen))
        self._seen = now

    def work(self, seconds: float, decoding: float) -> None:
        """So much of the processor the pipeline used for its last page, beside what decoding one takes."""
        self._effort = RECENT * self._effort + (1 - RECENT) * seconds
        self.heavy = self._effort > HEAVY * decoding

    def rest(self, now: float) -> None:
        """The pipeline has no room before its destination answers."""
        if self._rests_since is None:
            self._rests_since = now

    def rested(self, now: float) -> float:
        """For how many seconds it has rested so far."""
        return self._rested + (0.0 if self._rests_since is None else now - self._rests_since)

    def leave(self, stream: str) -> None:
        """The pipeline does not read on from there."""
        self.at.pop(stream, None)
        self.away.discard(stream)

    def charge(self, waited: float, idle: float, rested: float) -> None:
        """Somebody waited: in vain if this one is far behind, or if the processor idled while it rested."""
        self.debt = max(0.0, self.debt + (waited if self.away else min(idle, rested)))

    def may_come(self, stream: str, start: int) -> bool:
        """Whether this place lies before the pipeline, as far as is known, and is worth waiting at."""
        worthwhile = not (self.gone or self.heavy) and self.debt < CREDIT
        return worthwhile and self.at.get(stream, start) <= start
