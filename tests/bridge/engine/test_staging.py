"""Stages between decoding and mapping: what comes out, what is counted, and who is at fault."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configuration.routes import RouteSettings
from bridge.deadletters import Filter, SqliteDeadLetters
from bridge.engine.assembly import Parts, rejects_pipeline, sink_pipeline
from bridge.engine.routing import Router
from bridge.engine.sharing import SharedDecoder
from bridge.engine.staging import Chain, Link
from bridge.errors import EventError
from bridge.events import rewrite
from bridge.journals.base import JournalContext
from bridge.journals.file import FileJournal, FileJournalConfig
from bridge.settings import BatchSettings, RetrySettings, SinkSettings
from bridge.sinks import DELIVERED, ObjectSink, Pack, Reject, Sink, SinkConfig
from bridge.stages.base import Stage, StageConfig
from bridge.state import State
from bridge.validation import Decoded, Decoder, Level

DECODER = Decoder(Level.ENVELOPE)
QUICK = RetrySettings(min=0.001, max=0.002, probe_min=0.01, probe_max=0.02)


class Scripted(Stage):
    """Does with an event what `do` says; every event is asked for once by `apply`."""

    name = "scripted"

    def __init__(self, do):
        super().__init__(StageConfig())
        self.do = do

    def apply(self, event):
        return self.do(event)


def chain_of(*steps, **route):
    links = [
        Link(f"s{n}", Scripted(do), Router(RouteSettings.model_validate(route))) for n, do in enumerate(steps)
    ]
    return Chain(links)


def told(event):
    return rewrite(event, {**event.document, "tags": ["seen"]})


def thrice(event):
    return [rewrite(event, {**event.document, "mid": f"{event.mid}-{n}"}) for n in range(3)]


def refuse(event):
    raise EventError("no_way", "it cannot be", "$.edata")


def crash(event):
    raise KeyError("private data")


@pytest.fixture
def decoded(make_raw):
    def make(*eids):
        return DECODER.batch([make_raw(n, eid=eid) for n, eid in enumerate(eids)])

    return make


def test_a_chain_of_no_stages_changes_nothing(decoded):
    found = decoded("A", "B")
    assert Chain().run(found) is found


def test_a_stage_that_changes_nothing_leaves_the_very_same_events(decoded):
    found = decoded("A", "B")
    out = chain_of(lambda event: event).run(found)
    assert all(new is old for new, old in zip(out.events, found.events, strict=True))
    assert (out.count, out.dropped, out.derived, out.invalid) == (2, 0, 0, [])


def test_a_changed_event_carries_its_bytes_of_before_and_when_it_was_received(decoded):
    found = decoded("A")
    (event,) = found.events
    event.received = 17
    (new,) = chain_of(told, told).run(found).events
    assert json.loads(new.raw)["tags"] == ["seen"]
    assert (new.tags, new.received, new.original, new.source) == (["seen"], 17, event.raw, event.raw)
    assert event.source is event.raw
    assert "original" not in new.document


def test_an_event_can_be_left_out_and_become_several(decoded):
    def do(event):
        return {"A": None, "B": [], "C": thrice(event), "D": event}[event.eid]

    out = chain_of(do).run(decoded("A", "B", "C", "D"))
    assert [event.mid for event in out.events] == ["C:2-0", "C:2-1", "C:2-2", "D:3"]
    assert out.origins == [2, 2, 2, 3]
    assert (out.dropped, out.derived, out.count) == (2, 2, 4)


def test_only_the_events_a_route_names_reach_a_stage(decoded):
    out = chain_of(told, eids=["A*"], exclude={"eids": ["AB"]}).run(decoded("A", "AB", "B", "AC"))
    assert [event.tags for event in out.events] == [["seen"], None, None, ["seen"]]


def test_stages_run_one_after_the_other(decoded):
    out = chain_of(thrice, lambda event: None if event.mid.endswith("-1") else event, told).run(decoded("A"))
    assert [(event.mid, event.tags) for event in out.events] == [("A:0-0", ["seen"]), ("A:0-2", ["seen"])]
    assert (out.dropped, out.derived, out.count) == (1, 2, 1)


def test_what_a_stage_refuses_is_invalid_under_its_own_bytes(decoded):
    found = decoded("A", "B")
    out = chain_of(told, lambda event: refuse(event) if event.eid == "A" else event).run(found)
    (bad,) = out.invalid
    assert (bad.index, bad.code, bad.path, bad.step) == (0, "no_way", "$.edata", "stage")
    assert bad.reason == "stage s1: it cannot be"
    assert (bad.raw, bad.eid, bad.mid) == (found.events[0].raw, "A", "A:0")
    assert [event.eid for event in out.events] == ["B"]


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (crash, "failed with KeyError"),
        (lambda event: {"eid": "A"}, "returned dict, not an Event"),
        (lambda event: [event, 3], "returned int, not an Event"),
        (lambda event: rewrite(event, {"eid": "A"}), "stage s0: "),
        (lambda event: rewrite(event, {**event.document, "edata": object()}), "what JSON knows"),
    ],
)
def test_a_broken_stage_costs_the_event_alone_and_quotes_nothing(decoded, do, reason):
    out = chain_of(lambda event: do(event) if event.eid == "A" else event).run(decoded("A", "B"))
    (bad,) = out.invalid
    assert reason in bad.reason
    assert "private" not in bad.reason
    assert [event.eid for event in out.events] == ["B"]
    assert out.count == 2


class Short(Scripted):
    def apply_batch(self, events):
        return events[:-1]


class Crashing(Scripted):
    def apply_batch(self, events):
        raise MemoryError


@pytest.mark.parametrize("kind", [Short, Crashing])
def test_a_broken_batch_is_done_one_by_one(decoded, kind):
    link = Link("s", kind(told), Router(RouteSettings()))
    assert [event.tags for event in Chain([link]).run(decoded("A", "B")).events] == [["seen"]] * 2


@given(st.lists(st.lists(st.sampled_from(["keep", "drop", "thrice", "refuse", "crash"])), max_size=4))
def test_every_event_is_accounted_for_whatever_stages_do(scripts):
    acts = {
        "keep": lambda e: e,
        "drop": lambda e: None,
        "thrice": thrice,
        "refuse": refuse,
        "crash": crash,
    }

    def step(script):
        return lambda event: acts[script[event.identity[0] % len(script)]](event) if script else event

    raws = [
        json.dumps({"eid": "A", "ets": 1, "mid": f"m{n}", "actor": {"id": "u"}, "context": {}}).encode()
        for n in range(8)
    ]
    found = DECODER.batch(raws)
    out = chain_of(*map(step, scripts)).run(found)
    assert out.count == len(raws)
    origins = out.origins if out.origins is not None else list(range(len(out.events)))
    assert origins == sorted(origins)
    assert len(origins) == len(out.events)
    assert all(new.source in raws for new in out.events)


class Tray(Sink):
    """Keeps what it is sent, and refuses what `no` names."""

    name = "tray"

    def __init__(self, no=()):
        super().__init__(SinkConfig())
        self.no = no
        self.sent = []

    def map(self, event):
        return event.raw

    def send(self, batch):
        outcomes = [
            Reject("unwanted", "not here") if event.mid in self.no else DELIVERED for event in batch.events
        ]
        self.sent += [
            payload for payload, outcome in zip(batch.payloads, outcomes, strict=True) if outcome is DELIVERED
        ]
        return outcomes


class Crates(ObjectSink):
    """Keeps objects of a few lines each."""

    name = "crates"

    def __init__(self):
        super().__init__(SinkConfig())
        self.objects = []

    def map(self, event):
        return event.raw

    def pack(self, events, lines):
        return [Pack("all", len(lines), b"".join(line + b"\n" for line in lines))]

    def send(self, batch):
        self.objects.append((batch.spans[0], b"".join(pack.data for pack in batch.payloads)))
        return batch.all(DELIVERED)


class World:
    def __init__(self, folder):
        self.folder = folder
        self.state = State(folder / "bridge.db")
        self.letters = SqliteDeadLetters(self.state)

    def run(self, records, sink=None, shared=(), own=(), **host):
        path = self.folder / "events.jsonl"
        path.write_bytes(b"\n".join(records) + b"\n")
        context = JournalContext(self.state, "test", ("rejects", "x"))
        journal = FileJournal(FileJournalConfig(path=str(path)), context)
        decoder = SharedDecoder(DECODER, chain=chain_of(*shared))
        stages = SimpleNamespace(of=lambda _: chain_of(*own))
        settings = SimpleNamespace(shutdown=SimpleNamespace(grace=5.0))
        parts = Parts(settings, decoder, self.letters, lambda *_, **__: None, stages=stages, until_idle=True)
        if sink is None:
            pipeline = rejects_pipeline(parts, journal)
        else:
            chosen = SinkSettings(id="x", type=sink.name, config=sink.config, retry=QUICK, **host)
            reader_of = lambda wake: journal.reader("x", "earliest", wake)  # noqa: E731
            pipeline = sink_pipeline(parts, sink, chosen, "test 1", reader_of)
        pipeline.run()
        assert pipeline.failure is None
        counts = pipeline.snapshot.counts
        assert counts.conserved
        return counts

    def found(self, sink):
        return list(self.letters.find(Filter(sink=sink)))


@pytest.fixture
def world(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    world = World(tmp_path)
    yield world
    world.state.close()


def test_a_stage_for_all_sinks_fails_once_for_all_of_them(world, make_raw):
    records = [make_raw(0, eid="A"), make_raw(1, eid="B")]
    shared = [lambda event: refuse(event) if event.eid == "A" else thrice(event)]
    sink = Tray()
    counts = world.run(records, sink, shared=shared)
    assert (counts.read, counts.derived, counts.delivered, counts.invalid) == (2, 2, 3, 1)
    assert world.found("x") == []
    counts = world.run(records, shared=shared)
    assert (counts.read, counts.derived, counts.filtered, counts.dead_lettered) == (2, 2, 3, 1)
    (letter,) = world.found("rejects")
    assert (letter.stage, letter.code, letter.payload) == ("stage", "no_way", records[0])


def test_a_stage_for_some_sinks_fails_for_these_alone(world, make_raw):
    records = [make_raw(0, eid="A"), make_raw(1, eid="B"), make_raw(2, eid="C"), b"{broken"]
    own = [lambda event: {"A": refuse, "B": told, "C": lambda _: None}[event.eid](event)]
    sink = Tray()
    counts = world.run(records, sink, own=own)
    assert (counts.read, counts.delivered, counts.filtered, counts.invalid) == (4, 1, 1, 1)
    assert counts.dead_lettered == 1
    assert [json.loads(payload)["tags"] for payload in sink.sent] == [["seen"]]
    (letter,) = world.found("x")
    assert (letter.stage, letter.payload) == ("stage", records[0])


def test_what_a_destination_refuses_is_kept_with_the_bytes_of_the_journal(world, make_raw):
    sink = Tray(no={"A:0-1"})
    counts = world.run([make_raw(0, eid="A")], sink, shared=[thrice], own=[told])
    assert (counts.delivered, counts.dead_lettered, counts.derived) == (2, 1, 2)
    (letter,) = world.found("x")
    assert (letter.stage, letter.mid, letter.payload) == ("deliver", "A:0-1", make_raw(0, eid="A"))


def test_an_object_is_never_cut_inside_the_events_made_of_one(world, make_raw):
    records = [make_raw(n, eid="A") for n in range(10)]
    sink = Crates()
    counts = world.run(records, sink, shared=[thrice], batch=BatchSettings(max_events=4))
    assert (counts.read, counts.derived, counts.delivered) == (10, 20, 30)
    assert sum(span.count for span, _ in sink.objects) == 30
    for span, body in sink.objects:
        mids = [json.loads(line)["mid"] for line in body.splitlines()]
        assert len(mids) == span.count
        assert len(mids) % 3 == 0, "the three events of one record belong into one object"
    ends = [span.end for span, _ in sink.objects]
    assert [span.start for span, _ in sink.objects][1:] == ends[:-1]


def test_what_is_left_out_is_counted_and_settled(world, make_raw):
    records = [make_raw(n, eid="A") for n in range(50)]
    sink = Tray()
    counts = world.run(records, sink, shared=[lambda event: None])
    assert (counts.read, counts.filtered, counts.outstanding) == (50, 50, 0)
    assert world.run(records, Tray()).read == 0


def test_decoded_counts_what_was_read(decoded):
    found = decoded("A", "B")
    assert Decoded(found.events, None, [], dropped=3, derived=1).count == 4
