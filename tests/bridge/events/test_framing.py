from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import split
from bridge.testing import encode, make_event

ONE = encode(make_event("START"))
TWO = b'{ "eid" : "END", "mid": "\xe0\xa4\x85", "ets": 1.0E3 }'
THREE = b'{"mid":"x","events":[1],"eid":"LOG"}'
BOM = b"\xef\xbb\xbf"


def envelope(*events, extra=b""):
    head = b'{"id":"api.sunbird.telemetry","ver":"3.0","params":{"msgid":"1"},"ets":1587340800000,"events":['
    return head + b" , ".join(events) + b"]" + extra + b"}"


@pytest.mark.parametrize(
    ("payload", "events"),
    [
        (ONE, [ONE]),
        (b" \t" + ONE + b" \r\n", [ONE]),
        (BOM + ONE, [ONE]),
        (envelope(ONE, TWO), [ONE, TWO]),
        (envelope(ONE, TWO, extra=b',"mid":"b1","syncts":7'), [ONE, TWO]),
        (envelope(ONE).replace(b'"ets":1587340800000', b'"ts":"2018-08-28T12:27:00.545+0000"'), [ONE]),
        (b'{"eid":null,"events":[' + ONE + b"]}", [ONE]),
        (envelope(), []),
        (b"[]", []),
        (b"[" + ONE + b",\n" + TWO + b"]", [ONE, TWO]),
        (ONE + b"\n" + TWO, [ONE, TWO]),
        (ONE + b"\r\n\r\n" + TWO + b"\n", [ONE, TWO]),
        (b"\n".join([ONE, envelope(TWO, THREE), b"[" + ONE + b"]"]), [ONE, TWO, THREE, ONE]),
        (THREE, [THREE]),
        (b'{"events":{"a":1}}', [b'{"events":{"a":1}}']),
        (b'{"mid":"m"}', [b'{"mid":"m"}']),
        (b'[1,"x",null,[],{}]', [b"1", b'"x"', b"null", b"[]", b"{}"]),
    ],
)
def test_a_payload_is_split_into_the_original_bytes_of_its_events(payload, events):
    assert split(payload) == events


def test_an_event_over_several_lines_is_compacted_without_rewriting_its_tokens():
    spread = b'{\r\n  "eid" : "END",\n\t"mid": "\\u0905 a  b",\r "ets": 1.50E+3, "n": 1e999}\n'
    line = b'{"eid":"END","mid":"\\u0905 a  b","ets":1.50E+3,"n":1e999}'
    assert split(spread) == [line]
    assert split(b"[" + spread + b"," + ONE + b"]") == [line, ONE]
    assert split(json.dumps({"events": [make_event("START")]}, indent=2).encode())[0].count(b"\n") == 0


def test_a_broken_line_among_json_lines_stands_for_itself():
    broken = ONE[:40]
    assert split(b"\n".join([broken, TWO, b"oops", ONE, b"5"])) == [broken, TWO, b"oops", ONE, b"5"]
    assert split(ONE + b"\n" + broken) == [ONE, broken]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "not_an_event"),
        (b" \n\t\r", "not_an_event"),
        (BOM, "not_an_event"),
        (b"5", "not_an_event"),
        (b'"INTERACT"', "not_an_event"),
        (b"null", "not_an_event"),
        (ONE[:-1], "invalid_json"),
        (ONE + ONE, "invalid_json"),
        (envelope(ONE, b"{"), "invalid_json"),
        (json.dumps(make_event(), indent=1).encode()[:-20], "invalid_json"),
        (envelope(b'{"a":NaN}'), "invalid_json"),
        (envelope(rb'{"a":"\ud800"}'), "lone_surrogate"),
        (b"\xff\xfe", "invalid_utf8"),
        (b"[" * 100_000, "too_deep"),
        (b'{"events":' * 100_000, "too_deep"),
        (b"hello\nworld", "invalid_json"),
    ],
)
def test_a_hopeless_payload_is_refused_with_a_reason(payload, code):
    with pytest.raises(EventError) as caught:
        split(payload)
    assert caught.value.code == code
    assert caught.value.reason
    assert caught.value.path == ""


def test_a_truncated_indented_event_is_one_payload_and_not_many_lines(shared):
    for path in sorted((shared / "sunbird/samples/malformed").iterdir()):
        with pytest.raises(EventError) as caught:
            split(path.read_bytes())
        assert caught.value.code == "invalid_json", path.name


def test_real_batches_are_split_into_all_their_events(shared):
    for path in sorted((shared / "sunbird/samples/batches").iterdir()):
        events = split(path.read_bytes())
        assert [json.loads(event) for event in events] == json.loads(path.read_bytes())["events"], path.name
        assert not any(b"\n" in event for event in events)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([ONE, TWO, THREE]), max_size=6), st.randoms(use_true_random=False))
def test_any_nesting_of_lines_over_batches_and_arrays_gives_the_events_in_order(events, random):
    lines, rest = [], list(events)
    while rest:
        take = random.randint(1, len(rest))
        group, rest = rest[:take], rest[take:]
        lines += random.choice([group, [envelope(*group)], [b"[" + b",".join(group) + b"]"]])
    payload = b"\n".join(lines)
    assert (split(payload) if payload else []) == events
