"""Dead letters: every event that could not go on, with its original bytes and the reason.

They are durable before any cursor moves past them. Invalid events are kept once for the whole
bridge, under the pipeline name `rejects`; what one destination refuses is kept under that
sink's name and replayed to it alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Protocol

import xxhash

from bridge.jsontext import names_of
from bridge.state import StateFullError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bridge.state import State

__all__ = [
    "REJECTS",
    "AnnouncedDeadLetters",
    "DeadLetter",
    "DeadLetters",
    "Filter",
    "SqliteDeadLetters",
    "Step",
    "letter_id",
    "stray_letter",
]

REJECTS = "rejects"
MAX_REASON = 2_048
Step = Literal["validate", "stage", "map", "deliver"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that could not go on.

    `sink` is the refusing sink's identifier, or `rejects` for an event no sink can use;
    `stream` and `position` say where in the journal it stands; `payload` its original bytes,
    whatever stages made of them.
    Times are Unix milliseconds; `resolved_ms` is set once a replay was delivered.
    """

    id: str
    sink: str
    plugin: str
    stage: Step
    code: str
    path: str
    reason: str
    attempts: int
    first_ms: int
    last_ms: int
    stream: str
    position: int
    eid: str | None
    mid: str | None
    payload: bytes
    resolved_ms: int | None = None


COLUMNS = tuple(field.name for field in fields(DeadLetter))
SELECT = f"SELECT {', '.join(COLUMNS)} FROM dead_letters"  # noqa: S608 - the columns are constants
INSERT = f"""
INSERT INTO dead_letters ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
ON CONFLICT (id) DO UPDATE SET attempts = max(attempts, excluded.attempts), last_ms = excluded.last_ms,
    code = excluded.code, reason = excluded.reason, path = excluded.path, stage = excluded.stage,
    plugin = excluded.plugin, resolved_ms = NULL
"""  # noqa: S608 - the columns are constants


def letter_id(sink: str, stream: str, position: int, payload: bytes) -> str:
    """The same refusal has the same id after a crash, so that writing it again changes nothing."""
    head = f"{len(sink)},{len(stream)},{position}|{sink}{stream}".encode()
    return xxhash.xxh3_128_hexdigest(head + payload)


