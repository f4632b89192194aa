"""Points in time on the command line: a date, a time, or how long ago."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import click

__all__ = ["as_moment", "parse_moment"]

AGO = re.compile(r"(\d+)\s*(s|m|h|d|w)")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_moment(text: str, now: float) -> int:
    """`2h`, `3d`, `2026-11-21` or `2026-11-21T03:00:00+05:30` (UTC if unsaid) as Unix milliseconds."""
    if found := AGO.fullmatch(text.strip()):
        moment = datetime.fromtimestamp(now - int(found[1]) * SECONDS[found[2]], UTC)
    else:
        moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def as_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """The callback of an option that takes a moment: Unix milliseconds, or a usage error."""
    if value is None:
        return None
    try:
        return parse_moment(value, time.time())
    except (ValueError, OverflowError):
        reason = f'"{value}" is no time; write 2h, 3d, 2026-11-21 or 2026-11-21T03:00'
        raise click.BadParameter(reason, ctx, param) from None
