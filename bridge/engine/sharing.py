"""Decoded pages shared between the pipelines of one process, without coupling them.

Pipelines that stand at the same place of the same journal decode each page once. One that is
about to run ahead of its neighbours lets them take what is remembered first: that costs it
nothing, because they would use the same processor to decode it again. It waits only for those
that keep up: whoever stays away for longer than a moment is not waited for any more, until it
stands where the others do again. Where the processor idles meanwhile, because a neighbour waits
for its destination, waiting does cost something, and is done for a small part of the time only.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.engine.staging import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bridge.journals.base import Page
    from bridge.validation import Decoded, Decoder

__all__ = ["Seat", "SharedDecoder"]

Key = tuple[str, int, int]
WAIT = 0.5  # for a neighbour that is decoding the page
PATIENCE = 0.5  # for a neighbour that is some pages behind
WELCOME, FIRST = 1.0, 16  # for one that has just begun, and in how many pages it gets going
CREDIT = 0.5  # seconds that may be idled away for a neighbour that rests
FORGIVEN = 0.02  # of that, for each second: so much of the time at most, in the long run


@dataclass(slots=True, eq=False)
class Seat:
    """Where one pipeline stands in each stream.

    It is not waited for in the streams where it is `away`, too far behind, and in none while it is
    `gone`, because it did not move at all when the others waited for it, or has idled away its
    credit: its `debt` are the seconds that others waited in vain while it rested, having no room
    before its destination answered. Whoever comes to the front is back. A `patient` one leaves
    the decoding to others: what it decoded would lie in the cache of the wrong core.
    """

    patient: bool = False
    at: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    gone: bool = False
    pages: int = 0
    debt: float = 0.0
    seen: float = 0.0
    rests_since: float | None = None
    _rested: float = 0.0

    def rested(self, now: float) -> float:
        """For how many seconds it has rested so far."""
        return self._rested + (0.0 if self.rests_since is None else now - self.rests_since)

    def come(self, stream: str, start: int, front: int, now: float = 0.0) -> None:
        """The pipeline has come to this page, at `now`; the foremost one stands at `front`."""
        self.at[stream] = start
        self.gone = False
        self.pages += 1
        self._rested, self.rests_since = self.rested(now), None
        self.debt = max(0.0, self.debt - FORGIVEN * (now - self.seen))
        self.seen = now
        if start >= front:
            self.away.discard(stream)

    def may_come(self, stream: str, start: int) -> bool:
        """Whether this place lies before the pipeline, as far as is known, and it is waited for there."""
        waited_for = not self.gone and stream not in self.away and self.debt < CREDIT
        return waited_for and self.at.get(stream, start) <= start


@dataclass(slots=True, eq=False)
class _Remembered:
    decoded: Decoded
    size: int
    takers: set[Seat]


class SharedDecoder:
    """Decodes pages and passes the stages, remembering the last `max_bytes` for the other pipelines."""

    def __init__(
        self,
        decoder: Decoder,
        max_bytes: int = 3 * 1024 * 1024,
        chain: Chain | None = None,
        clock: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.process_time,
    ) -> None:
        """`worked()` are the seconds that this process has used its processors for."""
        self._decoder = decoder
        self._chain = chain or Chain()
        self._max_bytes = max_bytes
        self._clock = clock
        self._worked = worked
        self._pages: OrderedDict[Key, _Remembered] = OrderedDict()
        self._busy: set[Key] = set()
        self._size = 0
        self._seats: list[Seat] = []
        self._change = threading.Condition()

    def seat(self, *, patient: bool = False) -> Seat:
        """A place for one more pipeline that reads along; a `patient` one has little use for events."""
        seat = Seat(patient)
        with self._change:
            self._seats.append(seat)
        return seat

    def rest(self, seat: Seat) -> None:
        """This pipeline has no room before its destination answers."""
        if seat.rests_since is None:
            seat.rests_since = self._clock()

    def decode(self, page: Page, seat: Seat | None = None) -> Decoded:
        """The page's events and rejects. Whoever has no `seat` neither waits for others nor is waited for."""
        key = (page.stream, page.start, page.end)
        with self._change:
            if seat is not None:
                front = max(one.at.get(page.stream, page.start) for one in self._seats)
                seat.come(page.stream, page.start, front, self._clock())
                self._change.notify_all()
            found = self._found(key, page.size, seat)
            if found is not None:
                return found
            self._busy.add(key)
        try:
            decoded = self._decoder.batch(page.payloads)
            _stamp(decoded, page)
            decoded = self._chain.run(decoded)
        except BaseException:
            with self._change:
                self._done(key)
            raise
        with self._change:
            self._done(key)
            self._remember(key, decoded, page.size, seat)
        return decoded

    def _done(self, key: Key) -> None:
        self._busy.discard(key)
        self._change.notify_all()

    def _found(self, key: Key, size: int, seat: Seat | None) -> Decoded | None:
        """What a neighbour made of the page; None if this pipeline has to decode it, and may do so now."""
        began, moved = self._clock(), {one: one.pages for one in self._seats}
        while (remembered := self._pages.get(key)) is None:
            behind = [] if key in self._busy else list(self._behind(key, size, seat))
            left = began + (WAIT if key in self._busy else _patience(behind)) - self._clock()
            if left <= 0:
                for stream, one in behind:
                    one.away.add(stream)
                    one.gone = one.pages == moved[one]
                return None
            self._wait(left, {one for _, one in behind})
        if seat is not None:
            seat.away.discard(key[0])
            remembered.takers.add(seat)
            self._forget_if_done(key, remembered)
            self._change.notify_all()
        return remembered.decoded

    def _wait(self, seconds: float, behind: Iterable[Seat]) -> None:
        """Wait for a change; who rests while the processor has nothing to do is answerable for it."""
        began, worked = self._clock(), self._worked()
        rested = {one: one.rested(began) for one in behind}
        self._change.wait(seconds)
        now = self._clock()
        idle = now - began - (self._worked() - worked)
        for one, before in rested.items():
            one.debt += max(0.0, min(idle, one.rested(now) - before))

    def _forget_if_done(self, key: Key, remembered: _Remembered) -> None:
        """Let go of a page that nobody is to come to any more."""
        if not any(one not in remembered.takers and one.may_come(*key[:2]) for one in self._seats):
            self._size -= self._pages.pop(key).size

    def _behind(self, key: Key, size: int, seat: Seat | None) -> Iterator[tuple[str, Seat]]:
        """The neighbours that keep up and have not come to a page that this one would push out.

        Whoever is patient waits for those who have not come to this one, either.
        """
        excess = self._size + size - self._max_bytes
        if seat is None or not self._awaited(key, seat):
            return
        if seat.patient:
            yield from ((key[0], one) for one in self._seats if one is not seat and one.may_come(*key[:2]))
        for (stream, start, _), oldest in self._pages.items():
            if excess <= 0:
                return
            excess -= oldest.size
            for one in self._seats:
                if one is not seat and one not in oldest.takers and one.may_come(stream, start):
                    yield stream, one

    def _awaited(self, key: Key, seat: Seat | None) -> bool:
        """Whether anybody else may come to this page."""
        return any(one is not seat and one.may_come(*key[:2]) for one in self._seats)

    def _remember(self, key: Key, decoded: Decoded, size: int, seat: Seat | None) -> None:
        if seat is not None and not self._awaited(key, seat):
            return
        if key not in self._pages:
            self._pages[key] = _Remembered(decoded, size, {seat} if seat else set())
            self._size += size
        while self._size > self._max_bytes and len(self._pages) > 1:
            self._size -= self._pages.popitem(last=False)[1].size


def _patience(behind: Sequence[tuple[str, Seat]]) -> float:
    """Seconds to wait for these, from the first look."""
    return max((PATIENCE if one.pages > FIRST else WELCOME for _, one in behind), default=0.0)


def _stamp(decoded: Decoded, page: Page) -> None:
    """Tell events when the journal received them, where it knows: the time of events without `syncts`."""
    if page.received is None:
        return
    origins = decoded.origins if decoded.origins is not None else range(len(decoded.events))
    for event, origin in zip(decoded.events, origins, strict=True):
        event.received = page.received[origin]
