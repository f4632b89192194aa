"""Telemetry is written by strangers: whatever they send, capture takes it and nobody is harmed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import Decoder, Level, decode
from bridge.testing import encode, make_event, nasty, samples

KEY = "phc_" + "t" * 43
OURS = {
    "$app_version",
    "$browser",
    "$browser_version",
    "$current_url",
    "$device_id",
    "$device_manufacturer",
    "$exception_fingerprint",
    "$exception_level",
    "$exception_list",
    "$geoip_disable",
    "$groups",
    "$host",
    "$ignore_sent_at",
    "$ip",
    "$lib",
    "$os",
    "$pathname",
    "$process_person_profile",
    "$raw_user_agent",
    "$screen_name",
    "$session_id",
}
RESERVED = {"distinct_id", "token", "api_key", "timestamp", "uuid", "alias", "capture_internal", "event"}
HEADERS = {
    "authorization": f"Bearer {KEY}",
    "content-type": "application/json",
    "user-agent": "test/1",
    "posthog-sdk-info": "test/1",
    "posthog-attempt": "1",
    "posthog-request-id": "0190a1b2-0000-7000-8000-00000000000a",
    "posthog-request-timestamp": "2026-11-20T10:00:01Z",
}

texts = st.text(max_size=40) | st.sampled_from(
    [
        "$set",
        "$groups",
        "distinct_id",
        "$process_person_profile",
        "token",
        "",
        "\x00",
        "a.b",
        "__proto__",
        "ಕನ್ನಡ",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
KNOWN = [
    "type",
    "id",
    "pageid",
    "extra",
    "target",
    "item",
    "values",
    "params",
    "summary",
    "uri",
    "duration",
    "err",
]
edatas = st.dictionaries(texts | st.sampled_from(KNOWN), values, max_size=8)
EIDS = [*samples(), "JOB_END", "$identify", "x" * 300]
lenient = Decoder(Level.ENVELOPE)


def _body(mode, payload):
    from bridge_posthog.wire import body

    return b"".join(body(mode, payload.split(b"\n"), KEY, 1_767_700_000.0, historical=False))


def _accepted(rules, mode, payload):
    """The event as capture has understood it."""
    body = _body(mode, payload)
    taken = rules.judge_v0(body) if mode == "v0" else rules.judge_v1(body, HEADERS)
    assert all(verdict["result"] == "ok" for verdict in taken.verdicts.values()), taken.verdicts
    return taken.events[0]


def _harmless(found):
    assert set(found) <= {"uuid", "timestamp", "event", "distinct_id", "properties", "options", "session_id"}
    assert found["event"].startswith(("$", "sunbird ", "Application ")) or found["event"].islower()
    names = set(found["properties"])
    assert {name for name in names if name.startswith("$")} <= OURS
    assert not names & RESERVED
    assert set(found["properties"].get("$groups", {})) <= {"channel", "content", "collection"}


def _mapped(sink, event):
    """The payload, or the code of the poison."""
    try:
        return sink.map(event), None
    except EventError as error:
        return None, error.code


@pytest.fixture(scope="module")
def sinks():
    from bridge_posthog import PostHogSink
    from bridge_posthog.config import PostHogConfig

    return [
        (mode, PostHogSink(PostHogConfig(api_key=KEY, capture_mode=mode, properties=properties)))
        for mode in ("v0", "v1")
        for properties in ("flat", "raw")
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(eid=st.sampled_from(EIDS), edata=edatas)
def test_no_edata_writes_identity_persons_or_groups_and_capture_takes_it(eid, edata, sinks, rules):
    event = lenient.event(encode(make_event("INTERACT", eid=eid, edata=edata)))
    for mode, sink in sinks:
        found = _accepted(rules, mode, sink.map(event))
        _harmless(found)
        assert found["distinct_id"] == "7d0c5a1e-3b52-4a7e-9f0a-52c1b7e4d9a6"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=80), number=st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_in_the_envelope_is_taken(text, number, sinks, rules):
    places = (
        "mid",
        "actor.id",
        "actor.type",
        "context.did",
        "context.sid",
        "context.env",
        "object.id",
        "eid",
    )
    changes = {**dict.fromkeys(places, text), "mid": f"m{text}", "eid": f"E{text}", "ets": number}
    event = lenient.event(encode(make_event("INTERACT", changes)))
    for mode, sink in sinks:
        payload, poison = _mapped(sink, event)
        assert poison in {None, "time"}
        if payload is not None:
            _harmless(_accepted(rules, mode, payload))


@pytest.mark.parametrize("name", sorted(nasty()))
@pytest.mark.parametrize("level", [Level.LENIENT, Level.ENVELOPE])
def test_whatever_decodes_is_taken_by_capture_or_is_poison_with_a_reason(name, level, sinks, rules):
    try:
        event = Decoder(level).event(nasty()[name])
    except EventError:
        return
    for mode, sink in sinks:
        payload, poison = _mapped(sink, event)
        assert poison in {None, "time"}
        if payload is not None and len(payload) <= sink.limits.max_payload_bytes:
            _harmless(_accepted(rules, mode, payload))


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_a_lone_surrogate_is_made_readable(mode, make_sink, rules):
    event = decode(encode(make_event("INTERACT")))
    broken = rb"a\ud83d\u0000b\\ud83d\ud83d\ude00"
    text = event.edata_text
    event.raw = event.raw.replace(b"btn-next", broken)
    event.edata_held = msgspec.Raw(bytes(text).replace(b"btn-next", broken))
    found = _accepted(rules, mode, make_sink(capture_mode=mode).map(event))
    assert found["properties"]["element_id"] == "a\ufffd\ufffdb\\ud83d😀"


def test_readable_replaces_only_what_is_broken():
    from bridge_posthog.tokens import readable

    fine = rb'{"a":"\\u0000 \\ud83d \ud83d\ude00 \n \" \\"}'
    assert readable(fine) == fine
    assert readable(rb'"\ud83d" "\ude00\ud83d" "\u0000"') == rb'"\ufffd" "\ufffd\ufffd" "\ufffd"'


@given(
    st.text(st.characters(codec=None, categories=None) | st.sampled_from('\\\x00\ud83d\ude00"'), max_size=30)
)
def test_readable_makes_any_text_fit_for_utf_8(text):
    from bridge_posthog.tokens import readable

    found = json.loads(readable(json.dumps(text).encode()))
    assert "\x00" not in found
    found.encode()
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert found == clean


def test_numbers_beyond_a_double_never_reach_a_strict_parser(make_sink, rules):
    numbers = {"edata.duration": 10**400, "edata.extra": {"a": 10**400, "b": [10**400, 7], "c": 10**30}}
    event = Decoder(Level.ENVELOPE).event(encode(make_event("INTERACT", numbers)))
    properties = _accepted(rules, "v0", make_sink(capture_mode="v0").map(event))["properties"]
    assert "duration_seconds" not in properties
    assert properties["edata_extra_b"] == [None, 7]
    assert properties["edata_extra_c"] == 10**30


def test_depth_is_bounded_for_a_strict_parser_and_nothing_is_lost(make_sink, rules):
    value = "bottom"
    for _ in range(400):
        value = [value]
    event = decode(encode(make_event("INTERACT", {"edata.extra": {"a": value}})))
    for options in ({"properties": "flat"}, {"properties": "raw"}):
        payload = make_sink(capture_mode="v0", **options).map(event)
        assert b"bottom" in payload
        _accepted(rules, "v0", payload)


def test_a_fast_and_a_slow_reading_give_the_same_properties(make_sink):
    """A key no rule knows makes a form step aside; everything else must come out the same."""
    for mode in ("v0", "v1"):
        sink = make_sink(capture_mode=mode)
        for eid in samples():
            fast = json.loads(sink.map(decode(encode(make_event(eid)))))["properties"]
            slow = json.loads(sink.map(decode(encode(make_event(eid, {"edata.surprise": 1})))))["properties"]
            assert slow.pop("edata_surprise") == 1
            assert slow == fast


def test_a_number_beyond_a_double_where_a_word_should_be_leaves_the_name_usual(posthog):
    line = encode(make_event("START", {"edata.type": [7]})).replace(b'"type":[7]', b'"type":[1e999]')
    assert posthog(Decoder(Level.ENVELOPE).event(line))["event"] == "activity started"
