"""Cut text that arrives in blocks into JSON texts, however it is laid out and however long it is. Pure.

    lines ──────────────► one record a line                        (JSON Lines)
      └─ an open `{` `[` ► one record a text                       (indented events, batches, arrays)
                             ├─ longer than PATIENCE ► one record an event of it
                             └─ broken ► the events before the fault, the faulty piece, then lines again

A record is what `bridge.framing.split` takes: an event, a batch or an array. Broken text is a
record too, so that whoever judges records sees all there was.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum, auto

import msgspec

from bridge.jsontext import REFUSED, WHITESPACE

__all__ = ["LONGEST", "PATIENCE", "Cutter"]

LONGEST = 64 * 1024 * 1024
PATIENCE = 4 * 1024 * 1024

_TOKEN = re.compile(rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+("?)|[{}\[\]:,]|[^\s"{}\[\]:,]+')
_PAIRS = {ord("{"): ord("}"), ord("["): ord("]")}
_BETWEEN = WHITESPACE + b","
_STRAY = b"]},"
_OPENERS = (b"{", b"[")
_QUOTE, _COLON, _COMMA, _BRACKET = b'":,['
_EVENTS = b'"events"'


class _Expect(Enum):
    VALUE = auto()
    VALUE_OR_END = auto()
    KEY = auto()
    KEY_OR_END = auto()
    COLON = auto()
    COMMA_OR_END = auto()


class _Found(Enum):
    MORE = auto()
    CLOSED = auto()
    BROKEN = auto()


_WANTS_VALUE = frozenset({_Expect.VALUE, _Expect.VALUE_OR_END})
_WANTS_KEY = frozenset({_Expect.KEY, _Expect.KEY_OR_END})
_MAY_END = frozenset({_Expect.VALUE_OR_END, _Expect.KEY_OR_END, _Expect.COMMA_OR_END})


class _Text:
    """One JSON text under way: how far it was read, and where events in it begin and end."""

    def __init__(self) -> None:
        self.at = 0
        self.items: list[tuple[int, int]] = []
        self.streamed = False
        self._stack = bytearray()
        self._expect = _Expect.VALUE
        self._level = -1  # how many brackets enclose an event of a batch or an array
        self._item = 0
        self._key = b""

    def scan(self, data: bytes, *, last: bool) -> _Found:
        """Read on; `last` says that nothing will follow `data`."""
        for token in _TOKEN.finditer(data, self.at):
            first = data[token.start()]
            if not last and token.end() >= len(data) - 1 and _may_go_on(first, token):
                break
            if not self._step(first, token):
                self.at = token.start()
                return _Found.BROKEN
            self.at = token.end()
            if not self._stack:
                return _Found.CLOSED
        return _Found.MORE

    def forget(self, size: int) -> None:
        """The first `size` bytes have been taken away."""
        self.at -= size
        self._item -= size
        self.items = []
        self.streamed = True

    def _step(self, first: int, token: re.Match[bytes]) -> bool:
        """Take one token; False if JSON does not allow it here."""
        if first in _PAIRS:
            return self._open(first, token.start())
        if first in _PAIRS.values():
            return self._close(first, token.end())
        if first == _COLON:
            return self._move(_Expect.COLON, _Expect.VALUE)
        if first == _COMMA:
            in_array = self._stack[-1] == _BRACKET
            return self._move(_Expect.COMMA_OR_END, _Expect.VALUE if in_array else _Expect.KEY)
        return self._scalar(first, token)

    def _scalar(self, first: int, token: re.Match[bytes]) -> bool:
        if first == _QUOTE and not token[1]:
            return False
        if first == _QUOTE and self._expect in _WANTS_KEY:
            self._key = token[0] if len(self._stack) == 1 else self._key
            self._expect = _Expect.COLON
            return True
        return self._expect in _WANTS_VALUE and self._move(self._expect, _Expect.COMMA_OR_END)

    def _move(self, expected: _Expect, following: _Expect) -> bool:
        if self._expect is not expected:
            return False
        self._expect = following
        return True

    def _open(self, bracket: int, place: int) -> bool:
        if self._expect not in _WANTS_VALUE:
            return False
        depth = len(self._stack)
        if bracket == _BRACKET and (depth == 0 or (depth == 1 and self._key == _EVENTS)):
            self._level = depth + 1
        elif depth == self._level:
            self._item = place
        self._stack.append(bracket)
        self._expect = _Expect.VALUE_OR_END if bracket == _BRACKET else _Expect.KEY_OR_END
        return True

    def _close(self, bracket: int, end: int) -> bool:
        if self._expect not in _MAY_END or not self._stack or _PAIRS[self._stack[-1]] != bracket:
            return False
        self._stack.pop()
        self._expect = _Expect.COMMA_OR_END
        if len(self._stack) == self._level:
            self.items.append((self._item, end))
        elif len(self._stack) < self._level:
            self._level = -1
        return True


class Cutter:
    """Takes blocks, gives records; holds one record and one block at most.

    A single event above `longest` bytes is left out and counted in `too_long`.
    """

    def __init__(self, longest: int = LONGEST, patience: int = PATIENCE) -> None:
        self.too_long = 0
        self._longest = longest
        self._patience = patience
        self._data = b""
        self._text: _Text | None = None
        self._skipping = False
        self._first = True
        self._last = False

    def feed(self, block: bytes) -> list[bytes]:
        """The records that end in this block."""
        self._data += block
        if self._first and len(self._data) >= len(codecs.BOM_UTF8):
            self._data = self._data.removeprefix(codecs.BOM_UTF8)
            self._first = False
        return self._cut()

    def close(self) -> list[bytes]:
        """What is left, finished or not."""
        self._last = True
        return self._cut()

    def _cut(self) -> list[bytes]:
        records: list[bytes] = []
        while self._inside(self._text, records) if self._text else self._lines(records):
            pass
        return records

    def _lines(self, records: list[bytes]) -> bool:
        """Cut whole lines; True if there is more to do with what is at hand."""
        end = len(self._data) if self._last else self._data.rfind(b"\n") + 1
        begin = 0
        for line in self._data[:end].split(b"\n"):
            text = line.strip(WHITESPACE)
            if text[:1] in _OPENERS and text[-1] != _PAIRS[text[0]] and not self._skipping:
                return self._enter(begin)
            if not self._skipping and text.strip(_STRAY):
                records.append(text)
            begin += len(line) + 1
            self._skipping = self._skipping and begin > end
        self._data = self._data[end:]
        return self._long_line()

    def _long_line(self) -> bool:
        """A line that is very long may be a batch: look into it."""
        if self._skipping:
            self._data = b""
        elif len(self._data) > self._patience and self._data.lstrip(WHITESPACE)[:1] in _OPENERS:
            return self._enter(0)
        elif len(self._data) > self._longest:
            self._skip()
        return False

    def _enter(self, begin: int) -> bool:
        self._data = self._data[begin:]
        self._text = _Text()
        return True

    def _inside(self, text: _Text, records: list[bytes]) -> bool:
        """Read on in an open text; True if it ended and there is more to do."""
        found = text.scan(self._data, last=self._last)
        if found is _Found.CLOSED:
            whole = [] if text.streamed else [self._data[: text.at]]
            records += whole or self._items(text)
            return self._leave(text.at)
        if found is _Found.BROKEN or self._last:
            return self._recover(text, found, records)
        if len(self._data) > self._patience and text.items:
            taken = text.items[-1][1]
            records += self._items(text)
            self._data = self._data[taken:]
            text.forget(taken)
        elif len(self._data) > self._longest:
            self._skip()
        return False

    def _items(self, text: _Text) -> list[bytes]:
        """The events found, and whatever stands between them."""
        records: list[bytes] = []
        before = 0 if text.streamed else None  # what precedes the first event is the head of its batch
        for begin, after in text.items:
            if before is not None and (between := self._data[before:begin].strip(_BETWEEN)):
                records.append(between)
            records.append(self._data[begin:after])
            before = after
        return records

    def _recover(self, text: _Text, found: _Found, records: list[bytes]) -> bool:
        """Broken text: keep what is whole, set the faulty piece apart and go on with the next line."""
        end = self._resume_at(text, found)
        if end < 0:
            if len(self._data) > self._longest:
                self._skip()
            return False
        text.items = [item for item in text.items if item[1] <= end]
        records += self._items(text)
        piece = self._data[text.items[-1][1] if text.items else 0 : end].strip(WHITESPACE)
        piece = piece.lstrip(_BETWEEN) if text.items else piece
        if piece.strip(_STRAY):
            records.append(piece)
        return self._leave(end)

    def _resume_at(self, text: _Text, found: _Found) -> int:
        """Where lines are read again: the faulty line, or the one after it if it is the first."""
        second = self._data.find(b"\n") + 1
        if second and not text.streamed and _stands_alone(self._data[second:].partition(b"\n")[0]):
            return second
        if found is _Found.MORE:
            return len(self._data)
        line = self._data.rfind(b"\n", 0, text.at) + 1
        if self._data.find(b"\n", text.at) >= 0 or _stands_alone(self._data[line:]):
            return line or second or len(self._data)
        return len(self._data) if self._last else -1

    def _leave(self, end: int) -> bool:
        self._data = self._data[end:]
        self._text = None
        return True

    def _skip(self) -> None:
        self.too_long += 1
        self._data, self._text, self._skipping = b"", None, True


def _may_go_on(first: int, token: re.Match[bytes]) -> bool:
    """Whether the next block may continue this token."""
    return not token[1] if first == _QUOTE else first not in b"{}[]:,"


def _stands_alone(line: bytes) -> bool:
    """Whether a line is a whole object by itself, as lines of indented texts are not."""
    text = line.strip(WHITESPACE)
    if len(text) <= len(b"{}") or not text.startswith(b"{"):
        return False
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except REFUSED:
        return False
    return True
