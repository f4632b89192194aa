"""An empty place in the log is a hole that trimming left, or the end; an append must not change which."""

from __future__ import annotations

import pytest

from bridge.journals.base import JournalContext
from bridge.journals.sqlite import SqliteJournal, SqliteJournalConfig
from bridge.state import State


@pytest.fixture
def journal(tmp_path):
    with State(tmp_path / "bridge.db") as state:
        yield SqliteJournal(SqliteJournalConfig(), JournalContext(state, "bridge", ("sink",)))


def read_to_the_end(reader):
    found = []
    while (page := reader.read(0.0)) is not None:
        found += page.payloads
    return found


def test_events_appended_while_a_reader_looks_are_never_taken_for_trimmed_ones(journal, monkeypatch):
    reader = journal.reader("sink", "earliest", lambda: None)
    state, read = journal.context.state, journal.context.state.read
    rows = [b"%d" % n for n in range(2_500)]

    def read_then_append(query):
        result = read(query)
        if rows:
            state.write(
                lambda connection: connection.executemany(
                    "INSERT INTO log (received_ms, source, body) VALUES (1, '', ?)",
                    [(rows.pop(0),) for _ in range(len(rows))],
                )
            )
        return result

    expected = list(rows)
    monkeypatch.setattr(state, "read", read_then_append)
    assert reader.read(0.0) is None
    assert read_to_the_end(reader) == expected


def test_a_reader_inside_a_hole_that_reaches_the_end_comes_to_rest(journal):
    journal.append([b"%d" % n for n in range(10)], "test")
    reader = journal.reader("sink", "earliest", lambda: None)
    journal.context.state.write(lambda connection: connection.execute("DELETE FROM log"))
    assert read_to_the_end(reader) == []
    assert reader.at_end()
    journal.append([b"new"], "test")
    assert read_to_the_end(reader) == [b"new"]
