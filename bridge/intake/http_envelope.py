"""What a posted batch holds, and how its events are stamped on arrival. Pure.

Stands in for two programs: Sunbird's telemetry service, which takes the envelope, and the
telemetry extractor behind it, which gives every event `syncts` (ms) and `@timestamp` and lets
the envelope go.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from bridge.intake.http_answers import Refused
from bridge.jsontext import REFUSED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["Envelope", "divide", "open_envelope", "stamp"]

BAD_REQUEST, TOO_LONG = 400, 413
COMMAS_PER_EVENT = 200  # real events have about 30; a body of nothing but commas would cost 80 bytes each
SURROGATES = 20_000  # looking past them is slow, and meant for few
_SURROGATE = re.compile(rb"((?<!\\)(?:\\\\)*+)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class _Frame(msgspec.Struct, gc=False):
    events: list[msgspec.Raw] | UnsetType = UNSET
    params: msgspec.Raw = msgspec.Raw(b"")
    mid: msgspec.Raw = msgspec.Raw(b"")


class _Place(msgspec.Struct, gc=False):
    events: msgspec.Raw = msgspec.Raw(b"")


class _Params(msgspec.Struct, gc=False):
    msgid: Any = None


class _Clock(msgspec.Struct, gc=False, rename={"timestamp": "@timestamp"}):
    syncts: msgspec.Raw | UnsetType = UNSET
    timestamp: msgspec.Raw | UnsetType = UNSET


class _Context(msgspec.Struct, gc=False):
    channel: str


class _Tenant(msgspec.Struct, gc=False):
    context: _Context


_frame = msgspec.json.Decoder(_Frame).decode
_place = msgspec.json.Decoder(_Place).decode
_params = msgspec.json.Decoder(_Params).decode
_text = msgspec.json.Decoder(str).decode
_clock = msgspec.json.Decoder(_Clock).decode
_tenant = msgspec.json.Decoder(_Tenant).decode


@dataclass(frozen=True, slots=True)
class Envelope:
    """A batch: its `events` with their own bytes, and the id its sender gave it (`params.msgid` or `mid`)."""

    id: str
    events: list[bytes]


def open_envelope(body: bytes, most: int) -> Envelope:
    """Take a batch apart; nothing is said yet about its events.

    `Refused`: 400 for what is no JSON object with an array `events`, 413 for more than `most` of them.
    """
    text = body.removeprefix(codecs.BOM_UTF8)
    commas = COMMAS_PER_EVENT * most
    if len(text) > commas and text.count(b",") > commas:
        raise Refused(TOO_LONG, f"send fewer values at once; {most} events are the most")
    try:
        envelope = _opened(text)
    except RecursionError:
        raise Refused(BAD_REQUEST, "the body is nested too deeply") from None
    except REFUSED as error:
        raise Refused(BAD_REQUEST, f"the body is not a batch: {error}") from None
    if len(envelope.events) > most:
        raise Refused(TOO_LONG, f"send at most {most} events at once, not {len(envelope.events)}")
    return envelope


def stamp(events: Sequence[bytes], now_ms: int) -> list[bytes]:
    """Put the `syncts` and `@timestamp` that an event lacks before its last brace; the rest stays as sent."""
    moment = (
        datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    syncts, timestamp = b'"syncts":%d' % now_ms, b'"@timestamp":"%b"' % moment.encode()
    both = syncts + b"," + timestamp + b"}"
    tail = b"," + both
    stamped = []
    for event in events:
        if not event.startswith(b"{"):
            stamped.append(event)
        elif _may_be_stamped(event):
            stamped.append(_stamped(event, syncts, timestamp))
        elif b'"' in event:  # there is a key, so a comma is needed
            stamped.append(event[:-1] + tail)
        else:
            stamped.append(b"{" + both)
    return stamped


def divide(events: Sequence[bytes], channels: Collection[str]) -> tuple[list[bytes], list[bytes]]:
    """Part the events of these channels (none given: any) from all others."""
    if not channels:
        return list(events), []
    own: list[bytes] = []
    foreign: list[bytes] = []
    for event in events:
        (own if _channel(event) in channels else foreign).append(event)
    return own, foreign


def _opened(text: bytes) -> Envelope:
    try:
        frame = _frame(text)
    except msgspec.DecodeError:
        return _with_surrogates(text)
    return Envelope(_id(frame), list(map(bytes, _array(frame))))


def _with_surrogates(text: bytes) -> Envelope:
    r"""The same for a text with lone surrogates, such as `"\ud83d"`.

    JavaScript writes them where a string was cut amid an emoji. They are JSON, so the batch is
    taken and only that event is refused later; to read past them, they are masked by as many bytes.
    """
    if text.count(rb"\ud") + text.count(rb"\uD") > SURROGATES:
        raise Refused(BAD_REQUEST, "the body is not a batch, or holds too many surrogates")
    masked = _SURROGATE.sub(rb"\1\\ufffd", text)
    frame = _frame(masked)
    place, events = masked.index(bytes(_place(masked).events)), []
    for item in map(bytes, _array(frame)):
        place = masked.index(item, place)
        events.append(text[place : place + len(item)])
        place += len(item)
    return Envelope(_id(frame), events)


def _array(frame: _Frame) -> list[msgspec.Raw]:
    if frame.events is UNSET:
        raise Refused(BAD_REQUEST, 'the body is not a batch: it has no array "events"')
    return frame.events


def _id(frame: _Frame) -> str:
    for read, raw in ((lambda raw: _params(raw).msgid, frame.params), (_text, frame.mid)):
        try:
            found = read(raw)
        except REFUSED:
            continue
        if isinstance(found, str) and found:
            return found
    return ""


def _may_be_stamped(event: bytes) -> bool:
    """Whether a look at its keys is worth it; a key may be written in escapes.

    Single bytes are found at once, and most events have neither of these two.
    """
    return (
        (b"@" in event and b"@timestamp" in event)
        or (b"\\" in event and rb"\u00" in event)
        or event.rfind(b"syncts") >= 0
    )


def _stamped(event: bytes, syncts: bytes, timestamp: bytes) -> bytes:
    """One event that may have a server's time already; one that has `syncts` is left alone."""
    try:
        clock = _clock(event)
    except REFUSED:
        return event
    if clock.syncts is not UNSET:
        return event
    added = syncts if clock.timestamp is not UNSET else syncts + b"," + timestamp
    return event[:-1] + b"," + added + b"}"


def _channel(event: bytes) -> str | None:
    try:
        return _tenant(event).context.channel
    except REFUSED:
        return None
