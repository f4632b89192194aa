"""Batches close by count, bytes and age, and remember where everything came from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.batching import Batcher
from bridge.engine.mapping import Mapped
from bridge.engine.progress import Progress
from bridge.journals.base import Page
from bridge.sinks import BatchLimits


class Fake:
    """An event is only passed along here."""

    raw = b"x"


def add(batcher, progress, sizes, now=0.0, start=0):
    payloads = [b"x" * size for size in sizes]
    page = Page(
        "s", start, start + len(sizes), payloads, sum(sizes), [start + i + 1 for i in range(len(sizes))]
    )
    ticket = progress.issue("s", 0, page.end)
    progress.add(ticket, len(sizes))
    closed = batcher.add(ticket, page, Mapped.of([Fake()] * len(sizes), range(len(sizes)), payloads), now)
    progress.seal(ticket)
    return closed


def test_a_batch_closes_at_its_count():
    closed = add(Batcher(BatchLimits(max_events=3)), Progress(), [1] * 7)
    assert [load.count for load in closed] == [3, 3]


def test_a_batch_closes_before_it_would_exceed_its_bytes():
    closed = add(Batcher(BatchLimits(max_bytes=10)), Progress(), [4, 4, 4, 9, 1])
    assert [[len(p) for p in load.payloads] for load in closed] == [[4, 4], [4], [9, 1]]


def test_a_payload_larger_than_the_limit_travels_alone():
    batcher = Batcher(BatchLimits(max_bytes=10))
    closed = add(batcher, Progress(), [3, 25, 3])
    assert [[len(p) for p in load.payloads] for load in closed] == [[3], [25]]
    assert [len(p) for p in batcher.flush()[0].payloads] == [3]


def test_a_batch_closes_at_its_age_counted_from_its_first_event():
    batcher = Batcher(BatchLimits(max_age=5.0))
    progress = Progress()
    add(batcher, progress, [1], now=100.0)
    add(batcher, progress, [1], now=104.0, start=1)
    assert batcher.closes_at == 105.0
    assert batcher.due(104.9) == []
    assert batcher.due(105.0)[0].count == 2
    assert batcher.closes_at is None


def test_a_batch_over_two_pages_settles_both():
    batcher, progress = Batcher(BatchLimits(max_events=4)), Progress()
    add(batcher, progress, [1, 1, 1])
    (load,) = add(batcher, progress, [1, 1, 1], start=3)
    load.settle(progress)
    assert progress.take() == {"s": 3}
    batcher.flush()[0].settle(progress)
    assert progress.take() == {"s": 6}


def test_spans_say_where_a_batch_was_read():
    batcher, progress = Batcher(BatchLimits(max_events=4)), Progress()
    add(batcher, progress, [1, 1, 1])
    (load,) = add(batcher, progress, [1, 1, 1], start=3)
    assert [(s.start, s.end, s.count) for s in load.spans()] == [(0, 3, 3), (3, 4, 1)]


@given(
    pages=st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=8),
    max_events=st.integers(1, 10),
    max_bytes=st.integers(1, 60),
)
def test_every_event_leaves_once_in_order_within_the_limits(pages, max_events, max_bytes):
    batcher, progress = Batcher(BatchLimits(max_events, max_bytes)), Progress()
    loads = []
    start = 0
    for sizes in pages:
        loads += add(batcher, progress, sizes, start=start)
        start += len(sizes)
    loads += batcher.flush()
    assert [len(p) for load in loads for p in load.payloads] == [size for page in pages for size in page]
    for load in loads:
        assert 0 < load.count <= max_events
        assert load.size == sum(map(len, load.payloads))
        assert load.size <= max_bytes or load.count == 1
        assert sum(len(s.origins) for s in load.segments) == load.count
    for load in loads:
        load.settle(progress)
    assert progress.outstanding == 0


@given(count=st.integers(1, 40), chosen=st.data())
def test_a_part_keeps_the_sources_of_its_events(count, chosen):
    batcher, progress = Batcher(BatchLimits(max_events=100)), Progress()
    half = count // 2
    add(batcher, progress, [1] * half)
    add(batcher, progress, [1] * (count - half), start=half)
    (load,) = batcher.flush()
    indexes = sorted(chosen.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    part = load.part(indexes)
    assert [part.source(i)[1] for i in range(part.count)] == indexes
    rest = load.part([i for i in range(count) if i not in set(indexes)])
    part.settle(progress)
    rest.settle(progress)
    assert progress.outstanding == 0
