"""When an event happened: the device's clock, unless the server's proves it wrong. Pure.

`ets` is the clock of a phone. The pipeline adds `syncts` (or `@timestamp`), the clock of the
server that received the event. Events may lie weeks before it, since devices go offline, but
not after it, nor before Sunbird existed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bridge.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.events import Event

__all__ = ["MINUTE", "client_time", "iso", "minute_of", "moment", "moments"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FLOOR = 1_420_070_400_000.0  # 2015-01-01, before the first Sunbird release; floats, as `ets` is one
LAST = 253_402_300_799_999.0  # 9999-12-31
MINUTE = 60_000
AHEAD = 300_000  # five minutes between a correct device and the server
LONGEST_TEXT = 40


def moments(events: Sequence[Event]) -> tuple[list[int], list[int]]:
    """The time of each event (ms), and the indices of those whose device's clock was overruled."""
    times: list[int] = []
    overruled: list[int] = []
    for event in events:
        ets, syncts = event.ets, event.syncts
        if type(syncts) is int and FLOOR <= ets <= syncts + AHEAD and ets <= LAST:  # costs no call
            times.append(int(ets))
            continue
        if syncts is None and event.timestamp is None and 0 <= ets <= LAST:  # nor does this
            times.append(int(ets))
            continue
        at, corrected = moment(event)
        if corrected:
            overruled.append(len(times))
        times.append(at)
    return times, overruled


def moment(event: Event) -> tuple[int, bool]:
    """Milliseconds since the epoch, and whether the device's clock had to be overruled.

    `EventError` if `ets` is beyond the calendar and no server time stands in for it.
    """
    ets, syncts = event.ets, event.syncts
    server = None if syncts is event.timestamp is None else server_time(syncts, event.timestamp)
    if server is None:
        if 0 <= ets <= LAST:
            return int(ets), False
        raise EventError("time", "ets is beyond the calendar, and no server time is given", "$.ets")
    if FLOOR <= ets <= server + AHEAD:
        return int(ets), False
    return server, True


def server_time(syncts: Any, timestamp: Any) -> int | None:
    """The server's clock in ms, from `syncts` or else `@timestamp`; None if neither is a time."""
    for value in (syncts, timestamp):
        number = _parsed(value) if isinstance(value, str) else value
        if isinstance(number, int | float) and FLOOR <= number <= LAST:
            return int(number)
    return None


def _parsed(text: str) -> int | None:
    return _read(text) if len(text) <= LONGEST_TEXT else None


@lru_cache(maxsize=1_024)
def _read(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1)


def iso(milliseconds: int) -> str:
    """RFC 3339 in UTC, always with 24 characters: `2026-01-05T09:30:00.000Z`."""
    minutes, rest = divmod(milliseconds, MINUTE)
    return f"{minute_of(minutes).decode()}{rest // 1000:02d}.{rest % 1000:03d}Z"


@lru_cache(maxsize=1_024)
def minute_of(minutes: int) -> bytes:
    """The same down to the minute, for minutes since the epoch: `2026-01-05T09:30:`."""
    return (EPOCH + timedelta(minutes=minutes)).isoformat()[:17].encode()


def client_time(ets: float) -> str:
    """What the device's clock said, for the record; the bare number if no calendar has it."""
    return iso(int(ets)) if 0 <= ets <= LAST else repr(ets)
