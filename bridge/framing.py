"""Find the events in what a producer sent: one event, a batch, an array, or JSON Lines of these."""

from __future__ import annotations

import codecs

import msgspec

from bridge.errors import EventError
from bridge.jsontext import REFUSED, WHITESPACE, one_line, parse, require_sound

__all__ = ["split"]

_ABSENT = (b"", b"null")


class _Frame(msgspec.Struct, gc=False):
    eid: msgspec.Raw = msgspec.Raw(b"")
    events: list[msgspec.Raw] | None = None


_frame = msgspec.json.Decoder(_Frame).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any = msgspec.json.Decoder(msgspec.Raw).decode


def split(payload: bytes) -> list[bytes]:
    """The events in `payload`, in order, each with its original bytes and not judged.

    `payload` is one event, a batch (an object with an array `events` and no `eid`), an array of
    events, or JSON Lines whose every line is one of these; a byte order mark in front is dropped.
    Events that span lines are compacted to one. A broken line of JSON Lines stands for itself.

    Raises:
        EventError: nothing can be made of the payload; its code says why, as for an event.
    """
    text = payload.removeprefix(codecs.BOM_UTF8).strip(WHITESPACE)
    try:
        return _expand(text)
    except REFUSED:
        lines = [line for line in (line.strip(WHITESPACE) for line in text.split(b"\n")) if line]
    if any(map(_is_container, lines)):
        return [event for line in lines for event in _expand_or_keep(line)]
    raise _hopeless(text)


def _expand(text: bytes) -> list[bytes]:
    """The events of one JSON text; raises one of REFUSED where it is none."""
    if text.startswith(b"["):
        return _lines(text, _items(text))
    try:
        frame = _frame(text)
    except msgspec.ValidationError:
        if not text.startswith(b"{"):
            raise
        _any(text)  # an object whose `events` is no array is an event, if it is JSON
        return [one_line(text)]
    if frame.events is not None and bytes(frame.eid) in _ABSENT:
        return _lines(text, frame.events)
    return [one_line(text)]


def _lines(text: bytes, items: list[msgspec.Raw]) -> list[bytes]:
    events = list(map(bytes, items))
    return list(map(one_line, events)) if b"\n" in text or b"\r" in text else events


def _expand_or_keep(line: bytes) -> list[bytes]:
    try:
        return _expand(line)
    except REFUSED:
        return [line]


def _is_container(line: bytes) -> bool:
    """Whether a line is an object or array with something in it, as no line of an indented text is."""
    if len(line) <= len(b"{}") or line[:1] not in (b"{", b"["):
        return False
    try:
        _any(line)
    except REFUSED:
        return False
    return True


def _hopeless(text: bytes) -> EventError:
    if not text:
        return EventError("not_an_event", "send an event: there is nothing here")
    try:
        require_sound(text)
        parse(text)
    except EventError as error:
        return error
    return EventError("not_an_event", "send an event, or an array or batch of events, not a bare value")
