"""The cursors of a Kafka journal, which are the committed offsets of its consumer groups."""

from __future__ import annotations

import re
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bridge.errors import BridgeError
from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_client import Clients, cause, sentence
from bridge.journals.kafka_places import stream_name
from bridge.journals.kafka_watch import retention_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient

    from bridge.journals.kafka_commits import Key
    from bridge.journals.kafka_config import KafkaJournalConfig

__all__ = ["CursorRow", "Move", "Target", "cursor_rows", "give_start", "move_cursors", "partitions_of"]

Target = Literal["earliest", "latest"] | datetime | int
WAIT = 10.0
LOOK_SECONDS = 5.0
SETTINGS_WAIT = 3.0  # nothing but a share depends on them
OCCUPIED = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.NON_EMPTY_GROUP,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.REBALANCE_IN_PROGRESS,
}


@dataclass(frozen=True, slots=True)
class CursorRow:
    """One pipeline's place in one partition.

    `position` is the committed offset, None if there is none yet; `low` ≤ offset < `high` is what
    the partition holds; `lag` counts offsets behind, `lag_seconds` is the age of the next record,
    `of_retention` that age as a share of the time the topic keeps its records. None is unknown.
    """

    pipeline: str
    group: str
    stream: str
    position: int | None
    low: int
    high: int
    lag: int
    lag_seconds: float | None = None
    of_retention: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What resetting does to one partition; `before` is None where nothing was committed."""

    stream: str
    before: int | None
    after: int


def partitions_of(admin: AdminClient, topics: Sequence[str]) -> list[Key]:
    """Every partition of these topics, which may be patterns that begin with ^."""
    found = admin.list_topics(timeout=WAIT).topics
    names = {name for name in found for topic in topics if _means(topic, name)}
    return sorted((name, partition) for name in names for partition in found[name].partitions)


def give_start(clients: Clients, pipeline: str, topics: Sequence[str], target: Target) -> bool:
    """Commit where a new group begins, if nobody has; False if it has begun already.

    `latest` has to be committed before anything is read: after a crash, a group without an offset
    would begin at a later end and never see what came between.
    """
    admin, clerk = clients.admin(), clients.clerk(pipeline)
    try:
        keys = partitions_of(admin, topics)
        if not keys or any(offset is not None for offset in _committed(clerk, keys).values()):
            return False
        _commit(clerk, _resolved(admin, keys, target))
    except KafkaException as error:
        if cause(error).code() in OCCUPIED:  # another process was quicker, and reads already
            return False
        raise
    finally:
        clerk.close()
    return True


def cursor_rows(
    config: KafkaJournalConfig, instance: str, pipelines: Iterable[str], *, ages: bool = True
) -> list[CursorRow]:
    """Where each pipeline stands in each partition; `ages` also looks at the next record of each."""
    clients = Clients(config, instance)
    admin = clients.admin()
    try:
        keys = partitions_of(admin, config.read_topics)
        lows, highs = _offsets(admin, keys, codes.EARLIEST), _offsets(admin, keys, codes.LATEST)
        kept = _retentions(admin, sorted({topic for topic, _ in keys})) if ages else {}
        rows = []
        for pipeline in pipelines:
            group, clerk = clients.group(pipeline), clients.clerk(pipeline)
            committed = _committed(clerk, keys)
            clerk.close()
            times = _next_times(clients.probe(), committed, lows, highs) if ages else {}
            rows += [
                _row(pipeline, group, key, committed[key], lows[key], highs[key], times.get(key), kept)
                for key in keys
            ]
    except KafkaException as error:
        raise _unanswered(error) from None
    return rows


def move_cursors(
    config: KafkaJournalConfig,
    instance: str,
    pipeline: str,
    to: Target,
    *,
    streams: Collection[str] | None = None,
    dry_run: bool = True,
) -> list[Move]:
    """Set a pipeline's cursors; returns what changes. Every process of the bridge must be stopped.

    `to` is the oldest record, the end, the first record after a moment, or an offset; it is kept
    within what a partition holds. `streams` limits it to some partitions, named `topic[3]`.
    """
    clients = Clients(config, instance)
    admin, clerk, group = clients.admin(), clients.clerk(pipeline), clients.group(pipeline)
    try:
        keys = partitions_of(admin, config.read_topics)
        if streams is not None:
            keys = [key for key in keys if stream_name(*key) in streams]
        if not keys:
            raise BridgeError(f"no such partition in {', '.join(config.read_topics)}")
        before, after = _committed(clerk, keys), _resolved(admin, keys, to)
        if not dry_run:
            _commit(clerk, after)
    except KafkaException as error:
        if cause(error).code() in OCCUPIED:
            raise BridgeError(
                f"the group {group} has members: stop every bridge process that runs {pipeline} first"
            ) from None
        raise _unanswered(error) from None
    finally:
        clerk.close()
    return [Move(stream_name(*key), before[key], after[key]) for key in keys]


def _means(topic: str, name: str) -> bool:
    return bool(re.search(topic, name)) if topic.startswith("^") else topic == name


def _row(
    pipeline: str,
    group: str,
    key: Key,
    position: int | None,
    low: int,
    high: int,
    stamp: int | None,
    kept: Mapping[str, float | None],
) -> CursorRow:
    behind = max(0, high - max(low, position or 0))
    age = 0.0 if not behind else None if stamp is None else max(0.0, time.time() - stamp / 1000)
    retention = kept.get(key[0])
    share = age / retention if age is not None and retention else None
    return CursorRow(pipeline, group, stream_name(*key), position, low, high, behind, age, share)


def _retentions(admin: AdminClient, topics: Sequence[str]) -> dict[str, float | None]:
    """How long topics keep their records, in seconds; without those that may not be asked about."""
    resources = list(map(codes.topic_resource, topics))
    asked = admin.describe_configs(resources, request_timeout=SETTINGS_WAIT) if resources else {}
    found: dict[str, float | None] = {}
    for resource, future in asked.items():
        with suppress(KafkaException):
            found[resource.name] = retention_of(_result(future))
    return found


def _unanswered(error: KafkaException) -> BridgeError:
    return BridgeError(f"Kafka: {sentence(cause(error))}")


def _result(future: Any) -> Any:
    try:
        return future.result(WAIT)
    except FutureTimeoutError:
        raise KafkaException(KafkaError(codes.TIMED_OUT)) from None


def _committed(clerk: Consumer, keys: Sequence[Key]) -> dict[Key, int | None]:
    found = clerk.committed([TopicPartition(*key) for key in keys], timeout=WAIT)
    for tp in found:
        if tp.error is not None:
            raise KafkaException(tp.error)
    return {(tp.topic, tp.partition): tp.offset if tp.offset >= 0 else None for tp in found}


def _commit(clerk: Consumer, offsets: Mapping[Key, int]) -> None:
    """Commit for a group without members; the brokers refuse it while there are any."""
    wanted = [TopicPartition(*key, offset) for key, offset in offsets.items()]
    for tp in clerk.commit(offsets=wanted, asynchronous=False) or ():
        if tp.error is not None:
            raise KafkaException(tp.error)


def _offsets(admin: AdminClient, keys: Sequence[Key], spec: Any) -> dict[Key, int]:
    asked = (
        admin.list_offsets({TopicPartition(*key): spec for key in keys}, request_timeout=WAIT) if keys else {}
    )
    return {(tp.topic, tp.partition): _result(future).offset for tp, future in asked.items()}


def _resolved(admin: AdminClient, keys: Sequence[Key], target: Target) -> dict[Key, int]:
    """The offset of `target` in each partition, within what that holds."""
    if target == "earliest":
        return _offsets(admin, keys, codes.EARLIEST)
    highs = _offsets(admin, keys, codes.LATEST)
    if target == "latest":
        return highs
    if isinstance(target, datetime):
        found = _offsets(admin, keys, codes.after(int(target.timestamp() * 1000)))
        return {key: offset if (offset := found[key]) >= 0 else highs[key] for key in keys}
    lows = _offsets(admin, keys, codes.EARLIEST)
    return {key: min(max(int(target), lows[key]), highs[key]) for key in keys}


def _next_times(
    consumer: Consumer, committed: Mapping[Key, int | None], lows: Mapping[Key, int], highs: Mapping[Key, int]
) -> dict[Key, int]:
    """The time (ms) of the next record behind each cursor that is not at the end."""
    begins = {key: max(lows[key], committed[key] or 0) for key in committed}
    behind = {key: begin for key, begin in begins.items() if begin < highs[key]}
    times: dict[Key, int] = {}
    ends = time.monotonic() + LOOK_SECONDS
    consumer.assign([TopicPartition(*key, begin) for key, begin in behind.items()])
    while len(times) < len(behind) and time.monotonic() < ends:
        for message in consumer.consume(100, 0.2):
            key = (message.topic() or "", message.partition() or 0)
            if not message.error() and key in behind:
                times.setdefault(key, message.timestamp()[1])
                consumer.pause([TopicPartition(*key)])
    consumer.close()
    return times
