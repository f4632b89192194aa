"""The built-in journals keep the journal contract, and its checks find what is wrong."""

# ruff: noqa: RUF012 - what a contract reads of its subclass is never changed

from __future__ import annotations

import pytest

from bridge.journals.file import FileJournal, FileReader
from bridge.journals.sqlite import SqliteJournal
from bridge.testing import JournalContract

Failed = pytest.fail.Exception


class TestSqlite(JournalContract):
    journal_type = SqliteJournal


class TestFile(JournalContract):
    journal_type = FileJournal
    config = {"path": "{folder}/events.jsonl"}

    def prepare(self, folder):
        (folder / "events.jsonl").touch()

    def fill(self, journal, folder, records):
        with (folder / "events.jsonl").open("ab") as file:
            file.writelines(record + b"\n" for record in records)


class Backwards(FileReader):
    def read(self, timeout):
        page = super().read(timeout)
        if page:
            page.payloads.reverse()
        return page


class Restless(FileReader):
    def at_end(self):
        return False


class Forgetful(FileReader):
    def commit(self, cursors):
        pass


class Hasty(FileReader):
    def read(self, timeout):
        page = super().read(timeout)
        if page:
            self.commit({page.stream: page.end})
        return page


class Headstrong(FileReader):
    def rewind(self, cursors):
        pass


class Vague(FileReader):
    def lag(self):
        return "quite a bit"


class Overlapping(FileReader):
    def read(self, timeout):
        page = super().read(timeout)
        if page:
            page.afters = [7] * len(page.payloads)
        return page


def faulty(reader_type, **attributes):
    """The file contract for a journal whose readers are of this type."""

    class Journal(FileJournal):
        def reader(self, pipeline, start, wake):
            reader = super().reader(pipeline, start, wake)
            reader.__class__ = reader_type
            return reader

    for name, value in attributes.items():
        setattr(Journal, name, value)
    return type("TestFaulty", (TestFile,), {"journal_type": Journal})()


@pytest.mark.parametrize(
    ("reader", "name", "seen"),
    [
        (Backwards, "records_come_back_in_order", "in another order"),
        (Restless, "records_come_back_in_order", "at_end() is False"),
        (Overlapping, "positions_only_grow", "records end at [7, 7"),
        (Forgetful, "a_reader_goes_on_at_its_cursor", "after 2 of 5 were committed"),
        (Hasty, "what_was_not_committed_is_read_again", "0 of 5 records came again"),
        (Headstrong, "a_reader_can_be_rewound", "gave"),
        (Vague, "lag_tells_how_far_behind_a_reader_is", "quite a bit"),
    ],
)
def test_a_fault_is_found_and_explained(reader, name, seen, tmp_path):
    with pytest.raises(Failed) as failure:
        getattr(faulty(reader), f"test_{name}")(tmp_path)
    assert seen in " ".join(str(failure.value).split())


@pytest.mark.parametrize(
    ("attributes", "name", "seen"),
    [
        ({"api_version": 0}, "the_host_accepts_the_class", "written for plugin API 0"),
        ({"check": lambda self: ""}, "check_says_in_one_line_what_it_found", "check returned ''"),
        (
            {"append": lambda self, payloads, source: None},
            "new_records_are_either_read_or_refused",
            "not read",
        ),
    ],
)
def test_a_faulty_class_is_found(attributes, name, seen, tmp_path):
    contract = faulty(FileReader, **attributes)
    method = getattr(contract, f"test_{name}")
    with pytest.raises(Failed) as failure:
        method() if "class" in name else method(tmp_path)
    assert seen in " ".join(str(failure.value).split())
