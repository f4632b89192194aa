"""Which group of a range an event belongs to: the path of its date, hour and event type. Pure.

A group without a date is `__HIVE_DEFAULT_PARTITION__`, which Hive, Spark, Athena and DuckDB
read as NULL, so that the column keeps its type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bridge.native import compiled
from bridge_s3.keys import segment

if TYPE_CHECKING:
    from bridge.events import Event
    from bridge_s3.config import S3Config

__all__ = ["Grouper", "moment"]

HOUR = 3_600_000
DAY = 24 * HOUR
LAST = 253_402_300_799_999  # the end of the year 9999 in ms: what a date can express
UNKNOWN = -1
NULL = "__HIVE_DEFAULT_PARTITION__"
UNDATED = "undated"
NATIVE = compiled()

Times = Callable[[Sequence["Event"]], list[float]]


class Grouper:
    """Divides events by time and, if asked to, by event type."""

    def __init__(self, config: S3Config, module: Any = NATIVE) -> None:
        self._module = module
        self._unit = {"hour": HOUR, "day": DAY, "none": 0}[config.by]
        self._eid = config.partition_eid
        self._times: Times = {"syncts": _server_times, "ets": _device_times, "record": _record_times}[
            config.partition_time
        ]
        self._name = lru_cache(4_096)(_secor_name if config.layout == "secor" else self._hive_name)

    def each(self, events: Sequence[Event]) -> list[str]:
        """The group of each event."""
        spans = self._spans(events)
        if self._eid:
            return [
                self._name(self._begin(span), event.eid) for span, event in zip(spans, events, strict=True)
            ]
        names = {span: self._name(self._begin(span), None) for span in set(spans)}
        return [names[span] for span in spans]

    @property
    def unplaced(self) -> str:
        """The group of what has no place of its own."""
        return self._name(UNKNOWN, NULL if self._eid else None)

    def _spans(self, events: Sequence[Event]) -> list[float]:
        """Which hour or day since the epoch each event lies in."""
        if not self._unit:
            return [0] * len(events)
        if self._module is None or self._times is _device_times:
            return self._plain_spans(events)
        spans: list[float]
        spans, left = self._module.spans(list(events), self._unit, served=self._times is _server_times)
        for place in left:
            (spans[place],) = self._plain_spans([events[place]])
        return spans

    def _plain_spans(self, events: Sequence[Event]) -> list[float]:
        unit = self._unit
        return [time // unit if 0 <= time <= LAST else UNKNOWN for time in self._times(events)]

    def _begin(self, span: float) -> int:
        """When an hour or day begins, in ms."""
        return UNKNOWN if span == UNKNOWN else int(span) * self._unit

    def _hive_name(self, slot: int, eid: str | None) -> str:
        date, hour = _date(slot, NULL), NULL if slot < 0 else f"{slot // HOUR % 24:02d}"
        parts = {0: [], HOUR: [f"dt={date}", f"hour={hour}"], DAY: [f"dt={date}"]}[self._unit]
        return "/".join(parts if eid is None else [*parts, f"eid={_value(eid)}"])


def _secor_name(slot: int, eid: str | None) -> str:
    date = _date(slot, UNDATED)
    return date if eid is None else f"{UNDATED if eid == NULL else segment(eid)}/{date}"


def _value(eid: str) -> str:
    return NULL if eid in {"", NULL} else segment(eid)


def _date(slot: int, unknown: str) -> str:
    return unknown if slot < 0 else f"{datetime.fromtimestamp(slot / 1000, UTC):%Y-%m-%d}"


def _device_times(events: Sequence[Event]) -> list[float]:
    return [event.ets for event in events]


def _record_times(events: Sequence[Event]) -> list[float]:
    return [event.record_time() for event in events]


def _server_times(events: Sequence[Event]) -> list[float]:
    return [
        server if type(server := event.syncts) is int and 0 < server <= LAST else _server_time(event)
        for event in events
    ]


def _server_time(event: Event) -> float:
    """`syncts`, else `@timestamp`, as Secor at Sunbird does it; else the journal's time, or the device's."""
    if event.syncts is None and event.timestamp is None:
        return event.received or event.ets
    return moment(event.syncts) or moment(event.timestamp) or event.received or event.ets


def moment(value: Any) -> float | None:
    """A time as servers write it, in ms since the epoch: a number of ms, its digits, or ISO 8601."""
    if isinstance(value, str):
        value = _written(value)
    sound = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LAST
    return value if sound else None


def _written(text: str) -> float | None:
    try:
        if text.isdecimal():
            return int(text)
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000
