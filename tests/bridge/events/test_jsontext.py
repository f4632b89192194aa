from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.jsontext import MAX_DEPTH, depth, load, one_line, parse, require_sound

TEXTS = st.text(max_size=5) | st.sampled_from(['"', "\\", '\\"', "[", "}", '"[', "{\\"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.booleans() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=20,
)


def _depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.sampled_from([None, 1]))
def test_depth_counts_open_arrays_and_objects_and_no_bracket_in_a_string(document, indent):
    assert depth(json.dumps(document, indent=indent).encode()) == _depth(document)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.sampled_from(["\n", "\r\n", "\r"]))
def test_one_line_changes_the_space_between_tokens_only(document, newline):
    text = json.dumps({"a": document}, indent=1).replace("\n", newline).encode()
    line = one_line(text)
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == {"a": document}


@pytest.mark.parametrize("raw", [b'{"a": 1}', b"", b'{"a":\n1', b"\xff\n\xff", b"[\n" * 100_000])
def test_one_line_leaves_alone_what_needs_no_change_or_is_no_json(raw):
    assert one_line(raw) is raw


@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * 300_000,
        b'"' * 600_001,
        b'"a' * 300_000,
        b"[]{}" * 150_000,
        b"\\" * 600_000,
        b'{"":' * 150_000,
        b'"\\' * 300_000,
    ],
)
def test_measuring_hostile_bytes_takes_time_in_proportion_to_their_size(raw):
    begin = time.process_time()
    assert depth(raw) >= 0
    assert time.process_time() - begin < 1, "a guard against hanging, not a measurement"


def test_the_deepest_allowed_text_is_sound_and_one_more_is_not():
    require_sound(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(EventError) as caught:
        require_sound(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert caught.value.code == "too_deep"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a":1', "write valid JSON: expecting ',' delimiter (byte 6 of 6)"),
        (
            '{"अ":1,,}'.encode(),
            "write valid JSON: expecting property name enclosed in double quotes (byte 9 of 11)",
        ),
        (b'{"a":"x', "write valid JSON: unterminated string starting (byte 5 of 7)"),
        (b'{"a":NaN}', "leave out the key or write a number: NaN is not JSON"),
    ],
)
def test_a_flaw_in_the_grammar_is_named_with_its_byte(raw, reason):
    with pytest.raises(EventError) as caught:
        parse(raw)
    assert (caught.value.code, caught.value.reason) == ("invalid_json", reason)


def test_numbers_beyond_a_float_are_infinite_when_judged_and_none_when_read():
    raw = b"[1e999,-1e999,1e308," + b"9" * 5000 + b"," + b"9" * 400 + b"]"
    assert parse(raw)[:3] == [float("inf"), float("inf"), 1e308]
    assert load(raw) == [None, None, 1e308, None, int("9" * 400)]
