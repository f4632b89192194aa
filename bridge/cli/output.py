"""What commands print: aligned text, the same into a pipe and onto a terminal, safe for both."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from bridge.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ago", "counted", "is_terminal", "moment", "say", "size", "table", "warn"]

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
STEP = 1024
SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (0.0, "s"))


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def say(text: str = "", colour: str | None = None, *, bold: bool = False) -> None:
    """Print one line; colours are for terminals alone."""
    line = printable(text)
    click.echo(click.style(line, fg=colour, bold=bold or None) if colour or bold else line)


def warn(text: str) -> None:
    """Print one line to standard error."""
    click.secho(printable(text), fg="yellow", err=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: bool = False) -> None:
    """Print rows as columns; `numbers` puts all columns but the first to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    lines = [list(headings), *texts]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for place, line in enumerate(lines):
        cells = [
            text.rjust(width) if numbers and column else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        say("  ".join(cells).rstrip(), bold=place == 0)


def counted(number: int, noun: str) -> str:
    """`1 event`, `2,000 events`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size(number: int) -> str:
    """`1.5 MiB`."""
    value, unit = float(number), 0
    while value >= STEP and unit < len(UNITS) - 1:
        value, unit = value / STEP, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{number:,} bytes"


def moment(at_ms: int) -> str:
    """Unix milliseconds as ISO 8601, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))


def ago(seconds: float) -> str:
    """`4 min`, for how long something is past."""
    seconds = max(seconds, 0.0)
    span, unit = next((span, unit) for span, unit in SPANS if seconds >= span)
    return f"{seconds / (span or 1.0):.0f} {unit}"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if isinstance(value, float) else printable(str(value))
