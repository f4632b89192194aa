"""Objects grow over contiguous ranges, and their content depends on the range alone."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine import packing
from bridge.engine.mapping import Mapped
from bridge.engine.packing import Packer
from bridge.engine.progress import Progress
from bridge.journals.base import Page
from bridge.sinks import DELIVERED, BatchLimits, ObjectSink, Pack, SinkConfig


class Joined(ObjectSink):
    """Packs by joining lines, so that a test can see where runs were cut."""

    name = "joined"

    def map(self, event):
        return event.raw

    def pack(self, events, lines):
        return [Pack("", len(lines), b"|".join(lines))] if lines else []

    def send(self, batch):
        return batch.all(DELIVERED)


class Fake:
    ets = 0.0
    eid = "E"
    digest = None
    actor = context = SimpleNamespace(id="", did="")

    def __init__(self, n):
        self.raw = b"%05d" % n
        self.mid = str(n)


def make_page(first, records, stream="s"):
    """Records at positions 10, 20, …; `records` are lists of event numbers, envelopes may hold several."""
    afters = [first + 10 * (i + 1) for i in range(len(records))]
    payloads = [b"x"] * len(records)
    page = Page(stream, first, afters[-1], payloads, len(records), afters)
    events = [Fake(n) for record in records for n in record]
    origins = [i for i, record in enumerate(records) for _ in record]
    return page, origins, events


def feed(packer, pages, now=0.0):
    closed = []
    for page, origins, events in pages:
        closed += packer.add(page, Mapped.of(events, origins, [event.raw for event in events]), now)
    return closed


def content(loads):
    return [b"|".join(pack.data for pack in load.payloads).split(b"|") for load in loads]


@pytest.fixture
def progress():
    return Progress()


def packer_of(progress, window=0, **limits):
    return Packer(Joined(SinkConfig()), BatchLimits(**limits), progress, window)


def test_an_object_covers_everything_between_its_ends_including_what_was_filtered(progress):
    packer = packer_of(progress, max_events=3)
    loads = feed(packer, [make_page(0, [[1], [], [2], [], [3], [], [4]])])
    assert [(load.span.start, load.span.end, load.span.count) for load in loads] == [(0, 60, 3)]
    (rest,) = packer.flush()
    assert (rest.span.start, rest.span.end) == (60, 70)


def test_a_record_with_several_events_is_never_cut(progress):
    packer = packer_of(progress, max_events=2)
    loads = feed(packer, [make_page(0, [[1], [2, 3, 4], [5]])]) + packer.flush()
    assert content(loads) == [[b"00001", b"00002", b"00003", b"00004"], [b"00005"]]
    assert [(load.span.start, load.span.end) for load in loads] == [(0, 20), (20, 30)]


def test_a_range_without_any_event_is_still_an_object_to_finish(progress):
    packer = packer_of(progress)
    feed(packer, [make_page(0, [[], []])])
    (load,) = packer.flush()
    assert (load.count, load.payloads, load.span.end) == (0, [], 20)
    assert progress.take() == {}
    load.settle(progress)
    assert progress.take() == {"s": 20}


def test_the_cursor_stands_only_at_ends_of_objects(progress):
    packer = packer_of(progress, max_events=2)
    first, second = feed(packer, [make_page(0, [[1], [2], [3], [4], [5]])])
    second.settle(progress)
    assert progress.take() == {}
    first.settle(progress)
    assert progress.take() == {"s": 40}


def test_an_object_closes_at_its_age_without_new_data(progress):
    packer = packer_of(progress, max_age=300.0)
    feed(packer, [make_page(0, [[1]])], now=50.0)
    assert packer.closes_at == 350.0
    assert packer.due(349.0) == []
    assert len(packer.due(350.0)) == 1
    assert packer.closes_at is None


def test_a_cut_ends_the_object_exactly_there(progress):
    for cut in (10, 20, 30, 40, 50):
        packer = packer_of(progress)
        packer.cuts["s"] = cut
        loads = feed(packer, [make_page(0, [[1], [], [2]]), make_page(30, [[3], [4]])])
        assert loads[0].span.end == cut
        assert sum(load.count for load in loads + packer.flush()) == 4


def test_an_object_on_its_way_to_a_planned_end_is_not_too_old_while_it_grows(progress):
    packer = packer_of(progress, max_age=300.0)
    packer.cuts["s"] = 60
    feed(packer, [make_page(0, [[1], [2]])], now=50.0)
    feed(packer, [make_page(20, [[3], [4]])], now=340.0)
    assert packer.due(350.0) == []
    assert packer.closes_at == 640.0
    (load,) = feed(packer, [make_page(40, [[5], [6]])], now=630.0)
    assert (load.span.start, load.span.end) == (0, 60)
    feed(packer, [make_page(60, [[7]])], now=640.0)
    assert packer.closes_at == 940.0


def test_streams_grow_apart(progress):
    packer = packer_of(progress)
    feed(packer, [make_page(0, [[1]], "a"), make_page(0, [[2]], "b"), make_page(10, [[3]], "a")])
    assert sorted(content(packer.flush())) == [[b"00001", b"00003"], [b"00002"]]


def test_too_many_open_objects_close_the_oldest(progress):
    packer = packer_of(progress)
    loads = []
    for n in range(packing.MAX_OPEN + 3):
        loads += feed(packer, [make_page(0, [[n]], f"s{n}")], now=float(n))
    assert [load.span.stream for load in loads] == ["s0", "s1", "s2"]


def test_a_duplicate_within_an_object_is_dropped_and_counted(progress):
    packer = packer_of(progress, window=10)
    feed(packer, [make_page(0, [[1], [2], [1]])])
    assert content(packer.flush()) == [[b"00001", b"00002"]]
    assert packer.duplicates == 1


def first_object(records, bounds, max_events, window, cut=None):
    edges = sorted({0, len(records)} | {b for b in bounds if b < len(records)})
    pages = [make_page(10 * a, records[a:b]) for a, b in itertools.pairwise(edges) if a < b]
    progress = Progress()
    packer = packer_of(progress, window, max_events=max_events)
    if cut is not None:
        packer.cuts["s"] = cut
    packer._sink.pack_bytes = 12
    loads = feed(packer, pages) + packer.flush()
    for load in loads:
        load.settle(progress)
    assert progress.take() == {"s": 10 * len(records)}
    assert progress.outstanding == 0
    return [pack.data for pack in loads[0].payloads], loads[0].span


@given(
    records=st.lists(st.lists(st.integers(0, 40), max_size=3), min_size=1, max_size=30),
    bounds=st.tuples(*[st.sets(st.integers(1, 29), max_size=6)] * 2),
    max_events=st.integers(1, 9),
    window=st.sampled_from([0, 5]),
)
def test_the_same_range_gives_the_same_packs_however_the_journal_is_paged(
    records, bounds, max_events, window
):
    mine = first_object(records, bounds[0], max_events, window)
    assert first_object(records, bounds[1], max_events, window, cut=mine[1].end) == mine
