from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RecutError, SetupError, TransientError
from bridge_s3.planning import (
    Fingerprint,
    Neighbours,
    Plan,
    PlannedObject,
    Receipt,
    check_place,
    write_chunk,
)

KEY = "_chunks/t/00000/00000000000000000000.json"
BODIES = {"a": [b"1\n", b"2\n"], "b": [b"3\n"]}


def planned(key: str, parts: list[bytes]) -> PlannedObject:
    body = b"".join(parts)
    return PlannedObject(key, len(body), hashlib.sha256(body).hexdigest(), body.count(b"\n"))


def plan(start: int = 0, end: int = 3, **changes) -> Plan:
    objects = tuple(planned(key, parts) for key, parts in BODIES.items())
    return Plan(
        **{
            "stream": "t[0]",
            "start": start,
            "end": end,
            "events": 3,
            "generation": "g",
            "objects": objects,
            **changes,
        }
    )


class Memory:
    """A store in a dict that writes down what it is asked."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.asked: list[tuple[str, str]] = []

    def create(self, key, parts):
        self.asked.append(("create", key))
        if key in self.objects:
            return False
        self.objects[key] = b"".join(parts)
        return True

    def read(self, key):
        self.asked.append(("read", key))
        return self.objects.get(key)

    def fingerprint(self, key):
        self.asked.append(("fingerprint", key))
        body = self.objects.get(key)
        return None if body is None else Fingerprint(len(body), hashlib.sha256(body).hexdigest())


def test_the_plan_is_written_before_any_data():
    store = Memory()
    assert write_chunk(store, KEY, plan(), BODIES) == Receipt(planned=True, written=2)
    assert store.asked == [("create", KEY), ("create", "a"), ("create", "b")]
    assert store.objects["a"] == b"1\n2\n"


def test_writing_again_finds_everything_in_place():
    store = Memory()
    write_chunk(store, KEY, plan(), BODIES)
    before = dict(store.objects)
    assert write_chunk(store, KEY, plan(), BODIES) == Receipt(planned=False, written=0)
    assert store.objects == before


def test_what_a_dead_owner_left_out_is_added():
    store = Memory(**{KEY: plan().encode(), "a": b"1\n2\n"})
    assert write_chunk(store, KEY, plan(), BODIES) == Receipt(planned=False, written=1)
    assert store.objects["b"] == b"3\n"


@pytest.mark.parametrize("end", [1, 2, 4, 100])
def test_a_plan_with_another_end_decides(end):
    store = Memory(**{KEY: plan(end=end).encode()})
    with pytest.raises(RecutError) as caught:
        write_chunk(store, KEY, plan(), BODIES)
    assert caught.value.end == end
    assert list(store.objects) == [KEY]


def test_a_plan_made_with_other_settings_is_a_set_up_problem():
    store = Memory(**{KEY: plan(generation="old", objects=(), events=0).encode()})
    with pytest.raises(SetupError, match=r"other settings \(generation old, now g\)"):
        write_chunk(store, KEY, plan(), BODIES)


def test_a_plan_with_other_events_is_a_set_up_problem():
    other = (planned("a", [b"x\n"]),)
    store = Memory(**{KEY: plan(objects=other, events=1).encode()})
    with pytest.raises(SetupError, match="another journal, other routes or other stages"):
        write_chunk(store, KEY, plan(), BODIES)
    assert list(store.objects) == [KEY]


def test_an_object_with_other_content_is_kept_and_a_set_up_problem():
    store = Memory(a=b"something else")
    with pytest.raises(SetupError, match="a exists with other content"):
        write_chunk(store, KEY, plan(), BODIES)
    assert store.objects["a"] == b"something else"


@pytest.mark.parametrize("verb", ["read", "fingerprint"])
def test_an_object_in_the_middle_of_being_written_is_waited_for(verb):
    store = Memory(**{KEY: plan().encode(), "a": b"1\n2\n"})
    setattr(store, verb, lambda _: None)  # a 409 for the write, and nothing there to read yet
    with pytest.raises(TransientError, match="another owner"):
        write_chunk(store, KEY, plan(), BODIES)


def test_a_store_that_ignores_conditions_is_found_out_before_data_is_written():
    store = Memory()
    store.create = lambda key, parts: store.asked.append(("create", key)) or True
    with pytest.raises(SetupError, match="ignores If-None-Match"):
        write_chunk(store, KEY, plan(), BODIES, proven=False)
    assert store.asked == [("create", KEY)] * 2


def test_a_store_that_honours_conditions_passes_the_proof():
    assert write_chunk(Memory(), KEY, plan(), BODIES, proven=False) == Receipt(planned=True, written=2)


def test_a_range_without_events_is_planned_too():
    store = Memory()
    empty = plan(objects=(), events=0)
    assert write_chunk(store, KEY, empty, {}) == Receipt(planned=True, written=0)
    assert Plan.decode(store.objects[KEY]) == empty


def test_equal_plans_have_equal_bytes_and_survive_the_store():
    assert plan().encode() == plan().encode()
    assert Plan.decode(plan().encode()) == plan()


def test_a_plan_is_readable_json():
    assert json.loads(plan().encode()) == {
        "stream": "t[0]",
        "start": 0,
        "end": 3,
        "events": 3,
        "generation": "g",
        "objects": [
            {"key": "a", "size": 4, "sha256": planned("a", BODIES["a"]).sha256, "events": 2},
            {"key": "b", "size": 2, "sha256": planned("b", BODIES["b"]).sha256, "events": 1},
        ],
        "v": 1,
    }


def broken(**changes) -> bytes:
    return json.dumps({**json.loads(plan().encode()), **changes}).encode()


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        plan().encode()[:-20],
        broken(v=2),
        broken(end=0),
        broken(start=-1),
        broken(start="0"),
        broken(events=4),
        broken(extra=1),
        broken(objects=[{"key": "a"}]),
    ],
)
def test_what_is_no_plan_is_a_set_up_problem(stored):
    with pytest.raises(ValueError):
        Plan.decode(stored)
    with pytest.raises(SetupError, match="is not a plan"):
        write_chunk(Memory(**{KEY: stored}), KEY, plan(), BODIES)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_no_bytes_break_the_reader_of_plans(stored):
    with pytest.raises(ValueError):
        Plan.decode(stored)


def test_the_plan_of_another_range_is_a_set_up_problem():
    for other in (plan(start=1), plan(stream="t[1]")):
        with pytest.raises(SetupError, match="the plan of another range"):
            write_chunk(Memory(**{KEY: other.encode()}), KEY, plan(), BODIES)


def test_a_range_may_follow_another_or_leave_a_gap():
    check_place(plan(start=10, end=20), Neighbours(plan(0, 10), None))
    check_place(plan(start=10, end=20), Neighbours(plan(0, 5), None))
    check_place(plan(start=10, end=20), Neighbours(None, 20))
    check_place(plan(start=10, end=20), Neighbours(None, 10))


def test_a_range_inside_another_is_a_set_up_problem():
    with pytest.raises(SetupError, match=r"position 10 of t\[0\] lies inside the archived range 0-11"):
        check_place(plan(start=10, end=20), Neighbours(plan(0, 11), None))


def test_a_range_ends_where_the_next_begins():
    with pytest.raises(RecutError) as caught:
        check_place(plan(start=10, end=20), Neighbours(None, 15))
    assert caught.value.end == 15
