"""Records are cut into pages that lose nothing, follow one another, and are the same for every reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.journals.kafka_pages import MAX_LOOSE, PAGE_BYTES, PAGE_RECORDS, Pager

runs = st.lists(
    st.tuples(st.integers(1, 700), st.one_of(st.none(), st.binary(max_size=5))), min_size=1, max_size=60
)


def columns(steps, first=0):
    """Offsets with gaps, values with tombstones, times."""
    offset, offsets, values = first, [], []
    for step, value in steps:
        offset += step
        offsets.append(offset)
        values.append(value)
    return offsets, values, [offset + 1 for offset in offsets]


def add(pager, run, position=0, stream="t[0]", pieces=(10**9,)):
    """Add a run in pieces, as the brokers send it."""
    offsets, values, stamps = run
    begin = 0
    for piece in (*pieces, len(offsets)):
        end = min(begin + piece, len(offsets))
        if end > begin:
            pager.add(stream, position, (offsets[begin:end], values[begin:end], stamps[begin:end]))
            position = offsets[end - 1] + 1
        begin = end
    return position


def taken(pager):
    pages = []
    while (page := pager.take()) is not None:
        pages.append(page)
    return pages


@given(runs, st.lists(st.integers(1, 20), max_size=8))
def test_every_record_comes_back_once_with_the_offset_behind_it(steps, pieces):
    run, pager = columns(steps), Pager()
    end = add(pager, run, pieces=pieces)
    pager.flush()
    pages = taken(pager)
    assert pager.empty
    expected = [(value, offset + 1) for offset, value in zip(*run[:2], strict=True) if value is not None]
    assert [(p, a) for page in pages for p, a in zip(page.payloads, page.afters, strict=True)] == expected
    assert [page.start for page in pages] == [0, *[page.end for page in pages[:-1]]]
    assert pages[-1].end >= end - 1
    assert all(page.received == list(page.afters) for page in pages if page.payloads)


@given(runs, st.lists(st.integers(1, 20), max_size=8), st.lists(st.integers(1, 20), max_size=8))
def test_readers_that_get_the_records_in_other_pieces_cut_the_same_pages(steps, some, others):
    run = columns(steps)
    cuts = []
    for pieces in (some, others):
        pager = Pager()
        add(pager, run, pieces=pieces)
        pager.flush()
        cuts.append([(page.start, page.end, page.payloads) for page in taken(pager)])
    assert cuts[0] == cuts[1]


def test_pages_end_at_multiples_of_their_length():
    pager, length = Pager(), PAGE_RECORDS
    offsets = list(range(60, 3 * length + 100))
    add(pager, (offsets, [b"x"] * len(offsets), [1] * len(offsets)), position=60)
    assert [(page.start, page.end) for page in taken(pager)] == [
        (60, length),
        (length, 2 * length),
        (2 * length, 3 * length),
    ]
    pager.flush("other")
    assert taken(pager) == []
    pager.flush("t[0]")
    assert [(page.start, page.end) for page in taken(pager)] == [(3 * length, 3 * length + 100)]


def test_a_long_gap_makes_no_empty_pages():
    pager = Pager()
    add(pager, ([5_000_000], [b"x"], [1]), position=0)
    pager.flush()
    assert [(page.start, page.end) for page in taken(pager)] == [(0, 5_000_001)]


def test_large_records_fill_a_page_early():
    pager, value = Pager(), b"x" * (PAGE_BYTES // 2)
    add(pager, (list(range(5)), [value] * 5, [1] * 5))
    assert [(page.start, page.end) for page in taken(pager)] == [(0, 2), (2, 4)]


def test_half_filled_pages_of_many_partitions_are_bounded():
    pager, value = Pager(), b"x" * (PAGE_BYTES - 1)
    for partition in range(40):
        add(pager, ([0], [value], [1]), stream=f"t[{partition}]")
    waiting = 40 - len(taken(pager))
    assert waiting * len(value) < MAX_LOOSE


def test_a_dropped_stream_leaves_nothing_behind():
    pager, some = Pager(), PAGE_RECORDS + 50
    for stream in ("t[0]", "t[1]"):
        add(pager, (list(range(some)), [b"x"] * some, [1] * some), stream=stream)
    pager.drop("t[0]")
    pager.flush()
    assert [page.stream for page in taken(pager)] == ["t[1]", "t[1]"]


def test_times_are_left_out_where_the_brokers_keep_none():
    pager = Pager()
    add(pager, ([0, 1], [b"x", b"y"], [0, 1_700_000_000_000]))
    pager.flush()
    assert taken(pager)[0].received is None
