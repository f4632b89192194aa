"""Dead letters in a Kafka topic, with the headers of Kafka Connect and our own beside them.

The value is the event's original bytes. The key is the letter's id, so that writing a letter
again after a crash repeats it under one key, and a compacted topic keeps it once.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.journals.kafka_letters import Shelf, headers_of, letter_of
from bridge.journals.kafka_writer import Record, WriteError
from bridge.state import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from confluent_kafka import Consumer

    from bridge.deadletters import DeadLetter, DeadLetters
    from bridge.journals.kafka_writer import Writer

__all__ = ["KafkaDeadLetters", "headers_of", "letter_of"]

log = logging.getLogger(__name__)


class KafkaDeadLetters:
    """Dead letters in one topic: `write` for the pipelines, `look` for people, `resolve` for a replay."""

    def __init__(
        self,
        topic: str,
        instance: str,
        writer: Writer,
        connect: Callable[[], Consumer],
        spare: Callable[[], DeadLetters] | None = None,
    ) -> None:
        """`connect` makes a consumer outside of every group; `spare` takes letters that do not fit."""
        self.topic = topic
        self._instance = instance
        self._writer = writer
        self._connect = connect
        self._spare = spare

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Return once every in-sync replica has every letter; `StateError` otherwise.

        What is too large for the topic goes into the state file, so that it keeps nobody waiting.
        """
        records = [
            Record(self.topic, letter.payload, letter.id.encode(), headers_of(letter, self._instance))
            for letter in letters
        ]
        try:
            self._writer.write(records)
        except WriteError as error:
            if not error.too_large or self._spare is None:
                raise StateError(str(error)) from None
            log.warning(
                "%d dead letters are too large for %s; the state file has them",
                len(error.too_large),
                self.topic,
            )
            self._spare().write([letters[place] for place in error.too_large])

    @contextmanager
    def look(self) -> Iterator[Shelf]:
        """The letters that are in the topic now, for as long as this is open."""
        consumer = self._connect()
        try:
            yield Shelf(self.topic, consumer)
        finally:
            consumer.close()

    def resolve(self, letters: Iterable[DeadLetter], now_ms: int | None = None) -> None:
        """Mark letters as delivered by a replay: each is written once more, with the moment."""
        moment = int(time.time() * 1000) if now_ms is None else now_ms
        self.write([replace(letter, resolved_ms=moment) for letter in letters])
