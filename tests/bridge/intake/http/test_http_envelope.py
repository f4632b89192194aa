"""Batches are taken apart without touching a byte of their events, and events stamped without one lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import decode
from bridge.intake.http_answers import Refused
from bridge.intake.http_envelope import divide, open_envelope, stamp
from bridge.testing import encode, make_event

NOW = 1_795_248_000_123
ISO = "2026-11-21T08:00:00.123Z"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["syncts", "@timestamp", "edata", "mid", "é", "a"]) | st.text()


def refused(body, most=1000):
    with pytest.raises(Refused) as caught:
        open_envelope(body, most)
    return caught.value


@given(st.lists(JSON, max_size=5), st.sampled_from(["utf-8", "ascii"]), st.sampled_from([None, 1]))
def test_every_event_keeps_its_own_bytes(events, encoding, indent):
    texts = [json.dumps(event, ensure_ascii=encoding == "ascii", indent=indent) for event in events]
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    found = open_envelope(b'{"id":"x", "events" : [ ' + b" ,\n".join(raw) + b' ] ,"ver":"3.0"}', 1000)
    assert found.events == raw


@pytest.mark.parametrize(
    ("envelope", "identifier"),
    [
        ({"params": {"msgid": "a"}, "mid": "b"}, "a"),
        ({"params": {"msgid": ""}, "mid": "b"}, "b"),
        ({"params": {"msgid": 7}, "mid": "b"}, "b"),
        ({"params": None, "mid": "b"}, "b"),
        ({"params": [], "mid": None}, ""),
        ({}, ""),
    ],
)
def test_the_batch_is_known_by_its_msgid_or_its_mid(envelope, identifier):
    assert open_envelope(json.dumps({**envelope, "events": []}).encode(), 10).id == identifier


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"null", b"7", b'"text"', b"{", b'{"events":null}', b'{"events":{}}',
        b'{"events":[}',
        b'{"events":[{"a":NaN}]}', b'{"events":[]} {"events":[]}', b'{"events":[{"a":"\\x"}]}',
        b"\xff\xfe{\x00}\x00",
        b"<html>", b'{"events":[{"a":"\\ud800"}}', b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_batch_is_a_bad_request(body):
    assert refused(body).status == 400


def test_a_byte_order_mark_in_front_is_dropped():
    assert open_envelope(b"\xef\xbb\xbf" + b'{"events":[1]}', 10).events == [b"1"]


def test_nesting_without_end_is_a_bad_request():
    assert "nested" in refused(b'{"events":[' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"]}").reason


def test_more_events_than_allowed_are_too_long_a_request():
    assert len(open_envelope(b'{"events":[1,2,3]}', 3).events) == 3
    assert refused(b'{"events":[1,2,3,4]}', 3).status == 413


def test_a_body_of_nothing_but_commas_is_refused_before_it_costs_memory():
    assert refused(b'{"events":[' + b"0," * 300_000 + b"0]}").status == 413


def test_half_an_emoji_spoils_its_own_event_and_not_the_batch():
    good, bad = encode(make_event(mid="good")), encode(make_event(mid="bad"))
    bad = bad.replace(b'"bad"', rb'"bad\ud83d"')
    pair = encode(make_event(mid="pair")).replace(b'"pair"', rb'"pair \ud83d\ude00 \\ud83d"')
    found = open_envelope(b'{"events":[' + b",".join([good, bad, pair, good]) + b'],"mid":"x"}', 10)
    assert found.events == [good, bad, pair, good]
    assert found.id == "x"


def test_surrogates_without_end_are_refused_before_they_cost_time():
    assert refused(b'{"events":["' + rb"\ud800" * 100_000 + b'"]}').status == 400


def test_bytes_that_are_not_utf_8_spoil_their_own_event_and_not_the_batch():
    assert open_envelope(b'{"events":[{"a":"\xff"},{}]}', 10).events == [b'{"a":"\xff"}', b"{}"]


def test_an_event_gets_the_time_of_its_arrival():
    event = encode(make_event())
    (stamped,) = stamp([event], NOW)
    assert stamped == event[:-1] + f',"syncts":{NOW},"@timestamp":"{ISO}"}}'.encode()
    assert decode(stamped).syncts == NOW
    assert decode(stamped).timestamp == ISO


@given(st.dictionaries(KEYS, JSON, max_size=6), st.sampled_from([None, 2]), st.booleans())
def test_stamping_adds_what_is_missing_and_changes_nothing(event, indent, escaped):
    text = json.dumps(event, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    (stamped,) = stamp([text], NOW)
    assert stamped.startswith(text[:-1].rstrip() if stamped != text and event else b"{")
    pairs = json.loads(stamped.decode("utf-8", "surrogatepass"), object_pairs_hook=list)
    keys = [key for key, _ in pairs] if pairs else []
    assert keys.count("syncts") == 1
    found = json.loads(stamped.decode("utf-8", "surrogatepass"))
    if "syncts" in event:
        assert stamped == text
    else:
        assert found == {"@timestamp": ISO, **event, "syncts": NOW}


@pytest.mark.parametrize("event", [b"{}", b"{ }", b"{\n}"])
def test_an_empty_event_gets_no_stray_comma(event):
    assert json.loads(stamp([event], NOW)[0]) == {"syncts": NOW, "@timestamp": ISO}


@pytest.mark.parametrize("event", [b"7", b"null", b'"text"', b"[]", b'[{"eid":"x"}]'])
def test_what_is_no_object_stays_as_it_is(event):
    assert stamp([event], NOW) == [event]


def test_a_time_written_in_escapes_is_seen():
    event = rb'{"\u0073yncts":5,"a":1}'
    assert stamp([event], NOW) == [event]


def test_a_time_inside_edata_is_not_the_events():
    (stamped,) = stamp([b'{"edata":{"syncts":1}}'], NOW)
    assert json.loads(stamped)["syncts"] == NOW


def test_an_old_timestamp_is_kept_beside_the_new_syncts():
    (stamped,) = stamp([b'{"@timestamp":"2020-01-01T00:00:00Z"}'], NOW)
    assert json.loads(stamped) == {"@timestamp": "2020-01-01T00:00:00Z", "syncts": NOW}


def test_events_of_other_channels_are_told_apart():
    own, foreign = encode(make_event(changes_to="a")), encode(make_event("LOG", {"context.channel": "other"}))
    channel = make_event()["context"]["channel"]
    assert divide([own, foreign], {channel}) == ([own], [foreign])
    assert divide([own, foreign], ()) == ([own, foreign], [])


@pytest.mark.parametrize(
    "event",
    [
        b"{}", b"null", b"[]", b'{"context":null}', b'{"context":{}}', b'{"context":{"channel":null}}',
        b'{"context":{"channel":"in.own"},"context":{"channel":"other"}}',
        b'{"context":{"channel":" in.own"}}',
        b'[{"context":{"channel":"in.own"}}]', b'{"events":[{"context":{"channel":"in.own"}}]}',
    ],
)  # fmt: skip
def test_an_event_that_does_not_say_a_channel_of_the_sender_is_foreign(event):
    assert divide([event], {"in.own"}) == ([], [event])
