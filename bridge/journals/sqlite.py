"""The embedded journal: events in the bridge's own state file, for one machine without servers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bridge.hookspecs import hookimpl
from bridge.journals.base import Journal, JournalConfig, JournalContext, JournalFullError, Lag, Page, Reader
from bridge.journals.cursors import Cursors
from bridge.journals.recent import RecentPages

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from bridge.journals.base import Start
    from bridge.state import State

__all__ = ["SqliteJournal", "SqliteJournalConfig"]

STREAM = "log"
PAGE_EVENTS = 250
PAGE_BYTES = 512 * 1024
TRIM_SLICE = 10_000
TUNING = (
    "wal_autocheckpoint=1000",  # pages; a commit that checkpoints keeps all senders waiting
    "cache_size=-8000",  # KiB; a page of a commit that does not fit is written twice
)
ROWS = 50  # a statement: a quarter less CPU than a row a statement; more rows gain nothing

INSERT = "INSERT INTO log (received_ms, source, body) VALUES (?1, ?2, ?3)"
INSERT_MANY = INSERT + "".join(f", (?1, ?2, ?{number})" for number in range(4, ROWS + 3))


class SqliteJournalConfig(JournalConfig):
    """`[journal] type = "sqlite"`."""

    max_bytes: int = Field(
        2 * 1024**3,
        ge=1024 * 1024,
        description="Bytes the journal may hold; beyond it, intakes answer 503 until sinks catch up.",
    )
    retention_hours: float = Field(
        0.0,
        ge=0,
        description="Keep events this long after every sink has settled them, so that a new sink can start "
        "earlier.",
    )


class SqliteReader(Reader):
    """One pipeline's place in the log."""

    def __init__(self, state: State, cursors: Cursors, position: int, recent: RecentPages) -> None:
        self._recent = recent
        self._state = state
        self._cursors = cursors
        self._position = position

    def read(self, timeout: float) -> Page | None:  # noqa: ARG002 - the pipeline is woken by `append`
        """The events up to the next multiple of the page size, so that pipelines cut alike."""
        page = self._recent.find(STREAM, self._position)
        if page is None:
            page = self._look()
        if page is not None:
            self._position = page.end
        return page

    def _look(self) -> Page | None:
        begin = self._position
        ceiling = (begin // PAGE_EVENTS + 1) * PAGE_EVENTS
        # one look for both: an append between two looks would make the events it added seem trimmed
        rows, end = self._state.read(lambda connection: _rows_and_end(connection, begin, ceiling))
        if not rows:
            return self._skip_trimmed(begin, min(ceiling, end))
        seqs, received, bodies = zip(*rows, strict=True)
        afters = [seq + 1 for seq in seqs]
        return self._recent.keep(
            Page(STREAM, begin, afters[-1], list(bodies), sum(map(len, bodies)), afters, received)
        )

    def commit(self, cursors: Mapping[str, int]) -> None:
        """Store the cursor with the next group commit."""
        self._cursors.commit(cursors)

    def rewind(self, cursors: Mapping[str, int]) -> None:
        """Read again from `cursors["log"]`."""
        self._position = cursors[STREAM]

    def at_end(self) -> bool:
        """Whether the last event was read."""
        return self._state.read(_next_seq) <= self._position

    def lag(self) -> Lag:
        """Events that were appended and not read yet."""
        records, oldest = self._state.read(lambda connection: _behind(connection, self._position))
        age = max(0.0, time.time() - oldest / 1000) if oldest else 0.0
        return Lag(records=records, seconds=age)

    def close(self) -> None:
        """Wait for the last cursor."""
        self._cursors.flush()

    def _skip_trimmed(self, begin: int, end: int) -> Page | None:
        """Step over a hole that trimming left, if there is one."""
        if end <= begin:
            return None
        return Page(STREAM, begin, end, [], 0, [], [])


class SqliteJournal(Journal):
    """An append-only log in SQLite, trimmed behind the slowest cursor."""

    name: ClassVar[str] = "sqlite"
    config_type: ClassVar[type[JournalConfig]] = SqliteJournalConfig
    config: SqliteJournalConfig

    def __init__(self, config: JournalConfig, context: JournalContext) -> None:
        super().__init__(config, context)
        self._state = context.state
        self._recent = RecentPages()
        self._wakers: list[Callable[[], None]] = []
        self._size_lock = threading.Lock()
        self._size = self._state.read(_stored_bytes)
        self._state.read(_tune)

    def reader(self, pipeline: str, start: Start, wake: Callable[[], None]) -> SqliteReader:
        """A reader at the pipeline's cursor; a first cursor is stored at once, so that nothing is trimmed."""
        cursors = Cursors(self._state, pipeline)
        position = cursors.load().get(STREAM)
        if position is None:
            position = self._state.read(_next_seq if start == "latest" else _first_seq)
            cursors.commit({STREAM: position})
            cursors.flush()
        self._wakers.append(wake)
        return SqliteReader(self._state, cursors, position, self._recent)

    def places(self, start: Start) -> dict[str, tuple[int, str]]:
        """The first event that is still held, or the end."""
        return {STREAM: (self._state.read(_next_seq if start == "latest" else _first_seq), "")}

    def append(self, payloads: Sequence[bytes], source: str) -> None:
        """Add records; they are durable when this returns."""
        added = sum(map(len, payloads))
        if self._size + added > self.config.max_bytes:
            raise JournalFullError(
                f"the journal holds its quota of {self.config.max_bytes} bytes; a sink is behind "
                "(see its lag), or journal.max_bytes is too small"
            )
        now_ms = int(time.time() * 1000)
        self._state.write(lambda connection: _insert(connection, now_ms, source, payloads))
        with self._size_lock:
            self._size += added
        for wake in self._wakers:
            wake()

    def check(self) -> str:
        """Say how much the journal holds."""
        count = self._state.read(
            lambda connection: connection.execute("SELECT count(*) FROM log").fetchone()[0]
        )
        return f"{count} events, {self._size} bytes in {self._state.path}"

    def trim(self) -> int:
        """Drop what every pipeline has settled; cursors of unknown ones count, so no typo loses anything."""
        keep_ms = int((time.time() - self.config.retention_hours * 3600) * 1000)
        known = self.context.pipelines
        dropped = freed = 0
        while True:
            rows, size = self._state.write(lambda connection: _trim(connection, known, keep_ms))
            dropped += rows
            freed += size
            if rows < TRIM_SLICE:
                break
        with self._size_lock:
            self._size -= freed
        return dropped


def _tune(connection: sqlite3.Connection) -> None:
    for pragma in TUNING:
        connection.execute(f"PRAGMA {pragma}")


def _insert(connection: sqlite3.Connection, now_ms: int, source: str, payloads: Sequence[bytes]) -> None:
    whole = len(payloads) - len(payloads) % ROWS
    for at in range(0, whole, ROWS):
        connection.execute(INSERT_MANY, (now_ms, source, *payloads[at : at + ROWS]))
    connection.executemany(INSERT, [(now_ms, source, payload) for payload in payloads[whole:]])


def _rows(connection: sqlite3.Connection, begin: int, ceiling: int) -> list[tuple[int, int, bytes]]:
    sql = "SELECT seq, received_ms, body FROM log WHERE seq >= ? AND seq < ? ORDER BY seq"
    rows: list[tuple[int, int, bytes]] = []
    size = 0
    for row in connection.execute(sql, (begin, ceiling)):
        rows.append(row)
        size += len(row[2])
        if size >= PAGE_BYTES:
            break
    return rows


def _rows_and_end(
    connection: sqlite3.Connection, begin: int, ceiling: int
) -> tuple[list[tuple[int, int, bytes]], int]:
    """The rows of a page, and where the log ends if there are none."""
    rows = _rows(connection, begin, ceiling)
    return rows, begin if rows else _next_seq(connection)


def _next_seq(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return int(row[0]) + 1 if row else 1


def _first_seq(connection: sqlite3.Connection) -> int:
    (first,) = connection.execute("SELECT min(seq) FROM log").fetchone()
    return int(first) if first is not None else _next_seq(connection)


def _behind(connection: sqlite3.Connection, position: int) -> tuple[int, int | None]:
    behind = max(0, _next_seq(connection) - position)
    if not behind:
        return 0, None
    row = connection.execute(
        "SELECT received_ms FROM log WHERE seq >= ? ORDER BY seq LIMIT 1", (position,)
    ).fetchone()
    return behind, row[0] if row else None


def _stored_bytes(connection: sqlite3.Connection) -> int:
    (size,) = connection.execute("SELECT coalesce(sum(length(body)), 0) FROM log").fetchone()
    return int(size)


def _trim(connection: sqlite3.Connection, known: Sequence[str], keep_ms: int) -> tuple[int, int]:
    cursors = dict(connection.execute("SELECT pipeline, position FROM cursors WHERE stream = ?", (STREAM,)))
    if any(pipeline not in cursors for pipeline in known):
        return 0, 0
    settled = min(cursors.values(), default=0)
    chosen = "SELECT seq, length(body) FROM log WHERE seq < ? AND received_ms <= ? ORDER BY seq LIMIT ?"
    rows = connection.execute(chosen, (settled, keep_ms, TRIM_SLICE)).fetchall()
    if rows:
        connection.execute("DELETE FROM log WHERE seq <= ? AND received_ms <= ?", (rows[-1][0], keep_ms))
    return len(rows), sum(size for _, size in rows)


@hookimpl
def bridge_journals() -> list[type[Journal]]:
    """Offer the journal type `sqlite`."""
    return [SqliteJournal]
