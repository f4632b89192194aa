"""Cutting text into records: the same whatever the blocks, and nothing lost when it is broken."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import split
from bridge.intake.cutting import Cutter

NASTY = ["{", "[", '"', "\\", "}\n{", "],", "हिन्दी", "\u2028", '{"events":[']


def event(n, **more):
    return {
        "eid": f"E{n}",
        "edata": {"text": NASTY[n % len(NASTY)], "deep": [[{"n": [n, None, -1.5e3]}]]},
        **more,
    }


def cut(data, size=1 << 20, **limits):
    cutter = Cutter(**limits)
    records = [record for at in range(0, len(data), size) for record in cutter.feed(data[at : at + size])]
    return records + cutter.close()


def eids(records):
    """The types of the events in the records; None for a record in which there is none."""
    found = []
    for record in records:
        try:
            parts = [json.loads(part) for part in split(record)]
        except (EventError, ValueError):
            parts = [None]
        found += [part.get("eid") if isinstance(part, dict) else None for part in parts]
    return found


def dumps(value, indent=None, separators=None):
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=False).encode()


EVENTS = [event(n) for n in range(9)]
NAMES = [one["eid"] for one in EVENTS]
BATCH = {"id": "api", "params": {"list": [1, {"x": []}]}, "events": EVENTS, "ts": "now"}
LAYOUTS = {
    "a line each": b"\n".join(map(dumps, EVENTS)),
    "blank lines between": b"\n\n \r\n".join(map(dumps, EVENTS)) + b"\n\n",
    "an array": dumps(EVENTS),
    "an indented array": dumps(EVENTS, 2),
    "an array with a line each": b"[\n" + b",\n".join(map(dumps, EVENTS)) + b"\n]\n",
    "an array with commas in front": b"[ " + b"\n, ".join(map(dumps, EVENTS)) + b"\n]",
    "a batch": dumps(BATCH),
    "an indented batch": dumps(BATCH, 4),
    "a batch with a line each": b'{"id":"x","events":[\n' + b",\n".join(map(dumps, EVENTS)) + b"\n]}",
    "indented events": b"\n".join(dumps(one, 1) for one in EVENTS),
    "indented events and commas": b",\n".join(dumps(one, 1) for one in EVENTS),
    "a batch a line": b"\n".join(dumps({"events": [one]}) for one in EVENTS),
    "an array a line": b"\n".join(dumps([one]) for one in EVENTS),
    "two indented batches": dumps(BATCH | {"events": EVENTS[:4]}, 1)
    + b"\n"
    + dumps(BATCH | {"events": EVENTS[4:]}, 1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("patience", [1 << 20, 300, 1])
@pytest.mark.parametrize("size", [1 << 20, 97, 1])
def test_a_layout_gives_its_events_whatever_the_blocks_and_however_early_it_is_streamed(
    layout, patience, size
):
    assert eids(cut(LAYOUTS[layout], size, patience=patience)) == NAMES


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.lists(VALUES, max_size=6),
    st.sampled_from([None, 0, 1, 2]),
    st.integers(1, 80),
    st.sampled_from([1, 40, 1 << 20]),
    st.booleans(),
)
def test_any_events_come_back_as_they_were(values, indent, size, patience, batch):
    documents = [{"eid": str(n), "value": value} for n, value in enumerate(values)]
    data = dumps({"events": documents} if batch else documents, indent)
    parts = [json.loads(part) for record in cut(data, size, patience=patience) for part in split(record)]
    assert parts == documents


@given(st.binary(max_size=200) | st.text('{}[]":,\\\n a1', max_size=200).map(str.encode), st.integers(1, 40))
@example(b'{"a', 1)
@example(b'{"a":"\\', 1)
@example(b'[1,2\n{"b":1}\n{"c":2}', 3)
@example(b'{"a":[1,\n{"b":1}\n{"c":2}', 3)
def test_nothing_is_lost_but_blanks_and_stray_brackets_and_the_blocks_do_not_matter(data, size):
    records = cut(data, size)
    assert records == cut(data)
    assert all(records)
    # an array or batch that breaks loses its own brackets and head when its events are taken out of it
    kept = sorted(b"".join(records))
    lost = sorted(data)
    for byte in kept:
        lost.remove(byte)
    if b"events" not in data:
        assert not set(lost) - set(b"\xef\xbb\xbf \t\r\n\x0b\x0c[]{},")


@pytest.mark.parametrize(
    "broken",
    [
        b'{"eid":"X","edata":{"te',
        b'{"eid":"X","list":[1,',
        b'{"eid":"X",',
        b'{"eid":"X","edata":{',
        b'[{"eid":"X"',
        b'{"eid":"X" "ver":1}',
        b'{"eid":"X"}}',
        b"{",
        b"plain text",
        b'"text"',
    ],
)
def test_a_broken_line_costs_nothing_but_itself(broken):
    data = b"\n".join([dumps(EVENTS[0]), broken, *map(dumps, EVENTS[1:])])
    records = cut(data, 50)
    assert broken in records
    assert [name for name in eids(records) if name in NAMES] == NAMES


def test_a_batch_that_breaks_off_gives_the_events_that_are_whole():
    for layout in ("an indented batch", "a batch", "an indented array", "a batch with a line each"):
        data = LAYOUTS[layout]
        found = eids(cut(data[: len(data) * 2 // 3], 100))
        assert found[:-1] == NAMES[: len(found) - 1]
        assert len(found) >= 5


def test_events_after_a_fault_in_an_indented_array_are_found_again():
    data = dumps(EVENTS, 1).replace(b'"eid": "E3"', b'"eid": E"3"')
    found = eids(cut(data, 100))
    assert [name for name in found if name] == [name for name in NAMES if name != "E3"]
    assert None in found


def test_an_event_of_absurd_length_is_left_out_and_counted_and_the_next_ones_are_not():
    lines = [b'{"eid":"E0"}', b'{"eid":"' + b"x" * 5_000 + b'"}', b"y" * 5_000, b'{"eid":"E1"}']
    for size in (64, 1 << 20):
        cutter = Cutter(longest=1_000, patience=500)
        data = b"\n".join(lines)
        records = [record for at in range(0, len(data), size) for record in cutter.feed(data[at : at + size])]
        records += cutter.close()
        if size == 64:
            assert records == [lines[0], lines[3]]
            assert cutter.too_long == 2


def test_a_long_batch_is_never_held_whole():
    cutter = Cutter(patience=10_000)
    head, tail = b'{"id":"x","events":[', b'],"ts":1}'
    longest = 0
    records = cutter.feed(head)
    for n in range(5_000):
        records += cutter.feed((b"," if n else b"") + dumps(event(n)))
        longest = max(longest, len(cutter._data))
    records += cutter.feed(tail) + cutter.close()
    assert longest < 12_000
    assert eids(records) == [f"E{n}" for n in range(5_000)]
