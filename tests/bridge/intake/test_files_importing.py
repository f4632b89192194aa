"""Importing files into a journal: what is appended, in which portions, and what is reported."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter

import pytest

from bridge.errors import BridgeError
from bridge.events import Decoder, Level
from bridge.intake.files import GROUP_BYTES, GROUP_EVENTS, FileImport, FileReport, require_writable
from bridge.journals.base import Journal, JournalConfig, JournalContext, JournalFullError
from bridge.state import State

MIB = 1 << 20


class Shelf(Journal):
    """A journal in memory that may be full for a while."""

    name = "shelf"

    def __init__(self, context, room=None):
        super().__init__(JournalConfig(), context)
        self.groups = []
        self.sources = set()
        self.room = room

    def reader(self, pipeline, start, wake):
        raise NotImplementedError

    def append(self, payloads, source):
        if self.room is not None and sum(map(len, payloads)) > self.room:
            raise JournalFullError("full", 0.0)
        self.groups.append(list(payloads))
        self.sources.add(source)

    @property
    def rows(self):
        return [row for group in self.groups for row in group]


def line(n, **more):
    head = {"eid": "LOG", "ets": n, "mid": str(n)}
    return json.dumps(head | more).encode()


def importing(journal, *, wait=lambda _: False, stopped=lambda: False, max_event_bytes=MIB):
    return FileImport(journal, Decoder(Level.ENVELOPE, max_event_bytes), max_event_bytes, wait, stopped)


@pytest.fixture
def context(tmp_path):
    with State(tmp_path / "state" / "bridge.db") as state:
        yield JournalContext(state, "bridge", ())


def imported(path, journal, **options):
    report = FileReport(str(path))
    importing(journal, **options).run(report)
    return journal, report


def test_events_are_appended_in_portions_that_are_cheap_to_commit(tmp_path, context):
    path = tmp_path / "a"
    lines = [line(n, edata={"x": "y" * (n % 3_000)}) for n in range(4_000)]
    path.write_bytes(b"\n".join(lines))
    journal, report = imported(path, Shelf(context))
    assert journal.rows == lines
    assert (report.accepted, report.rejected, report.problem, report.done) == (4_000, Counter(), "", True)
    assert report.position == report.total == path.stat().st_size
    assert max(map(len, journal.groups)) <= GROUP_EVENTS
    assert max(sum(map(len, group)) for group in journal.groups) <= GROUP_BYTES
    assert journal.sources == {f"import {path}"}


def test_refused_events_keep_their_place_among_the_others(tmp_path, context):
    path = tmp_path / "a"
    rows = [line(1), b"nonsense", line(2), b'{"eid":"LOG"}', line(3), b"[1]"]
    path.write_bytes(b"\n".join(rows))
    journal, report = imported(path, Shelf(context))
    assert journal.rows == [*rows[:5], b"1"]
    assert report.accepted == 3
    assert report.rejected == Counter(invalid_json=1, missing_key=1, not_an_event=1)


def test_a_journal_that_is_full_is_waited_for_and_takes_fewer_events_at_a_time(tmp_path, context):
    path = tmp_path / "a"
    lines = [line(n) for n in range(100)]
    path.write_bytes(b"\n".join(lines))
    journal = Shelf(context, room=60)
    waits = []

    def wait(error):
        waits.append(str(error))
        journal.room = 10_000
        return True

    journal.room = 10
    imported(path, journal, wait=wait)
    assert journal.rows == lines
    assert waits == ["full"]


def test_an_import_ends_when_nobody_waits_any_longer(tmp_path, context):
    path = tmp_path / "a"
    path.write_bytes(line(1))
    journal, report = imported(path, Shelf(context, room=1))
    assert journal.rows == []
    assert (report.problem, report.done) == ("stopped before its end", True)


def test_an_import_can_be_stopped_between_two_blocks(tmp_path, context):
    path = tmp_path / "a"
    path.write_bytes(b"\n".join(line(n, edata={"x": "y" * 1_000}) for n in range(5_000)))
    _, report = imported(path, Shelf(context), stopped=lambda: True)
    assert 0 < report.accepted < 5_000
    assert report.problem == "stopped before its end"
    assert report.position < report.total


def test_a_journal_that_fails_is_the_callers_trouble_and_what_was_appended_stays(tmp_path, context):
    path = tmp_path / "a"
    path.write_bytes(b"\n".join(line(n) for n in range(2_500)))

    class Failing(Shelf):
        def append(self, payloads, source):
            if len(self.groups) == 1:
                raise BridgeError("the disk is gone")
            super().append(payloads, source)

    journal, report = Failing(context), FileReport(str(path))
    with pytest.raises(BridgeError, match="the disk is gone"):
        importing(journal).run(report)
    assert len(journal.rows) == report.accepted == 1_000


def test_a_file_that_is_not_there_is_a_problem_of_that_file(tmp_path, context):
    _, report = imported(tmp_path / "nowhere", Shelf(context))
    assert "cannot be read (No such file or directory)" in report.problem
    assert report.done


def test_events_that_are_too_long_for_any_limit_are_reported(tmp_path, context):
    path = tmp_path / "a"
    path.write_bytes(line(1) + b'\n{"eid":"' + b"x" * (20 * MIB) + b'"}\n' + line(2))
    journal, report = imported(path, Shelf(context))
    assert journal.rows == [line(1), line(2)]
    assert "1 events longer than 16777216 bytes were left out" in report.problem


@pytest.mark.parametrize("shape", ["lines", "batch", "one line batch"])
def test_memory_does_not_grow_with_the_file(tmp_path, context, shape):
    path = tmp_path / "big.gz"
    one = line(1, edata={"x": "y" * 1_000})
    with gzip.open(path, "wb", compresslevel=1) as file:
        between = b"\n" if shape == "lines" else (b",\n  " if shape == "batch" else b",")
        file.write(b"" if shape == "lines" else b'{"id":"x","events":[')
        file.write(one)
        for _ in range(12):
            file.write((between + one) * 500)
        file.write(b"" if shape == "lines" else b"]}")

    class Sieve(Shelf):
        count = 0

        def append(self, payloads, source):
            self.count += len(payloads)

    journal = Sieve(context)
    tracemalloc.start()
    try:
        _, report = imported(path, journal)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert journal.count == report.accepted == 6_001
    assert peak < 16 * MIB


def test_a_journal_without_a_way_to_append_is_told_before_anything_is_read(tmp_path, context):
    class Fixed(Journal):
        name = "fixed"

        def reader(self, pipeline, start, wake):
            raise NotImplementedError

    with pytest.raises(BridgeError, match="a fixed journal is read in place and takes no new events"):
        require_writable(Fixed(JournalConfig(), context))
    require_writable(Shelf(context))


def test_real_batches_are_split_into_their_events(shared, context):
    for path in sorted((shared / "sunbird" / "samples" / "batches").glob("*.json")):
        journal, report = imported(path, Shelf(context))
        document = json.loads(path.read_bytes())
        assert report.accepted + report.rejected.total() == len(document["events"])
        assert sorted(json.loads(row)["mid"] for row in journal.rows) == sorted(
            e["mid"] for e in document["events"]
        )
