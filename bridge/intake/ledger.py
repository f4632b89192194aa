"""What was imported before: a mark of 8 bytes for each event, kept with the batch it came in.

A batch is known by its `params.msgid`. Events outside of batches are taken in pages, cut at the
same places whenever the same content comes again, and a page is known by its first record. So
one table answers both "is this a copy?" and "how far was it?", and only the marks of the batches
at hand are ever in memory.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from xxhash import xxh3_64_digest, xxh3_128_digest

from bridge.jsontext import REFUSED
from bridge.model import identities

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from bridge.model import Event
    from bridge.state import State
    from bridge.validation import Invalid

__all__ = ["PAGE_BYTES", "PAGE_EVENTS", "Ledger", "Unit", "batch_key", "mark_of", "marks_of", "units"]

PAGE_EVENTS = 1_000
PAGE_BYTES = 2 * 1024 * 1024
MARK = 8
MOST_MARKS = 1024 * 1024  # bytes kept for one batch, in case somebody gives every batch the same msgid
KEEP_DAYS = 400
DAY_MS = 86_400_000

TABLE = """CREATE TABLE IF NOT EXISTS imported (
    key BLOB PRIMARY KEY,
    marks BLOB NOT NULL,
    at_ms INTEGER NOT NULL
)"""
INDEX = "CREATE INDEX IF NOT EXISTS imported_by_age ON imported (at_ms)"
FIND = "SELECT marks FROM imported WHERE key = ?"
PUT = "INSERT OR REPLACE INTO imported (key, marks, at_ms) VALUES (?, ?, ?)"


class _Params(msgspec.Struct, frozen=True, gc=False):
    msgid: Any = None


class _Batch(msgspec.Struct, gc=False):
    params: _Params = _Params()
    eid: Any = None


_batch = msgspec.json.Decoder(_Batch).decode


@dataclass(slots=True)
class Unit:
    """Records that are remembered together: one batch, or a page of whatever stands between batches."""

    key: bytes
    records: list[bytes]
    size: int


class Ledger:
    """The table `imported` in the state file."""

    def __init__(self, state: State, now_ms: int | None = None) -> None:
        """Create it where it is missing, and forget what is older than KEEP_DAYS."""
        self._state = state
        before = (int(time.time() * 1000) if now_ms is None else now_ms) - KEEP_DAYS * DAY_MS

        def prepare(connection: sqlite3.Connection) -> None:
            connection.execute(TABLE)
            connection.execute(INDEX)
            connection.execute("DELETE FROM imported WHERE at_ms < ?", (before,))

        state.write(prepare)

    def known(self, keys: Collection[bytes]) -> dict[bytes, frozenset[bytes]]:
        """The marks of those batches and pages that were imported before, at least in part."""
        sql = f"SELECT key, marks FROM imported WHERE key IN ({', '.join('?' * len(keys))})"  # noqa: S608 - marks only
        rows = self._state.read(lambda connection: connection.execute(sql, tuple(keys)).fetchall())
        return {key: _apart(marks) for key, marks in rows}

    def note(self, found: Mapping[bytes, Iterable[bytes]], now_ms: int | None = None) -> Future[None]:
        """Remember more marks by key; the future resolves once that is durable."""
        at_ms = int(time.time() * 1000) if now_ms is None else now_ms
        added = {key: b"".join(marks) for key, marks in found.items()}

        def add(connection: sqlite3.Connection) -> None:
            for key, marks in added.items():
                (before,) = connection.execute(FIND, (key,)).fetchone() or (b"",)
                connection.execute(PUT, (key, (before + marks)[-MOST_MARKS:], at_ms))

        return self._state.submit(add)


def batch_key(msgid: str) -> bytes:
    """What the ledger knows a batch by."""
    return _key(b"batch", msgid.encode("utf-8", "surrogatepass"))


def marks_of(events: Iterable[Event]) -> list[bytes]:
    """What tells each event from others, in 8 bytes: of its identity, not of its bytes."""
    return [identity[:MARK] for identity in identities(events)]


def mark_of(refused: Invalid) -> bytes:
    """The same for an event that is refused: of its mid, or of its bytes if it has none."""
    return xxh3_64_digest(f"{refused.eid} {refused.mid}".encode() if refused.mid else refused.raw)


def units(records: Iterable[bytes]) -> Iterator[Unit]:
    """Records in order, a batch with a msgid by itself and the others in pages."""
    page: list[bytes] = []
    size = 0
    for record in records:
        msgid = _msgid(record) if b'"msgid"' in record else ""
        if page and (msgid or len(page) == PAGE_EVENTS or size + len(record) > PAGE_BYTES):
            yield Unit(_key(b"page", page[0]), page, size)
            page, size = [], 0
        if msgid:
            yield Unit(batch_key(msgid), [record], len(record))
        else:
            page.append(record)
            size += len(record)
    if page:
        yield Unit(_key(b"page", page[0]), page, size)


def _msgid(record: bytes) -> str:
    """The id of a batch; empty if it has none or is none."""
    try:
        batch = _batch(record)
    except REFUSED:
        return ""
    msgid = batch.params.msgid
    return msgid if batch.eid is None and isinstance(msgid, str) else ""


def _key(kind: bytes, name: bytes) -> bytes:
    return xxh3_128_digest(kind + b" " + name)


def _apart(marks: bytes) -> frozenset[bytes]:
    return frozenset(marks[at : at + MARK] for at in range(0, len(marks), MARK))
