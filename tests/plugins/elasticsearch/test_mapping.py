from __future__ import annotations

import base64
import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import EventError
from bridge.events import Decoder, Event, Level
from bridge.native import compiled
from bridge.testing import encode, make_event, nasty, samples
from bridge_elasticsearch.config import ElasticsearchConfig
from bridge_elasticsearch.mapping import MAX_CACHED, DocumentMap, iso_time, record_days

DAY = 86_400_000
decode = Decoder(Level.ENVELOPE).event
CONFIGS = [
    {},
    {"id": "mid"},
    {"timestamp": "add"},
    {"search_all_edata": True},
    {"shape": "ecs"},
    {"shape": "ecs", "search_all_edata": True},
    {"data_stream": True, "index": "sunbird-telemetry"},
    {"index": "sunbird-{route}-{xxxx.ww}", "routes": {"AUDIT": "audit"}},
]


def mapped(event, **fields):
    """The two lines that the event is in a request."""
    documents = DocumentMap(ElasticsearchConfig.model_validate({"url": "http://x", **fields}))
    return b"".join(documents.lines([documents.one(event)], [event]))


def test_the_document_is_the_event_byte_for_byte(event):
    raw = b'{ "eid":"LOG",  "ets":1.5e12,"mid":"m","edata":{"n":1.0, "u":"\\u0915"},"actor":{}}'
    one = decode(raw)
    assert mapped(one).split(b"\n")[1] == raw
    assert DocumentMap(ElasticsearchConfig(url="http://x")).one(one) is one.raw  # held once


def test_the_action_creates_under_the_identity_of_the_event(event, parse):
    one = event()
    action, _ = parse(mapped(one))
    assert base64.urlsafe_b64decode(action["_id"] + "==") == one.identity
    assert mapped(one).startswith(b'{"create":{"_index":"sunbird-telemetry-v1-')


def test_the_index_is_that_of_the_record_time(event, parse):
    noon = 1_787_313_600_000  # 2026-08-21T12:00Z
    skewed = event(ets=noon - 400 * DAY, syncts=noon)
    assert parse(mapped(event(ets=noon)))[0]["_index"] == "sunbird-telemetry-v1-2026.08.21"
    assert parse(mapped(skewed))[0]["_index"] == "sunbird-telemetry-v1-2026.08.21"


NOON = 1_787_313_600_000  # 2026-08-21T12:00Z
MOMENTS = st.one_of(
    st.integers(NOON - 13 * 3_600_000, NOON + 13 * 3_600_000),
    st.sampled_from([0, 1, -1, DAY - 1, NOON - 400 * DAY, 253_402_300_799_999, 253_402_300_800_000]),
)
SERVER_TIMES = st.none() | MOMENTS | MOMENTS.map(float) | MOMENTS.map(str)
ODD_TIMES = st.sampled_from([True, "2026-08-21T09:00:00Z", "", "noon", [1], {"a": 1}, 1e308])


