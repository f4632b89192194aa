"""Whole pipelines on a cluster: what is settled is committed, what is not is read again."""

from __future__ import annotations

import json
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.deadletters import Filter, SqliteDeadLetters
from bridge.engine.assembly import Parts, rejects_pipeline, sink_pipeline
from bridge.engine.sharing import SharedDecoder
from bridge.errors import TransientError
from bridge.journals.base import JournalContext
from bridge.journals.kafka import KafkaJournal
from bridge.settings import DedupSettings, RetrySettings, SinkSettings
from bridge.sinks import DELIVERED, BatchLimits, Reject, Sink, SinkConfig
from bridge.state import State
from bridge.validation import Decoder, Level

MEMBER = Path(__file__).with_name("member.py")
QUICK = RetrySettings(min=0.001, max=0.002, probe_min=0.01, probe_max=0.02)


class Scripted(Sink):
    """Records what it is sent; `answer(batch)` decides, by default everything is delivered."""

    name = "scripted"
    limits = BatchLimits(max_events=10, max_age=0.05)

    def __init__(self, answer=None):
        super().__init__(SinkConfig())
        self.answer = answer or (lambda batch: batch.all(DELIVERED))
        self.sent = []

    def map(self, event):
        return event.raw

    def send(self, batch):
        outcomes = self.answer(batch)
        self.sent += [p for p, outcome in zip(batch.payloads, outcomes, strict=True) if outcome == DELIVERED]
        return outcomes


class World:
    """Pipelines on the topic `t`."""

    def __init__(self, folder, config):
        self.state = State(folder / "bridge.db")
        self.letters = SqliteDeadLetters(self.state)
        self.journal = KafkaJournal(config, JournalContext(self.state, "test", ("rejects", "x")))

    def parts(self, **kwargs):
        settings = SimpleNamespace(shutdown=SimpleNamespace(grace=5.0))
        decoder = SharedDecoder(Decoder(Level.ENVELOPE))
        return Parts(settings, decoder, self.letters, lambda *_, **__: None, **{"until_idle": True, **kwargs})

    def pipeline(self, sink, parts=None, **host):
        host = {"retry": QUICK, "dedup": DedupSettings(window=0), **host}
        settings = SinkSettings(id="x", type=sink.name, config=sink.config, **host)
        reader_of = lambda wake: self.journal.reader("x", "earliest", wake)  # noqa: E731 - it is passed on
        return sink_pipeline(parts or self.parts(), sink, settings, "test 1", reader_of)

    def run(self, sink, **host):
        pipeline = self.pipeline(sink, **host)
        pipeline.run()
        assert pipeline.failure is None
        assert pipeline.snapshot.counts.conserved
        return pipeline.snapshot


@pytest.fixture
def world(tmp_path, make_config):
    world = World(tmp_path, make_config("t", group_protocol="consumer"))
    yield world
    world.state.close()


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def started(pipeline):
    thread = threading.Thread(target=pipeline.run, name="x", daemon=True)
    thread.start()
    return thread


def wait_for(true, seconds=15):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_everything_is_delivered_once_and_committed(cluster, produce, make_raw, world, committed):
    cluster.topic("t", 3)
    values = [make_raw(n) for n in range(600)]
    produce("t", values, partitions=3)
    sink = Scripted()
    assert world.run(sink).counts.delivered == 600
    assert sorted(sink.sent) == sorted(values)
    assert committed("test.x", partitions=3) == {0: 200, 1: 200, 2: 200}
    again = Scripted()
    assert world.run(again).counts.read == 0


def test_answers_in_any_order_never_commit_past_one_that_is_missing(
    cluster, produce, make_raw, world, committed
):
    cluster.topic("t", 1)
    values = [make_raw(n) for n in range(100)]
    produce("t", values[:50])
    held = threading.Event()

    def answer(batch):
        if values[20] in batch.payloads and not held.is_set():
            raise TransientError("not now")
        return batch.all(DELIVERED)

    sink = Scripted(answer)
    pipeline = world.pipeline(sink, world.parts(until_idle=False))
    thread = started(pipeline)
    wait_for(lambda: len(sink.sent) == 40)
    produce("t", values[50:])
    wait_for(lambda: len(sink.sent) == 90)
    time.sleep(1.2)  # longer than a pipeline waits to commit
    assert committed("test.x").get(0, 0) <= 20
    held.set()
    wait_for(lambda: len(sink.sent) == 100)
    pipeline.stop()
    thread.join(10)
    assert committed("test.x") == {0: 100}


def test_envelopes_single_events_and_broken_records_are_told_apart(cluster, produce, make_raw, world):
    cluster.topic("t", 1)
    events = [make_raw(n) for n in range(30)]
    envelope = b'{"id":"api.sunbird.telemetry","ets":1,"events":[' + b",".join(events[:20]) + b"]}"
    produce("t", [envelope, *events[20:], b"{broken"])
    sink = Scripted()
    parts = world.parts()
    rejects = rejects_pipeline(parts, world.journal)
    rejects.run()
    counts = world.run(sink).counts
    assert sorted(sink.sent) == sorted(events)
    assert (counts.read, counts.delivered, counts.invalid) == (31, 30, 1)
    (letter,) = world.letters.find(Filter())
    assert (letter.sink, letter.stream, letter.position, letter.payload) == (
        "rejects",
        "t[0]",
        11,
        b"{broken",
    )


