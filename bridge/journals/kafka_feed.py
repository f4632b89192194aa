"""One fetch for the pipelines of a process that stand at the same place, without coupling their groups.

Each pipeline stays a member of its own group, with its own offsets; while it follows here, its
member fetches nothing. Nobody owns the feed: whoever finds no page for himself brings in the
next ones, for all. Whoever falls behind the pages that are kept fetches alone until he stands
where the others do again, and so do all of them where the feed fails.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
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


@dataclass(slots=True)
class _Fed:
    """One partition: `at` is where the next page begins, `position` the next offset to fetch.

    `end` is the end of the partition once everything before it was fetched; it is `sure` once the
    record at its first place came.
    """

    stream: str
    at: int
    position: int
    end: int | None = None
    sure: bool = False
    followers: set[object] = field(default_factory=set)


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

    def follow(self, who: object, key: Key, at: int) -> bool:
        """Whether the records of a partition can be had here from this offset on; `who` follows it then."""
        with self._change:
            if self._clock() < max(self._shut_until, self._refused.get(key, 0.0)):
                return False
            fed = self._fed.get(key)
            if fed is None or not (at == fed.at or (fed.stream, at) in self._kept):
                if fed is not None and fed.followers:
                    return False
                fed = self._seat(key, at)
            fed.followers.add(who)
            for (stream, start), kept in self._kept.items():
                if stream == fed.stream and start >= at:
                    kept.waiting.add(who)
                    kept.expected.add(who)
            return True

    def leave(self, who: object, keys: Collection[Key]) -> None:
        """`who` reads these partitions elsewhere, or not at all."""
        with self._change:
            for fed in map(self._fed.get, keys):
                if fed is not None:
                    fed.followers.discard(who)
                    for kept in [kept for kept in self._kept.values() if kept.page.stream == fed.stream]:
                        kept.expected.discard(who)
                        self._taken(who, kept)

    def take(self, who: object, wanted: Mapping[Key, int], timeout: float) -> tuple[Page | None, list[Key]]:
        """The next page for `who` stands at these offsets, and the partitions that he has to fetch alone."""
        with self._change:
            found = self._look(who, wanted)
            if found != (None, []):
                return found
            if self._pumping:
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
            elif fed is None or fed.at != at:
                lost.append(key)
        if oldest is None:
            return None, lost
        self._taken(who, oldest)
        return replace(oldest.page), lost  # each pipeline lets go of a page's records in its own time

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
            if not fed.followers:
                continue
            self._published += 1
            page.expected = set(fed.followers)
            kept = _Kept(self._published, page, set(fed.followers), page.expected)
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
