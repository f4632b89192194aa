"""The drop folder: what is taken, when, where it goes, and that nothing depends on how the bridge ended."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest
from pydantic import ValidationError

from bridge.configuration.intake_folder import FolderIntakeSettings
from bridge.errors import BridgeError
from bridge.intake import folder
from bridge.intake.folder import FolderIntake
from bridge.journals.base import Journal, JournalFullError
from bridge.journals.sqlite import SqliteJournal
from bridge.validation import Decoder


class Inbox:
    """A drop folder whose clock is turned by hand."""

    def __init__(self, desk):
        self.desk = desk
        self.place = desk.folder / "inbox"
        self.now = 0.0
        self.intake = self.open()

    def open(self, journal=None, **settings):
        chosen = FolderIntakeSettings(path=str(self.place), **settings)
        return FolderIntake(chosen, journal or self.desk.journal, Decoder(), 1 << 20, lambda: self.now)

    def put(self, name, content):
        return self.desk.put(f"inbox/{name}", content)

    def pass_time(self, seconds=5.0):
        """Look, wait, look again."""
        self.intake.look()
        self.now += seconds
        self.intake.look()

    def files(self, name="."):
        return sorted(path.name for path in (self.place / name).iterdir() if path.is_file())


@pytest.fixture
def inbox(desk):
    return Inbox(desk)


def test_a_file_is_imported_and_moved_to_done(inbox, desk, make):
    inbox.put("archive.zip", make.archive(make.entries(2)))
    inbox.pass_time()
    assert desk.rows() == make.raws(range(10))
    assert (inbox.files(), inbox.files("done"), inbox.files("failed")) == ([], ["archive.zip"], [])
    assert (inbox.intake.tally.done, inbox.intake.tally.accepted) == (1, 10)


def test_the_status_says_what_the_folder_gave(inbox, make):
    inbox.put("a.jsonl", b"\n".join([*make.raws([1, 2]), b'{"eid":"LOG"}']))
    inbox.pass_time()
    inbox.put("b.jsonl", b"\n".join([*make.raws([1, 2]), b'{"eid":"LOG"}']))
    inbox.put("empty.zip", b"")
    inbox.pass_time()
    status = inbox.intake.status()
    assert (status.intake, status.where, status.trouble) == ("folder", str(inbox.place), "")
    assert status.events == {"accepted": 2, "duplicate": 3, "rejected": 1}
    assert status.files == {"done": 2, "failed": 1}
    assert not status.ended
    inbox.intake.stop()
    assert inbox.intake.status().ended


def test_a_file_that_still_grows_is_left_alone(inbox, desk, make):
    lines = make.raws(range(3))
    place = inbox.put("log.jsonl", lines[0] + b"\n")
    for line in lines[1:]:
        inbox.pass_time(4.0)
        with place.open("ab") as file:
            file.write(line + b"\n")
    inbox.pass_time(4.0)
    assert desk.rows() == []
    inbox.pass_time(1.0)
    assert desk.rows() == lines


def test_a_file_that_is_replaced_by_another_of_the_same_size_waits_anew(inbox, desk, make):
    first, second = make.raws([1, 2])
    inbox.put("a.jsonl", first)
    inbox.pass_time(3.0)
    inbox.put("b.jsonl", second)
    (inbox.place / "b.jsonl").replace(inbox.place / "a.jsonl")
    inbox.pass_time(3.0)
    assert desk.rows() == []
    inbox.pass_time(2.0)
    assert desk.rows() == [second]


def test_a_file_that_changes_while_it_is_imported_stays_and_is_taken_again(inbox, desk, make, monkeypatch):
    place = inbox.put("a.jsonl", make.raws([1])[0] + b"\n")
    run = inbox.intake._import.run

    def run_and_change(report):
        run(report)
        with place.open("ab") as file:
            file.write(make.raws([2])[0])

    monkeypatch.setattr(inbox.intake._import, "run", run_and_change)
    inbox.pass_time()
    assert inbox.files() == ["a.jsonl"]
    monkeypatch.undo()
    inbox.pass_time()
    assert inbox.files("done") == ["a.jsonl"]
    assert desk.rows() == make.raws([1, 2])


def test_a_file_with_faults_goes_to_failed_with_the_reasons_beside_it(inbox, desk, make):
    entries = make.entries(3)
    inbox.put("a.zip", make.archive(entries | {"batch-1": entries["batch-1"][:-9]}))
    inbox.pass_time()
    assert len(desk.rows()) == 10
    assert inbox.files("failed") == ["a.zip", "a.zip.txt"]
    assert (inbox.place / "failed" / "a.zip.txt").read_text() == (
        "a.zip: 1 of 4 entries with faults\n"
        "  batch-1: damaged or cut off (its end is missing)\n"
        "10 events imported now, 0 before, 0 rejected.\n"
        "Put a better copy into the folder above, or this file once it is mended.\n"
        "Nothing is imported twice.\n"
    )
    assert inbox.intake.tally.failed == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"call me", "not telemetry"),
        (b"PK\x03\x04cut", "a zip archive that is damaged"),
        (b"SQLite format 3\x00cut", "an SQLite file that is damaged"),
        (b"%PDF-1.7", "not telemetry but a PDF"),
    ],
)
def test_what_is_no_telemetry_goes_to_failed(inbox, desk, content, told):
    inbox.put("file", content)
    inbox.pass_time()
    assert told in (inbox.place / "failed" / "file.txt").read_text()
    assert desk.rows() == []


def test_a_refused_event_is_no_fault_of_the_file(inbox, make):
    inbox.put("a.jsonl", make.raws([1])[0] + b"\nhalf an event")
    inbox.pass_time()
    assert inbox.files("done") == ["a.jsonl"]
    assert inbox.intake.tally.rejected == 1


def test_names_that_are_taken_get_a_number(inbox, make):
    for n in range(3):
        inbox.put("a.jsonl", make.raws([n])[0])
        inbox.put("b.zip", b"PK\x03\x04")
        inbox.pass_time()
    assert inbox.files("done") == ["a-2.jsonl", "a-3.jsonl", "a.jsonl"]
    assert inbox.files("failed") == ["b-2.zip", "b-2.zip.txt", "b-3.zip", "b-3.zip.txt", "b.zip", "b.zip.txt"]


def test_unfinished_and_hidden_files_are_never_taken(inbox, desk, make):
    for name in (".a.jsonl.Xy12", "a.jsonl.part", "b.crdownload", "c.tmp", "d.filepart"):
        inbox.put(name, make.raws([1])[0])
    inbox.pass_time()
    assert desk.rows() == []
    assert len(inbox.files()) == 5


def test_links_and_folders_are_never_taken_and_told_once(inbox, desk, make, caplog):
    secret = desk.put("elsewhere.jsonl", make.raws([1])[0])
    (inbox.place / "link.jsonl").symlink_to(secret)
    (inbox.place / "phones").mkdir()
    os.mkfifo(inbox.place / "pipe")
    inbox.pass_time()
    inbox.pass_time()
    assert desk.rows() == []
    assert secret.exists()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert all("is no file; put files into the folder itself" in text for text in told)


def test_a_file_that_was_imported_before_a_crash_is_only_moved_afterwards(inbox, desk, make, monkeypatch):
    inbox.put("a.zip", make.archive(make.entries(2)))
    with monkeypatch.context() as patch:
        patch.setattr(inbox.intake, "_put_away", lambda *_: None)
        inbox.pass_time()
    assert inbox.files() == ["a.zip"]
    inbox.intake = inbox.open()
    inbox.pass_time()
    assert inbox.files("done") == ["a.zip"]
    assert inbox.intake.tally.duplicate == 10
    assert len(desk.rows()) == 10


def test_a_file_that_cannot_be_put_away_is_told_once_and_not_imported_over_and_over(
    inbox, make, monkeypatch, caplog
):
    place = inbox.put("a.jsonl", make.raws([1])[0])
    with monkeypatch.context() as patch:
        patch.setattr(
            type(place), "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
        )
        for _ in range(3):
            inbox.pass_time()
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        f"{place} was imported, but cannot be put away (Permission denied)"
    ]
    assert inbox.intake.tally.done == 1


def test_a_file_that_breaks_the_import_stays_and_the_next_one_is_taken(
    inbox, desk, make, monkeypatch, caplog
):
    inbox.put("a.jsonl", make.raws([1])[0])
    inbox.put("b.jsonl", make.raws([2])[0])
    run = inbox.intake._import.run

    def stumble(report):
        if report.name.endswith("a.jsonl"):
            raise RuntimeError("what a bug")
        run(report)

    monkeypatch.setattr(inbox.intake._import, "run", stumble)
    inbox.pass_time()
    inbox.pass_time()
    assert desk.rows() == make.raws([2])
    assert inbox.files() == ["a.jsonl"]
    assert len([r for r in caplog.records if "which is a bug" in r.getMessage()]) == 1


class Moody(SqliteJournal):
    """A journal that is full, or gone, as often as it is told."""

    moods: list

    def append(self, payloads, source):
        if self.moods:
            raise self.moods.pop()
        super().append(payloads, source)


def test_a_full_journal_is_waited_for(inbox, desk, make):
    journal = Moody(desk.journal.config, desk.journal.context)
    journal.moods = [JournalFullError("no room", 0.01) for _ in range(3)]
    inbox.intake = inbox.open(journal)
    inbox.put("a.jsonl", make.raws([1])[0])
    inbox.pass_time()
    assert desk.rows() == make.raws([1])
    assert inbox.files("done") == ["a.jsonl"]


def test_a_journal_that_fails_leaves_the_file_where_it_is(inbox, desk, make):
    journal = Moody(desk.journal.config, desk.journal.context)
    journal.moods = [BridgeError("the broker is away")]
    inbox.intake = inbox.open(journal)
    inbox.put("a.jsonl", make.raws([1])[0])
    with pytest.raises(BridgeError, match="the broker is away"):
        inbox.pass_time()
    assert inbox.files() == ["a.jsonl"]
    inbox.pass_time()
    assert inbox.files("done") == ["a.jsonl"]


def test_a_journal_that_is_read_in_place_cannot_have_a_drop_folder(inbox, desk):
    class Fixed(Journal):
        name = "fixed"

        def reader(self, pipeline, start, wake):
            raise NotImplementedError

    with pytest.raises(BridgeError, match="takes no new events"):
        inbox.open(Fixed(desk.journal.config, desk.journal.context))


def test_a_folder_that_cannot_be_used_is_told_before_anything_starts(inbox, desk):
    desk.put("file", b"")
    inbox.place = desk.folder / "file" / "inbox"
    with pytest.raises(
        BridgeError, match=r"intake\.folder\.path: .*inbox cannot be used \(Not a directory\)"
    ):
        inbox.open()


def wait_for(condition):
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.01)


def test_it_runs_in_a_thread_of_its_own_until_it_is_stopped(inbox, desk, make):
    inbox.now = 0.0
    intake = FolderIntake(
        FolderIntakeSettings(path=str(inbox.place), every=0.01, settle=0.02), desk.journal, Decoder(), 1 << 20
    )
    intake.start()
    try:
        for n in range(3):
            inbox.put(f"{n}.jsonl", make.raws([n])[0])
        wait_for(lambda: len(inbox.files("done")) == 3)
    finally:
        intake.stop()
        assert intake.join(10)
    assert sorted(desk.rows()) == make.raws(range(3))
    assert not [thread for thread in threading.enumerate() if thread.name == "folder"]


def test_trouble_is_told_once_and_retried_after_a_pause(inbox, desk, make, monkeypatch, caplog):
    monkeypatch.setattr(folder, "AFTER_TROUBLE", 0.01)
    journal = Moody(desk.journal.config, desk.journal.context)
    journal.moods = [BridgeError("the broker is away") for _ in range(4)]
    chosen = FolderIntakeSettings(path=str(inbox.place), every=0.01, settle=0.0)
    intake = FolderIntake(chosen, journal, Decoder(), 1 << 20)
    inbox.put("a.jsonl", make.raws([1])[0])
    intake.start()
    try:
        wait_for(lambda: inbox.files("done"))
        wait_for(lambda: not intake.trouble)
    finally:
        intake.stop()
        assert intake.join(10)
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told == ["the drop folder waits: the broker is away"]


def test_stopping_in_the_middle_of_a_file_leaves_it_for_the_next_start(inbox, desk, make):
    inbox.put("a.jsonl", b"\n".join(make.raws(range(30_000))))
    stopping = inbox.intake._stopping
    append = desk.journal.append
    desk.journal.append = lambda payloads, source: (append(payloads, source), stopping.set())
    inbox.pass_time()
    assert inbox.files() == ["a.jsonl"]
    assert 0 < len(desk.rows()) < 30_000
    desk.journal.append = append
    inbox.intake = inbox.open()
    inbox.pass_time()
    assert inbox.files("done") == ["a.jsonl"]
    assert desk.rows() == make.raws(range(30_000))


@pytest.mark.parametrize("wrong", [{"path": ""}, {"every": 0}, {"settle": -1}, {"polling": 3}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        FolderIntakeSettings(**wrong)
