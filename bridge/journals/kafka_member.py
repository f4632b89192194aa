"""One pipeline's membership in its group: joining, being given partitions and losing them, leaving.

Everything here runs on the pipeline's thread, the callbacks of the client too: it serves them
inside `consume`.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bridge.errors import BridgeError
from bridge.journals import kafka_codes as codes
from bridge.journals.base import Reader
from bridge.journals.kafka_client import Troubles, cause, named, sentence
from bridge.journals.kafka_commits import Commits
from bridge.journals.kafka_pages import Pager
from bridge.journals.kafka_places import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from confluent_kafka import Consumer, Message

    from bridge.journals.kafka_commits import Key
    from bridge.journals.kafka_feed import Feed
    from bridge.journals.kafka_places import Place
    from bridge.journals.kafka_watch import Watch

__all__ = ["Member"]

log = logging.getLogger(__name__)

LATE_SHARE = 0.9
HAND_OVER = 5.0  # and never so long that the group might give us up meanwhile
REOPEN_AFTER = 5.0
STALL_SHOWN = 1.0


class Member(Reader):
    """The part of a reader that belongs to the group; `_places` are the partitions it was given."""

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        connect: Callable[..., Consumer],
        prepare: Callable[[], None],
        watch: Watch,
        patience: float,
        clock: Callable[[], float],
        feed: Feed | None,
    ) -> None:
        """`connect(error_cb=…, on_commit=…)` makes a consumer; `prepare` gives a new group its start.

        `watch` knows what partitions hold;
        `patience` is how many seconds of silence the group takes before it gives a member up;
        the `feed`, if any, fetches for all pipelines of the process.
        """
        self._name = name
        self._topics = list(topics)
        self._make = connect
        self._prepare = prepare
        self._clock = clock
        self._feed = feed
        self._troubles = Troubles(name, clock)
        self._watch = watch
        self._places = Places(name, watch, feed)
        self._pager = Pager()
        self._revoked: set[Key] = set()
        self._subscribed = self._paused = False
        self._open_at = 0.0
        self._late_after = LATE_SHARE * patience
        self._polled_at = clock()
        self._commits = Commits(name, clock)
        self._consumer: Consumer | None = self._connect()

    @property
    def trouble(self) -> str:
        """Why nothing can be read or committed at the moment."""
        if self._commits.stalled() >= STALL_SHOWN and self._commits.reason:
            return f"nothing could be committed for {self._commits.stalled():.0f} s ({self._commits.reason})"
        return self._troubles.current

    @property
    def missed(self) -> int:
        """Offsets that were deleted before they were read, by retention or by hand."""
        return self._places.missed

    def _connect(self) -> Consumer:
        self._commits = Commits(self._name, self._clock)
        return self._make(error_cb=self._troubles.tell, on_commit=self._commits.landed)

    def _ready(self) -> Consumer | None:
        """The consumer, subscribed; None while the group cannot be joined.

        Only a pipeline that reads joins, so one whose sink cannot be opened holds no partition.
        """
        if self._overdue():
            self._begin_anew()
        if self._subscribed or self._clock() < self._open_at:
            return self._consumer if self._subscribed else None
        self._open_at = self._clock() + REOPEN_AFTER
        try:
            self._prepare()
            self._consumer = self._consumer or self._connect()
            self._consumer.subscribe(
                self._topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
            )
        except KafkaException as error:
            self._troubles.tell(cause(error))
            return None
        self._subscribed = True
        self._polled_at = self._clock()
        return self._consumer

    def _overdue(self) -> bool:
        """Whether the group may have given our partitions away since it last heard of us.

        The client would join anew with the next poll and take our word for them (librdkafka #5604).
        """
        return self._subscribed and self._silence() >= self._late_after

    def _silence(self) -> float:
        return self._clock() - self._polled_at

    def _consume(self, most: int, timeout: float) -> list[Message]:
        """What comes in: records, and errors about partitions or the group. Serves the callbacks."""
        if self._consumer is None:
            return []
        self._revoked.clear()
        self._note_poll()  # callbacks take their time from here
        try:
            return self._consumer.consume(most, timeout)
        except KafkaException as error:
            self._broke(cause(error))
            return []
        finally:
            self._note_poll()

    def _note_poll(self) -> None:
        """The group hears of us now; unless that is too late, whatever the client thinks of it."""
        if not self._overdue():
            self._polled_at = self._clock()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group gives us partitions; they are read from where they were committed."""
        if consumer is not self._consumer:
            return
        placed = self._places.assign(consumer, partitions, self._commits)
        consumer.incremental_assign(placed)
        consumer.pause(placed)
        self._join({(tp.topic, tp.partition) for tp in placed})
        if not self._paused:  # one that was paused when it went may have come back paused
            consumer.resume(self._places.partitions())
        log.info("%s: reads %d partitions, %d of them new", self._name, len(self._places), len(placed))

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group takes partitions: settle what is on its way, commit, forget the rest.

        The commit is not waited for. It leaves on the connection that will carry our consent, so
        the coordinator has it before anybody else gets the partitions.
        """
        if consumer is not self._consumer:
            return
        keys = [(tp.topic, tp.partition) for tp in partitions]
        if self.on_revoke is not None and any(map(self._places.get, keys)):
            self.on_revoke(min(HAND_OVER, (self._late_after - self._silence()) / 2))
        self._give_up(keys)
        self._commits.send(consumer, at_once=True)
        self._forget(keys)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else has these partitions already: nothing may be committed for them."""
        if consumer is not self._consumer:
            return
        keys = [(tp.topic, tp.partition) for tp in partitions]
        log.warning("%s: lost %d partitions to the group", self._name, len(keys))
        self._commits.drop(keys)
        self._give_up(keys)
        self._forget(keys)

    def _give_up(self, keys: Collection[Key]) -> None:
        streams = {self._places[key].stream for key in keys if self._places.get(key)}
        if streams and self.on_lost is not None:
            self.on_lost(streams)

    def _forget(self, keys: Collection[Key]) -> None:
        self._revoked.update(keys)
        self._commits.drop(keys)
        if self._feed is not None:
            self._feed.leave(self, keys)
        for key in keys:
            place = self._places.pop(key)
            if place is not None:
                self._pager.drop(place.stream)

    def _join(self, new: Collection[Key] = ()) -> None:
        """Have what can be had from the feed fetched there."""
        if self._feed is None:
            return
        joined = [
            key
            for key, place in self._places.items()
            if not place.fed and self._follow(key, place, new=key in new)
        ]
        if joined and self._consumer is not None:
            self._consumer.pause([TopicPartition(*key) for key in joined])

    def _follow(self, key: Key, place: Place, *, new: bool) -> bool:
        """Whether a partition is fed from now on; what was fetched of a page that is not full is let go."""
        start = self._pager.start(place.stream)
        at = place.position if start is None else start
        if self._feed is None or at is None or not self._feed.follow(self, key, at, new=new):
            return False
        self._pager.cut(place.stream)
        place.position, place.end, place.fed = at, None, True
        return True

    def _begin_anew(self) -> None:
        silence = f"after {self._silence():.0f} s of silence"
        self._broke(KafkaError(codes.MAX_POLL_EXCEEDED, silence), wait=False)

    def _broke(self, error: KafkaError, *, wait: bool = True) -> None:
        """This consumer is of no use any more: let go of everything and begin again with another."""
        error = named(error)
        self._troubles.tell(error)
        if error.code() == KafkaError.FENCED_INSTANCE_ID:
            raise BridgeError(f"{self._name}: {sentence(error)}; give each process its own")
        keys = self._places.keys()
        self._commits.drop(keys)
        self._give_up(keys)
        self._forget(keys)
        broken, self._consumer, self._subscribed = self._consumer, None, False
        self._open_at = self._clock() + (REOPEN_AFTER if wait else 0.0)
        self._paused = False
        if broken is not None:
            self._part_with(broken)

    def _part_with(self, consumer: Consumer) -> None:
        """Leave the group; nobody waits for brokers that do not answer."""
        if self._commits.on_its_way:
            log.warning("%s: does not wait for brokers that do not answer", self._name)
            threading.Thread(target=consumer.close, name=f"{self._name}-close", daemon=True).start()
        else:
            consumer.close()
