"""The state file: cursors, dead letters and the embedded journal in one SQLite database.

SQLite up to 3.51.2 can corrupt a WAL database that two connections write and checkpoint at the
same instant, so there is exactly one writing connection, in one process (an exclusive lock on
a file beside it), used by one thread at a time. Writes from many threads are committed as a
group: while one commit waits for the disk, the next ones gather.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from bridge.errors import BridgeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["State", "StateBrokenError", "StateError", "StateFullError", "StateLockedError"]

T = TypeVar("T")
Operation = tuple["Callable[[sqlite3.Connection], Any]", "Future[Any]"]

SCHEMA_VERSION = 1
MAX_GROUP = 256
SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused, even when the log was trimmed empty
    received_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS cursors (
    pipeline TEXT NOT NULL,
    stream TEXT NOT NULL,
    position INTEGER NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    updated_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pipeline, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
    id TEXT PRIMARY KEY,
    sink TEXT NOT NULL,
    plugin TEXT NOT NULL,
    stage TEXT NOT NULL,
    code TEXT NOT NULL,
    path TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    stream TEXT NOT NULL,
    position INTEGER NOT NULL,
    eid TEXT,
    mid TEXT,
    payload BLOB NOT NULL,
    resolved_ms INTEGER
);
CREATE INDEX IF NOT EXISTS dead_letters_by_sink ON dead_letters (sink, resolved_ms, first_ms, id);
CREATE INDEX IF NOT EXISTS dead_letters_by_time ON dead_letters (first_ms, id);
"""


class StateError(BridgeError):
    """The state file could not be used; the operation did not happen."""


class StateFullError(StateError):
    """The disk is full; nothing was written, try again later."""


class StateLockedError(StateError):
    """Another process holds this state file."""


class StateBrokenError(StateError):
    """The disk failed during a write; what is durable is unknown until the bridge starts again."""


class State:
    """One SQLite database, one connection. `write` from any thread, `read` from any thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open (and create) the database at `path`.

        `read_only` looks into a file that another process may hold; it takes no lock and can
        only `read`. Otherwise `StateLockedError` says who holds it.
        """
        self.path = path
        self.broken: StateBrokenError | None = None
        self._mutex = threading.Lock()
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._lock_file = -1 if read_only else _lock(path)
        try:
            self._connection = _connect(path, read_only=read_only)
        except BaseException:
            self._unlock()
            raise
        self._writer: threading.Thread | None = None
        if not read_only:
            self._writer = threading.Thread(target=self._write_groups, name="state", daemon=True)
            self._writer.start()

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` between two commits, so that it sees only what is durable."""
        with self._mutex:
            try:
                return query(self._connection)
            except sqlite3.Error as error:
                raise _translated(error) from None

    def submit(self, change: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue `change` for the next commit; the future resolves once it is durable."""
        future: Future[T] = Future()
        if self.broken is not None:
            future.set_exception(self.broken)
        elif self._writer is None:
            future.set_exception(StateError("the state file was opened for reading only"))
        else:
            self._queue.put((change, cast("Future[Any]", future)))
        return future

    def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Apply `change` and return its result once it is durable."""
        return self.submit(change).result()

    def close(self) -> None:
        """Commit what is queued, close the database and release the lock."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None
        with self._mutex:
            self._connection.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write_groups(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            ending = False
            while len(group) < MAX_GROUP and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    ending = True
                    break
                group.append(following)
            self._commit(group)
            if ending:
                return

    def _commit(self, group: list[Operation]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        with self._mutex:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for change, future in group:
                    self._apply(change, future, done)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                failure = self._failed(error)
                for _, future in group:
                    if not future.done():
                        future.set_exception(failure)
                return
        for future, result in done:
            future.set_result(result)

    def _apply(
        self,
        change: Callable[[sqlite3.Connection], Any],
        future: Future[Any],
        done: list[tuple[Future[Any], Any]],
    ) -> None:
        self._connection.execute("SAVEPOINT operation")
        try:
            result = change(self._connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - boundary: it belongs to the caller whose operation it was
            self._connection.execute("ROLLBACK TO operation")
            future.set_exception(error)
        else:
            done.append((future, result))
        self._connection.execute("RELEASE operation")

    def _failed(self, error: sqlite3.Error) -> StateError:
        failure = _translated(error)
        if isinstance(failure, StateBrokenError):
            self.broken = failure
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        return failure


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = f"{path.parent} cannot be written to ({error.strerror}); it is the data_dir"
        raise StateError(reason) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise StateLockedError(
            f"{path} is in use by process {holder}; stop it, or give this one another data_dir"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    try:
        if read_only:
            return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise StateError(f"cannot open the state file {path}: {error}") from None
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    path.chmod(0o600)
    with closing(connection.cursor()) as cursor:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=4000",
            "trusted_schema=OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        _check_version(cursor, path)
        cursor.executescript(SCHEMA)
        cursor.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    for folder in path.absolute().parents[:2]:
        _sync(folder)


def _sync(folder: Path) -> None:
    """Make the folder's entries durable: a new data_dir must still be there after the power was cut."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # the folder above may not be ours to read; then it is not ours to sync
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_version(cursor: sqlite3.Cursor, path: Path) -> None:
    (found,) = cursor.execute("PRAGMA user_version").fetchone()
    if found > SCHEMA_VERSION:
        raise StateError(
            f"{path} was written by a newer bridge (version {found} of the file, this one knows "
            f"{SCHEMA_VERSION}); upgrade, or give this bridge another data_dir"
        )


def _translated(error: sqlite3.Error) -> StateError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StateFullError("the disk is full; free space, nothing was lost")
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StateBrokenError(f"the state file failed: {error}")
    return StateError(f"state file: {error}")
