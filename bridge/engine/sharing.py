"""Decoded pages shared between the pipelines of one process, without coupling them.

Pipelines that stand at the same place of the same journal decode each page once. One that is
about to run ahead of its neighbours lets them take what is remembered first: that costs it
nothing, because they would use the same processor to decode it again. It waits only for those
that keep up: whoever stays away for longer than a moment is not waited for any more, until it
stands where the others do again (see `seats`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.engine.idling import Idling
from bridge.engine.seats import Seat
from bridge.engine.staging import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bridge.journals.base import Page
    from bridge.validation import Decoded, Decoder

__all__ = ["SharedDecoder"]

Key = tuple[str, int, int]
WAIT = 0.5  # for a neighbour that is decoding the page
PATIENCE = 2.0  # for a neighbour that keeps moving, while the processor is busy
RECENT = 0.9  # of what was known before still counts after the next page


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
        idling: Idling | None = None,
        effort: Callable[[], float] = time.thread_time,
    ) -> None:
        """`effort()` are the seconds that this thread has used a processor for."""
        self._decoder = decoder
        self._chain = chain or Chain()
        self._max_bytes = max_bytes
        self._clock = clock
        self._idling = idling or Idling()
        self._effort = effort
        self._decoding = 0.0
        self._marks: dict[Seat, float] = {}
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
        seat.rest(self._clock())

    def forget(self, seat: Seat, stream: str) -> None:
        """This pipeline does not read on from where it stands in a stream."""
        with self._change:
            seat.leave(stream)

    def decode(self, page: Page, seat: Seat | None = None) -> Decoded:
        """The page's events and rejects. Whoever has no `seat` neither waits for others nor is waited for."""
        began = self._effort()
        try:
            return self._decode(page, seat, began)
        finally:
            if seat is not None:
                self._marks[seat] = self._effort()

    def _decode(self, page: Page, seat: Seat | None, began: float) -> Decoded:
        key = (page.stream, page.start, page.end)
        with self._change:
            if seat is not None:
                self._come(key, seat, began)
            found = self._found(key, page.size, seat)
            if found is not None:
                return found
            self._busy.add(key)
        try:
            decoded = self._made(page)
        except BaseException:
            with self._change:
                self._done(key)
            raise
        with self._change:
            self._done(key)
            self._remember(key, decoded, page.size, seat)
        return decoded

    def _come(self, key: Key, seat: Seat, began: float) -> None:
        """Note where a pipeline stands, and what it did with the page before."""
        stream, start, _ = key
        front = max(one.at.get(stream, start) for one in self._seats)
        seat.come(stream, start, self._clock())
        if start >= front or key in self._pages:
            seat.away.discard(stream)
        elif key not in self._busy:
            seat.away.add(stream)
        if seat in self._marks:
            seat.work(began - self._marks[seat], self._decoding)
        self._change.notify_all()

    def _made(self, page: Page) -> Decoded:
        since, began = self._idling.now(), self._effort()
        decoded = self._decoder.batch(page.payloads)
        self._idling.learn(since)
        spent = self._effort() - began
        self._decoding = RECENT * self._decoding + (1 - RECENT) * spent if self._decoding else spent
        _stamp(decoded, page)
        return self._chain.run(decoded)

    def _done(self, key: Key) -> None:
        self._busy.discard(key)
        self._change.notify_all()

    def _found(self, key: Key, size: int, seat: Seat | None) -> Decoded | None:
        """What a neighbour made of the page; None if this pipeline has to decode it, and may do so now."""
        began, moved = self._clock(), {one: one.pages for one in self._seats}
        while (remembered := self._pages.get(key)) is None:
            behind = [] if key in self._busy else list(self._behind(key, size, seat))
            left = began + (WAIT if key in self._busy else PATIENCE if behind else 0.0) - self._clock()
            if left <= 0:
                for stream, one in behind:
                    one.away.add(stream)
                    one.gone = one.pages == moved[one]
                return None
            self._wait(left, {one for _, one in behind})
        if seat is not None:
            remembered.takers.add(seat)
            self._forget_if_done(key, remembered)
            self._change.notify_all()
        return remembered.decoded

    def _wait(self, seconds: float, behind: Iterable[Seat]) -> None:
        """Wait for a change; who rests while the processor has nothing to do is answerable for it."""
        began, since = self._clock(), self._idling.now()
        rested = {one: one.rested(began) for one in behind}
        self._change.wait(seconds)
        now, idle = self._clock(), self._idling.idle(since)
        for one, before in rested.items():
            one.charge(now - began, idle, one.rested(now) - before)

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


def _stamp(decoded: Decoded, page: Page) -> None:
    """Tell events when the journal received them, where it knows: the time of events without `syncts`."""
    if page.received is None:
        return
    origins = decoded.origins if decoded.origins is not None else range(len(decoded.events))
    for event, origin in zip(decoded.events, origins, strict=True):
        event.received = page.received[origin]
