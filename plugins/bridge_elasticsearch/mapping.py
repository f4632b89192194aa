"""From an event to its document, and from a batch to the lines of a bulk request.

The document is the event's own bytes. What is added (`@timestamp`, `edata_all`) is put before
the first key, so that nothing else is written anew; the ECS shape wraps the bytes instead.

The line before each document, which says what to do with it, follows from the event alone. It is
made when the request is: a payload that held it would be a copy of the event.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from struct import unpack
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.compression import Rows
from bridge.errors import EventError
from bridge.events import identities
from bridge.native import compiled
from bridge_elasticsearch import ecs
from bridge_elasticsearch.naming import DAY, day_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bridge.events import Event
    from bridge_elasticsearch.config import ElasticsearchConfig
    from bridge_elasticsearch.naming import IndexPattern

__all__ = ["DocumentMap"]

TIMESTAMP, EDATA_ALL = b'"@timestamp"', b'"edata_all"'
OUT_OF_TIME = "its time lies outside the years 1 to 9999"
LONGEST_TERM = 32_000
MAX_TEXT = 1_024
"""The `ignore_above` of the templates."""
MAX_ID = 512
MAX_CACHED = 4_096
LAST_DAY = 2_932_896
"""9999-12-31, the last day a record time can lie in."""
NATIVE = compiled()
GAP = b"\0\0"
ID_AND_GAP = "22s2x"

_top_level = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.encode  # compact, and never with a newline inside


class DocumentMap:
    """The mapping of one configuration; every method is a pure function of the events."""

    def __init__(self, config: ElasticsearchConfig) -> None:
        self._heads = _Heads(config.pattern)
        self._dated, self._routed = config.pattern.dated, config.pattern.routed
        self._buckets, self._default = config.buckets, config.default_route
        self._value = attrgetter("context.channel" if config.route_by == "channel" else "eid")
        self._ids = mid_ids if config.id == "mid" else identity_ids
        self._stamped = config.data_stream or config.timestamp == "add"
        self._search_all = config.search_all_edata
        self._source = self._source_of(config.shape)

    def one(self, event: Event) -> bytes:
        """Map one event to its document; `EventError` if its time names no index."""
        return self.many((event,))[0]

    def many(self, events: Sequence[Event]) -> list[bytes]:
        """Map events, column by column, in order."""
        self._heads_of(events)  # what cannot be named is refused here, where it is one event's fault
        if self._source is None:
            return [event.raw for event in events]
        return list(map(self._source, events))

    def lines(self, documents: Sequence[bytes], events: Sequence[Event]) -> Iterable[bytes]:
        """The body of a request in pieces: an action line and a source line for each document of `many`."""
        return Rows(self._heads_of(events), self._ids(events), b'"}}\n', documents, b"\n")

    def _heads_of(self, events: Sequence[Event]) -> list[bytes]:
        """The action line of each event up to its id."""
        heads = self._heads
        days = record_days(events) if self._dated else [0] * len(events)
        if not self._routed:
            of_day = {day: heads[day, ""] for day in set(days)}
            return list(map(of_day.__getitem__, days))
        bucket, other = self._buckets.get, self._default
        return [heads[key] for key in zip(days, (bucket(self._value(e), other) for e in events), strict=True)]

    def _source_of(self, shape: str) -> Callable[[Event], bytes] | None:
        """What makes an event's document, None where that is the event as it came."""
        if shape == "ecs":
            return self._ecs_source
        return self._extended_source if self._stamped or self._search_all else None

    def _extended_source(self, event: Event) -> bytes:
        """The event with keys put before its first one; if it holds such a key, that one is replaced."""
        added, raw, taken = b"", event.raw, False
        if self._stamped and event.timestamp is None:
            added, taken = b'"@timestamp":"%b",' % iso_time(event.record_time()).encode(), TIMESTAMP in raw
        if self._search_all:
            added += b'"edata_all":%b,' % _searchable_edata(event)
            taken = taken or EDATA_ALL in raw
        if taken:
            return _merged(raw, b"{%b}" % added[:-1])
        return b"{%b%b" % (added, raw.lstrip()[1:]) if added else raw

    def _ecs_source(self, event: Event) -> bytes:
        head: dict[str, Any] = ecs.head(event, iso_time(event.record_time()))
        if self._search_all:
            head["edata_all"] = msgspec.Raw(_searchable_edata(event))
        return b'%b,"sunbird":%b}' % (_encode(head)[:-1], event.raw)