def test_a_blocked_destination_bounds_memory_and_keeps_the_membership(cluster, produce, make_raw, world):
    cluster.topic("t", 2)
    values = [make_raw(n, size=2_000) for n in range(1_500)]
    produce("t", values, partitions=2)
    release = threading.Event()

    def answer(batch):
        release.wait(30)
        return batch.all(DELIVERED)

    sink = Scripted(answer)
    pipeline = world.pipeline(sink, max_buffer_bytes=65_536, max_in_flight=1)
    thread = started(pipeline)
    wait_for(lambda: pipeline._reader._paused)
    assert pipeline.snapshot.held_bytes <= 65_536 + 2 * 1024 * 1024  # a page, and its events decoded
    release.set()
    thread.join(30)
    assert pipeline.failure is None
    assert Counter(sink.sent) == Counter(values)


def test_what_a_partition_takes_with_it_is_accounted_for(
    cluster, produce, make_raw, world, open_reader, patience
):
    """A batch in flight holds events of a partition that goes and of one that stays."""
    cluster.topic("t", 2)
    values = [make_raw(n) for n in range(40)]
    produce("t", values, partitions=2)
    release = threading.Event()

    def answer(batch):
        release.wait(30)
        return [
            Reject("odd", "number 1 is refused") if b'"LOG:1"' in p else DELIVERED for p in batch.payloads
        ]

    sink = Scripted(answer)
    sink.limits = BatchLimits(max_events=40, max_age=0.3)
    pipeline = world.pipeline(sink, world.parts(until_idle=False))
    thread = started(pipeline)
    wait_for(lambda: pipeline.snapshot.in_flight == 1)
    other = open_reader("t", group_protocol="consumer")
    patience.take(other, 20)
    release.set()
    wait_for(lambda: len(sink.sent) >= 38)
    pipeline.stop()
    thread.join(10)
    counts = pipeline.snapshot.counts
    assert counts.conserved
    assert (counts.read, counts.returned, counts.outstanding) == (40, 20, 0)
    assert counts.delivered + counts.dead_lettered == 20


def test_what_is_on_its_way_is_settled_before_a_partition_is_handed_over(
    cluster, produce, make_raw, world, open_reader, patience
):
    cluster.topic("t", 2)
    values = [make_raw(n) for n in range(420)]
    produce("t", values[:400], partitions=2)

    def answer(batch):
        time.sleep(0.05)
        return batch.all(DELIVERED)

    sink = Scripted(answer)
    pipeline = world.pipeline(sink, world.parts(until_idle=False))
    thread = started(pipeline)
    wait_for(lambda: sink.sent and pipeline.snapshot.counts.read == 400)  # so none of them is the other's
    other = open_reader("t", group_protocol="consumer")
    patience.until(lambda _: len(other._places) == 1, other)
    produce("t", values[400:], partitions=2)
    payloads, _ = patience.take(other, 10)
    wait_for(lambda: len(sink.sent) == 410)
    pipeline.stop()
    thread.join(10)
    assert sorted(payloads + sink.sent) == sorted(values)
    assert pipeline.snapshot.counts.conserved


def start_member(cluster, out, *mode, faults=0.3):
    command = [sys.executable, str(MEMBER), cluster.brokers, "t", "consumer", str(out), str(faults), *mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def lines(out):
    lines = out.read_bytes().splitlines() if out.exists() else []
    return [line for line in lines if line.endswith(b"}}")]  # a kill may cut a line short


def test_killed_again_and_again_nothing_is_lost_and_repetitions_are_the_same_bytes(
    cluster, produce, make_raw, tmp_path, committed
):
    cluster.topic("t", 4)
    cluster.forget_the_dead_after(1_000)
    values = [make_raw(n) for n in range(3_200)]
    out = tmp_path / "out"
    chance = random.Random(7)
    for begin in range(0, 3_200, 800):
        produce("t", values[begin : begin + 800], partitions=4)
        member = start_member(cluster, out)
        before = len(lines(out))
        wait_for(lambda before=before: len(lines(out)) > before + 100, seconds=30)
        time.sleep(chance.uniform(0.0, 0.3))
        member.send_signal(signal.SIGKILL)
        member.wait(10)
        member.stdout.close()
    for _ in range(6):  # the group keeps the partitions of the dead for a while
        member = start_member(cluster, out, "until-idle")
        told, _ = member.communicate(timeout=60)
        assert member.returncode == 0
        assert told.split()[2] == b"True"
        if sum(committed("t.x", partitions=4).values()) == 3_200:
            break
    assert sum(committed("t.x", partitions=4).values()) == 3_200
    assert set(lines(out)) == set(values)


def test_members_come_and_go_and_a_clean_stop_repeats_nothing(
    cluster, produce, make_raw, tmp_path, committed
):
    cluster.topic("t", 4)
    values = [make_raw(n) for n in range(400)]
    produce("t", values, partitions=4)
    out = tmp_path / "out"
    for begin in (400, 800):
        member = start_member(cluster, out, faults=0)
        wait_for(lambda begin=begin: len(lines(out)) >= begin, seconds=30)
        member.send_signal(signal.SIGTERM)
        told, _ = member.communicate(timeout=30)
        assert told.split() == [b"400", b"400", b"True"]
        produce("t", [make_raw(n) for n in range(begin, begin + 400)], partitions=4)
    assert all(json.loads(line)["mid"] for line in lines(out))
    assert max(Counter(lines(out)).values()) == 1
    assert sum(committed("t.x", partitions=4).values()) == 800
