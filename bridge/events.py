"""Sunbird telemetry v3 as values: split a payload, decode and judge an event, tell it from others.

This is what plugins import. An event's head is typed, its `edata` is decoded when asked for, and its
own bytes stay with it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bridge.framing import split
from bridge.jsontext import dump
from bridge.model import Actor, CData, Context, Event, Object, Producer, identities
from bridge.validation import Decoder, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Actor",
    "CData",
    "Context",
    "Decoder",
    "Event",
    "Level",
    "Object",
    "Producer",
    "decode",
    "identities",
    "rewrite",
    "split",
]

_lenient = Decoder(Level.LENIENT)
_staged = Decoder(Level.ENVELOPE, max_event_bytes=sys.maxsize)  # its size was judged on the way in


def decode(raw: bytes) -> Event:
    """Decode one event at level `lenient`; raises EventError with code, JSON path and reason."""
    return _lenient.event(raw)


def rewrite(event: Event, document: Mapping[str, Any]) -> Event:
    """A new event with this document, for stages; start from `event.document`, a copy of its own.

    Judged at level `envelope`: raises EventError for a document without what routing and
    identity need, or that JSON cannot express.
    """
    changed = _staged.event(dump(document))
    changed.received = event.received
    return changed
