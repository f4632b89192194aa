"""Index names: a pure function of the record's time and of an allow-list, never of free text.

`sunbird-{route}-{yyyy.MM.dd}` has literal parts, dates in UTC and at most one `{route}`.
Date letters are those of Logstash and Sunbird's own templates: `yyyy` (or `YYYY`) year, `MM`
month, `dd` day, `xxxx` year of the ISO week, `ww` ISO week.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DAY", "IndexPattern", "bucket_name", "day_text"]

DAY = 86_400_000
"""Milliseconds in a day: nothing in an index name is finer."""

MAX_NAME = 100
MAX_BUCKET = 40
LONGEST_ROUTE = "r" * MAX_BUCKET
RESERVED = re.compile(r"(logs|metrics|traces|synthetics|profiling)-")
LEGAL = re.compile(r"[a-z0-9][a-z0-9._-]*")
MIN_PREFIX = 3

_FIELDS: dict[str, Callable[[date], str]] = {
    "yyyy": lambda day: f"{day.year:04}",
    "YYYY": lambda day: f"{day.year:04}",
    "MM": lambda day: f"{day.month:02}",
    "dd": lambda day: f"{day.day:02}",
    "xxxx": lambda day: f"{day.isocalendar().year:04}",
    "ww": lambda day: f"{day.isocalendar().week:02}",
}
_TOKEN = re.compile(r"yyyy|YYYY|xxxx|MM|dd|ww|[._-]+")


@dataclass(frozen=True, slots=True)
class IndexPattern:
    """A compiled pattern: `parts` are literal texts, date functions, or None for the route."""

    text: str
    parts: tuple[str | Callable[[date], str] | None, ...]

    @classmethod
    def parse(cls, text: str) -> IndexPattern:
        """Compile `text`; `ValueError` says in one sentence what cannot be an index name."""
        pattern = cls(text, tuple(_parts(text)))
        _require_legal(pattern)
        return pattern

    @property
    def routed(self) -> bool:
        """Whether the name holds a `{route}`."""
        return None in self.parts

    @property
    def dated(self) -> bool:
        """Whether the name depends on the record's time."""
        return any(callable(part) for part in self.parts)

    def name(self, day: int, route: str = "") -> str:
        """Name the index of a `day` (days since 1970) and a route's bucket.

        Raises:
            OverflowError: the day lies outside the years 1 to 9999.
        """
        when = _date(day)
        return "".join(
            part if isinstance(part, str) else route if part is None else part(when) for part in self.parts
        )

    @property
    def wildcard(self) -> str:
        """The pattern that covers every name this one makes: `sunbird-telemetry-v1-*`."""
        starred = "".join(part if isinstance(part, str) else "*" for part in self.parts)
        return re.sub(r"\*[.*_-]*\*", "*", starred)


def bucket_name(value: str) -> str:
    """Make a bucket out of an event's value: lower case, `[a-z0-9_-]`, no more than 40 letters."""
    return re.sub(r"[^a-z0-9_-]+", "-", value.lower())[:MAX_BUCKET]


def day_text(day: int) -> str:
    """Write a `day` (days since 1970) as `2026-08-21`; `OverflowError` outside the years 1 to 9999."""
    return _date(day).isoformat()


def _date(day: int) -> date:
    try:
        return datetime.fromtimestamp(day * 86_400, UTC).date()
    except (ValueError, OSError) as error:
        raise OverflowError(str(error)) from None


def _parts(text: str) -> list[str | Callable[[date], str] | None]:
    parts: list[str | Callable[[date], str] | None] = []
    for index, piece in enumerate(re.split(r"\{([^{}]*)\}", text)):
        if index % 2 == 0:
            parts += [piece] if piece else []
        elif piece == "route":
            parts.append(None)
        else:
            parts += _date_parts(piece)
    return parts


def _date_parts(piece: str) -> list[str | Callable[[date], str]]:
    tokens = _TOKEN.findall(piece)
    if not piece or "".join(tokens) != piece:
        message = f"{{{piece}}} is not a date: use yyyy, MM, dd, or xxxx and ww for weeks, or {{route}}"
        raise ValueError(message)
    return [_FIELDS.get(token, token) for token in tokens]


def _require_legal(pattern: IndexPattern) -> None:
    example = pattern.name(0, LONGEST_ROUTE if pattern.routed else "")
    if not LEGAL.fullmatch(example):
        raise ValueError(
            "an index name has lower-case letters, digits, '.', '_' and '-', and starts with neither"
        )
    if len(example) > MAX_NAME:
        raise ValueError(f"the index name would be longer than {MAX_NAME} bytes")
    if RESERVED.match(example):
        raise ValueError(
            f"{example.split('-')[0]}-… is covered by a template of Elasticsearch's own, "
            "which maps dynamically; choose another name"
        )
    if len(pattern.wildcard.split("*")[0]) < MIN_PREFIX:
        raise ValueError(
            f"start the name with {MIN_PREFIX} fixed letters at least, or its template covers too much"
        )
    if pattern.parts.count(None) > 1:
        raise ValueError("{route} may stand in an index name once")