def stray_letter(payload: bytes, stream: str, code: str, path: str, reason: str, now_ms: int) -> DeadLetter:
    """The letter of an event that was refused before the journal had it; the same for the same event."""
    eid, mid = names_of(payload)
    return DeadLetter(
        letter_id(REJECTS, stream, 0, payload), REJECTS, "bridge", "validate", code, path, reason, 1, now_ms,
        now_ms, stream, 0, eid, mid, payload,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters: by `sink`, `code`, `eid`, first seen `since` … `until` (ms), and whether `resolved`."""

    sink: str | None = None
    code: str | None = None
    eid: str | None = None
    since: int | None = None
    until: int | None = None
    resolved: bool = False

    def where(self) -> tuple[str, list[object]]:
        """The SQL condition and its values."""
        clauses = ["resolved_ms IS NOT NULL" if self.resolved else "resolved_ms IS NULL"]
        values: list[object] = []
        for column, operator, value in (
            ("sink", "=", self.sink),
            ("code", "=", self.code),
            ("eid", "=", self.eid),
            ("first_ms", ">=", self.since),
            ("first_ms", "<=", self.until),
        ):
            if value is not None:
                clauses.append(f"{column} {operator} ?")
                values.append(value)
        return " AND ".join(clauses), values


class DeadLetters(Protocol):
    """Where dead letters go: all that a pipeline needs of it."""

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Return once every letter is durable; raise `StateError` if none is."""


class AnnouncedDeadLetters:
    """Dead letters of which observers hear as soon as they are durable.

    `notify(hook, letter=…)` tells them; None if there is nobody to tell.
    """

    def __init__(self, store: DeadLetters, notify: Callable[..., None] | None) -> None:
        self._store = store
        self._notify = notify

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters.write`."""
        self._store.write(letters)
        if self._notify is not None:
            for letter in letters:
                self._notify("bridge_dead_lettered", letter=letter)


class SqliteDeadLetters:
    """Dead letters in the state file, up to `max_bytes` of payload (0: no limit)."""

    def __init__(self, state: State, max_bytes: int = 0) -> None:
        self._state = state
        self._max_bytes = max_bytes
        self._bytes = state.read(_stored_bytes)

    @property
    def stored_bytes(self) -> int:
        """Bytes of payload now held."""
        return self._bytes

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Store letters; `StateFullError` when the quota is met, so that the pipeline waits."""
        if self._full() and self._drop_resolved() and self._full():
            raise StateFullError(
                f"dead letters hold their quota of {self._max_bytes} bytes; resolve some, "
                "or raise dead_letters.max_bytes"
            )
        rows = [tuple(getattr(letter, name) for name in COLUMNS) for letter in letters]
        self._state.write(lambda connection: connection.executemany(INSERT, rows))
        self._bytes += sum(len(letter.payload) for letter in letters)

    def _full(self) -> bool:
        return 0 < self._max_bytes <= self._bytes

    def _drop_resolved(self) -> bool:
        """Make room: what a replay has delivered is kept only for as long as there is space."""
        sql = "DELETE FROM dead_letters WHERE resolved_ms > 0"
        self._state.write(lambda connection: connection.execute(sql))
        self._bytes = self._state.read(_stored_bytes)
        return True

    def count(self, chosen: Filter) -> dict[tuple[str, str], int]:
        """How many letters there are, by (sink, code)."""
        where, values = chosen.where()
        sql = f"SELECT sink, code, count(*) FROM dead_letters WHERE {where} GROUP BY sink, code"  # noqa: S608
        rows = self._state.read(lambda connection: connection.execute(sql, values).fetchall())
        return {(sink, code): number for sink, code, number in rows}

    def find(self, chosen: Filter, limit: int | None = None) -> Iterator[DeadLetter]:
        """Letters, oldest first, read in pages so that memory stays bounded."""
        last = (0, "")
        left = limit if limit is not None else -1
        while left != 0 and (page := self._page(chosen, last, 200 if left < 0 else min(left, 200))):
            yield from page
            left -= len(page) if left > 0 else 0
            last = (page[-1].first_ms, page[-1].id)

    def get(self, identifier: str) -> DeadLetter | None:
        """The letter whose id starts with `identifier`, if exactly one does."""
        sql = f"{SELECT} WHERE substr(id, 1, ?) = ? LIMIT 2"
        rows = self._state.read(
            lambda connection: connection.execute(sql, (len(identifier), identifier)).fetchall()
        )
        return DeadLetter(*rows[0]) if len(rows) == 1 else None

    def resolve(self, identifiers: Iterable[str], now_ms: int | None = None) -> None:
        """Mark letters as delivered by a replay; they stay visible as resolved."""
        moment = int(time.time() * 1000) if now_ms is None else now_ms
        rows = [(moment, identifier) for identifier in identifiers]
        sql = "UPDATE dead_letters SET resolved_ms = ? WHERE id = ?"
        self._state.write(lambda connection: connection.executemany(sql, rows))

    def purge(self, before_ms: int) -> int:
        """Delete letters first seen before `before_ms`, resolved or not; returns how many."""
        sql = "DELETE FROM dead_letters WHERE first_ms < ?"
        dropped = self._state.write(lambda connection: connection.execute(sql, (before_ms,)).rowcount)
        self._bytes = self._state.read(_stored_bytes)
        return dropped

    def _page(self, chosen: Filter, after: tuple[int, str], limit: int) -> list[DeadLetter]:
        where, values = chosen.where()
        sql = f"{SELECT} WHERE {where} AND (first_ms, id) > (?, ?) ORDER BY first_ms, id LIMIT ?"
        rows = self._state.read(
            lambda connection: connection.execute(sql, (*values, *after, limit)).fetchall()
        )
        return [DeadLetter(*row) for row in rows]


def _stored_bytes(connection: sqlite3.Connection) -> int:
    (total,) = connection.execute("SELECT coalesce(sum(length(payload)), 0) FROM dead_letters").fetchone()
    return int(total)
