"""Decode and judge events: three levels, a typed fast path, and a reason for every rejection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal

import msgspec

from bridge import schemas, typed, verdicts
from bridge.errors import EventError
from bridge.framing import split
from bridge.jsontext import MAX_DEPTH, REFUSED, WHITESPACE, names_of, one_line, parse, require_sound
from bridge.model import Actor, Context, Event, Object

__all__ = ["Decoded", "Decoder", "Invalid", "Level"]


class Level(StrEnum):
    """How much of an event must be as the official schemas say."""

    STRICT = "strict"
    """The official v3 schemas exactly; unknown eids are refused."""
    LENIENT = "lenient"
    """The official types and required keys; more keys in edata and unknown eids pass."""
    ENVELOPE = "envelope"
    """Only what identity and routing read."""


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

    @property
    def count(self) -> int:
        """How many events were read, those included that were refused or left out."""
        return len(self.events) + len(self.invalid) + self.dropped - self.derived


_Judge = Callable[[int, bytes], tuple[list[Event], list[Invalid]]]

_RULES = {
    Level.STRICT: (schemas.HEAD, schemas.EDATA),
    Level.LENIENT: (schemas.HEAD, schemas.EDATA_EXTENDED),
    Level.ENVELOPE: (schemas.ROUTING, None),
}
_HEADS: dict[Level, type[Event]] = {
    Level.STRICT: typed.StrictEvent,
    Level.LENIENT: typed.OfficialEvent,
    Level.ENVELOPE: typed.RoutedEvent,
}
_NEWLINE, _RETURN = b"\n\r"
_NOTHING: Any = msgspec.Raw(b"")
_UNKNOWN: Any = object()


class Decoder:
    """Turns payloads into events at one `level`; safe to share between threads.

    An event of more than `max_event_bytes` bytes is refused.
    """

    def __init__(self, level: Level = Level.LENIENT, max_event_bytes: int = 1_048_576) -> None:
        self._max_event_bytes = max_event_bytes
        # An event of n bytes nests no deeper than n / 2, so shorter ones need no closer look.
        self._small = min(max_event_bytes, 2 * MAX_DEPTH)
        self._extended = level != Level.STRICT
        self._rules, self._edata_rules = _RULES[Level(level)]
        routed = self._edata_rules is None
        self._head = msgspec.json.Decoder(_HEADS[Level(level)]).decode
        self._actors = _Memory(Actor if routed else typed.OfficialActor)
        self._contexts = _Memory(Context if routed else typed.OfficialContext)
        self._objects = _Memory(Object | None)
        self._edata = _edata_decoders(Level(level))
        self._other_edata = _other(Level(level))

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
        events, doubtful = self._read(payloads)
        if not doubtful:
            return Decoded(events, None, [])
        return _merge(payloads, events, sorted(doubtful), judge)

    def _read(self, payloads: Sequence[bytes]) -> tuple[list[Event], set[int]]:
        """The typed reading of each payload, and the indices of those that it cannot vouch for."""
        events, doubtful = self._read_heads(payloads)
        doubtful.update(self._refused_parts(events, payloads))
        for index in self._odd(payloads) - doubtful:
            try:
                line = self._sound(payloads[index])
            except EventError:
                doubtful.add(index)
                continue
            if line is not payloads[index]:  # its parts are to be of one line, too
                (events[index],), refused = self._read([line])
                doubtful.update([index] if refused else ())
        return events, doubtful

    def _read_heads(self, payloads: Sequence[bytes]) -> tuple[list[Event], set[int]]:
        events: list[Event] = []
        refused: set[int] = set()
        heads = map(self._head, payloads)
        while True:
            try:
                # What stood before an exception stays in the list, and the map goes on behind it.
                events.extend(heads)
            except REFUSED:
                refused.add(len(events))
                events.append(
                    Event(eid="", ets=0.0, mid="", actor=_NOTHING, context=_NOTHING, object=_NOTHING)
                )
            else:
                return events, refused

    def _refused_parts(self, events: list[Event], payloads: Sequence[bytes]) -> list[int]:
        """Give each event its bytes, actor, context and object; indices of those with a part that is refused.

        Neighbours mostly have the same: to compare costs less than to look up.
        """
        actor_of, context_of, object_of = self._actors.of, self._contexts.of, self._objects.of
        decoder_of, other, refused = self._edata.get, self._other_edata, []
        given: Any = None
        last_actor = last_context = last_object = actor = context = thing = given
        for index, (event, raw) in enumerate(zip(events, payloads, strict=True)):
            event.raw = raw
            try:
                if (given := event.actor) != last_actor:
                    actor = actor_of(given)
                    last_actor = given
                event.actor = actor
                if (given := event.context) != last_context:
                    context = context_of(given)
                    last_context = given
                event.context = context
                if (given := event.object) != last_object:
                    thing = object_of(given)
                    last_object = given
                event.object = thing
                decoder_of(event.eid, other)(event.edata_text)
            except REFUSED:
                refused.append(index)
        return refused

    def _odd(self, payloads: Sequence[bytes]) -> set[int]:
        """Indices of payloads that the typed reading does not look at closely enough."""
        small = self._small
        odd = {
            index
            for index, raw in enumerate(payloads)
            if _NEWLINE in raw or _RETURN in raw or len(raw) > small
        }
        if not _all_utf8([raw for raw in payloads if not raw.isascii()]):
            odd.update(index for index, raw in enumerate(payloads) if not raw.isascii())
        return odd

    def _sound(self, raw: bytes) -> bytes:
        """`raw` on one line; raises EventError where its size, encoding or depth is refused."""
        if not raw.strip(WHITESPACE):
            raise EventError("not_an_event", "send an event: there is nothing here")
        if len(raw) > self._max_event_bytes:
            reason = f"send at most {self._max_event_bytes} bytes an event, not {len(raw)}"
            raise EventError("too_large", reason)
        require_sound(raw)
        return one_line(raw)

    def _judge(self, index: int, raw: bytes) -> tuple[list[Event], list[Invalid]]:
        """The exact verdict on one event."""
        try:
            line = self._sound(raw)
            document = parse(line)
            verdicts.check_event(document, self._rules, self._edata_rules, extended=self._extended)
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
            return self._judge(index, parts[0])
        decoded = self._run(parts, lambda _, part: self._judge(index, part))
        return decoded.events, decoded.invalid


class _Memory:
    """Parts of events that came lately, by their text: those of one session have the same ones.

    Equal texts share one value, which is frozen. Between `SIZE` and twice as many are remembered.
    """

    SIZE, LONGEST = 512, 2_048

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._recent: dict[bytes, Any] = {}
        self._older: dict[bytes, Any] = {}

    def of(self, given: Any) -> Any:
        """The value of a text; raises one of REFUSED."""
        text = bytes(given)
        found = self._recent.get(text, _UNKNOWN)
        return self._recall(text) if found is _UNKNOWN else found

    def _recall(self, text: bytes) -> Any:
        found = self._older.get(text, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._decode(text)
        if len(text) <= self.LONGEST:
            self._recent[text] = found
        if len(self._recent) >= self.SIZE:
            self._older = dict(self._recent)
            self._recent.clear()
        return found


@cache
def _edata_decoders(level: Level) -> dict[str, Callable[[bytes | msgspec.Raw], Any]]:
    rules = _RULES[level][1] or {}
    return {eid: typed.edata_decoder(rule) for eid, rule in rules.items()}


def _all_utf8(texts: list[bytes]) -> bool:
    try:
        for text in texts:
            text.decode()
    except UnicodeDecodeError:
        return False
    return True


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


def _other(level: Level) -> Callable[[bytes | msgspec.Raw], Any]:
    """What checks the edata of an eid that has no rule."""
    match level:
        case Level.STRICT:
            return _refuse
        case Level.LENIENT:
            return typed.edata_decoder(schemas.OBJECT)
        case Level.ENVELOPE:
            return _accept


def _refuse(_: bytes | msgspec.Raw) -> Any:
    raise msgspec.ValidationError


def _accept(_: bytes | msgspec.Raw) -> Any:
    return None


def _invalid(index: int, raw: bytes, error: EventError) -> Invalid:
    return Invalid(index, raw, error.code, error.path, error.reason, *names_of(raw))
