"""The path language: what a path means, and what is said about one that means nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.stages.jsonedit import edit_event
from bridge.stages.jsonpaths import Wild, automaton, needle, parse, plain

EVENT = {
    "eid": "X",
    "ets": 1,
    "mid": "m",
    "a": {"id": 1, "list": [{"id": 2, "deep": {"id": 3}}, [{"id": 4}], "text"], "b.c": {"id": 5}},
    "*": {"id": 6},
}


def removed(*paths, event=EVENT):
    """The event without what the paths name."""
    root = automaton([parse(path) for path in paths])
    raw = json.dumps(event).encode()
    fields = edit_event(raw, root, (lambda _raw, _doubt: None,) * len(paths))
    return event if fields is None else {key: json.loads(bytes(value)) for key, value in fields.items()}


def ids(event):
    """Every number under a key `id`."""
    if isinstance(event, dict):
        own = {event["id"]} if "id" in event else set()
        return own | {number for value in event.values() for number in ids(value)}
    return {number for item in event for number in ids(item)} if isinstance(event, list) else set()


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("a.id", {1}),
        ("$.a.id", {1}),
        ("a.list.id", {2, 4}),
        ("a.list.*.id", {2, 4}),
        ("a.*.id", {2, 4, 5}),
        ("a.**.id", {1, 2, 3, 4, 5}),
        ("**.id", {1, 2, 3, 4, 5, 6}),
        ("**.**.id", {1, 2, 3, 4, 5, 6}),
        ("*.id", {1, 6}),
        ("a.**.deep", {3}),
        ('a."b.c".id', {5}),
        ('"*".id', {6}),
        ("a.list", {2, 3, 4}),
        ("a.list.*.deep.id", {3}),
        ("a.list.deep", {3}),
        ("nowhere.id", set()),
        ("a.list.text", set()),
        ("a.id.deeper", set()),
        ("eid.id", set()),
    ],
)
def test_a_path_names_these_places(path, gone):
    assert ids(EVENT) - ids(removed(path)) == gone


def test_items_of_a_list_can_be_removed():
    assert removed("a.list.*")["a"]["list"] == []


def test_many_paths_are_followed_at_once():
    assert ids(removed("a.id", "a.list.*.deep", "**.b.c", '"*".*')) == {2, 4, 5}


@pytest.mark.parametrize("path", ["*", "**.mid", "**.eid", "*.*"])
def test_what_tells_events_apart_is_never_reached(path):
    assert {"eid", "ets", "mid"} <= removed(path).keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write keys with dots between them"),
        ("a..b", "write keys with dots between them"),
        (".a", "write keys with dots between them"),
        ("a.", "write keys with dots between them"),
        ("a b", "write keys with dots between them"),
        ("a[0].b", "leave out brackets"),
        ("a.***", r"write \* for one key"),
        ("a.**", "leave out the"),
        ('a."\\q"', "as JSON does"),
        (".".join("a" * 33), "at most 32 steps"),
    ],
)
def test_a_path_that_means_nothing_is_explained(text, said):
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_quoted_keys_hold_anything():
    assert parse(r'edata."a.b \"c\" \u0905".*') == ("edata", 'a.b "c" अ', Wild.ANY)


def test_a_plain_path_has_no_wildcards():
    assert plain("object.rollup.l1") == ("object", "rollup", "l1")
    with pytest.raises(ValueError, match="without"):
        plain("object.*")


def test_wildcards_that_need_a_giant_automaton_are_refused():
    with pytest.raises(ValueError, match="fewer"):
        automaton([parse("**.a." + "*." * 16 + "b")])


def test_a_needle_is_the_last_key_where_it_can_be_spelt_in_one_way():
    assert needle(parse("edata.*.comments")) == b'"comments"'
    assert needle(parse('edata."a/b"')) is None
    assert needle(parse("*")) is None
    assert needle(parse("edata.टिप्पणी")) == '"टिप्पणी"'.encode()


keys = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
GONE = object()


def read_step_by_step(value, steps):
    """The value without what the steps name, as their definition says it."""
    if not steps:
        return GONE
    if isinstance(value, list):
        rest = steps[1:] if steps[0] == "*" else steps
        items = [read_step_by_step(item, rest) for item in value]
        return [item for item in items if item is not GONE]
    if isinstance(value, dict):
        kept = {
            key: read_step_by_step(inner, steps[1:]) if steps[0] in (key, "*") else inner
            for key, inner in value.items()
        }
        return {key: inner for key, inner in kept.items() if inner is not GONE}
    return value


def without(value, key):
    if isinstance(value, dict):
        return {name: without(inner, key) for name, inner in value.items() if name != key}
    return [without(item, key) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(keys, values, max_size=3), st.lists(keys | st.just("*"), min_size=1, max_size=4))
def test_the_automaton_agrees_with_a_step_by_step_reading(event, steps):
    assert removed(".".join(steps), event=event) == read_step_by_step(event, steps)


@given(st.dictionaries(keys, values, max_size=3), keys)
def test_any_depth_finds_a_key_wherever_it_is(event, key):
    assert removed(f"**.{key}", event=event) == without(event, key)
