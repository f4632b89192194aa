from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import decode
from bridge.testing import encode, make_event

pytestmark = pytest.mark.usefixtures("each_reader")

WEEK = 7 * 24 * 3600 * 1000
NOW = 1_700_000_000_000


def event_of(ets=NOW, syncts=None, timestamp=None):
    return decode(encode(make_event("LOG", ets=ets, syncts=syncts, **{"@timestamp": timestamp})))


@pytest.mark.parametrize("drift", [0, 1, -1, WEEK, -WEEK])
def test_a_device_clock_within_seven_days_is_trusted(drift):
    assert event_of(NOW + drift, syncts=NOW).record_time() == NOW + drift


@pytest.mark.parametrize("drift", [WEEK + 1, -WEEK - 1, 10**15, -NOW])
def test_a_device_clock_further_off_gives_way_to_the_server(drift):
    assert event_of(NOW + drift, syncts=NOW).record_time() == NOW


def test_the_server_time_is_syncts_then_timestamp_then_received_then_none():
    wild = 5
    everything = event_of(wild, syncts=NOW, timestamp="2020-01-01T00:00:00Z")
    assert everything.record_time(received=1) == NOW
    assert event_of(wild, timestamp="2020-01-01T00:00:00Z").record_time(received=NOW) == 1_577_836_800_000
    assert event_of(wild).record_time(received=NOW) == NOW
    assert event_of(wild).record_time() == wild


def test_what_the_journal_knows_stands_in_for_received():
    event = event_of(5)
    event.received = NOW
    assert event.record_time() == NOW
    assert event.record_time(received=NOW - 1) == NOW - 1


@pytest.mark.parametrize(
    "sent",
    [
        NOW,
        float(NOW),
        NOW + 0.9,
        str(NOW),
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:20.000+0000",
        "2023-11-15T03:43:20+05:30",
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20",
    ],
)
def test_server_times_are_understood_in_the_ways_producers_write_them(sent):
    assert event_of(5, syncts=sent).record_time() == NOW
    assert event_of(5, timestamp=sent).record_time() == NOW


@pytest.mark.parametrize(
    "garbage",
    [
        *(0, -5, True, False, 1e300, 2**70, "", "yesterday", "-5", "1e12", "9" * 5000, "²", "0000-99-99"),
        *([], {}, [NOW], {"$numberLong": "7"}, "9999-12-31T23:59:59-14:00", "x" * 100_000),
    ],
)
def test_a_server_time_that_makes_no_sense_is_passed_over(garbage):
    assert event_of(5, syncts=garbage, timestamp=garbage).record_time(received=NOW) == NOW


def test_a_fraction_of_a_millisecond_is_dropped():
    assert event_of(NOW + 0.75, syncts=NOW).record_time() == NOW


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18),
    json_values,
    json_values,
)
def test_record_time_never_raises_and_is_near_one_of_the_times_given(ets, syncts, timestamp):
    time = event_of(ets, syncts, timestamp).record_time(received=NOW)
    assert isinstance(time, int)
    assert time in (int(float(ets)), int(ets)) or 0 < time <= 253_402_300_799_999
    assert math.isfinite(time)
