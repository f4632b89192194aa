"""Committing offsets: only through the client's own store, one request at a time, never backwards.

Brokers take any offset from any member of a group, also for a partition of another member. The
client refuses to *store* an offset for a partition that it does not hold, so offsets are stored
there and `commit()` is called without arguments, on the thread that polls.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_client import cause, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from confluent_kafka import Consumer

__all__ = ["Commits", "Key"]

log = logging.getLogger(__name__)

Key = tuple[str, int]
RETRY_AFTER = 1.0
GIVE_UP_AFTER = 60.0  # on an answer that never came
STALL_SECONDS = 60.0


class Commits:
    """What one consumer may commit, what is on its way, and how long it has been waiting."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._wanted: dict[Key, int] = {}
        self._acknowledged: dict[Key, int] = {}
        self._asked = 0.0
        self._unanswered = 0
        self._waiting_since: float | None = None
        self._failed_at = -RETRY_AFTER
        self._told_at = -STALL_SECONDS
        self.reason = ""

    @property
    def pending(self) -> bool:
        """Whether something was stored that the brokers have not acknowledged."""
        return any(offset > self._acknowledged.get(key, -1) for key, offset in self._wanted.items())

    @property
    def on_its_way(self) -> bool:
        """Whether the brokers are being asked to commit and have not answered, also for what went since."""
        return self._unanswered > 0 and self._clock() - self._asked < GIVE_UP_AFTER

    @property
    def unfinished(self) -> bool:
        """Whether leaving now might lose a commit: one is wanted, or under way for partitions that went."""
        return self.pending or self.on_its_way

    def begin(self, key: Key, offset: int) -> None:
        """A partition is ours from `offset` on, which is committed or before everything there is."""
        self._wanted.pop(key, None)
        self._acknowledged[key] = offset

    def store(self, consumer: Consumer, cursors: Mapping[Key, int]) -> None:
        """Have these offsets committed soon; what is not ours, or not ahead, is left out."""
        ahead = {
            key: offset
            for key, offset in cursors.items()
            if offset > self._wanted.get(key, self._acknowledged.get(key, offset))
        }
        if not ahead:
            return
        if self._waiting_since is None:
            self._waiting_since = self._clock()
        self._wanted |= ahead
        try:
            consumer.store_offsets(offsets=[TopicPartition(*key, offset) for key, offset in ahead.items()])
        except KafkaException as error:  # the partitions went to another member: the next owner commits
            log.debug("%s: offsets were not stored (%s)", self._name, sentence(cause(error)))

    def send(self, consumer: Consumer, *, at_once: bool = False) -> None:
        """Ask the brokers to commit what is stored, unless they are being asked already."""
        now = self._clock()
        soon_after = now - self._failed_at < RETRY_AFTER
        if not self.pending or ((self.on_its_way or soon_after) and not at_once):
            return
        self._unanswered = self._unanswered + 1 if self.on_its_way else 1
        self._asked = now
        try:
            consumer.commit(asynchronous=True)
        except KafkaException as error:
            self.landed(cause(error), [])

    def landed(self, error: KafkaError | None, partitions: Collection[TopicPartition]) -> None:
        """The brokers answered; called by the client while it polls."""
        self._unanswered = max(0, self._unanswered - 1)
        errors = [tp.error for tp in partitions if tp.error is not None]
        failure = error or next(iter(errors), None)
        for tp in partitions:
            if tp.error is None and tp.offset >= 0 and (tp.topic, tp.partition) in self._acknowledged:
                key = (tp.topic, tp.partition)
                self._acknowledged[key] = max(tp.offset, self._acknowledged[key])
        if failure is None:
            self._waiting_since = self._clock() if self.pending else None
            self.reason = ""
        else:
            self._failed_at = self._clock()
            if failure.code() == codes.NO_OFFSET:
                return  # the request before this one took everything along
            self.reason = sentence(failure)
            log.info("%s: a commit failed and is sent again (%s)", self._name, self.reason)

    def drop(self, keys: Collection[Key]) -> None:
        """These partitions are not ours any more."""
        for key in keys:
            self._wanted.pop(key, None)
            self._acknowledged.pop(key, None)
        if not self.pending:
            self._waiting_since = None

    def stalled(self) -> float:
        """Seconds since the oldest offset waits to be committed; 0 if none does."""
        return 0.0 if self._waiting_since is None else self._clock() - self._waiting_since

    def stuck(self) -> bool:
        """Whether commits have not gone through for so long that reading on would only add repetitions."""
        stalled = self.stalled()
        if stalled < STALL_SECONDS:
            return False
        if self._clock() - self._told_at >= STALL_SECONDS:
            self._told_at = self._clock()
            log.error(
                "%s: nothing could be committed for %d s (%s); reading waits until it can",
                self._name,
                stalled,
                self.reason or "no answer",
            )
        return True
