from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_elasticsearch.naming import IndexPattern, bucket_name, day_text

EPOCH = date(1970, 1, 1)


def day(text):
    return (date.fromisoformat(text) - EPOCH).days


@pytest.mark.parametrize(
    ("pattern", "when", "name"),
    [
        ("sunbird-telemetry-v1-{yyyy.MM.dd}", "2026-08-21", "sunbird-telemetry-v1-2026.08.21"),
        ("sunbird-{yyyy.MM}", "2026-08-21", "sunbird-2026.08"),
        ("sunbird-{yyyy-MM-dd}-v1", "2026-08-21", "sunbird-2026-08-21-v1"),
        ("sunbird-{xxxx.ww}", "2026-08-21", "sunbird-2026.34"),
        ("sunbird-{YYYY.MM.ww}", "2026-08-21", "sunbird-2026.08.34"),
        ("telemetryindex-v1", "2026-08-21", "telemetryindex-v1"),
    ],
)
def test_a_name_follows_the_day(pattern, when, name):
    assert IndexPattern.parse(pattern).name(day(when)) == name


def test_a_week_belongs_to_the_year_that_holds_its_thursday():
    weekly = IndexPattern.parse("sunbird-{xxxx.ww}")
    assert weekly.name(day("2027-01-01")) == "sunbird-2026.53"
    assert weekly.name(day("2024-12-30")) == "sunbird-2025.01"


@given(st.dates())
def test_daily_names_sort_as_days_do(when):
    daily = IndexPattern.parse("sunbird-{yyyy.MM.dd}")
    number = (when - EPOCH).days
    assert daily.name(number) == f"sunbird-{when.year:04}.{when.month:02}.{when.day:02}"
    assert day_text(number) == when.isoformat()


def test_a_route_takes_its_place():
    assert (
        IndexPattern.parse("sunbird-{route}-{yyyy}").name(day("2026-01-01"), "audit") == "sunbird-audit-2026"
    )


@pytest.mark.parametrize(
    ("pattern", "wildcard"),
    [
        ("sunbird-telemetry-v1-{yyyy.MM.dd}", "sunbird-telemetry-v1-*"),
        ("sunbird-{route}-{yyyy.MM.dd}", "sunbird-*"),
        ("sunbird-{yyyy.MM}-x", "sunbird-*-x"),
        ("telemetryindex-v1", "telemetryindex-v1"),
    ],
)
def test_the_wildcard_covers_every_name(pattern, wildcard):
    parsed = IndexPattern.parse(pattern)
    assert parsed.wildcard == wildcard
    assert re.fullmatch(wildcard.replace("*", ".*"), parsed.name(20_000, "audit"))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("Sunbird-{yyyy}", "lower-case"),
        ("-sunbird", "lower-case"),
        (".sunbird", "lower-case"),
        ("sun bird", "lower-case"),
        ("sunbird-*", "lower-case"),
        ("", "lower-case"),
        ("sunbird-{date}", "is not a date"),
        ("sunbird-{}", "is not a date"),
        ("sunbird-{HH}", "is not a date"),
        ("sunbird-{yyyy", "lower-case"),
        ("sunbird-" + "x" * 90 + "-{yyyy}", "longer than 100"),
        ("logs-sunbird-default", "of Elasticsearch's own"),
        ("metrics-sunbird-{yyyy}", "of Elasticsearch's own"),
        ("{route}-sunbird", "start the name"),
        ("s-{yyyy.MM.dd}", "start the name"),
        ("sunbird-{route}-{route}", "once"),
    ],
)
def test_what_cannot_be_an_index_name_is_refused_with_a_reason(pattern, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        IndexPattern.parse(pattern)


@given(st.text())
def test_a_bucket_made_of_any_text_is_harmless(text):
    assert re.fullmatch(r"[a-z0-9_-]{0,40}", bucket_name(text))


@pytest.mark.parametrize("number", [-800_000, 3_000_000, 10**15])
def test_a_day_outside_the_calendar_overflows(number):
    with pytest.raises(OverflowError):
        IndexPattern.parse("sunbird-{yyyy.MM.dd}").name(number)


def test_days_are_those_of_utc():
    moment = datetime(2026, 8, 21, 23, 59, tzinfo=UTC)
    assert day_text(int(moment.timestamp() // 86_400)) == "2026-08-21"
    assert day_text(int((moment + timedelta(minutes=1)).timestamp() // 86_400)) == "2026-08-22"
