"""Where pipelines that share decoded pages stand, and whether it is worth waiting for one. Pure.

Waiting costs nothing as long as the processor is used for what the neighbours need anyway. Where
it does cost something, the seconds are put to the account of the one who is waited for. Nobody
waits for one who has used up its credit; what it owes is forgiven slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.journals.base import Page

__all__ = ["CREDIT", "FORGIVEN", "HEAVY", "Seat"]

CREDIT = 1.0  # seconds that may be lost by waiting for one pipeline
FORGIVEN = 0.02  # of them for each second: so much of the time may be lost in the long run
COURTESY = 0.2  # of the seconds that are waited for one who catches up count, as they save decoding later
FIRST = 16  # pages, after which a stream that it did not come to is taken for one that it does not read
REACH = 64  # pages: whoever is farther behind is not waited for at all
HEAVY = 10  # whose work on a page takes so many times what decoding it takes has little use for sharing
RECENT = 0.9  # of what was known before still counts after the next page


@dataclass(slots=True, eq=False)
class Seat:
    """Where one pipeline stands: in each stream at the page it came to last.

    It is `away` in a stream where it fell so far behind that its next page is not remembered, until
    it stands at the front again, and `gone` if it did not move at all when others waited for it.
    It is `heavy` if its own work on a page takes many times what decoding it does. `debt` are seconds
    that were lost by waiting for it. `reader` is what pages are `expected` by. A `patient` one leaves
    the decoding to others: what it decoded would lie in the cache of the wrong core.
    """

    patient: bool = False
    reader: object = None
    at: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    gone: bool = False
    heavy: bool = False
    pages: int = 0
    debt: float = 0.0
    _seen: float = 0.0
    _charged: float = 0.0
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

    def charge(self, began: float, now: float, idle: float) -> None:
        """Somebody waited: in vain as far as the process idled while this one rested.

        A second for which several waited counts once.
        """
        counts = max(0.0, now - max(began, self._charged)) / (now - began) if now > began else 0.0
        self._charged = now
        lost = max(idle, COURTESY * (now - began)) if self.away else idle
        self.debt = max(0.0, self.debt + counts * lost)

    def may_come(self, page: Page) -> bool:
        """Whether the pipeline is to come to this page, as far as is known, and is worth waiting for."""
        if self.gone or self.heavy or self.debt >= CREDIT:
            return False
        if page.expected is not None:
            return self.reader in page.expected
        at = self.at.get(page.stream)
        if at is None:
            return self.pages < FIRST
        return at <= page.start <= at + REACH * (page.end - page.start)