class _Heads(dict[tuple[int, str], bytes]):
    """Day and bucket → the action line up to the id. Few exist, so they are made once."""

    def __init__(self, pattern: IndexPattern) -> None:
        super().__init__()
        self._pattern = pattern

    def __missing__(self, key: tuple[int, str]) -> bytes:
        try:
            name = self._pattern.name(*key)
        except OverflowError:
            raise EventError("es.record_time", OUT_OF_TIME, "$.ets") from None
        if len(self) >= MAX_CACHED:
            self.clear()
        self[key] = b'{"create":{"_index":%b,"_id":"' % _encode(name)
        return self[key]


def record_days(events: Sequence[Event], module: Any = NATIVE) -> list[int]:
    """The day (since 1970) of each event's record time."""
    if module is None:
        return _plain_days(events)
    days: list[int]
    days, left = module.spans(list(events), DAY, served=False)
    for place in left:
        days[place] = events[place].record_time() // DAY
    return days


def _plain_days(events: Sequence[Event]) -> list[int]:
    """The days in Python.

    A record time is the device's time or the server's. Where both lie in the day that is usual
    in these events, there is nothing to work out.
    """
    usual = events[len(events) // 2].record_time() // DAY if events else 0
    if 0 < usual <= LAST_DAY:
        begin, end = usual * DAY, usual * DAY + DAY
        first, last = float(begin), float(end)  # `ets` is one: to compare it with an integer takes far longer
        with suppress(TypeError):  # a server may write its time as text
            return [
                usual
                if first <= event.ets < last
                and (
                    (server := event.syncts or event.timestamp or event.received) is None
                    or begin <= server < end
                )
                else event.record_time() // DAY
                for event in events
            ]
    return [event.record_time() // DAY for event in events]


def identity_ids(events: Sequence[Event]) -> list[bytes]:
    """Write each event's identity in URL-safe base64, which both products store as 16 bytes.

    Two bytes between them (two `=` after the last) make the groups of base64 end where an identity
    ends, so one call encodes all of them, and one cuts them apart.
    """
    text = base64.urlsafe_b64encode(GAP.join(identities(events)))
    return list(unpack(ID_AND_GAP * len(events), text))


def mid_ids(events: Sequence[Event]) -> list[bytes]:
    """Write each event's `mid` as it stands between quotes in JSON, for indices whose ids are mids."""
    return [_mid_id(event) for event in events]


def _mid_id(event: Event) -> bytes:
    size = len(event.mid.encode())
    if not size:  # an empty _id is refused, and a generated one would not find its duplicate
        return identity_ids((event,))[0]
    if size > MAX_ID:
        return hashlib.sha256(event.mid.encode()).hexdigest().encode()
    return _encode(event.mid)[1:-1]


def iso_time(moment: int) -> str:
    """Write milliseconds since 1970 as `2026-08-21T09:30:00.123Z`.

    Raises:
        EventError: the time lies outside the years 1 to 9999.
    """
    day, rest = divmod(moment, DAY)
    seconds, milliseconds = divmod(rest, 1_000)
    minutes, second = divmod(seconds, 60)
    return f"{_date(day)}T{minutes // 60:02}:{minutes % 60:02}:{second:02}.{milliseconds:03}Z"


@lru_cache(maxsize=MAX_CACHED)
def _date(day: int) -> str:
    try:
        return day_text(day)
    except OverflowError:
        raise EventError("es.record_time", OUT_OF_TIME, "$.ets") from None


def _searchable_edata(event: Event) -> bytes:
    """The copy for `edata_all`: edata's own bytes, without long texts where an index would refuse them.

    `flat_object` has no `ignore_above`, and a term of more than 32,766 bytes is refused.
    """
    edata = bytes(_top_level.decode(event.raw).get("edata", b"{}"))
    return edata if len(edata) < LONGEST_TERM else _encode(_without_long_texts(event.edata))


def _without_long_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_long_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_long_texts(inner) for inner in value]
    return None if isinstance(value, str) and len(value) > MAX_TEXT else value


def _merged(raw: bytes, extra: bytes) -> bytes:
    """Put the keys of `extra` over those of a document, every other value byte for byte as it was."""
    return _encode(_top_level.decode(raw) | _top_level.decode(extra))
