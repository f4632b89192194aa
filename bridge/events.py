"""Sunbird telemetry v3 as values: split a payload, decode and judge an event, tell it from others.

This is what plugins import. An event's head is typed, its `edata` is decoded when asked for, and its
own bytes stay with it.
"""

from __future__ import annotations

from bridge.framing import split
from bridge.model import Actor, CData, Context, Event, Object, Producer, identities
from bridge.validation import Decoder, Level

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
    "split",
]

_lenient = Decoder(Level.LENIENT)


def decode(raw: bytes) -> Event:
    """Decode one event at level `lenient`; raises EventError with code, JSON path and reason."""
    return _lenient.event(raw)
