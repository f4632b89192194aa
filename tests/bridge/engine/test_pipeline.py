"""A whole pipeline over a real journal, with a sink that answers as told."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace

import pytest

from bridge.deadletters import Filter, SqliteDeadLetters
from bridge.engine.assembly import Parts, rejects_pipeline, sink_pipeline
from bridge.engine.sharing import SharedDecoder
from bridge.errors import EventError, RecutError, RejectedError, SetupError, TransientError
from bridge.journals.base import JournalContext
from bridge.journals.file import FileJournal, FileJournalConfig
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.settings import BatchSettings, DedupSettings, RejectLimits, RetrySettings, SinkSettings
from bridge.sinks import DELIVERED, BatchLimits, ObjectSink, Pack, Reject, Retry, Sink, SinkConfig
from bridge.state import State, StateFullError
from bridge.validation import Decoder, Level

QUICK = RetrySettings(min=0.001, max=0.002, probe_min=0.01, probe_max=0.02)


class Scripted(Sink):
    """Records what it is sent; `answer(batch)` decides, by default everything is delivered."""

    name = "scripted"
    limits = BatchLimits(max_events=10, max_age=0.05)

    def __init__(self, answer=None):
        super().__init__(SinkConfig())
        self.answer = answer or (lambda batch: batch.all(DELIVERED))
        self.sent = []
        self.opened = 0

    def __enter__(self):
        self.opened += 1
        return self

    def map(self, event):
        if event.eid == "DECLINE":
            return None
        if event.eid == "POISON":
            raise EventError("no_way", "it cannot be said", "$.edata")
        if event.eid == "CRASH":
            raise KeyError("private data")
        return event.raw

    def send(self, batch):
        outcomes = self.answer(batch)
        self.sent += [
            payload for payload, outcome in zip(batch.payloads, outcomes, strict=True) if outcome == DELIVERED
        ]
        return outcomes


class World:
    """A state file, a journal, and pipelines on it."""

    def __init__(self, folder):
        self.folder = folder
        self.state = State(folder / "bridge.db")
        self.letters = SqliteDeadLetters(self.state)
        self.notes = []

    def journal(self, records):
        path = self.folder / "events.jsonl"
        path.write_bytes(b"\n".join(records) + b"\n")
        return FileJournal(FileJournalConfig(path=str(path)), self.context())

    def context(self):
        return JournalContext(self.state, "test", ("rejects", "x"))

    def parts(self, **kwargs):
        settings = SimpleNamespace(shutdown=SimpleNamespace(grace=5.0))
        decoder = SharedDecoder(Decoder(Level.ENVELOPE))
        return Parts(settings, decoder, self.letters, self.note, **{"until_idle": True, **kwargs})

    def note(self, hook, **facts):
        self.notes.append((hook, facts))

    def pipeline(self, sink, journal, parts=None, **host):
        host = {"retry": QUICK, "dedup": DedupSettings(window=1_000), **host}
        settings = SinkSettings(id="x", type=sink.name, config=sink.config, **host)
        return sink_pipeline(
            parts or self.parts(),
            sink,
            settings,
            "test 1",
            lambda wake: journal.reader("x", "earliest", wake),
        )

    def run(self, sink, records, **host):
        pipeline = self.pipeline(sink, self.journal(records), **host)
        pipeline.run()
        assert pipeline.failure is None
        assert pipeline.snapshot.counts.conserved
        return pipeline.snapshot

    def found(self, **chosen):
        return list(self.letters.find(Filter(**chosen)))


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.state.close()


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def test_everything_is_delivered_in_order_and_committed(world, make_raw):
    records = [make_raw(n) for n in range(35)]
    sink = Scripted()
    counts = world.run(sink, records, max_in_flight=1).counts
    assert sink.sent == records
    assert (counts.read, counts.delivered, counts.outstanding) == (35, 35, 0)
    again = Scripted()
    assert world.run(again, records).counts.read == 0
    assert again.sent == []


def test_every_event_is_accounted_for(world, make_raw):
    records = [make_raw(n) for n in range(10)]
    records += [
        records[3],
        b"{broken",
        make_raw(11, eid="DECLINE"),
        make_raw(12, eid="POISON"),
        make_raw(13, eid="CRASH"),
    ]
    counts = world.run(Scripted(), records).counts
    assert counts.read == 15
    assert (counts.delivered, counts.duplicate, counts.invalid) == (10, 1, 1)
    assert (counts.filtered, counts.dead_lettered, counts.outstanding) == (1, 2, 0)
    letters = {letter.code: letter for letter in world.found()}
    assert letters["no_way"].path == "$.edata"
    assert letters["no_way"].payload == records[13]
    assert letters["plugin_error"].stage == "map"
    assert "private" not in letters["plugin_error"].reason


def test_transient_failures_are_retried_until_delivered_with_the_same_bytes(world, make_raw):
    attempts = {}

    def answer(batch):
        key = batch.payloads[0]
        attempts.setdefault(key, []).append(list(batch.payloads))
        if len(attempts[key]) < 4:
            raise TransientError("connection reset")
        return batch.all(DELIVERED)

    counts = world.run(Scripted(answer), [make_raw(n) for n in range(30)]).counts
    assert counts.delivered == 30
    assert all(len(tries) == 4 and all(t == tries[0] for t in tries) for tries in attempts.values())


def test_a_busy_item_is_retried_alone(world, make_raw):
    sizes = []

    def answer(batch):
        sizes.append(len(batch))
        return [Retry("busy") if batch.attempt == 1 and i == 4 else DELIVERED for i in range(len(batch))]

    counts = world.run(Scripted(answer), [make_raw(n) for n in range(10)]).counts
    assert sizes == [10, 1]
    assert counts.delivered == 10


def test_one_poison_event_in_a_refused_batch_is_found_with_few_requests(world, make_raw):
    records = [make_raw(n) for n in range(1_000)]
    requests = []

    def answer(batch):
        requests.append(len(batch))
        if records[617] in batch.payloads:
            raise RejectedError("bad_request", "HTTP 400")
        return batch.all(DELIVERED)

    counts = world.run(Scripted(answer), records, batch=BatchSettings(max_events=1_000)).counts
    assert (counts.delivered, counts.dead_lettered) == (999, 1)
    assert len(requests) - 1 <= 2 * 10 + 1
    (letter,) = world.found(sink="x")
    assert (letter.payload, letter.code, letter.stage, letter.mid) == (
        records[617],
        "bad_request",
        "deliver",
        "LOG:617",
    )


def test_rejected_items_become_dead_letters_with_their_place_in_the_journal(world, make_raw):
    records = [make_raw(n) for n in range(10)]

    def answer(batch):
        return [
            Reject("mapping", "a date was expected") if b":7" in p and b"m7" in p else DELIVERED
            for p in batch.payloads
        ]

    world.run(Scripted(answer), records)
    (letter,) = world.found()
    assert letter.position == sum(len(record) + 1 for record in records[:7])
    assert letter.plugin == "test 1"
    assert ("bridge_dead_lettered", {"letter": letter}) in world.notes


def test_a_broken_setup_holds_everything_dead_letters_nothing_and_recovers(world, make_raw):
    calls = []

    def answer(batch):
        calls.append(batch.attempt)
        if len(calls) < 8:
            raise SetupError("HTTP 401")
        return batch.all(DELIVERED)

    counts = world.run(Scripted(answer), [make_raw(n) for n in range(60)]).counts
    assert (counts.delivered, counts.dead_lettered) == (60, 0)
    assert world.found() == []


def test_a_destination_that_refuses_everything_is_held_not_drained_into_dead_letters(world, make_raw):
    broken = threading.Event()

    def answer(batch):
        if broken.is_set():
            return batch.all(DELIVERED)
        return batch.all(Reject("mapping", "no such field"))

    pipeline = world.pipeline(
        Scripted(answer), world.journal([make_raw(n) for n in range(500)]), rejects=RejectLimits()
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    while pipeline.snapshot.state != "setup":
        thread.join(0.01)
    assert "too many events are refused" in pipeline.snapshot.reason
    assert len(world.found()) <= 100
    broken.set()
    thread.join(20)
    counts = pipeline.snapshot.counts
    assert counts.dead_lettered <= 100
    assert counts.delivered == 500 - counts.dead_lettered
    assert counts.conserved


def test_a_sink_of_one_at_a_time_keeps_its_order_through_a_hold(world, make_raw):
    taken, refusals = [], []

    def answer(batch):
        if len(refusals) < 13:
            refusals.append(batch)
            return batch.all(Reject("mapping", "no such field"))
        taken.extend(batch.payloads)
        return batch.all(DELIVERED)

    records = [make_raw(n) for n in range(500)]
    limits = RejectLimits(max_consecutive=100)
    counts = world.run(Scripted(answer), records, rejects=limits, max_in_flight=1).counts
    assert 0 < counts.dead_lettered <= 100
    assert len(refusals) == 13
    assert taken == records[counts.dead_lettered :]


def test_a_plugin_that_always_fails_ends_in_dead_letters_after_a_few_tries(world, make_raw):
    def answer(batch):
        if b"m3" in b"".join(batch.payloads):
            raise ZeroDivisionError
        return batch.all(DELIVERED)

    counts = world.run(Scripted(answer), [make_raw(n) for n in range(10)]).counts
    assert (counts.delivered, counts.dead_lettered) == (9, 1)
    assert world.found()[0].code == "plugin_error"


def test_the_cursor_waits_until_dead_letters_can_be_written(world, make_raw):
    failures = iter([StateFullError("the disk is full")] * 3)
    real = world.letters.write

    def write(letters):
        for failure in failures:
            raise failure
        real(letters)

    world.letters.write = write
    counts = world.run(Scripted(), [make_raw(1), make_raw(2, eid="POISON")]).counts
    assert counts.dead_lettered == 1
    assert len(world.found()) == 1


def test_a_stop_while_dead_letters_cannot_be_written_loses_nothing(world, make_raw):
    records = [make_raw(1), make_raw(2, eid="POISON"), make_raw(3)]
    real = world.letters.write

    def write(letters):
        raise StateFullError("the disk is full")

    world.letters.write = write
    pipeline = world.pipeline(Scripted(), world.journal(records))
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    while pipeline.snapshot.state != "blocked":
        thread.join(0.01)
    assert pipeline.snapshot.counts.conserved
    pipeline.stop()
    thread.join(10)
    assert pipeline.snapshot.counts.conserved
    world.letters.write = real
    counts = world.run(Scripted(), records).counts
    assert (counts.read, counts.delivered, counts.dead_lettered) == (3, 2, 1)


def test_a_sink_that_cannot_be_opened_is_tried_again(world, make_raw):
    class Late(Scripted):
        def __enter__(self):
            super().__enter__()
            if self.opened < 3:
                raise SetupError("the host name does not exist")
            return self

    sink = Late()
    assert world.run(sink, [make_raw(1)]).counts.delivered == 1
    assert sink.opened == 3


def test_memory_is_bounded_while_the_destination_hangs(world, make_raw):
    release = threading.Event()

    def answer(batch):
        release.wait(30)
        return batch.all(DELIVERED)

    records = [make_raw(n, filler="x" * 2_000) for n in range(2_000)]
    pipeline = world.pipeline(
        Scripted(answer),
        world.journal(records),
        max_buffer_bytes=65_536,
        batch=BatchSettings(max_bytes=20_000),
    )
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    thread.join(1.0)
    page = 2.5 * 1024 * 1024  # 1 MiB of text, as events
    assert 0 < pipeline.snapshot.held_bytes <= 65_536 + page
    assert pipeline.snapshot.counts.read < 2_000
    release.set()
    thread.join(20)
    assert pipeline.snapshot.counts.delivered == 2_000


def test_a_stop_drains_what_is_in_flight_and_commits_it(world, make_raw):
    started, release = threading.Event(), threading.Event()

    def answer(batch):
        started.set()
        release.wait(10)
        return batch.all(DELIVERED)

    records = [make_raw(n) for n in range(40)]
    first = Scripted(answer)
    pipeline = world.pipeline(first, world.journal(records), parts=world.parts(until_idle=False))
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    started.wait(5)
    pipeline.stop()
    release.set()
    thread.join(10)
    assert pipeline.snapshot.state == "stopped"
    second = Scripted()
    world.run(second, records)
    assert sorted(first.sent + second.sent) == sorted(records)


def test_new_events_in_the_embedded_journal_wake_the_pipeline(world, make_raw):
    journal = SqliteJournal(SqliteJournalConfig(), world.context())
    sink = Scripted()
    pipeline = world.pipeline(sink, journal, parts=world.parts(until_idle=False))
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    records = [make_raw(n) for n in range(25)]
    journal.append(records[:5], "test")
    journal.append(records[5:], "test")
    for _ in range(500):
        if len(sink.sent) == 25:
            break
        thread.join(0.01)
    pipeline.stop()
    thread.join(10)
    assert sorted(sink.sent) == sorted(records)
    assert pipeline.snapshot.counts.conserved


def test_invalid_events_are_dead_lettered_once_by_their_own_pipeline(world, make_raw):
    bad = b'{"eid":"LOG","mid":"m","ets":"yesterday"}'
    journal = world.journal([make_raw(1), bad, make_raw(2)])
    parts = world.parts()
    pipelines = [rejects_pipeline(parts, journal), world.pipeline(Scripted(), journal, parts=parts)]
    for pipeline in pipelines:
        pipeline.run()
        assert pipeline.snapshot.counts.conserved
    (letter,) = world.found()
    assert (letter.sink, letter.payload, letter.stage, letter.path) == ("rejects", bad, "validate", "$.ets")
    assert pipelines[0].snapshot.counts.dead_lettered == 1
    assert pipelines[1].snapshot.counts.invalid == 1


class Objects(ObjectSink):
    """Writes objects into a dict; `plans` are ends that another owner fixed before."""

    name = "objects"
    limits = BatchLimits(max_events=10, max_age=300.0)
    max_in_flight = 1

    def __init__(self, plans=None):
        super().__init__(SinkConfig())
        self.plans = dict(plans or {})
        self.objects = {}

    def map(self, event):
        return event.raw

    def pack(self, events, lines):
        return [Pack("", len(lines), b"\n".join(lines))] if lines else []

    def send(self, batch):
        (span,) = batch.spans
        if self.plans.setdefault(span.start, span.end) != span.end:
            raise RecutError(self.plans[span.start])
        self.objects[span.start, span.end] = b"\n".join(pack.data for pack in batch.payloads)
        return batch.all(DELIVERED)


def test_objects_are_contiguous_and_complete(world, make_raw):
    records = [make_raw(n) for n in range(35)]
    sink = Objects()
    assert world.run(sink, records).counts.delivered == 35
    spans = sorted(sink.objects)
    assert [a[1] for a in spans[:-1]] == [b[0] for b in spans[1:]]
    assert b"\n".join(sink.objects[span] for span in spans).split(b"\n") == records


def test_a_range_planned_by_another_owner_is_cut_where_that_plan_ends(world, make_raw):
    records = [make_raw(n) for n in range(25)]
    sizes = [len(record) + 1 for record in records]
    planned = {0: sum(sizes[:4]), sum(sizes[:14]): sum(sizes[:16])}
    sink = Objects(planned)
    counts = world.run(sink, records).counts
    assert counts.delivered == 25
    assert (0, sum(sizes[:4])) in sink.objects
    assert (sum(sizes[:14]), sum(sizes[:16])) in sink.objects
    spans = sorted(sink.objects)
    assert [a[1] for a in spans[:-1]] == [b[0] for b in spans[1:]]
    assert b"\n".join(sink.objects[span] for span in spans).split(b"\n") == records


def test_a_recut_from_a_sink_without_objects_breaks_that_pipeline_only(world, make_raw):
    def answer(batch):
        raise RecutError(7)

    pipeline = world.pipeline(Scripted(answer), world.journal([make_raw(1)]))
    pipeline.run()
    assert pipeline.snapshot.state == "failed"
    assert "RecutError" in str(pipeline.failure)


@pytest.mark.parametrize(("kind", "share"), [(Scripted, 4), (Objects, 1)])
def test_only_a_destination_that_should_be_taking_gets_less_memory(world, make_raw, kind, share):
    limits = BatchSettings(max_bytes=1_000)
    pipeline = world.pipeline(kind(), world.journal([make_raw(1)]), batch=limits, max_buffer_bytes=1_000_000)
    assert pipeline._allowance() == 1_000_000 // share
    pipeline._settler.rate.add(10, time.monotonic())
    assert pipeline._allowance() == 1_000_000
    pipeline.run()
