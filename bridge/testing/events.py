"""Telemetry events for tests: an ordinary one of every type, and the ones that break programs.

    from bridge.events import decode
    from bridge.testing import encode, make_event

    event = decode(encode(make_event("ASSESS", {"edata.score": 0.5}, mid="m-1")))

Everything is deterministic: the same call gives the same event, in every process.
"""

from __future__ import annotations

import copy
import json
import uuid
from typing import TYPE_CHECKING, Any, Final

from bridge.testing import hostile
from bridge.testing.catalogue import FIRST_ETS, OFFICIAL, UNKNOWN, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.testing.sources import Json

__all__ = ["ABSENT", "encode", "make_event", "nasty", "samples", "unknown_samples"]

ABSENT: Final = ...
"""As an override's value: the key is left out of the event."""

_NAMESPACE = uuid.UUID("8f3ad0c6-5b7e-4a52-9a35-0d6a1c94e2b7")


def make_event(eid: str = "INTERACT", changes: Mapping[str, Any] | None = None, /, **overrides: Any) -> Json:
    """Make one event that the official schemas accept, then change it.

    `changes` has dotted keys (`{"edata.score": 0.5, "context.cdata.0.id": "c1"}`; objects on the
    way are made where missing), `overrides` are top-level keys (`mid="m-1"`); the value `ABSENT`
    removes a key. An eid without a sample gets the envelope of an app and an empty `edata`.
    Two calls give the same `mid` unless you change it.

    Raises:
        LookupError: a dotted key names a list position, or an `ABSENT` key, that is not there.
        TypeError: a dotted key leads through a plain value.
    """
    known = {**OFFICIAL, **UNKNOWN}
    event = _envelope(eid, known.get(eid) or Sample(OFFICIAL["START"].source, {}))
    for path, value in {**(changes or {}), **overrides}.items():
        _change(event, path.split("."), value)
    return event


def encode(event: Mapping[str, Any]) -> bytes:
    """Encode an event as one line of compact UTF-8 JSON, without a newline at the end.

    Raises:
        ValueError: NaN, an infinity or a lone surrogate, none of which JSON in UTF-8 can hold.
    """
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def samples() -> dict[str, Json]:
    """Make one rich event per official type; every level of validation accepts each of them."""
    return {eid: make_event(eid) for eid in OFFICIAL}


def unknown_samples() -> dict[str, Json]:
    """Make events whose types have no official schema: refused as `strict`, accepted as `lenient`."""
    return {eid: make_event(eid) for eid in UNKNOWN}


def nasty() -> dict[str, bytes]:
    """Make lines that break programs: valid events nobody expects, refused ones, and no events at all.

    Each name says what is odd about its bytes. None may crash, hang or confuse a sink: `map` gives
    a payload, None or an `EventError` for whatever `bridge.events.decode` lets through.
    """
    changed = {**hostile.ACCEPTED, **hostile.UNOFFICIAL, **hostile.REFUSED}
    plain = encode(make_event())
    edits = {**hostile.ACCEPTED_TEXT, **hostile.REFUSED_TEXT, **hostile.EXTREME_TEXT}
    return {
        **{name: encode(make_event(case.eid, case.changes)) for name, case in changed.items()},
        **{name: edit(plain) for name, edit in edits.items()},
    }


def _envelope(eid: str, sample: Sample) -> Json:
    """Put a sample into its envelope, with a message id and a time of its own per event type."""
    source = sample.source
    event = {
        "eid": eid,
        "ets": FIRST_ETS + 1000 * (list(OFFICIAL).index(eid) if eid in OFFICIAL else 0),
        "ver": "3.0",
        "mid": source.mid.format(eid=eid, uuid=uuid.uuid5(_NAMESPACE, eid)),
        "actor": source.actor,
        "context": source.context,
        "object": sample.object or {},
        "tags": [source.context["channel"]],
        "edata": sample.edata,
        **sample.more,
    }
    return copy.deepcopy(event)


def _change(event: Json, path: list[str], value: Any) -> None:
    """Set, or remove, what lies at `path`."""
    place: Any = event
    *way, last = path
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    key = int(last) if isinstance(place, list) else last
    if value is ABSENT:
        del place[key]
    else:
        place[key] = value
