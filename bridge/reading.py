"""The typed reading of payloads: fast, sure of what it takes, and silent about the rest.

`TypedReader` is the reference. Where it is installed, the compiled reader of `bridge_native` does
the same in one pass, except that it doubts more.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from bridge import native, typed
from bridge.errors import EventError
from bridge.jsontext import MAX_DEPTH, REFUSED, WHITESPACE, one_line, require_sound
from bridge.levels import RULES, Level
from bridge.model import Actor, Context, Event, Object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


__all__ = ["Memory", "Reader", "TypedReader", "compiled_reader", "reader", "sound"]

_HEADS: dict[Level, type[Event]] = {
    Level.STRICT: typed.StrictEvent,
    Level.LENIENT: typed.OfficialEvent,
    Level.ENVELOPE: typed.RoutedEvent,
}
_NEWLINE, _RETURN = b"\n\r"
_NOTHING: Any = msgspec.Raw(b"")
_UNKNOWN: Any = object()


class Reader(Protocol):
    """Reads payloads at one level, each as one event."""

    def read(self, payloads: list[bytes], /) -> tuple[list[Event], list[int]]:
        """What each payload is read as, and the indices, rising, of those that nothing is said of.

        What stands in the place of a doubtful one is not to be looked at.
        """
        ...


def reader(level: Level, max_event_bytes: int, *, compiled: bool | None = None) -> Reader:
    """The compiled reader if there is one, else the one in Python; `compiled` asks for either."""
    if compiled is None:
        compiled = native.FOUND.module is not None
    return compiled_reader(level, max_event_bytes) if compiled else TypedReader(level, max_event_bytes)


def compiled_reader(level: Level, max_event_bytes: int) -> Reader:
    """The reader of `bridge_native`, which must be installed."""
    rules = RULES[level]
    made: Reader = native.FOUND.module.Reader(
        event=Event,
        absent=msgspec.Raw(b"{}"),
        eids=rules.edata,
        other=rules.other,
        official=rules.edata is not None,
        longest=max_event_bytes,
        parts=[memory.of for memory in _memories(level)],
        refused=REFUSED,
    )
    return made


def sound(raw: bytes, max_event_bytes: int) -> bytes:
    """`raw` on one line; raises EventError where its size, encoding or depth is refused."""
    if not raw.strip(WHITESPACE):
        raise EventError("not_an_event", "send an event: there is nothing here")
    if len(raw) > max_event_bytes:
        reason = f"send at most {max_event_bytes} bytes an event, not {len(raw)}"
        raise EventError("too_large", reason)
    require_sound(raw)
    return one_line(raw)


class TypedReader:
    """Reads in columns, with msgspec."""

    def __init__(self, level: Level, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        # An event of n bytes nests no deeper than n / 2, so shorter ones need no closer look.
        self._small = min(max_event_bytes, 2 * MAX_DEPTH)
        self._head = msgspec.json.Decoder(_HEADS[level]).decode
        self._actors, self._contexts, self._objects = _memories(level)
        self._edata = _edata_decoders(level)
        self._other_edata = _other(level)

    def read(self, payloads: list[bytes], /) -> tuple[list[Event], list[int]]:
        """See `Reader`."""
        events, doubtful = self._read_heads(payloads)
        doubtful.update(self._refused_parts(events, payloads))
        for index in self._odd(payloads) - doubtful:
            try:
                line = sound(payloads[index], self._max_event_bytes)
            except EventError:
                doubtful.add(index)
                continue
            if line is not payloads[index]:  # its parts are to be of one line, too
                (events[index],), refused = self.read([line])
                doubtful.update([index] if refused else ())
        return events, sorted(doubtful)

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
                decoder_of(event.eid, other)(event.edata_held)
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


class Memory:
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


def _memories(level: Level) -> tuple[Memory, Memory, Memory]:
    """Those of actors, contexts and objects."""
    if level is Level.ENVELOPE:
        return Memory(Actor), Memory(Context), Memory(Object | None)
    return Memory(typed.OfficialActor), Memory(typed.OfficialContext), Memory(Object | None)


@cache
def _edata_decoders(level: Level) -> dict[str, Callable[[bytes | msgspec.Raw], Any]]:
    rules = RULES[level].edata or {}
    return {eid: typed.edata_decoder(rule) for eid, rule in rules.items()}


def _other(level: Level) -> Callable[[bytes | msgspec.Raw], Any]:
    """What checks the edata of an eid that has no rule."""
    rules = RULES[level]
    if rules.edata is None:
        return _accept
    return _refuse if rules.other is None else typed.edata_decoder(rules.other)


def _refuse(_: bytes | msgspec.Raw) -> Any:
    raise msgspec.ValidationError


def _accept(_: bytes | msgspec.Raw) -> Any:
    return None


def _all_utf8(texts: list[bytes]) -> bool:
    try:
        for text in texts:
            text.decode()
    except UnicodeDecodeError:
        return False
    return True
