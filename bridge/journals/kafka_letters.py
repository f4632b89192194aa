"""Dead letters as records of a Kafka topic, and looking through such a topic.

A letter is written again when something becomes of it, so the last record of a key is what counts.
One pass over the topic finds it for every letter, and keeps what is needed to choose among them;
payloads are read when they are asked for.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from bridge.deadletters import DeadLetter, Step
from bridge.journals import kafka_codes as codes
from bridge.journals.kafka_client import cause, sentence
from bridge.state import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from confluent_kafka import Consumer, Message

    from bridge.deadletters import Filter

__all__ = ["Shelf", "headers_of", "letter_of"]

OURS = "bridge."
CONNECT = "__connect.errors."
STREAM = re.compile(r"(?P<topic>.+)\[(?P<partition>\d+)\]")
NUMBERS = ("attempts", "first_ms", "last_ms", "position", "resolved_ms")
WORDS = ("sink", "plugin", "stage", "code", "path", "reason", "stream", "eid", "mid")
ASK_SECONDS = 10.0
QUIET_SECONDS = 10.0
PAGE_LETTERS = 500
PAGE_BYTES = 8 * 1024 * 1024


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
    """The letter that `headers_of` wrote; TypeError or ValueError for any other record."""
    words: dict[str, Any] = {name: headers[OURS + name].decode() for name in WORDS if OURS + name in headers}
    numbers: dict[str, Any] = {name: int(headers[OURS + name]) for name in NUMBERS if OURS + name in headers}
    if words.get("stage") not in get_args(Step):
        raise ValueError("this record is not a dead letter")
    return DeadLetter(id=key.decode(), payload=value, **{"eid": None, "mid": None, **words}, **numbers)


class _Card(NamedTuple):
    """What is kept of each letter: when and where it was last written, and what a filter looks at."""

    written_ms: int
    partition: int
    offset: int
    size: int
    sink: str
    code: str
    eid: str | None
    first_ms: int
    resolved: bool


class Shelf:
    """The letters of one topic as they are now. `StateError` where the brokers do not answer."""

    def __init__(self, topic: str, consumer: Consumer) -> None:
        """`consumer` belongs to no group; the shelf has it for itself."""
        self._topic = topic
        self._consumer = consumer
        self._cards: dict[str, _Card] | None = None

    def count(self, chosen: Filter) -> dict[tuple[str, str], int]:
        """How many letters there are, by (sink, code)."""
        return dict(Counter((card.sink, card.code) for card in self._chosen(chosen)))

    def find(self, chosen: Filter, limit: int | None = None) -> Iterator[DeadLetter]:
        """Letters in the order in which they were last written; memory stays bounded."""
        cards = iter(sorted(self._chosen(chosen))[:limit])
        while page := _page(cards):
            yield from self._fetch(page)

    def get(self, identifier: str) -> DeadLetter | None:
        """The letter whose id starts with `identifier`, if exactly one does."""
        found = [card for key, card in self._index().items() if key.startswith(identifier)]
        return next(iter(self._fetch(found)), None) if len(found) == 1 else None

    def _chosen(self, chosen: Filter) -> list[_Card]:
        return [card for card in self._index().values() if _is_chosen(card, chosen)]

    def _index(self) -> dict[str, _Card]:
        if self._cards is None:
            self._cards = {}
            for message in self._read(dict.fromkeys(self._partitions(), OFFSET_BEGINNING)):
                if (letter := _letter(message)) is not None:
                    _keep(self._cards, letter.id, _card(message, letter))
        return self._cards

    def _fetch(self, cards: Sequence[_Card]) -> list[DeadLetter]:
        """The letters of these cards, in their order; without those that were deleted meanwhile."""
        wanted: dict[int, set[int]] = {}
        for card in cards:
            wanted.setdefault(card.partition, set()).add(card.offset)
        begins = {partition: min(offsets) for partition, offsets in wanted.items()}
        ends = {partition: max(offsets) for partition, offsets in wanted.items()}
        found: dict[tuple[int, int], DeadLetter | None] = {}
        for message in self._read(begins, ends):
            place = (message.partition() or 0, message.offset() or 0)
            if place[1] in wanted[place[0]]:
                found[place] = _letter(message)
        letters = [found.get((card.partition, card.offset)) for card in cards]
        return [letter for letter in letters if letter is not None]

    def _partitions(self) -> list[int]:
        try:
            return list(self._consumer.list_topics(self._topic, ASK_SECONDS).topics[self._topic].partitions)
        except KafkaException as error:
            raise _unread(error) from None

    def _read(self, begins: Mapping[int, int], ends: Mapping[int, int] | None = None) -> Iterator[Message]:
        """Every record from `begins` to `ends` (offsets by partition), or to the end of the topic."""
        left, quiet = set(begins), time.monotonic() + QUIET_SECONDS
        self._consumer.assign([TopicPartition(self._topic, *begin) for begin in begins.items()])
        while left:
            for message in self._consumer.consume(500, 0.2):
                quiet = time.monotonic() + QUIET_SECONDS
                error, partition = message.error(), message.partition() or 0
                if error is not None and error.code() != codes.PARTITION_EOF:
                    raise _unread(KafkaException(error))
                if error is None:
                    yield message
                if error is not None or (ends and (message.offset() or 0) >= ends[partition]):
                    left.discard(partition)
            if time.monotonic() > quiet:
                raise _unread(KafkaException(KafkaError(codes.TIMED_OUT)))
        self._consumer.unassign()


def _unread(error: KafkaException) -> StateError:
    return StateError(f"dead letters in Kafka cannot be read: {sentence(cause(error))}")


def _page(cards: Iterator[_Card]) -> list[_Card]:
    page: list[_Card] = []
    size = 0
    for card in cards:
        page.append(card)
        size += card.size
        if size >= PAGE_BYTES or len(page) == PAGE_LETTERS:
            break
    return page


def _letter(message: Message) -> DeadLetter | None:
    """The letter in a record; None for a record that somebody else wrote."""
    pairs = dict(message.headers() or [])
    headers = {name: text for name, text in pairs.items() if isinstance(text, bytes)}
    try:
        return letter_of(message.key() or b"", message.value() or b"", headers)
    except (TypeError, ValueError):
        return None


def _card(message: Message, letter: DeadLetter) -> _Card:
    return _Card(
        message.timestamp()[1], message.partition() or 0, message.offset() or 0, len(letter.payload),
        letter.sink, letter.code, letter.eid, letter.first_ms, letter.resolved_ms is not None,
    )  # fmt: skip


def _keep(cards: dict[str, _Card], key: str, card: _Card) -> None:
    """Take in a card; the later one counts, by offset, or by time if the topic was given more partitions."""
    before = cards.get(key)
    if before is None or before.partition == card.partition or before.written_ms <= card.written_ms:
        cards[key] = card


def _is_chosen(card: _Card, chosen: Filter) -> bool:
    return (
        card.resolved == chosen.resolved
        and chosen.sink in {None, card.sink}
        and chosen.code in {None, card.code}
        and chosen.eid in {None, card.eid}
        and (chosen.since is None or card.first_ms >= chosen.since)
        and (chosen.until is None or card.first_ms <= chosen.until)
    )
