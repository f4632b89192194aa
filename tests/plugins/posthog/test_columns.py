"""A batch is mapped column by column; what an event becomes must not depend on its neighbours."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from posthog_neighbours import MIDNIGHT, lines_of, variants

from bridge.errors import EventError
from bridge.events import Decoder, Level, decode
from bridge.testing import encode, make_event, samples
from bridge_posthog import PostHogSink
from bridge_posthog.config import PostHogConfig
from bridge_posthog.forms import Form
from bridge_posthog.heads import heads
from bridge_posthog.ids import uuid8
from bridge_posthog.moments import iso
from bridge_posthog.telling import only
from bridge_posthog.vocabulary import RULES

OPTIONS = (
    {"properties": "flat"},
    {"properties": "raw"},
    {"properties": "flat", "capture_mode": "v0", "groups": {"batch": "cdata:CourseBatch", "env": "env"}},
    {"properties": "raw", "id": "mid", "group_identify": True, "set_once": True, "session_boundary_hour": 7},
)
lenient = Decoder(Level.ENVELOPE)


def _sink(**options):
    return PostHogSink(PostHogConfig(api_key="phc_x", **options))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=variants)
def test_neighbours_play_no_part(changes):
    events = list(map(lenient.event, lines_of(changes)))
    for options in OPTIONS:
        alone = [_sink(**options).map(event) for event in events]
        assert _sink(**options).map_batch(events) == alone
        assert _sink(**options).map_batch(events[::-1]) == alone[::-1]


def test_one_poisonous_event_fails_its_batch_so_that_the_host_maps_each_alone(event, make_sink):
    with pytest.raises(EventError):
        make_sink().map_batch([event(), event(ets=1e300), event()])


def test_nothing_becomes_nothing(make_sink):
    assert make_sink().map_batch([]) == []
    assert make_sink(exclude_eids=["LOG"]).map_batch([]) == []


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 253_402_300_799_999)), max_size=8)
)
def test_many_uuids_and_times_are_written_as_one_is(events):
    digests, times = [digest for digest, _ in events], [time for _, time in events]
    found = [json.loads(head + b'"}') for head in heads(digests, times)]
    assert [one["uuid"] for one in found] == [uuid8(digest) for digest in digests]
    assert [one["timestamp"] for one in found] == [iso(time) for time in times]
    assert all(UUID(one["uuid"]).version == 8 for one in found)


def test_a_null_an_escape_or_an_unknown_key_in_one_event_leaves_its_neighbours_alone(make_sink):
    changes = [
        {"edata.pageid": "null"}, {"edata.pageid": None}, {"edata.pageid": 'a "quoted" page'},
        {"edata.surprise": 1}, {"edata.pageid": 7}, {"edata": {}}, {"edata.duration": None}, {},
    ]  # fmt: skip
    lines = [encode(make_event("INTERACT", one)) for one in changes]
    for options in OPTIONS:
        sink = make_sink(**options)
        alone = [sink.map(lenient.event(line)) for line in lines]
        assert sink.map_batch(lenient.batch(lines).events) == alone


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_what_converters_make_of_one_event_leaves_its_neighbours_alone(mode, make_sink):
    found = {
        "INTERACT": ["type", "click", "", None, 7, ["x"], True, "w" * 300, {"a": {"b": 1}}],
        "ASSESS": ["pass", "Yes", "no", True, "perhaps", None, 1, {"a": 1}],
        "RESPONSE": ["values", [], [{"a": 1}, {"a": 2}], {"a": [1]}, "text", 5, None, [1], [{}]],
        "IMPRESSION": ["visits", [], [{"objid": "do_1"}], {"objid": "do_1"}, "", None],
        "SHARE": ["items", [], [{"id": "do_1", "type": "Content"}, {"id": 5}], {"id": "x"}, "no", None],
        "SUMMARY": ["starttime", 1_767_587_400_000, "1767587400000", -1, "never", None, [1]],
        "END": ["summary", [{"progress": 5}, {"progress": 6}], {"a": {"b": 1}}, "none", None, 3.25e2, -1.5],
        "METRICS": ["metrics", [{"metric": "a", "value": 1}], [{"metric": ""}], [], "none", None],
    }
    for eid, (key, *values) in found.items():
        lines = [encode(make_event(eid, {f"edata.{key}": value})) for value in values]
        for order in (lines, lines[::-1]):
            alone = [make_sink(capture_mode=mode).map(lenient.event(line)) for line in order]
            assert make_sink(capture_mode=mode).map_batch(lenient.batch(order).events) == alone


def test_one_item_that_is_no_list_is_counted_and_told_key_by_key(posthog):
    sent = lenient.event(encode(make_event("SHARE", {"edata.items": {"id": "do_1", "size": 5}})))
    properties = posthog(sent)["properties"]
    found = {name: value for name, value in properties.items() if "item" in name}
    expected = {"item_count": 1, "item_ids": ["do_1"], "edata_items_id": "do_1", "edata_items_size": 5}
    assert found == expected


def test_an_event_that_a_stage_has_looked_into_maps_like_any_other(make_sink):
    lines = [encode(make_event("INTERACT", {"edata.pageid": page})) for page in ("one", "two")]
    expected = make_sink().map_batch(lenient.batch(lines).events)
    events = lenient.batch(lines).events
    assert events[1].edata
    assert make_sink().map_batch(events) == expected


def test_an_event_with_escapes_on_several_lines_becomes_one_line(make_sink):
    change = {"edata.visits": [{"objid": "do_1"}], "edata.pageid": 'a "quoted" page'}
    lines = [
        json.dumps(make_event("IMPRESSION", change), indent=1).encode(),
        encode(make_event("IMPRESSION")),
    ]
    payloads = make_sink().map_batch(lenient.batch(lines).events)
    assert not any(b"\n" in payload for payload in payloads)


def test_neighbours_share_what_is_around_them_only_while_it_is_the_same(make_sink):
    changes = [
        {}, {"object": {"id": "do_2", "type": "Content"}}, {"context.cdata": [{"type": "Plan", "id": "p"}]},
        {"tags": ["one"]}, {"context.rollup": {"l2": "x"}}, {"actor.id": "somebody-else"}, {"ver": "3.1"}, {},
        {"context.env": "other"}, {"context.sid": "", "context.did": "", "actor.id": ""},
        {"ets": MIDNIGHT - 1},
    ]  # fmt: skip
    lines = [encode(make_event("INTERACT", {"ets": MIDNIGHT, **one})) for one in changes for _ in range(2)]
    for options in OPTIONS:
        alone = [make_sink(**options).map(lenient.event(line)) for line in lines]
        assert make_sink(**options).map_batch(lenient.batch(lines).events) == alone


def test_an_event_is_called_the_same_whether_all_of_it_is_read_or_only_its_words(make_sink):
    changes = [
        {}, {"edata.type": 7}, {"edata.type": None}, {"edata.surprise": {"type": "app"}},
        {"edata.uaspec": None}, {"edata.dspec": {"os": "Android 9", "mem": "much"}}, {"edata": {}},
    ]  # fmt: skip
    for eid in ("START", "END", "IMPRESSION", "INTERRUPT", "ERROR"):
        lines = [encode(make_event(eid, one)) for one in changes]
        for line in lines:
            flat, raw = (
                json.loads(make_sink(properties=form).map(lenient.event(line))) for form in ("flat", "raw")
            )
            assert flat["event"] == raw["event"]


def test_a_part_of_a_form_reads_what_it_names_and_passes_the_rest_by():
    part = Form(only(RULES["START"], [("type",), ("uaspec", "system")]), part=True)
    read = part.decode(b'{"mode":5,"type":"app","uaspec":{"agent":[],"system":"Windows 11"}}')
    assert (read.type_, read.uaspec_.system_) == ("app", "Windows 11")


@pytest.mark.parametrize("level", [Level.LENIENT, Level.ENVELOPE])
def test_a_rollup_with_other_keys_keeps_its_levels(level, posthog):
    line = encode(make_event("INTERACT", {"context.rollup": {"l1": "a", "l2": "b", "note": 1, "l3": ""}}))
    properties = posthog(Decoder(level).event(line))["properties"]
    found = {name: value for name, value in properties.items() if name.startswith("context_rollup")}
    assert found == {"context_rollup_l1": "a", "context_rollup_l2": "b"}


def test_a_batch_that_was_decoded_at_once_maps_like_its_events(make_sink):
    lines = [encode(make_event(eid)) for eid in samples()]
    sink = make_sink()
    assert sink.map_batch(lenient.batch(lines).events) == [sink.map(decode(line)) for line in lines]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"pos": [{"x": 1}], "values": ["a"]}, {"edata_extra_pos": [{"x": 1}], "edata_extra_values": ["a"]}),
        ({"pos": [], "values": None}, {}),
        ({"pos": {"x": 1}, "values": 7}, {"edata_extra_pos_x": 1, "edata_extra_values": 7}),
        ({"values": ["a"], "Values": ["b"]}, {"edata_extra_values": ["a"], "edata_extra_values_2": ["b"]}),
        (["a"], {"edata_extra": ["a"]}),
        (None, {}),
    ],
)
def test_extra_is_free_in_form(extra, expected, posthog):
    for mode in ("v0", "v1"):
        sent = lenient.event(encode(make_event("INTERACT", {"edata.extra": extra})))
        properties = posthog(sent, capture_mode=mode)["properties"]
        assert {name: value for name, value in properties.items() if name.startswith("edata_")} == expected


@pytest.mark.parametrize(
    ("duration", "expected"), [(4, 4.0), (1_767_571_200_000, None), ("5", 5.0), (None, None)]
)
def test_a_time_of_day_is_no_duration(duration, expected, posthog):
    sent = lenient.event(encode(make_event("START", {"edata.duration": duration})))
    assert posthog(sent)["properties"].get("duration_seconds") == expected


def test_what_a_device_does_not_know_is_left_out(posthog):
    changes = {"edata.dspec": {"os": "Android 9", "mem": -1, "scrn": 5.5, "sims": -1.0, "idisk": 0}}
    properties = posthog(lenient.event(encode(make_event("START", changes))))["properties"]
    found = {name: value for name, value in properties.items() if name.startswith("device_")}
    assert found == {"device_screen": 5.5, "device_internal_disk": 0.0}