@given(
    st.lists(
        st.tuples(
            MOMENTS | MOMENTS.map(float),
            SERVER_TIMES | ODD_TIMES,
            SERVER_TIMES | ODD_TIMES,
            st.none() | MOMENTS,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_the_days_seen_at_a_look_are_those_of_the_record_times(times):
    events = [
        Event(eid="LOG", mid="m", ets=ets, syncts=syncts, timestamp=timestamp, received=received)
        for ets, syncts, timestamp, received in times
    ]
    for module in {None, compiled()}:
        assert record_days(events, module) == [event.record_time() // DAY for event in events]


@pytest.mark.parametrize("ets", [float("nan"), float("inf")])
def test_a_time_that_is_none_has_no_day(ets):
    events = [Event(eid="LOG", mid="m", ets=ets)]
    for module in {None, compiled()}:
        with pytest.raises((ValueError, OverflowError)):
            record_days(events, module)


def test_no_events_have_no_days():
    for module in {None, compiled()}:
        assert record_days([], module) == []


def test_a_time_no_calendar_has_rejects_the_event(event):
    documents = DocumentMap(ElasticsearchConfig(url="http://x"))
    with pytest.raises(EventError) as caught:
        documents.one(event(ets=9e17, syncts=None))  # before it stands among others in a request
    assert (caught.value.code, caught.value.path) == ("es.record_time", "$.ets")


def test_a_fixed_index_needs_no_time(event, parse):
    assert (
        parse(mapped(event(ets=9e17, syncts=None), index="telemetryindex-v1"))[0]["_index"]
        == "telemetryindex-v1"
    )


@pytest.mark.parametrize(
    ("mid", "expected"),
    [
        ("LOG:3b41", "LOG:3b41"),
        ('quote" back\\slash', 'quote" back\\slash'),
        ("tab\tnewline\n\x00", "tab\tnewline\n\x00"),
        ("कार्य", "कार्य"),
        ("x" * 512, "x" * 512),
        ("x" * 513, hashlib.sha256(b"x" * 513).hexdigest()),
        ("क" * 171, hashlib.sha256(("क" * 171).encode()).hexdigest()),
    ],
)
def test_a_mid_is_the_id_as_far_as_the_destination_takes_it(event, parse, mid, expected):
    assert parse(mapped(event(mid=mid), id="mid"))[0]["_id"] == expected


def test_an_empty_mid_falls_back_to_the_identity(parse):
    one = Event(eid="LOG", ets=1.0, mid="", raw=b'{"eid":"LOG"}')
    assert parse(mapped(one, id="mid"))[0]["_id"] == parse(mapped(one))[0]["_id"]


@given(mid=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_mid_breaks_the_framing(mid):
    raw = encode(make_event(mid=mid))
    action, source, rest = mapped(decode(raw), id="mid").split(b"\n")
    assert (source, rest) == (raw, b"")
    assert json.loads(action).keys() == {"create"}


@pytest.mark.parametrize("route_by", ["eid", "channel"])
def test_only_listed_values_reach_the_index_name(event, parse, route_by):
    fields = {"index": "sunbird-{route}", "routes": {"AUDIT": "audit", "org": "tenant"}, "route_by": route_by}
    listed = event("AUDIT", {"context.channel": "org"})
    other = event("LOG", {"context.channel": "../../_all"})
    assert (
        parse(mapped(listed, **fields))[0]["_index"]
        == {"eid": "sunbird-audit", "channel": "sunbird-tenant"}[route_by]
    )
    assert parse(mapped(other, **fields))[0]["_index"] == "sunbird-other"


@pytest.mark.parametrize("fields", CONFIGS)
def test_columns_give_what_single_events_give(event, fields):
    events = [
        event(eid, mid=f"m{number}", ets=1_787_313_600_000 + number * DAY // 2)
        for number, eid in enumerate(samples())
    ]
    documents = DocumentMap(ElasticsearchConfig.model_validate({"url": "http://x", **fields}))
    fresh = b"".join(mapped(one, **fields) for one in events)
    for _ in range(2):  # from the cache of names as well
        assert b"".join(documents.lines(documents.many(events), events)) == fresh
    assert documents.many([]) == list(documents.lines([], [])) == []


@pytest.mark.parametrize("fields", CONFIGS)
def test_odd_events_map_to_two_lines_of_json_or_are_refused(fields):
    for name, raw in nasty().items():
        try:
            one = decode(raw)
            payload = mapped(one, **fields)
        except EventError:
            continue
        action, source, rest = payload.split(b"\n")
        assert rest == b"", name
        assert json.loads(action)["create"].keys() == {"_index", "_id"}, name
        assert msgspec.json.decode(source, type=dict[str, msgspec.Raw]), name
        assert mapped(one, **fields) == payload, name


def test_the_cache_of_names_is_bounded(event):
    documents = DocumentMap(ElasticsearchConfig.model_validate({"url": "http://x"}))
    for number in range(MAX_CACHED + 10):
        documents.one(event(ets=number * DAY, syncts=None))
    assert len(documents._heads) <= MAX_CACHED


def test_a_missing_timestamp_is_put_before_the_first_key(event):
    one = event(ets=1_787_313_600_123)
    source = mapped(one, timestamp="add").split(b"\n")[1]
    assert source == b'{"@timestamp":"2026-08-21T12:00:00.123Z",' + one.raw[1:]


@pytest.mark.parametrize("value", ["2020-01-01T00:00:00Z", "garbage", 17])
def test_a_timestamp_that_is_there_is_kept(event, value):
    one = event(**{"@timestamp": value})
    assert mapped(one, timestamp="add").split(b"\n")[1] == one.raw


def test_a_null_timestamp_is_replaced_and_no_other_byte(event, parse):
    raw = b'{"eid":"LOG","ets":1787313600000,"mid":"m","@timestamp":null,"edata":{"n":1.00},"ver":"3.0"}'
    source = mapped(decode(raw), timestamp="add").split(b"\n")[1]
    assert source == raw.replace(b"null", b'"2026-08-21T12:00:00.000Z"')


def test_a_timestamp_deeper_in_the_event_is_none(event, parse):
    one = event("LOG", {"edata.params": [{"@timestamp": "x"}]})
    source = mapped(one, timestamp="add").split(b"\n")[1]
    assert source.count(b'"@timestamp"') == 2
    assert json.loads(source)["@timestamp"].endswith("Z")


def test_a_data_stream_always_has_its_timestamp(event, parse):
    _, document = parse(mapped(event(), data_stream=True, index="sunbird-telemetry"))
    assert document["@timestamp"] == iso_time(event().record_time())


def test_all_of_edata_can_be_copied_for_searching(event, parse):
    one = event("LOG", {"edata.custom": {"deep": [1.50, None]}})
    source = mapped(one, search_all_edata=True).split(b"\n")[1]
    document = json.loads(source)
    assert document.pop("edata_all") == document["edata"]
    assert document == one.document


def test_the_copy_for_searching_leaves_out_what_no_index_takes(event):
    one = event("LOG", {"edata.params": [{"short": "s", "long": "x" * 40_000}]})
    document = json.loads(mapped(one, search_all_edata=True).split(b"\n")[1])
    assert document["edata"] == one.document["edata"]
    assert document["edata_all"]["params"] == [{"short": "s", "long": None}]


def test_an_edata_all_of_the_event_s_own_gives_way(event, parse):
    one = event("LOG", edata_all="mine")
    source = mapped(one, search_all_edata=True).split(b"\n")[1]
    assert source.count(b'"edata_all"') == 1
    assert json.loads(source)["edata_all"] == json.loads(source)["edata"]


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_times_are_written_as_iso_8601_in_utc(moment):
    from datetime import UTC, datetime, timedelta

    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
    assert iso_time(moment) == exact.isoformat(timespec="milliseconds").replace("+00:00", "Z")
