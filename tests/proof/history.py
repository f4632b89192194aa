"""After a run, side by side: what the source, the destinations, the dead letters and the cursors hold."""

from __future__ import annotations

import gzip
import http.client
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from confluent_kafka import Consumer, TopicPartition
from xxhash import xxh3_64_intdigest

from bridge.validation import Decoder, Level
from bridge_posthog.sink import PostHogSink

if TYPE_CHECKING:
    from pathlib import Path

    from bridge_posthog.config import PostHogConfig

CHUNK = 1_000


@dataclass
class Source:
    """The topic, read once more: every event by its mid, and what is not valid."""

    records: int = 0
    copies: int = 0
    lines: dict[str, int] = field(default_factory=dict)
    product: dict[str, int] = field(default_factory=dict)
    invalid: Counter = field(default_factory=Counter)
    counts: Counter = field(default_factory=Counter)
    ends: dict[int, int] = field(default_factory=dict)


def read_source(address: str, topic: str, partitions: int, config: PostHogConfig) -> Source:
    """Every record of a topic, judged as the bridge judges it and mapped as the PostHog sink maps it."""
    source, decoder, sink = Source(), Decoder(Level.STRICT), PostHogSink(config)
    for payloads in _records(address, topic, partitions, source):
        decoded = decoder.batch(payloads)
        source.records += decoded.count
        source.invalid.update(bad.raw for bad in decoded.invalid)
        for event, payload in zip(decoded.events, sink.map_batch(decoded.events), strict=True):
            digest = xxh3_64_intdigest(event.raw)
            source.copies += event.mid in source.lines
            source.lines[event.mid] = digest
            source.counts[digest] += 1
            source.product[msgspec.json.decode(payload)["uuid"]] = xxh3_64_intdigest(payload)
    return source


def _records(address: str, topic: str, partitions: int, source: Source):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "history", "enable.auto.commit": False})
    places = [TopicPartition(topic, number, 0) for number in range(partitions)]
    source.ends = {tp.partition: consumer.get_watermark_offsets(tp, 10)[1] for tp in places}
    left = sum(source.ends.values())
    consumer.assign(places)
    while left:
        messages = [message for message in consumer.consume(CHUNK, 1.0) if not message.error()]
        left -= len(messages)
        yield [message.value() for message in messages]
    consumer.close()


def recorded(port: int) -> dict:
    """What a destination has seen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/history")
    answer = connection.getresponse().read()
    connection.close()
    return msgspec.msgpack.decode(answer, strict=False)


def archived(folder: Path) -> Counter:
    """How often each event lies in the archive."""
    return Counter(
        xxh3_64_intdigest(line)
        for place in folder.rglob("*.jsonl.gz")
        for line in gzip.decompress(place.read_bytes()).splitlines()
    )


def letters(*states: Path) -> Counter:
    """The payloads of all dead letters, by pipeline and payload."""
    found: Counter = Counter()
    for state in states:
        with sqlite3.connect(state) as connection:
            found.update(connection.execute("SELECT sink, payload FROM dead_letters").fetchall())
        connection.close()
    return found


def committed(address: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The cursors of a group."""
    clerk = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False})
    asked = [TopicPartition(topic, number) for number in range(partitions)]
    found = {tp.partition: tp.offset for tp in clerk.committed(asked, timeout=20)}
    clerk.close()
    return found


@dataclass(frozen=True)
class Line:
    """One destination's row; `behind` are the records that its cursors do not cover."""

    sink: str
    expected: int
    unique: int
    lost: int
    foreign: int
    changed: int
    deliveries: int
    requests: int
    faults: int
    ambiguous: int
    behind: int

    @property
    def sound(self) -> bool:
        """Whether the destination ended with exactly the unique events."""
        return not (self.lost or self.foreign or self.changed or self.behind)


def compare(sink: str, expected: dict[str, int], found: dict, behind: int) -> Line:
    """A destination that knows ids, with what it must hold."""
    seen = found["seen"]
    wrong = sum(seen.get(ident) != digest for ident, digest in expected.items() if ident in seen)
    lost, foreign = len(expected.keys() - seen.keys()), len(seen.keys() - expected.keys())
    return Line(
        sink, len(expected), len(seen), lost, foreign, len(found["changed"]) + wrong, found["deliveries"],
        found["requests"], found["faults"], found["ambiguous"], behind,
    )  # fmt: skip


def compare_documents(sink: str, source: Source, found: dict, behind: int) -> Line:
    """The same where the id is a digest: documents are compared by their bytes."""
    expected = {str(digest): digest for digest in source.lines.values()}
    by_content = {**found, "seen": {str(digest): digest for digest in found["seen"].values()}}
    row = compare(sink, expected, by_content, behind)
    assert len(found["seen"]) == row.unique  # one id for each content, and the other way round
    return row


def compare_archive(sink: str, source: Source, found: Counter, behind: int) -> Line:
    """The archive: every event is there, and no record of the source twice."""
    expected = set(source.counts)
    twice = sum(count > source.counts[digest] for digest, count in found.items())
    return Line(
        sink, len(expected), len(found), len(expected - found.keys()), len(found.keys() - expected), twice,
        sum(found.values()), 0, 0, 0, behind,
    )  # fmt: skip


def table(source: Source, rows: list[Line], dead: int) -> str:
    """The conservation table, for people."""
    widths = (8, 10, 10, 6, 9, 12, 10, 10, 8, 11, 8)
    names = ("sink", "expected", "unique", "lost", "changed", "deliveries", "repeated", "requests", "faulty",
             "ambiguous", "behind")  # fmt: skip
    cells = [names] + [
        (row.sink, row.expected, row.unique, row.lost, row.changed, row.deliveries,
         row.deliveries - row.unique, row.requests, row.faults, row.ambiguous, row.behind)
        for row in rows
    ]  # fmt: skip
    lines = ["".join(f"{cell!s:>{width}}" for cell, width in zip(one, widths, strict=True)) for one in cells]
    valid = len(source.lines)
    source_line = (
        f"source: {source.records} records = {valid} unique + {source.copies} copies + "
        f"{sum(source.invalid.values())} invalid; dead letters {dead}"
    )
    return "\n".join([source_line, *lines])
