from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import Decoder, Event, Level
from bridge.native import compiled
from bridge.testing import ABSENT
from bridge_s3 import S3Config
from bridge_s3.mapping import LAST, Grouper, moment

NOON = 1_787_313_600_000
HOUR = 3_600_000
NULL = "__HIVE_DEFAULT_PARTITION__"


def grouper(**settings) -> Grouper:
    return Grouper(S3Config.model_validate({"url": "memory:///x", **settings}))


def common(events, **settings):
    """The group that all of these events share, None if they do not."""
    first, *others = set(grouper(**settings).each(events))
    return None if others else first


def test_events_of_one_hour_share_a_group(event):
    events = [event(n, syncts=NOON + n * 60_000) for n in range(60)]
    assert common(events) == "dt=2026-08-21/hour=12"
    assert grouper().each(events) == ["dt=2026-08-21/hour=12"] * 60


def test_the_next_hour_is_another_group(event):
    events = [event(0, syncts=NOON + HOUR - 1), event(1, syncts=NOON + HOUR)]
    assert common(events) is None
    assert grouper().each(events) == ["dt=2026-08-21/hour=12", "dt=2026-08-21/hour=13"]


@pytest.mark.parametrize(
    ("settings", "group"),
    [
        ({"partition_by": "hour"}, "dt=2026-08-21/hour=12"),
        ({"partition_by": "day"}, "dt=2026-08-21"),
        ({"partition_by": "none"}, ""),
        ({"partition_by": "none", "partition_eid": True}, "eid=AUDIT"),
        ({"partition_by": "day", "partition_eid": True}, "dt=2026-08-21/eid=AUDIT"),
        ({"layout": "secor"}, "2026-08-21"),
        ({"layout": "secor", "partition_eid": True}, "AUDIT/2026-08-21"),
    ],
)
def test_every_way_to_divide(event, settings, group):
    audit = event(0, "AUDIT")
    assert common([audit], **settings) == group
    assert grouper(**settings).each([audit]) == [group]


def test_event_types_are_kept_apart_only_if_asked(event):
    events = [event(0, "AUDIT"), event(1, "LOG")]
    assert common(events) == "dt=2026-08-21/hour=12"
    assert common(events, partition_eid=True) is None
    assert grouper(partition_eid=True, partition_by="none").each(events) == ["eid=AUDIT", "eid=LOG"]


@pytest.mark.parametrize(("time", "hour"), [("syncts", "12"), ("ets", "09"), ("record", "09")])
def test_the_time_that_decides_is_configured(event, time, hour):
    late = event(0, syncts=NOON, ets=NOON - 3 * HOUR)
    assert common([late], partition_time=time) == f"dt=2026-08-21/hour={hour}"


def test_record_time_sets_wild_device_clocks_right(event):
    wild = event(0, syncts=NOON, ets=0)
    assert common([wild], partition_time="record") == "dt=2026-08-21/hour=12"
    assert common([wild], partition_time="ets") == "dt=1970-01-01/hour=00"


def test_without_syncts_the_timestamp_counts_and_then_the_device(event):
    changes = {"ets": NOON - HOUR}
    stamped = event(0, syncts=ABSENT, **changes, **{"@timestamp": "2026-08-21T14:30:00.000Z"})
    bare = event(1, syncts=ABSENT, **changes)
    assert grouper().each([stamped, bare]) == ["dt=2026-08-21/hour=14", "dt=2026-08-21/hour=11"]


@pytest.mark.parametrize(
    "syncts", [0, -5, True, "soon", "", None, [], {}, 10**15, 10**300, 1e308, "9" * 5_000]
)
def test_a_senseless_syncts_falls_through(event, syncts):
    odd = event(0, syncts=syncts, ets=NOON)
    assert common([odd]) == "dt=2026-08-21/hour=12"


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (NOON, NOON),
        (NOON + 0.5, NOON + 0.5),
        (str(NOON), NOON),
        ("2026-08-21T12:00:00Z", NOON),
        ("2026-08-21T12:00:00.000+00:00", NOON),
        ("2026-08-21T17:30:00+05:30", NOON),
        ("2026-08-21T12:00:00", NOON),
        ("0001-01-01T00:00:00", None),
        (0, None),
        (float("inf"), None),
        (float("nan"), None),
        (False, None),
        (None, None),
    ],
)
def test_a_moment_is_read_as_servers_write_it(value, time):
    assert moment(value) == time


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_a_moment_is_a_calendar_time_or_nothing(value):
    found = moment(value)
    assert found is None or 0 < found <= 253_402_300_799_999


