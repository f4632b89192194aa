"""One pipeline's place in Kafka: a member of the group `<instance>.<pipeline>`.

Everything here runs on the pipeline's thread, the callbacks of the client too: it serves them
inside `consume`. Memory is bounded for the whole pipeline, so back-pressure pauses every
partition that is held; there is no reason to prefer one of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from bridge.journals import kafka_codes as codes
from bridge.journals.base import Lag
from bridge.journals.kafka_client import cause
from bridge.journals.kafka_member import Member
from bridge.journals.kafka_places import group_by_partition, stream_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from confluent_kafka import Consumer

    from bridge.journals.base import Page
    from bridge.journals.kafka_commits import Key
    from bridge.journals.kafka_feed import Feed
    from bridge.journals.kafka_watch import Watch

__all__ = ["KafkaReader"]

CONSUME = 1_000
PAUSE_AFTER = 1.0  # pausing throws away what was fetched ahead, so a moment's fullness is sat out
LAG_EVERY = 1.0
CLOSE_SECONDS = 5.0
POLL = 0.05
SERVE_EVERY = 0.05  # a look at what comes in takes longer than handing on a page that is there


class KafkaReader(Member):
    """Reads the partitions that the group gives to this process."""

    waits: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        connect: Callable[..., Consumer],
        prepare: Callable[[], None],
        watch: Watch,
        patience: float = 45.0,
        clock: Callable[[], float] = time.monotonic,
        feed: Feed | None = None,
    ) -> None:
        """As `Member`."""
        super().__init__(name, topics, connect, prepare, watch, patience, clock, feed)
        self._full_since: float | None = None
        self._lag, self._lag_at = Lag(), -LAG_EVERY

    def read(self, timeout: float) -> Page | None:
        """The next page of any partition, or None when there was none within `timeout` seconds."""
        consumer = self._ready()
        if consumer is None:
            time.sleep(timeout)
            return None
        self._commits.send(consumer)
        if self._commits.stuck():
            self.idle()
            time.sleep(timeout)
            return None
        self._resume(consumer)
        return self._own() or self._next(timeout)

    def idle(self) -> None:
        """Keep the membership, and serve the group, without reading."""
        if self._consumer is None or not self._subscribed:
            return
        if self._overdue():
            self._begin_anew()
            return
        now = self._clock()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < PAUSE_AFTER:
            return
        if not self._paused:
            self._paused = True
            self._part(self._places.fed())  # nothing has to be kept for us
            self._consumer.pause(self._places.partitions())
        self._commits.send(self._consumer)
        self._take_in(1, 0.0)

    def commit(self, cursors: Mapping[str, int]) -> None:
        """Have these cursors committed soon; those of partitions that are not ours are left out."""
        if self._consumer is not None and not self._overdue():
            self._commits.store(self._consumer, self._places.keyed(cursors))
            self._commits.send(self._consumer)

    def rewind(self, cursors: Mapping[str, int]) -> None:
        """Read these partitions again from these offsets."""
        for key, offset in self._places.keyed(cursors).items():
            self._seek(key, offset)

    def at_end(self) -> bool:
        """Whether every record of the partitions that are ours, up to this moment, has been read."""
        ends = {key: self._places.end(key) for key in self._places.keys()}  # noqa: SIM118 - not a mapping
        if not self._places.assigned or not self._pager.empty or None in ends.values():
            return False
        try:
            highs = self._watch.span(self._places.keys())
        except KafkaException as error:
            self._troubles.tell(cause(error))
            return False
        return all(highs[key][1] <= (end or 0) for key, end in ends.items())

    def lag(self) -> Lag:
        """Records not read yet in the partitions that are ours; looked at once a second."""
        now = self._clock()
        if now - self._lag_at >= LAG_EVERY and self._consumer is not None:
            self._lag_at = now
            self._watch.tick(self._name, self._places.keys())
            self._lag = self._places.lag(self._consumer, time.time() * 1000)
        return self._lag

    def close(self) -> None:
        """Commit what was settled, waiting a few seconds for the answer, and leave the group."""
        self._watch.forget(self._name)
        if self._feed is not None:
            self._feed.leave(self, self._places.keys())
            self._feed.close()
        if self._consumer is None:
            return
        self._paused = True
        ends = self._clock() + CLOSE_SECONDS
        self._consumer.pause(self._places.partitions())
        while self._commits.unfinished and self._clock() < ends and not self._overdue():
            self._commits.send(self._consumer)
            self._take_in(1, POLL)
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._part_with(consumer)

    def _resume(self, consumer: Consumer) -> None:
        self._full_since = None
        if self._paused:
            self._paused = False
            consumer.resume(self._places.partitions())

    def _next(self, timeout: float) -> Page | None:
        """What we fetched ourselves, or what was fetched for everybody."""
        if self._feed is not None and self._served() and (page := self._fed(self._feed, 0.0)) is not None:
            return page
        if self._feed is None or not self._places.fed():
            self._fetch(timeout)
            self._join()
            return self._own()
        self._fetch(0.0)  # serves the group as well
        self._join()
        return self._own() or self._fed(self._feed, timeout)

    def _served(self) -> bool:
        """Whether our own consumer has nothing for us, and was heard by its group a moment ago."""
        all_fed = 0 < len(self._places) == len(self._places.fed())
        return all_fed and self._pager.empty and self._silence() < SERVE_EVERY

    def _own(self) -> Page | None:
        """A page that we fetched ourselves, which nobody else is to come to."""
        page = self._pager.take()
        if page is not None:
            page.expected = set()
        return page

    def _fed(self, feed: Feed, timeout: float) -> Page | None:
        """The next page of the feed; partitions that it has left behind are ours to fetch from now on."""
        page, lost = feed.take(self, self._places.fed(), timeout)
        self._part(lost)
        if page is not None:
            place = self._places[self._places.key(page.stream)]
            place.position, place.end = page.end, None
            place.stamp = page.received[-1] if page.received else place.stamp
            self._troubles.over()
        return page

    def _part(self, keys: Collection[Key]) -> None:
        """Fetch these partitions ourselves from now on."""
        if not keys or self._feed is None or self._consumer is None:
            return
        self._feed.leave(self, keys)
        for key in keys:
            self._places[key].fed = False
            self._fetch_from(key, self._places[key].position or 0)
        if not self._paused:
            self._consumer.resume([TopicPartition(*key) for key in keys])

    def _fetch(self, timeout: float) -> None:
        """Take what was fetched ahead until a page is full; wait for something if there is nothing."""
        self._fill()
        if self._pager.empty and timeout > 0 and self._take_in(1, timeout):
            self._fill()
        if not self._pager.ready:
            self._pager.flush()

    def _fill(self) -> None:
        while not self._pager.ready and self._take_in(CONSUME, 0.0):
            pass

    def _take_in(self, most: int, timeout: float) -> int:
        """Consume at most so many records into pages; returns how many things came."""
        messages = self._consume(most, timeout)
        failed = (
            [message for message in messages if message.error()] if any(map(Message.error, messages)) else []
        )
        self._sort([message for message in messages if not message.error()] if failed else messages)
        for message in failed:
            self._heed(message)
        return len(messages)

    def _sort(self, messages: Sequence[Message]) -> None:
        """Put records into the pages of their partitions, unless those went to another member meanwhile."""
        for key, run in group_by_partition(messages):
            place = self._places.get(key)
            if place is None or place.fed:
                continue
            if key in self._revoked and place.position is not None:
                self._seek(key, place.position)  # it went and came back: some may be of the first time
                continue
            begin = place.position if place.position is not None else run[0][0]
            self._pager.add(place.stream, begin, run)
            place.position, place.end, place.stamp = run[0][-1] + 1, None, run[2][-1]
        if messages:
            self._troubles.over()

    def _heed(self, message: Message) -> None:
        """The client reports something about a partition, or about the group."""
        error, key = message.error(), (message.topic() or "", message.partition() or 0)
        if error is None:
            return
        if error.code() == codes.PARTITION_EOF:
            if self._places.ended(key, message.offset() or 0):
                self._pager.flush(stream_name(*key))
            self._troubles.over()
        elif error.code() == codes.AUTO_OFFSET_RESET:
            self._recover(key)
        elif error.code() == codes.FATAL:
            self._broke(error)
        else:
            self._troubles.tell(error)

    def _recover(self, key: Key) -> None:
        """The offset to read is not there (any more): say what is missing and go on behind it."""
        if self._consumer is None or self._places.get(key) is None:
            return
        try:
            self._go_on(key, *self._watch.span([key])[key])
        except KafkaException as error:
            self._broke(cause(error))

    def _go_on(self, key: Key, low: int, high: int) -> None:
        place = self._places[key]
        if place.position is not None and place.position > high:
            # The client would not commit an offset below one that it has committed itself.
            self._places.restart(key, low, high)
            self._broke(KafkaError(codes.AUTO_OFFSET_RESET, f"{place.stream} was made anew"), wait=False)
            return
        self._pager.flush(place.stream)
        self._fetch_from(key, self._places.gap(key, low))

    def _seek(self, key: Key, offset: int) -> None:
        """Read a partition again from `offset`: what was fetched of it is forgotten."""
        place = self._places[key]
        self._pager.drop(place.stream)
        place.position, place.end = offset, None
        if not place.fed:  # where the feed has no such place, it says so
            self._fetch_from(key, offset)

    def _fetch_from(self, key: Key, offset: int) -> None:
        """Fetch a partition from `offset` on; what was fetched before stays."""
        place, tp = self._places[key], TopicPartition(*key, offset)
        place.position, place.end = offset, None
        if self._consumer is None:
            return
        try:
            self._consumer.seek(tp)
        except KafkaException:  # a partition whose offset was refused is not being fetched at all
            self._consumer.incremental_unassign([TopicPartition(*key)])
            self._consumer.incremental_assign([tp])
            if self._paused:
                self._consumer.pause([tp])
