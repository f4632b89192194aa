"""Where each partition of one consumer stands, where it begins, and what is missing in between."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_STORED, KafkaException, Message, TopicPartition

from bridge.journals.base import Lag
from bridge.journals.kafka_client import cause, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from confluent_kafka import Consumer

    from bridge.journals.kafka_commits import Commits, Key
    from bridge.journals.kafka_feed import Feed
    from bridge.journals.kafka_pages import Run
    from bridge.journals.kafka_watch import Watch

__all__ = ["Place", "Places", "group_by_partition", "stream_name"]

log = logging.getLogger(__name__)

ASK_SECONDS = 10.0


def stream_name(topic: str, partition: int) -> str:
    """How a partition is called as a stream: `topic[3]`."""
    return f"{topic}[{partition}]"


def group_by_partition(messages: Sequence[Message]) -> Iterator[tuple[Key, Run]]:
    """The records of runs of one partition each, in order, as columns."""
    for partition, run in groupby(messages, Message.partition):
        found = list(run)
        topics = {*map(Message.topic, found)}
        if len(topics) == 1:
            yield (topics.pop(), partition), _columns(found)  # type: ignore[misc]  # records have both
            continue
        for topic, some in groupby(found, Message.topic):
            yield (topic, partition), _columns(list(some))  # type: ignore[misc]  # as above


def _columns(messages: Sequence[Message]) -> Run:
    offsets: list[Any] = list(map(Message.offset, messages))
    stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
    return offsets, list(map(Message.value, messages)), stamps


@dataclass(slots=True)
class Place:
    """One partition that is ours.

    `position` is the next offset to read, None until the first record tells; `end` the end of
    the partition once everything before it was read; `stamp` the time of the last record (ms).
    One that is `fed` is fetched together with the other pipelines of the process.
    """

    stream: str
    position: int | None = None
    end: int | None = None
    stamp: int | None = None
    fed: bool = False


class Places:
    """The partitions of one consumer. `missed` counts records that were deleted before they were read."""

    def __init__(self, name: str, watch: Watch, feed: Feed | None) -> None:
        self._feed = feed
        self._name = name
        self._watch = watch
        self._places: dict[Key, Place] = {}
        self._streams: dict[str, Key] = {}
        self._restarts: dict[Key, int] = {}
        self.assigned = False
        self.missed = 0

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Key) -> Place:
        return self._places[key]

    def get(self, key: Key) -> Place | None:
        """The place of a partition, if that is ours."""
        return self._places.get(key)

    def pop(self, key: Key) -> Place | None:
        """Let go of a partition."""
        place = self._places.pop(key, None)
        if place is not None:
            self._streams.pop(place.stream, None)
        return place

    def keys(self) -> list[Key]:
        """The partitions that are ours."""
        return list(self._places)

    def items(self) -> Iterable[tuple[Key, Place]]:
        """The partitions that are ours, and where they stand."""
        return self._places.items()

    def partitions(self) -> list[TopicPartition]:
        """The partitions that are ours and that we fetch, as the client names them."""
        return [TopicPartition(*key) for key, place in self._places.items() if not place.fed]

    def fed(self) -> dict[Key, int]:
        """The partitions that are fetched together with others, and the next offset to read of each."""
        return {key: place.position or 0 for key, place in self._places.items() if place.fed}

    def key(self, stream: str) -> Key:
        """The partition that is ours under this name."""
        return self._streams[stream]

    def keyed(self, cursors: Mapping[str, int]) -> dict[Key, int]:
        """Cursors by partition instead of stream; without those of partitions that are not ours."""
        return {self._streams[stream]: at for stream, at in cursors.items() if stream in self._streams}

    def ended(self, key: Key, offset: int) -> bool:
        """The brokers have nothing behind `offset` at the moment; False if that is not where we stand."""
        place = self._places.get(key)
        if place is None or (place.position is not None and place.position > offset):
            return False
        place.end = offset
        return True

    def assign(
        self, consumer: Consumer, partitions: Sequence[TopicPartition], commits: Commits
    ) -> list[TopicPartition]:
        """Take new partitions in; returns them with the offsets to begin at."""
        self.assigned = True
        found = _committed(self._name, consumer, partitions)
        begins = self._beginnings([(tp.topic, tp.partition) for tp in found if _is_new(tp)])
        placed = [self._located(tp, begins) for tp in found]
        for tp in placed:
            key, stream = (tp.topic, tp.partition), stream_name(tp.topic, tp.partition)
            self._places[key] = Place(stream, tp.offset if tp.offset >= 0 else None)
            self._streams[stream] = key
            commits.begin(key, tp.offset)
        return placed

    def gap(self, key: Key, low: int) -> int:
        """The partition now begins at `low`: count and say what is missing; returns where to go on."""
        place = self._places[key]
        if place.position is None or place.position >= low:
            return low if place.position is None else place.position
        missing = low - place.position
        self.missed += missing
        log.error(
            "%s: up to %d records of %s were deleted before they were read (offsets %d to %d);"
            " it goes on with the first that is left. Let the topic keep them longer",
            self._name, missing, place.stream, place.position, low - 1,
        )  # fmt: skip
        return low

    def restart(self, key: Key, low: int, high: int) -> None:
        """The partition ends before where we stood, as one that was deleted and made anew does."""
        place = self._places[key]
        self._restarts[key] = low
        log.error(
            "%s: %s ends at %d, but was read up to %s; it is read again from its beginning, %d",
            self._name, place.stream, high, place.position, low,
        )  # fmt: skip

    def end(self, key: Key) -> int | None:
        """The end of a partition, if everything before it was read."""
        place = self._places[key]
        if place.fed and self._feed is not None:
            return self._feed.end(key, place.position or 0)
        return place.end

    def lag(self, consumer: Consumer, now_ms: float) -> Lag:
        """Records behind the ends of the partitions, and the age of the place that is furthest behind."""
        records, worst = 0, 0.0
        ages: list[float] = []
        known = False
        for key, place in self._places.items():
            if place.position is None:
                continue
            told = consumer.get_watermark_offsets(TopicPartition(*key), cached=True)[1]
            high = max(told, self._watch.high(key), self._feed.high(key) if self._feed is not None else -1)
            end = self.end(key)
            behind = 0 if end is not None and high <= end else max(0, high - place.position)
            records += behind
            known = known or high >= 0
            if behind and place.stamp is not None:
                ages.append(max(0.0, (now_ms - place.stamp) / 1000))
                worst = max(worst, ages[-1] / (self._watch.retention(key[0]) or float("inf")))
        if not known:
            return Lag()
        return Lag(records=records, seconds=max(ages, default=None if records else 0.0), of_retention=worst)

    def _located(self, tp: TopicPartition, begins: Mapping[Key, int]) -> TopicPartition:
        """Where to begin: at what is committed, or where nothing is, with the oldest record."""
        key = (tp.topic, tp.partition)
        if key in self._restarts:
            return TopicPartition(*key, self._restarts.pop(key))
        if _is_new(tp):
            return TopicPartition(*key, begins.get(key, OFFSET_BEGINNING))
        return TopicPartition(*key, OFFSET_STORED if tp.error is not None else tp.offset)

    def _beginnings(self, keys: Sequence[Key]) -> dict[Key, int]:
        try:
            return {key: low for key, (low, _) in self._watch.span(keys).items()}
        except KafkaException as error:
            log.info("%s: where partitions begin is not known yet (%s)", self._name, sentence(cause(error)))
            return {}


def _is_new(tp: TopicPartition) -> bool:
    """Whether the group has no cursor in this partition, as far as the brokers say."""
    return tp.error is None and tp.offset < 0 and tp.offset != OFFSET_STORED


def _committed(
    name: str, consumer: Consumer, partitions: Sequence[TopicPartition]
) -> Sequence[TopicPartition]:
    """The partitions with their committed offsets; if the brokers do not say, the client asks by itself."""
    try:
        return consumer.committed(list(partitions), timeout=ASK_SECONDS)
    except KafkaException as error:
        log.warning("%s: committed offsets are not known yet (%s)", name, sentence(cause(error)))
        return [TopicPartition(tp.topic, tp.partition, OFFSET_STORED) for tp in partitions]
