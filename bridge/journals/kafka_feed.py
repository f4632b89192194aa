"""One fetch for the pipelines of a process that stand at the same place, without coupling their groups.

Each pipeline stays a member of its own group, with its own offsets; while it follows here, its
member fetches nothing. Nobody owns the feed: whoever finds no page for himself brings in the
next ones, for all. Whoever falls behind the pages that are kept fetches alone until he stands
where the others do again, and so do all of them where the feed fails.

Groups rarely commit the same offsets before a restart or a rebalance. Those that begin near each
other are brought together: the feed begins where the last of them stands, and the others wait
for their first page.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Message, TopicPartition

from bridge.errors import BridgeError
from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_pages import Pager
from bridge.journals.kafka_places import group_by_partition, stream_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from confluent_kafka import Consumer

    from bridge.journals.base import Page
    from bridge.journals.kafka_commits import Key

__all__ = ["Feed"]

CONSUME = 1_000
KEPT_BYTES = 12 * 1024 * 1024  # for those who are behind; what everybody has taken is let go at once
KEPT_PAGES = 256
REFUSE_SECONDS = 5.0
NEAR = 50_000  # offsets that pipelines may be apart and be brought together: a second of one sink
PATIENCE = 2.0  # seconds in which those who wait do not bring in more than is kept


@dataclass(slots=True)
class _Fed:
    """One partition: `at` is where the next page begins, `position` the next offset to fetch.

    `end` is the end of the partition once everything before it was fetched; it is `sure` once the
    record at its first place came. `ahead` are the followers for whom there is nothing before an offset.
    """

    stream: str
    at: int
    position: int
    end: int | None = None
    sure: bool = False
    followers: set[object] = field(default_factory=set)
    ahead: dict[object, int] = field(default_factory=dict)

    def ends_before(self, at: int) -> bool:
        """Whether the records up to `at` are not there, as far as is known."""
        return self.end is not None and self.position < at

    def readers(self, start: int) -> set[object]:
        """Who is to get the page that begins there."""
        self.ahead = {who: at for who, at in self.ahead.items() if at > start}
        return self.followers - self.ahead.keys()


@dataclass(slots=True, eq=False)
class _Kept:
    """A page, who has not come for it, and who is expected wherever it goes from here."""

    number: int
    page: Page
    waiting: set[object]
    expected: set[object]


class Feed:
    """The pages that pipelines of one process read together. Every method may be called from any thread."""

    def __init__(self, connect: Callable[[], Consumer], clock: Callable[[], float] = time.monotonic) -> None:
        """`connect()` makes a consumer that commits nothing."""
        self._make = connect
        self._clock = clock
        self._consumer: Consumer | None = None
        self._change = threading.Condition()
        self._pumping = False
        self._fed: dict[Key, _Fed] = {}
        self._begin: dict[Key, int] = {}
        self._assigned: set[Key] = set()
        self._refused: dict[Key, float] = {}
        self._shut_until = 0.0
        self._pager = Pager()
        self._kept: dict[tuple[str, int], _Kept] = {}
        self._published = self._size = 0
        self._patient: dict[object, float] = {}

    def follow(self, who: object, key: Key, at: int, *, new: bool = False) -> bool:
        """Whether the records of a partition can be had here from this offset on; `who` follows it then.

        For one that is `new` there, others that are near wait.
        """
        with self._change:
            if self._clock() < max(self._shut_until, self._refused.get(key, 0.0)):
                return False
            fed = self._fed.get(key)
            if fed is None or not (at == fed.at or (fed.stream, at) in self._kept):
                if fed is None or not fed.followers:
                    fed = self._seat(key, at)
                elif 0 < at - fed.at <= NEAR and not fed.ends_before(at):
                    self._wait_ahead(fed, who, at)
                elif new and 0 < fed.at - at <= NEAR:
                    fed = self._begin_again(key, fed, at)
                else:
                    return False
            fed.followers.add(who)
            for (stream, start), kept in self._kept.items():
                if stream == fed.stream and start >= at:
                    kept.waiting.add(who)
                    kept.expected.add(who)
            return True

    def leave(self, who: object, keys: Collection[Key]) -> None:
        """`who` reads these partitions elsewhere, or not at all."""
        with self._change:
            self._patient.pop(who, None)
            for fed in map(self._fed.get, keys):
                if fed is not None:
                    fed.followers.discard(who)
                    fed.ahead.pop(who, None)
                    for kept in [kept for kept in self._kept.values() if kept.page.stream == fed.stream]:
                        kept.expected.discard(who)
                        self._taken(who, kept)

    def take(self, who: object, wanted: Mapping[Key, int], timeout: float) -> tuple[Page | None, list[Key]]:
        """The next page for `who` stands at these offsets, and the partitions that he has to fetch alone."""
        with self._change:
            found = self._look(who, wanted)
            if found != (None, []):
                return found
            if self._pumping or self._is_to_wait(who, wanted):
                if timeout > 0:
                    self._change.wait(timeout)
                return self._look(who, wanted)
            self._pumping = True
        try:
            self._pump(timeout)
        finally:
            with self._change:
                self._pumping = False
                self._change.notify_all()
                found = self._look(who, wanted)
        return found

    def end(self, key: Key, at: int) -> int | None:
        """The end of the partition, if nothing but this offset was left to read when last looked."""
        with self._change:
            fed = self._fed.get(key)
            return fed.end if fed is not None and fed.at == at else None

    def high(self, key: Key) -> int:
        """The end of the partition as the last fetch told it; -1 if none did."""
        consumer = self._consumer
        if consumer is None or key not in self._assigned:
            return -1
        try:
            return int(consumer.get_watermark_offsets(TopicPartition(*key), cached=True)[1])
        except (KafkaException, RuntimeError):  # it was closed meanwhile
            return -1

    def close(self) -> None:
        """Let go of the client, once nobody follows any more."""
        with self._change:
            if self._pumping or any(fed.followers for fed in self._fed.values()):
                return
            consumer = self._reset()
        if consumer is not None:
            consumer.close()

    def _look(self, who: object, wanted: Mapping[Key, int]) -> tuple[Page | None, list[Key]]:
        lost: list[Key] = []
        oldest: _Kept | None = None
        for key, at in wanted.items():
            fed = self._fed.get(key)
            kept = self._kept.get((fed.stream, at)) if fed is not None else None
            if kept is not None:
                oldest = kept if oldest is None or kept.number < oldest.number else oldest
            elif fed is None or fed.at > at or fed.ends_before(at):
                lost.append(key)
        if oldest is None:
            return None, lost
        self._taken(who, oldest)
        return oldest.page.copy(), lost

    def _taken(self, who: object, kept: _Kept) -> None:
        kept.waiting.discard(who)
        if not kept.waiting:
            self._let_go(kept)

    def _let_go(self, kept: _Kept) -> None:
        kept.expected -= kept.waiting
        self._size -= self._kept.pop((kept.page.stream, kept.page.start)).page.size

    def _seat(self, key: Key, at: int) -> _Fed:
        """Nobody follows this partition: it is fetched from here, as soon as somebody pumps."""
        self._drop(key)
        self._begin[key] = at
        fed = self._fed[key] = _Fed(stream_name(*key), at, at)
        return fed

    def _wait_ahead(self, fed: _Fed, who: object, at: int) -> None:
        """`who` is ahead of the feed, which comes to him."""
        fed.ahead[who] = at
        self._patient[who] = self._clock() + PATIENCE

    def _begin_again(self, key: Key, before: _Fed, at: int) -> _Fed:
        """Somebody comes who is behind the feed: it goes back to him, and those who follow wait."""
        stands = dict.fromkeys(before.followers, before.at)
        for (stream, start), kept in self._kept.items():
            if stream == before.stream:
                stands |= {who: min(start, stands[who]) for who in kept.waiting}
        fed = self._seat(key, at)
        fed.followers |= before.followers
        for who, place in (stands | before.ahead).items():
            self._wait_ahead(fed, who, place)
        return fed

    def _is_to_wait(self, who: object, wanted: Mapping[Key, int]) -> bool:
        """Whether more would push out what is kept for those for whom `who` waits."""
        if self._size < KEPT_BYTES // 2 and len(self._kept) < KEPT_PAGES // 2:
            return False
        if self._clock() >= self._patient.get(who, 0.0):
            return False
        return any(who in self._fed[key].ahead for key in wanted if key in self._fed)

    def _drop(self, key: Key) -> None:
        fed = self._fed.pop(key, None)
        self._begin.pop(key, None)
        if fed is None:
            return
        self._pager.drop(fed.stream)
        for kept in [kept for kept in self._kept.values() if kept.page.stream == fed.stream]:
            self._let_go(kept)

    def _pump(self, timeout: float) -> None:
        """Bring in records until there is a page; only one pipeline is here at a time."""
        try:
            consumer = self._ready()
            if consumer is None:
                return
            self._fill(consumer)
            if self._pager.empty and timeout > 0 and self._take_in(consumer, 1, timeout):
                self._fill(consumer)
        except (KafkaException, BridgeError):
            self._shut()
            return
        with self._change:
            if not self._pager.ready:
                self._pager.flush()
            self._publish()

    def _fill(self, consumer: Consumer) -> None:
        while not self._pager.ready and self._take_in(consumer, CONSUME, 0.0):
            pass

    def _take_in(self, consumer: Consumer, most: int, timeout: float) -> int:
        messages = consumer.consume(most, timeout)
        with self._change:
            told = [message for message in messages if message.error()]
            self._sort([message for message in messages if not message.error()] if told else messages)
            for message in told:
                self._heed(message)
        return len(messages)

    def _ready(self) -> Consumer | None:
        """The consumer, fetching what is followed and nothing else."""
        with self._change:
            if self._consumer is None and not self._fed:
                return None
            consumer = self._consumer = self._consumer or self._make()
            idle = [key for key, fed in self._fed.items() if not fed.followers]
            for key in idle:
                self._drop(key)
            gone = self._assigned - self._fed.keys() | self._assigned & self._begin.keys()
            if gone:
                consumer.incremental_unassign([TopicPartition(*key) for key in gone])
            if self._begin:
                consumer.incremental_assign([TopicPartition(*key, at) for key, at in self._begin.items()])
            self._assigned = set(self._fed)
            self._begin.clear()
        return consumer

    def _sort(self, messages: Sequence[Message]) -> None:
        for key, run in group_by_partition(messages):
            fed = self._fed.get(key)
            if fed is None or key in self._begin:
                continue  # of an earlier time: it is about to be fetched from elsewhere
            if not fed.sure and run[0][0] != fed.position:
                self._refuse(key)  # a gap at the very place where it begins is for each group to judge
                continue
            self._pager.add(fed.stream, fed.position, run)
            fed.position, fed.end, fed.sure = run[0][-1] + 1, None, True

    def _heed(self, message: Message) -> None:
        """What the client reports: the end of a partition, or that it cannot be fetched here."""
        error, key = message.error(), (message.topic() or "", message.partition() or 0)
        fed = self._fed.get(key)
        if error is None:
            return
        if error.code() == codes.PARTITION_EOF:
            offset = message.offset() or 0
            if fed is not None and key not in self._begin and offset >= fed.position:
                fed.end = offset
                self._pager.flush(fed.stream)
        elif message.topic() is None:
            raise KafkaException(error)
        elif fed is not None:
            self._refuse(key)

    def _refuse(self, key: Key) -> None:
        """This partition is not fetched here for a while."""
        self._refused[key] = self._clock() + REFUSE_SECONDS
        self._drop(key)

    def _publish(self) -> None:
        streams = {fed.stream: fed for fed in self._fed.values()}
        while (page := self._pager.take()) is not None:
            fed = streams[page.stream]
            fed.at = page.end
            readers = fed.readers(page.start)
            if not readers:
                continue
            self._published += 1
            page.expected = set(readers)
            kept = _Kept(self._published, page, readers, page.expected)
            self._kept[page.stream, page.start] = kept
            self._size += page.size
        while len(self._kept) > 1 and (self._size > KEPT_BYTES or len(self._kept) > KEPT_PAGES):
            self._let_go(next(iter(self._kept.values())))

    def _shut(self) -> None:
        """The client failed as a whole: everybody fetches alone for a while, and says what is wrong."""
        with self._change:
            self._shut_until = self._clock() + REFUSE_SECONDS
            consumer = self._reset()
        if consumer is not None:
            threading.Thread(target=consumer.close, name="kafka-feed-close", daemon=True).start()

    def _reset(self) -> Consumer | None:
        for key in list(self._fed):
            self._drop(key)
        self._assigned.clear()
        consumer, self._consumer = self._consumer, None
        return consumer
