"""Decode and judge events: three levels, a typed fast path, and a reason for every rejection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bridge import verdicts
from bridge.errors import EventError
from bridge.framing import split
from bridge.jsontext import names_of, parse
from bridge.levels import RULES, Level
from bridge.model import Event, identities
from bridge.reading import reader, sound

__all__ = ["Decoded", "Decoder", "Invalid", "Level"]


@dataclass(frozen=True, slots=True)
class Invalid:
    """An event that was refused, or a payload in which no event was found.

    `index` is the payload's place in its batch, `raw` the original bytes; `code`, `path` and
    `reason` are those of EventError; `eid` and `mid` are given where they can be read; `step`
    says who refused it, the validation or a stage.
    """

    index: int
    raw: bytes
    code: str
    path: str
    reason: str
    eid: str | None = None
    mid: str | None = None
    step: Literal["validate", "stage"] = "validate"


@dataclass(slots=True)
class Decoded:
    """A batch, judged.

    `origins` holds the payload index of each event; None says that each payload was one valid
    event, in order. Stages left `dropped` events out and made `derived` ones of others.
    """

    events: list[Event]
    origins: list[int] | None
    invalid: list[Invalid]
    dropped: int = 0
    derived: int = 0
    _identities: list[bytes] | None = field(default=None, compare=False, repr=False)

    @property
    def identities(self) -> list[bytes]:
        """The identity of each event; found once for all who ask."""
        if self._identities is None:
            self._identities = identities(self.events)
        return self._identities

    @property
    def count(self) -> int:
        """How many events were read, those included that were refused or left out."""
        return len(self.events) + len(self.invalid) + self.dropped - self.derived


_Judge = Callable[[int, bytes], tuple[list[Event], list[Invalid]]]


class Decoder:
    """Turns payloads into events at one `level`; safe to share between threads.

    An event of more than `max_event_bytes` bytes is refused. `compiled` asks for one of the two
    readers of `bridge.reading`, which take and give the same.
    """

    def __init__(
        self, level: Level = Level.LENIENT, max_event_bytes: int = 1_048_576, *, compiled: bool | None = None
    ) -> None:
        level = Level(level)
        self._max_event_bytes = max_event_bytes
        self._extended = level is not Level.STRICT
        self._rules = RULES[level]
        self._read = reader(level, max_event_bytes, compiled=compiled).read

    def event(self, raw: bytes) -> Event:
        """Decode one event; raises EventError with code, JSON path and reason."""
        decoded = self._run([raw], self._judge)
        for refused in decoded.invalid:
            raise EventError(refused.code, refused.reason, refused.path)
        return decoded.events[0]

    def batch(self, payloads: Sequence[bytes]) -> Decoded:
        """Decode payloads, each holding one event or many (see `framing.split`); never raises."""
        return self._run(payloads, self._unpack)

    def _run(self, payloads: Sequence[bytes], judge: _Judge) -> Decoded:
        events, doubtful = self._read([*payloads])
        if not doubtful:
            return Decoded(events, None, [])
        return _merge(payloads, events, doubtful, judge)

    def _judge(self, index: int, raw: bytes) -> tuple[list[Event], list[Invalid]]:
        """The exact verdict on one event."""
        try:
            line = sound(raw, self._max_event_bytes)
            document = parse(line)
            verdicts.check_event(document, self._rules.head, self._rules.edata, extended=self._extended)
            return [verdicts.build(document, line)], []
        except EventError as error:
            return [], [_invalid(index, raw, error)]

    def _unpack(self, index: int, payload: bytes) -> tuple[list[Event], list[Invalid]]:
        """Judge every event in a payload."""
        try:
            parts = split(payload)
        except EventError as error:
            return [], [_invalid(index, payload, error)]
        if len(parts) == 1:
            # The typed reading leaves blanks around an event where they are, and so is it done here.
            alike = len(payload) <= self._max_event_bytes and payload.strip(b" \t") == parts[0]
            return self._judge(index, payload if alike else parts[0])
        decoded = self._run(parts, lambda _, part: self._judge(index, part))
        return decoded.events, decoded.invalid


def _merge(payloads: Sequence[bytes], events: list[Event], doubtful: list[int], judge: _Judge) -> Decoded:
    """Put what `judge` makes of the doubtful payloads in place of their typed readings."""
    merged = Decoded([], [], [])
    origins: list[int] = []
    begin = 0
    for index in [*doubtful, len(payloads)]:
        merged.events += events[begin:index]
        origins += range(begin, index)
        begin = index + 1
        if index < len(payloads):
            found, refused = judge(index, payloads[index])
            merged.events += found
            origins += [index] * len(found)
            merged.invalid += refused
    one_each = not merged.invalid and origins == list(range(len(payloads)))
    merged.origins = None if one_each else origins
    return merged


def _invalid(index: int, raw: bytes, error: EventError) -> Invalid:
    return Invalid(index, raw, error.code, error.path, error.reason, *names_of(raw))
