"""The Kafka journal: topics that others write, or that the bridge's intakes write, read by one group a sink.

The package that speaks to Kafka is an extra and is imported when a client is needed, so that the
configuration can be checked without it.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from bridge.deadletters import AnnouncedDeadLetters, SqliteDeadLetters, stray_letter
from bridge.errors import BridgeError, PluginError
from bridge.hookspecs import hookimpl
from bridge.journals.base import Journal, JournalConfig, JournalContext, JournalFullError
from bridge.journals.kafka_config import KafkaJournalConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from bridge.deadletters import DeadLetter, DeadLetters
    from bridge.deadletters_kafka import KafkaDeadLetters
    from bridge.journals.base import Reader, Start
    from bridge.journals.kafka_client import Clients
    from bridge.journals.kafka_cursors import CursorRow, Move, Target
    from bridge.journals.kafka_feed import Feed
    from bridge.journals.kafka_watch import Watch
    from bridge.journals.kafka_writer import Writer

__all__ = ["KafkaJournal", "KafkaJournalConfig", "kafka_cursors", "kafka_letters", "reset_kafka_cursors"]

log = logging.getLogger(__name__)

EXTRA = "confluent_kafka"
RECORD_TOO_LARGE = "record_too_large"
BUSY_SECONDS = 5.0


class _Context(msgspec.Struct, frozen=True, gc=False):
    did: str = ""


class _Keyed(msgspec.Struct, frozen=True, gc=False):
    context: _Context = _Context()


_keyed = msgspec.json.Decoder(_Keyed).decode


def _part(name: str) -> Any:
    """One of the modules beside this one that need the extra."""
    try:
        return importlib.import_module(f"bridge.{name}")
    except ModuleNotFoundError as error:
        if error.name != EXTRA:
            raise
        raise PluginError("the kafka journal needs its extra (pip install 'sunbird-bridge[kafka]')") from None


class KafkaJournal(Journal):
    """Topics of a Kafka cluster. Each pipeline is a consumer group, each partition a stream."""

    name: ClassVar[str] = "kafka"
    config_type: ClassVar[type[JournalConfig]] = KafkaJournalConfig
    # Groups take partitions in different orders, so neighbours are further apart than in one file.
    shared_bytes: ClassVar[int] = 4 * 1024 * 1024
    config: KafkaJournalConfig

    def __init__(self, config: JournalConfig, context: JournalContext) -> None:
        super().__init__(config, context)
        self._lock = threading.Lock()
        self._shared: dict[str, Any] = {}

    def reader(self, pipeline: str, start: Start, wake: Callable[[], None]) -> Reader:  # noqa: ARG002 - it waits by itself
        """A member of the pipeline's group; it joins with its first `read`."""
        clients = self._clients()

        def connect(**callbacks: Callable[..., None]) -> Any:
            return clients.consumer(pipeline, **callbacks)

        reader: Reader = _part("journals.kafka_reader").KafkaReader(
            clients.group(pipeline),
            self.config.read_topics,
            connect,
            self._preparation(pipeline, start),
            self._watch(),
            clients.patience,
            feed=self._feed(),
        )
        return reader

    def append(self, payloads: Sequence[bytes], source: str) -> None:
        """Write events with their devices' ids as keys; every in-sync replica has them when this returns.

        An event that is too large for the topic is a dead letter then: trying again would not help,
        and its sender would never get beyond it.
        """
        topic = self.config.write_topic
        if topic is None:
            raise BridgeError("journal.append_to: name the topic that events are written to")
        writing = _part("journals.kafka_writer")
        headers = [("bridge.source", source.encode())]
        records = [writing.Record(topic, payload, device_key(payload), headers) for payload in payloads]
        try:
            self._writer().write(records)
        except writing.WriteError as error:
            if error.temporary:
                raise JournalFullError(str(error), BUSY_SECONDS) from None
            if not error.too_large:
                raise
            self._bury([payloads[place] for place in error.too_large], topic, source)

    def dead_letters(self) -> DeadLetters | None:
        """Where dead letters go if `dead_letter_topic` is set; None leaves them to the state file."""
        topic = self.config.dead_letter_topic
        if topic is None:
            return None
        letters: DeadLetters = _part("deadletters_kafka").KafkaDeadLetters(
            topic, self.context.instance, self._writer(), self._clients().probe, self._spare
        )
        return letters

    def _spare(self) -> DeadLetters:
        """Where dead letters go that do not fit into Kafka."""
        make = lambda: SqliteDeadLetters(self.context.state, self.context.dead_letter_bytes)  # noqa: E731 - once
        return self._once("spare", make)  # type: ignore[no-any-return]

    def _bury(self, payloads: Sequence[bytes], topic: str, source: str) -> None:
        log.warning(
            "%d events from %s are larger than %s takes (max.message.bytes); they are dead letters now",
            len(payloads), source, topic,
        )  # fmt: skip
        letters = oversize_letters(payloads, topic, int(time.time() * 1000))
        AnnouncedDeadLetters(self.dead_letters() or self._spare(), self.context.notify).write(letters)

    def check(self) -> str:
        """Say which brokers and topics were found; `BridgeError` if there is nothing to read."""
        cursors, client = _part("journals.kafka_cursors"), _part("journals.kafka_client")
        admin = self._clients().admin()
        try:
            brokers = len(admin.list_topics(timeout=cursors.WAIT).brokers)
            found = cursors.partitions_of(admin, self.config.read_topics)
        except client.KafkaException as error:
            raise BridgeError(f"Kafka: {client.sentence(client.cause(error))}") from None
        counts: dict[str, int] = {}
        for topic, _ in found:
            counts[topic] = counts.get(topic, 0) + 1
        missing = [
            topic for topic in self.config.read_topics if not topic.startswith("^") and topic not in counts
        ]
        if missing or not counts:
            raise BridgeError(
                f"journal.topics: there is no topic {', '.join(missing or self.config.read_topics)}"
            )
        topics = ", ".join(f"{topic} ({count} partitions)" for topic, count in sorted(counts.items()))
        return f"{brokers} {'broker' if brokers == 1 else 'brokers'}; {topics}"

    def __exit__(self, *exc_info: object) -> None:
        """Let go of the producer, if anything was written."""
        with self._lock:
            writer = self._shared.pop("writer", None)
        if writer is not None:
            writer.close()

    def _preparation(self, pipeline: str, start: Start) -> Callable[[], None]:
        """What gives a new group its start, once; the oldest record needs no preparation."""
        target = self.config.start_timestamp or start
        if target == "earliest":
            return lambda: None
        cursors, clients, done = _part("journals.kafka_cursors"), self._clients(), threading.Event()

        def prepare() -> None:
            if not done.is_set():
                cursors.give_start(clients, pipeline, self.config.read_topics, target)
                done.set()

        return prepare

    def _clients(self) -> Clients:
        make = lambda: _part("journals.kafka_client").Clients(self.config, self.context.instance)  # noqa: E731 - once
        return self._once("clients", make)  # type: ignore[no-any-return]

    def _watch(self) -> Watch:
        clients = self._clients()
        return self._once("watch", lambda: _part("journals.kafka_watch").Watch(clients.admin))  # type: ignore[no-any-return]

    def _feed(self) -> Feed:
        clients = self._clients()
        return self._once("feed", lambda: _part("journals.kafka_feed").Feed(clients.feed))  # type: ignore[no-any-return]

    def _writer(self) -> Writer:
        clients = self._clients()
        make = lambda: _part("journals.kafka_writer").Writer(clients.producer, "kafka-writer")  # noqa: E731 - once
        return self._once("writer", make)  # type: ignore[no-any-return]

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            if name not in self._shared:
                self._shared[name] = make()
            return self._shared[name]


