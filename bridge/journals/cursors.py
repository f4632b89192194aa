"""Cursors in the state file: one row per pipeline and stream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from bridge.state import State

__all__ = ["Cursors", "all_cursors", "replace_cursors"]

UPSERT = """
INSERT INTO cursors (pipeline, stream, position, detail, updated_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (pipeline, stream) DO UPDATE
SET position = excluded.position, detail = excluded.detail, updated_ms = excluded.updated_ms
"""


class Cursors:
    """The cursors of one pipeline; writes join the next group commit."""

    def __init__(self, state: State, pipeline: str) -> None:
        self._state = state
        self._pipeline = pipeline
        self._last: Future[None] | None = None

    def load(self) -> dict[str, int]:
        """Every stored cursor, by stream."""
        sql = "SELECT stream, position FROM cursors WHERE pipeline = ?"
        return dict(
            self._state.read(lambda connection: connection.execute(sql, (self._pipeline,)).fetchall())
        )

    def commit(self, cursors: Mapping[str, int], details: Mapping[str, str] | None = None) -> None:
        """Store cursors soon; an earlier failure is raised here. `details` is text for people."""
        self._raise_if_failed()
        if cursors:
            self._last = self._state.submit(self._upsert(cursors, details or {}))

    def flush(self) -> None:
        """Wait until everything committed so far is durable."""
        if self._last is not None:
            self._last.result()

    def _raise_if_failed(self) -> None:
        if self._last is not None and self._last.done():
            last, self._last = self._last, None
            last.result()

    def _upsert(
        self, cursors: Mapping[str, int], details: Mapping[str, str]
    ) -> Callable[[sqlite3.Connection], None]:
        now_ms = int(time.time() * 1000)
        rows = [
            (self._pipeline, stream, position, details.get(stream, ""), now_ms)
            for stream, position in cursors.items()
        ]

        def upsert(connection: sqlite3.Connection) -> None:
            connection.executemany(UPSERT, rows)

        return upsert


def all_cursors(state: State) -> Iterable[tuple[str, str, int, str, int]]:
    """Every cursor: pipeline, stream, position, detail, when it last moved (ms)."""
    sql = (
        "SELECT pipeline, stream, position, detail, updated_ms FROM cursors ORDER BY pipeline, detail, stream"
    )
    return state.read(lambda connection: connection.execute(sql).fetchall())


def replace_cursors(state: State, pipeline: str, places: Mapping[str, tuple[int, str]]) -> None:
    """Forget a pipeline's cursors and set these, durably: position and detail by stream."""
    now_ms = int(time.time() * 1000)
    rows = [(pipeline, stream, position, detail, now_ms) for stream, (position, detail) in places.items()]

    def replace(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM cursors WHERE pipeline = ?", (pipeline,))
        connection.executemany(UPSERT, rows)

    state.write(replace)
