"""A Sunbird event and the PostHog event it becomes, side by side, for people."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.events import Event

__all__ = ["side_by_side"]

WIDTH = 62
JOINERS = "\u200c\u200d"


def side_by_side(events: Sequence[Event], payloads: Sequence[bytes], width: int = WIDTH) -> str:
    """Two columns of `width` characters an event; what does not fit is wrapped, not cut."""
    pairs = zip_longest(events, payloads)
    return "\n\n".join(_pair(event, payload or b"", width) for event, payload in pairs)


def _pair(event: Event | None, payload: bytes, width: int) -> str:
    left = ["Sunbird", "", *_lines(event.document if event else None, width)]
    right = ["PostHog", ""]
    for part in payload.split(b"\n"):
        right += _lines(msgspec.json.decode(part) if part else None, width)
    rows = zip_longest(left, right, fillvalue="")
    return "\n".join(f"{ours:<{width}} │ {theirs}".rstrip() for ours, theirs in rows)


def _lines(document: Any, width: int) -> list[str]:
    if document is None:
        return []
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    return [piece for line in text.split("\n") for piece in _wrapped(_printable(line), width)]


def _printable(line: str) -> str:
    """Telemetry must not move the cursor of whoever reads it; joiners stay, Indic scripts need them."""
    return "".join(
        letter if letter.isprintable() or letter in JOINERS else ascii(letter)[1:-1] for letter in line
    )


def _wrapped(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=False, break_on_hyphens=False)
