"""The ends of partitions and how long topics keep their records, asked for beside the pipelines.

A pipeline that reads learns the ends with every answer; one that is paused learns nothing. One
client asks for all of them, without anybody waiting for it. It also answers at once where that
is needed: on a connection that fetches, a question waits until the fetch is answered.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bridge.journals import kafka_codes as codes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Future

    from confluent_kafka.admin import AdminClient

    from bridge.journals.kafka_commits import Key

__all__ = ["Watch", "retention_of"]

log = logging.getLogger(__name__)

ENDS_EVERY = 10.0
RETENTION_EVERY = 600.0
ANSWER_SECONDS = 8.0


class Watch:
    """What is known of the partitions that any pipeline of this process holds."""

    def __init__(
        self, connect: Callable[[], AdminClient], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._lock, self._client_lock = threading.Lock(), threading.Lock()
        self._admin: AdminClient | None = None
        self._held: dict[str, Collection[Key]] = {}
        self._ends: dict[Key, int] = {}
        self._retention: dict[str, float | None] = {}
        self._asked_ends: dict[Key, Future[Any]] = {}
        self._asked_topics: dict[str, Future[Any]] = {}
        self._ends_at = self._retention_at = -RETENTION_EVERY

    def high(self, key: Key) -> int:
        """The end of a partition as last heard; -1 if never."""
        return self._ends.get(key, -1)

    def retention(self, topic: str) -> float | None:
        """Seconds that a topic keeps its records; None for ever, or where it may not be asked."""
        return self._retention.get(topic)

    def tick(self, name: str, keys: Collection[Key]) -> None:
        """Take in what was answered and ask again when it is time; `name` holds these partitions now."""
        if not self._lock.acquire(blocking=False):
            return  # another pipeline is at it
        try:
            self._held[name] = keys
            self._harvest()
            self._ask(self._clock())
        finally:
            self._lock.release()

    def span(self, keys: Collection[Key]) -> dict[Key, tuple[int, int]]:
        """What the partitions hold now: the first offset and the one behind the last. KafkaException."""
        lows = self._question(keys, codes.EARLIEST)
        highs = self._question(keys, codes.LATEST)
        ends = {tp: _in_time(future) for tp, future in highs.items()}
        return {tp: (_in_time(future), ends[tp]) for tp, future in lows.items()}

    def _question(self, keys: Collection[Key], spec: Any) -> dict[Key, Future[Any]]:
        asked = {TopicPartition(*key): spec for key in keys}
        answers = self._client().list_offsets(asked, request_timeout=ANSWER_SECONDS) if asked else {}
        return {(tp.topic, tp.partition): future for tp, future in answers.items()}

    def _client(self) -> AdminClient:
        with self._client_lock:
            if self._admin is None:
                self._admin = self._connect()
            return self._admin

    def forget(self, name: str) -> None:
        """`name` has ended; the last one takes the client with it."""
        with self._lock:
            self._held.pop(name, None)
            if not self._held:
                self._asked_ends, self._asked_topics = {}, {}
                with self._client_lock:
                    self._admin = None

    def _ask(self, now: float) -> None:
        keys = {key for held in self._held.values() for key in held}
        if not keys or now - self._ends_at < ENDS_EVERY:
            return
        self._ends_at = now
        admin = self._client()
        admin.poll(0)
        self._asked_ends = self._question(keys, codes.LATEST)
        if now - self._retention_at >= RETENTION_EVERY:
            self._retention_at = now
            topics = [codes.topic_resource(topic) for topic in {topic for topic, _ in keys}]
            told = admin.describe_configs(topics, request_timeout=ANSWER_SECONDS)
            self._asked_topics = {resource.name: future for resource, future in told.items()}

    def _harvest(self) -> None:
        for key in [key for key, future in self._asked_ends.items() if future.done()]:
            answer = _answer(self._asked_ends.pop(key))
            if answer is not None:
                self._ends[key] = answer.offset
        for topic in [topic for topic, future in self._asked_topics.items() if future.done()]:
            answer = _answer(self._asked_topics.pop(topic))
            if answer is not None:
                self._retention[topic] = retention_of(answer)


def retention_of(settings: Any) -> float | None:
    """Seconds that a topic with these settings keeps its records; None for ever."""
    kept = int(settings["retention.ms"].value) if "retention.ms" in settings else -1
    return kept / 1000 if kept >= 0 else None


def _in_time(future: Future[Any]) -> int:
    try:
        return int(future.result(ANSWER_SECONDS + 1).offset)
    except TimeoutError:
        raise KafkaException(KafkaError(codes.TIMED_OUT)) from None


def _answer(future: Future[Any]) -> Any:
    try:
        return future.result(0)
    except KafkaException as error:
        log.debug("a question about a topic was not answered (%s)", error)
        return None