def device_key(payload: bytes) -> bytes | None:
    """The key of an event's record: its device's id, so that those keep their order; None without one."""
    try:
        did = _keyed(payload).context.did
    except msgspec.MsgspecError:
        return None
    return did.encode() or None


def oversize_letters(payloads: Iterable[bytes], topic: str, now_ms: int) -> list[DeadLetter]:
    """A letter for each event that no record of `topic` can hold; the same one for the same event."""
    reason = f"the event has {{:,}} bytes, more than {topic} takes (max.message.bytes)"
    return [
        stray_letter(payload, topic, RECORD_TOO_LARGE, "", reason.format(len(payload)), now_ms)
        for payload in payloads
    ]


def kafka_cursors(config: KafkaJournalConfig, instance: str, pipelines: Iterable[str]) -> list[CursorRow]:
    """Where each pipeline stands in each partition, and how far that is behind."""
    return _part("journals.kafka_cursors").cursor_rows(config, instance, pipelines)  # type: ignore[no-any-return]


def reset_kafka_cursors(
    config: KafkaJournalConfig,
    instance: str,
    pipeline: str,
    to: Target,
    *,
    streams: Collection[str] | None = None,
    dry_run: bool = True,
) -> list[Move]:
    """Move a pipeline's cursors to the oldest record, the end, a moment or an offset; see `move_cursors`."""
    moving = _part("journals.kafka_cursors").move_cursors
    return moving(config, instance, pipeline, to, streams=streams, dry_run=dry_run)  # type: ignore[no-any-return]


@contextmanager
def kafka_letters(config: KafkaJournalConfig, instance: str) -> Iterator[KafkaDeadLetters | None]:
    """The dead letters in `dead_letter_topic`, from outside; None if there is no such topic configured."""
    topic = config.dead_letter_topic
    if topic is None:
        yield None
        return
    clients = _part("journals.kafka_client").Clients(config, instance)
    writer = _part("journals.kafka_writer").Writer(clients.producer, "kafka-writer")
    try:
        yield _part("deadletters_kafka").KafkaDeadLetters(topic, instance, writer, clients.probe)
    finally:
        writer.close()


@hookimpl
def bridge_journals() -> list[type[Journal]]:
    """Offer the journal type `kafka`."""
    return [KafkaJournal]
