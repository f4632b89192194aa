"""Dead letters in a Kafka topic, with the headers of Kafka Connect and our own beside them.

The value is the event's original bytes. The key is the letter's id, so that writing a letter
again after a crash repeats it under one key, and a compacted topic keeps it once.
"""

from __future__ import annotations

import re
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from bridge.deadletters import DeadLetter, Filter
from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_client import cause, sentence
from bridge.journals.kafka_writer import Record, WriteError
from bridge.state import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from confluent_kafka import Consumer, Message

    from bridge.journals.kafka_writer import Writer

__all__ = ["KafkaDeadLetters", "headers_of", "letter_of"]

Place = tuple[int | None, int | None]
OURS = "bridge."
CONNECT = "__connect.errors."
STREAM = re.compile(r"(?P<topic>.+)\[(?P<partition>\d+)\]")
NUMBERS = ("attempts", "first_ms", "last_ms", "position", "resolved_ms")
WORDS = ("sink", "plugin", "stage", "code", "path", "reason", "stream", "eid", "mid")
QUIET_SECONDS = 5.0


def headers_of(letter: DeadLetter, instance: str) -> list[tuple[str, str | bytes | None]]:
    """A letter as record headers: what tools for Kafka Connect read, then ours, all of it text."""
    source = STREAM.fullmatch(letter.stream)
    facts: dict[str, object] = {
        f"{CONNECT}topic": source["topic"] if source else letter.stream,
        f"{CONNECT}partition": source["partition"] if source else 0,
        f"{CONNECT}offset": letter.position,
        f"{CONNECT}connector.name": f"{instance}.{letter.sink}",
        f"{CONNECT}task.id": 0,
        f"{CONNECT}stage": letter.stage.upper(),
        f"{CONNECT}class.name": letter.plugin,
        f"{CONNECT}exception.class.name": letter.code,
        f"{CONNECT}exception.message": letter.reason,
        f"{OURS}instance": instance,
    }
    facts |= {f"{OURS}{name}": getattr(letter, name) for name in (*WORDS, *NUMBERS)}
    return [(name, str(fact).encode()) for name, fact in facts.items() if fact is not None]


def letter_of(key: bytes, value: bytes, headers: Mapping[str, bytes]) -> DeadLetter:
    """The letter that `headers_of` wrote; KeyError or ValueError for any other record."""
    words: dict[str, Any] = {name: headers[OURS + name].decode() for name in WORDS if OURS + name in headers}
    numbers: dict[str, Any] = {name: int(headers[OURS + name]) for name in NUMBERS if OURS + name in headers}
    if words.get("stage") not in {"validate", "map", "deliver"}:
        raise ValueError("this record is not a dead letter")
    return DeadLetter(id=key.decode(), payload=value, **{"eid": None, "mid": None, **words}, **numbers)


class KafkaDeadLetters:
    """Dead letters in one topic. `write` for the pipelines; `find` and `resolve` for a replay."""

    def __init__(self, topic: str, instance: str, writer: Writer, connect: Callable[[], Consumer]) -> None:
        """`connect` makes a consumer outside of every group, for reading the topic."""
        self._topic = topic
        self._instance = instance
        self._writer = writer
        self._connect = connect

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Return once every in-sync replica has every letter; `StateError` otherwise."""
        records = [
            Record(self._topic, letter.payload, letter.id.encode(), headers_of(letter, self._instance))
            for letter in letters
        ]
        try:
            self._writer.write(records)
        except WriteError as error:
            raise StateError(str(error)) from None

    def find(self, chosen: Filter, limit: int | None = None) -> Iterator[DeadLetter]:
        """The chosen letters as they were last written, in the order they are read.

        The topic is read to its end first, because what resolves a letter stands behind it.
        """
        last = {letter.id: place for place, letter in self._all()}
        found = (letter for place, letter in self._all() if last.get(letter.id) == place)
        yield from islice((letter for letter in found if _is_chosen(letter, chosen)), limit)

    def resolve(self, letters: Iterable[DeadLetter], now_ms: int | None = None) -> None:
        """Mark letters as delivered by a replay: each is written once more, with the moment."""
        moment = int(time.time() * 1000) if now_ms is None else now_ms
        names = [name for name in DeadLetter.__slots__ if name != "resolved_ms"]
        self.write(
            [
                DeadLetter(**{name: getattr(letter, name) for name in names}, resolved_ms=moment)
                for letter in letters
            ]
        )

    def _all(self) -> Iterator[tuple[Place, DeadLetter]]:
        consumer = self._connect()
        try:
            yield from self._read(consumer)
        except KafkaException as error:
            raise StateError(f"dead letters cannot be read: {sentence(cause(error))}") from None
        finally:
            consumer.close()

    def _read(self, consumer: Consumer) -> Iterator[tuple[Place, DeadLetter]]:
        partitions = consumer.list_topics(self._topic, timeout=10.0).topics[self._topic].partitions
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in partitions])
        left, ends = set(partitions), time.monotonic() + QUIET_SECONDS
        while left and time.monotonic() < ends:
            for message in consumer.consume(500, 0.2):
                ends = time.monotonic() + QUIET_SECONDS
                error = message.error()
                if error is None:
                    yield from _letter(message)
                elif error.code() == codes.PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise KafkaException(error)


def _letter(message: Message) -> Iterator[tuple[Place, DeadLetter]]:
    """The letter in a record, with where it stands; nothing for a record that somebody else wrote."""
    pairs = dict(message.headers() or [])
    headers = {name: text for name, text in pairs.items() if isinstance(text, bytes)}
    try:
        letter = letter_of(message.key() or b"", message.value() or b"", headers)
    except (KeyError, TypeError, ValueError):
        return
    yield (message.partition(), message.offset()), letter


def _is_chosen(letter: DeadLetter, chosen: Filter) -> bool:
    return (
        (letter.resolved_ms is not None) == chosen.resolved
        and chosen.sink in {None, letter.sink}
        and chosen.code in {None, letter.code}
        and chosen.eid in {None, letter.eid}
        and (chosen.since is None or letter.first_ms >= chosen.since)
        and (chosen.until is None or letter.first_ms <= chosen.until)
    )
