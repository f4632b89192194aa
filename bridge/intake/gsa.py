"""Older Share Telemetry files, `.gsa`: a copy of the app's SQLite database.

`processed_telemetry.data` holds batches as gzip, `telemetry.event` single events that were not yet
in a batch. The file is opened as immutable: SQLite neither writes nor looks for a log beside it.
Rows are fetched one by one, so that one that cannot be read keeps back no other.
"""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.intake.archive_content import Budget, Nature, Part, examine
from bridge.intake.opening import DAMAGE, expanded, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.intake.files import FileReport

__all__ = ["parts"]

BATCHES, EVENTS = "processed_telemetry", "telemetry"
CONTENT, COUNT = {BATCHES: "data", EVENTS: "event"}, "event_count"
MOST_ROW = 16 * 1024 * 1024
MOST_NAMES = 5
SQLITE_DAMAGE = (sqlite3.Error, UnicodeDecodeError)  # the latter for a message that quotes damaged names
CAREFUL = ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0")


class _Database:
    """One such file while it is read."""

    def __init__(self, connection: sqlite3.Connection, report: FileReport) -> None:
        self._connection = connection
        self._report = report
        self._budget = Budget()

    def parts(self) -> Iterator[Part]:
        tables = self._tables()
        if self._sound():  # in a damaged one pages can lead to each other, and counting need not end
            self._report.parts = sum(self._count(table) for table in tables)
            if not self._report.parts:
                raise BridgeError("a .gsa file without telemetry: its tables are empty")
        if BATCHES in tables:
            yield from self._batches()
        if EVENTS in tables:
            yield Part(self._events)

    def _batches(self) -> Iterator[Part]:
        for place, data, count in self._rows(BATCHES):
            try:
                part = self._batch(data)
            except BridgeError as error:
                self._report.fault(place, str(error))
                continue
            yield part
            if isinstance(count, int) and part.events < count:
                self._report.fault(place, f"only {part.events:,} of the {count:,} events that it should hold")

    def _batch(self, data: bytes) -> Part:
        content = examine(lambda: _unpacked(data), len(data), self._budget)
        if content.nature is not Nature.TELEMETRY:
            raise BridgeError("not telemetry")
        return Part(content.blocks)

    def _events(self) -> Iterator[bytes]:
        """The events as JSON Lines."""
        for _, event, _ in self._rows(EVENTS):
            self._budget.spend(len(event))
            yield event.strip() + b"\n"

    def _rows(self, table: str) -> Iterator[tuple[str, bytes, Any]]:
        """Place, bytes and expected events of each row that can be read; a complaint about each other one."""
        count = COUNT if COUNT in self._columns(table) else "NULL"
        sql = f"SELECT {CONTENT[table]}, {count} FROM {table} WHERE rowid = ?"  # noqa: S608 - constants
        for rowid in self._rowids(table):
            place = f"{table} row {rowid}"
            self._advance()
            try:
                row = self._connection.execute(sql, (rowid,)).fetchone()
            except SQLITE_DAMAGE as error:
                self._report.fault(place, f"cannot be read ({error})")
                continue
            if row is None or not isinstance(row[0], bytes) or not row[0]:
                self._report.fault(place, "empty")
            else:
                yield place, *row

    def _rowids(self, table: str) -> Iterator[int]:
        last = -math.inf
        try:
            for (rowid,) in self._connection.execute(f"SELECT rowid FROM {table} ORDER BY rowid"):  # noqa: S608 - a constant
                if not isinstance(rowid, int) or rowid <= last:  # going round in circles
                    raise sqlite3.DatabaseError("rows out of order")
                last = rowid
                yield rowid
        except SQLITE_DAMAGE as error:
            self._report.fail(f"the rest of {table} cannot be read ({error})")

    def _advance(self) -> None:
        report = self._report
        report.part += 1
        if report.total:
            report.position = report.total * report.part // max(report.parts, report.part)

    def _tables(self) -> list[str]:
        """Which of the two tables there are."""
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        names = self._names(sql)
        tables = [table for table in CONTENT if table in names and CONTENT[table] in self._columns(table)]
        if not tables:
            shown = ", ".join(names[:MOST_NAMES]) or "none"
            raise BridgeError(f"an SQLite file without telemetry (its tables: {shown})")
        return tables

    def _columns(self, table: str) -> list[str]:
        return self._names(f"SELECT name FROM pragma_table_info('{table}')")  # noqa: S608 - a constant

    def _names(self, sql: str) -> list[str]:
        try:
            names = [name for (name,) in self._connection.execute(sql) if isinstance(name, bytes)]
        except SQLITE_DAMAGE as error:
            raise BridgeError(f"an SQLite file that is damaged or cut off ({error})") from None
        return [name.decode("utf-8", "replace") for name in names]

    def _sound(self) -> bool:
        """Have SQLite look at every page, since rows of a damaged table can be gone without a trace."""
        try:
            verdict = b"; ".join(verdict for (verdict,) in self._connection.execute("PRAGMA quick_check(1)"))
        except SQLITE_DAMAGE as error:
            verdict = str(error).encode()
        if verdict != b"ok":
            text = " ".join(verdict.decode("utf-8", "replace").split())
            self._report.fail(f"damaged, so that events may be missing ({text})")
        return verdict == b"ok"

    def _count(self, table: str) -> int:
        try:
            (count,) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - constants
        except SQLITE_DAMAGE:
            return 0
        return int(count)


def parts(path: Path, report: FileReport) -> Iterator[Part]:
    """Every batch, once all of it was read, and all single events; faults are told to `report`.

    `BridgeError` if the file itself cannot be used.
    """
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(address, uri=True)
    except SQLITE_DAMAGE as error:
        raise BridgeError(f"an SQLite file that cannot be opened ({error})") from None
    with closing(connection):
        connection.text_factory = bytes  # what gzip was taken for text is no UTF-8 to SQLite's mind either
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_ROW)
        for pragma in CAREFUL:
            connection.execute(f"PRAGMA {pragma}")
        yield from _Database(connection, report).parts()


def _unpacked(blob: bytes) -> Iterator[bytes]:
    pieces = iter((blob,))
    try:
        yield from expanded(lambda: next(pieces, b""))
    except DAMAGE as error:
        raise BridgeError(f"damaged or cut off ({reason_of(error)})") from None