def test_a_time_that_no_calendar_has_gives_a_null_partition(event):
    far = event(0, ets=1e17)
    assert common([far], partition_time="ets") == f"dt={NULL}/hour={NULL}"
    assert common([far], partition_time="ets", layout="secor") == "undated"


def test_a_hostile_event_type_cannot_name_a_folder(event):
    for eid in ("../../etc", "a/b", "..", "\u202e", "x" * 10_000, NULL):
        found = common([event(0, eid)], partition_eid=True)
        folder, _, value = found.rpartition("/")
        assert folder == "dt=2026-08-21/hour=12"
        assert value.startswith("eid=")
        assert len(value) <= 104
        assert ".." not in found


def test_events_of_any_mixture_are_grouped_as_each_alone(event):
    events = [event(n, "AUDIT" if n % 7 else "LOG", syncts=NOON + n * 10 * 60_000) for n in range(50)]
    events += [
        event(50, syncts=ABSENT, ets=time) for time in (-1, 0, 0.5, NOON + 0.5, LAST, LAST + 0.5, LAST + 1)
    ]
    for settings in ({}, {"partition_eid": True}, {"partition_by": "none"}, {"layout": "secor"}):
        alone = [common([one], **settings) for one in events]
        assert grouper(**settings).each(events) == alone


@pytest.mark.parametrize(
    ("time", "group"),
    [
        (LAST, "dt=9999-12-31/hour=23"),
        (LAST + 0.5, f"dt={NULL}/hour={NULL}"),
        (-0.5, f"dt={NULL}/hour={NULL}"),
        (0, "dt=1970-01-01/hour=00"),
    ],
)
def test_the_calendar_ends_where_its_last_millisecond_does(event, time, group):
    assert common([event(0, ets=time)], partition_time="ets") == group


TIMES = st.integers(NOON - HOUR, NOON + HOUR) | st.sampled_from(
    [0, 1, -1, LAST, LAST + 1, NOON - 400 * 24 * HOUR]
)
GIVEN = (
    st.none() | TIMES | TIMES.map(float) | TIMES.map(str) | st.sampled_from([True, "noon", "", [1], 10**300])
)


@pytest.mark.skipif(compiled() is None, reason="there is no compiled part")
@given(
    events=st.lists(
        st.builds(
            Event,
            eid=st.sampled_from(["LOG", "AUDIT"]),
            mid=st.just("m"),
            ets=TIMES | st.floats(-1.0, 2.0 * LAST),
            syncts=GIVEN,
            timestamp=GIVEN,
            received=st.none() | TIMES,
        ),
        min_size=1,
        max_size=5,
    ),
    time=st.sampled_from(["syncts", "ets", "record"]),
    by=st.sampled_from(["hour", "day", "none"]),
    eid=st.booleans(),
)
def test_the_compiled_part_finds_the_same_groups(events, time, by, eid):
    settings = {"partition_time": time, "partition_by": by, "partition_eid": eid}
    config = S3Config.model_validate({"url": "memory:///x", **settings})
    assert Grouper(config, compiled()).each(events) == Grouper(config, None).each(events)


def test_the_sample_events_of_sunbird_all_have_a_date(shared):
    lines = (shared / "sunbird/samples/js-sdk-0.0.21/sdk-js-node.jsonl").read_bytes().splitlines()
    groups = {common([Decoder(Level.ENVELOPE).event(line)]) for line in lines}
    assert groups
    assert all(re.fullmatch(r"dt=20[0-9-]{8}/hour=[0-9]{2}", group) for group in groups)
