"""Dead letters where they are: in the state file, in a Kafka topic, or in both.

A topic cannot be replayed in place. Its letters are copied into a state file of their own, replayed
from there, and whatever becomes of each is written back to the topic while the replay goes on.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from bridge.cli.cursors_kafka import kafka_config
from bridge.deadletters import COLUMNS, DeadLetter, SqliteDeadLetters
from bridge.journals.kafka import kafka_letters
from bridge.state import State, StateError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from bridge.cli.host import Host
    from bridge.deadletters import Filter
    from bridge.deadletters_kafka import KafkaDeadLetters

    Count = Callable[[Filter], dict[tuple[str, str], int]]
    Choice = Callable[[Count], Iterable[Filter]]

__all__ = ["Shelf", "Staged", "shelves", "staged"]

PAGE = 200
SYNC_EVERY = 1.0
FACTS = "attempts, last_ms, resolved_ms"
CHANGED = f"""
SELECT {", ".join(f"d.{name}" for name in COLUMNS)} FROM dead_letters d LEFT JOIN staged s ON s.id = d.id
WHERE s.id IS NULL OR (d.attempts, d.last_ms, ifnull(d.resolved_ms, 0))
    IS NOT (s.attempts, s.last_ms, ifnull(s.resolved_ms, 0)) LIMIT {PAGE}
"""  # noqa: S608 - the columns are constants


class Shelf(Protocol):
    """Dead letters that can be looked at."""

    def count(self, chosen: Filter) -> dict[tuple[str, str], int]:
        """How many there are, by (sink, code)."""

    def find(self, chosen: Filter, limit: int | None = None) -> Iterator[DeadLetter]:
        """The chosen ones."""

    def get(self, identifier: str) -> DeadLetter | None:
        """The one whose id begins so, if it is only one."""


class _Shelves:
    """Several shelves as one."""

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self._shelves = shelves

    def count(self, chosen: Filter) -> dict[tuple[str, str], int]:
        total: dict[tuple[str, str], int] = {}
        for shelf in self._shelves:
            for key, number in shelf.count(chosen).items():
                total[key] = total.get(key, 0) + number
        return total

    def find(self, chosen: Filter, limit: int | None = None) -> Iterator[DeadLetter]:
        return islice(chain.from_iterable(shelf.find(chosen, limit) for shelf in self._shelves), limit)

    def get(self, identifier: str) -> DeadLetter | None:
        found = [letter for shelf in self._shelves if (letter := shelf.get(identifier)) is not None]
        return found[0] if len(found) == 1 else None


@contextmanager
def shelves(host: Host) -> Iterator[Shelf]:
    """Every place where this configuration keeps dead letters, those in Kafka first."""
    config = kafka_config(host)
    if config is None or config.dead_letter_topic is None:
        with host.look() as state:
            yield SqliteDeadLetters(state)
        return
    with ExitStack() as stack:
        found: list[Shelf] = []
        topic = stack.enter_context(kafka_letters(config, host.settings.instance))
        if topic is not None:
            found.append(stack.enter_context(topic.look()))
        if host.state_path.is_file():
            found.append(SqliteDeadLetters(stack.enter_context(host.look())))
        yield _Shelves(found)


class Staged:
    """Letters of a topic in a state file of their own; `sync` takes back what became of them."""

    def __init__(self, topic: KafkaDeadLetters, state: State) -> None:
        self.state = state
        self.total = 0
        self._topic = topic
        self._synced_at = time.monotonic()
        state.write(_cleared)

    def take(self, letters: Iterator[DeadLetter]) -> None:
        """Copy letters."""
        store = SqliteDeadLetters(self.state)
        while page := list(islice(letters, PAGE)):
            store.write(page)
            self._note(page)
            self.total += len(page)

    def sync_now_and_then(self) -> None:
        """`sync`, once a second; what fails now is tried again."""
        if time.monotonic() - self._synced_at >= SYNC_EVERY:
            with suppress(StateError):
                self.sync()

    def sync(self) -> None:
        """Write every letter that changed to the topic; `StateError` if the brokers do not take it."""
        self._synced_at = time.monotonic()
        while rows := self.state.read(lambda connection: connection.execute(CHANGED).fetchall()):
            letters = [DeadLetter(*row) for row in rows]
            self._topic.write(letters)
            self._note(letters)

    def _note(self, letters: Sequence[DeadLetter]) -> None:
        """The topic has these letters as they are here."""
        rows = [(letter.id, letter.attempts, letter.last_ms, letter.resolved_ms) for letter in letters]
        sql = f"INSERT OR REPLACE INTO staged (id, {FACTS}) VALUES (?, ?, ?, ?)"  # noqa: S608 - constants
        self.state.write(lambda connection: connection.executemany(sql, rows))


@contextmanager
def staged(host: Host, choose: Choice, limit: int | None) -> Iterator[Staged | None]:
    """Letters copied from Kafka; None if they are not kept there. `choose` turns counts into filters.

    The copy is in `data_dir/replay`, which two replays of one machine cannot use at once, and is
    deleted at the end.
    """
    config = kafka_config(host)
    if config is None or config.dead_letter_topic is None:
        yield None
        return
    path = host.settings.data_dir / "replay" / "bridge.db"
    with kafka_letters(config, host.settings.instance) as topic, State(path) as state:
        if topic is None:
            yield None
            return
        try:
            copy = Staged(topic, state)
            with topic.look() as shelf:
                for chosen in choose(shelf.count):
                    copy.take(shelf.find(chosen, None if limit is None else limit - copy.total))
            yield copy
        finally:
            _delete(path)


def _cleared(connection: sqlite3.Connection) -> None:
    """Begin without what a replay that was killed has left."""
    connection.execute("DELETE FROM dead_letters")
    connection.execute(f"CREATE TABLE IF NOT EXISTS staged (id TEXT PRIMARY KEY, {FACTS})")
    connection.execute("DELETE FROM staged")


def _delete(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
