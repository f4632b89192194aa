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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bridge.engine.idling import Idling
from bridge.engine.seats import Seat
from bridge.engine.staging import Chain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable

    from bridge.journals.base import Page
    from bridge.validation import Decoded, Decoder

__all__ = ["SharedDecoder"]

Key = tuple[str, int, int]
WAIT = 0.5  # for a neighbour that is decoding the page
PATIENCE = 2.0  # for a neighbour that keeps moving, while the processor is busy
WELCOME = 5.0  # for one that has not begun: to join its group takes seconds
SLICE = 0.1  # of waiting, after which it is looked at whose fault it is
RECENT = 0.9  # of what was known before still counts after the next page
ROOMY = 0.75  # of the memory in use: those who wait for room are woken for several pages, not for each


@dataclass(slots=True, eq=False)
class _Remembered:
    page: Page
    decoded: Decoded
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
        self._waiting: dict[Seat, Page] = {}
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
        key = _key(page)
        with self._change:
            if seat is not None:
                self._come(page, seat, began)
            found = self._found(page, seat)
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
            self._remember(page, decoded, seat)
        return decoded

    def _come(self, page: Page, seat: Seat, began: float) -> None:
        """Note where a pipeline stands, and what it did with the page before."""
        stream, key = page.stream, _key(page)
        if page.expected is not None:
            page.expected.discard(seat.reader)
            seat.away.discard(stream)
        elif key in self._pages or page.start >= max(one.at.get(stream, page.start) for one in self._seats):
            seat.away.discard(stream)
        elif key not in self._busy:
            seat.away.add(stream)
        seat.come(stream, page.start, self._clock())
        if seat in self._marks:
            seat.work(began - self._marks[seat], self._decoding)
        if key not in self._pages:
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

    def _found(self, page: Page, seat: Seat | None) -> Decoded | None:
        """What a neighbour made of the page; None if this pipeline has to decode it, and may do so now."""
        key = _key(page)
        while (remembered := self._pages.get(key)) is None:
            if not self._wait_for(page, seat):
                return None
        if seat is not None:
            remembered.takers.add(seat)
            self._taken(key, remembered)
        return remembered.decoded

    def _taken(self, key: Key, remembered: _Remembered) -> None:
        """Let go of a page that everybody has, and wake those who waited for that, if they can go on now."""
        left = self._awaited(remembered.page, remembered.takers)
        if not left:
            del self._pages[key]
            self._size -= remembered.page.size
        waiting = self._waiting.keys()
        if waiting and (waiting >= set(left) if left else self._size <= ROOMY * self._max_bytes):
            self._change.notify_all()

    def _wait_for(self, page: Page, seat: Seat | None) -> bool:
        """Wait until the page is remembered; False if there is nothing to wait for any more."""
        key, began, moved = _key(page), self._clock(), {one: one.pages for one in self._seats}
        if seat is not None:
            self._waiting[seat] = page
        try:
            while key not in self._pages:
                busy = key in self._busy
                behind = {} if busy else self._behind(page, seat)
                left = began + (WAIT if busy else _patience(behind)) - self._clock()
                if left <= 0:
                    for one, late in behind.items():
                        one.away.add(late.stream)
                        one.gone = one.pages == moved[one]
                    return False
                if behind and self._stuck(behind, {seat}):
                    return False
                self._wait(min(left, SLICE), behind)
        finally:
            if seat is not None:
                del self._waiting[seat]
        return True

    def _stuck(self, ahead: Iterable[Seat], seen: set[Seat | None]) -> bool:
        """Whether all of these wait, for each other or for who asks: they fetched in different orders."""
        for one in ahead:
            if one in seen:
                continue
            seen.add(one)
            wanted = self._waiting.get(one)
            if wanted is None or _key(wanted) in self._busy or _key(wanted) in self._pages:
                return False
            others = self._behind(wanted, one)
            if not others or not self._stuck(others, seen):
                return False
        return True

    def _wait(self, seconds: float, behind: Collection[Seat]) -> None:
        """Wait for a change, on the account of those whose fault it is."""
        if not behind:
            self._change.wait(seconds)
            return
        began, since = self._clock(), self._idling.now()
        rested = {one: one.rested(began) for one in behind}
        self._change.wait(seconds)
        now, idle = self._clock(), self._idling.idle(since)
        for one, before in rested.items():
            one.charge(began, now, min(idle, one.rested(now) - before))

    def _behind(self, page: Page, seat: Seat | None) -> dict[Seat, Page]:
        """Each neighbour that keeps up, and a page that it has not come to and this one would push out.

        Whoever is patient waits for those who have not come to this one, either.
        """
        if seat is None or not self._awaited(page, {seat}):
            return {}
        found = dict.fromkeys(self._awaited(page, {seat}), page) if seat.patient else {}
        excess = self._size + page.size - self._max_bytes
        for oldest in self._pages.values():
            if excess <= 0:
                break
            excess -= oldest.page.size
            for one in self._awaited(oldest.page, {seat, *oldest.takers}):
                found.setdefault(one, oldest.page)
        return found

    def _awaited(self, page: Page, but: Container[Seat]) -> list[Seat]:
        """Who else may come to this page, or waits for it."""
        key = _key(page)
        return [
            one
            for one in self._seats
            if one not in but
            and (one.may_come(page) or (one in self._waiting and _key(self._waiting[one]) == key))
        ]

    def _remember(self, page: Page, decoded: Decoded, seat: Seat | None) -> None:
        key = _key(page)
        if seat is not None and not self._awaited(page, {seat}):
            return
        if key not in self._pages:
            self._pages[key] = _Remembered(replace(page, payloads=[]), decoded, {seat} if seat else set())
            self._size += page.size
        while self._size > self._max_bytes and len(self._pages) > 1:
            self._size -= self._pages.popitem(last=False)[1].page.size


def _key(page: Page) -> Key:
    return page.stream, page.start, page.end


def _patience(behind: Iterable[Seat]) -> float:
    """Seconds to wait for these, from the first look."""
    return max((PATIENCE if one.pages else WELCOME for one in behind), default=0.0)


def _stamp(decoded: Decoded, page: Page) -> None:
    """Tell events when the journal received them, where it knows: the time of events without `syncts`."""
    if page.received is None:
        return
    origins = decoded.origins if decoded.origins is not None else range(len(decoded.events))
    for event, origin in zip(decoded.events, origins, strict=True):
        event.received = page.received[origin]
