"""Share Telemetry archives that are in order: every variant, copies, growth, manifests, folders."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from types import SimpleNamespace

import pytest
import zstandard

from bridge.intake.folder import reports_of


def in_two_members(data):
    content = gzip.decompress(data)
    return gzip.compress(content[:50]) + gzip.compress(content[50:])


VARIANTS = {
    "gzip": bytes,
    "gzip_as_utf8": lambda data: data.decode("latin-1").encode(),
    "plain": gzip.decompress,
    "zstd": lambda data: zstandard.compress(gzip.decompress(data)),
    "two_gzip_members": in_two_members,
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_an_archive_gives_the_same_events(desk, make, variant, method):
    entries = {name: VARIANTS[variant](data) for name, data in make.entries(3).items()}
    report = desk.take(make.archive(entries, method=method))
    assert (report.accepted, report.duplicate, report.problem) == (15, 0, "")
    assert desk.rows() == make.raws(range(15))
    assert (report.part, report.parts, report.position) == (4, 4, report.total)


def test_an_archive_imported_twice_adds_nothing(desk, make):
    archive = make.archive(make.entries(3))
    desk.take(archive)
    report = desk.take(archive, "another-name")
    assert (report.accepted, report.duplicate, report.problem) == (0, 15, "")
    assert len(desk.rows()) == 15


def test_a_second_export_adds_only_its_new_batches(desk, make):
    desk.take(make.archive(make.entries(2)))
    report = desk.take(make.archive(make.entries(5)))
    assert (report.accepted, report.duplicate) == (15, 10)
    assert desk.rows() == make.raws(range(25))


def test_a_batch_is_known_by_its_msgid_in_whatever_it_comes(desk, make, tmp_path):
    batch = make.batch("m1", range(5))
    desk.take(make.archive({"a": gzip.compress(batch)}))
    reserialised = json.dumps(json.loads(batch), indent=1).encode()
    gsa = make.gsa(tmp_path / "transfer.gsa", [(gzip.compress(batch), 5)])
    for again in (batch, reserialised, gzip.compress(batch), batch + b"\n" + batch, gsa):
        report = desk.take(again)
        assert (report.accepted, report.rejected.total(), report.problem) == (0, 0, "")
        assert report.duplicate in {5, 10}
    assert len(desk.rows()) == 5


def test_a_msgid_that_comes_again_with_other_events_loses_none_of_them(desk, make):
    desk.take(make.batch("same", range(5)))
    report = desk.take(make.batch("same", range(3, 9)))
    assert (report.accepted, report.duplicate) == (4, 2)
    assert desk.rows() == make.raws(range(9))


def test_events_that_are_refused_are_known_again_too(desk, make):
    flawed = json.dumps(make.event(1, eid=None)).encode()
    batch = make.batch("m", range(2))[:-2] + b", " + flawed + b', {"ets": 1}]}'
    first = desk.take(batch)
    assert (first.accepted, first.rejected.total()) == (2, 2)
    second = desk.take(batch)
    assert (second.accepted, second.rejected.total(), second.duplicate) == (0, 0, 4)


@pytest.mark.parametrize("msgid", [None, "", 7])
def test_batches_without_a_usable_msgid_are_known_by_their_content(desk, make, msgid):
    content = b"\n".join(make.batch(msgid, [n]) for n in range(4))
    assert desk.take(content).accepted == 4
    assert desk.take(content).duplicate == 4


def test_a_log_that_has_grown_adds_what_is_new(desk, make):
    lines = [raw + b"\n" for raw in make.raws(range(2_700))]
    assert desk.take(b"".join(lines[:1_500])).accepted == 1_500
    report = desk.take(b"".join(lines))
    assert (report.accepted, report.duplicate) == (1_200, 1_500)
    assert desk.rows() == make.raws(range(2_700))


def test_copies_within_one_page_are_left_to_the_sinks(desk, make):
    report = desk.take(b"\n".join(make.raws([1, 1, 2])))
    assert (report.accepted, report.duplicate) == (3, 0)


def test_what_was_imported_before_can_be_imported_again(desk, make):
    archive = make.archive(make.entries(2))
    desk.take(archive)
    assert desk.take(archive, again=True).accepted == 10
    assert desk.take(archive).duplicate == 10
    assert len(desk.rows()) == 20


def test_any_zip_file_with_telemetry_will_do(desk, make):
    report = desk.take(
        make.archive(
            {
                "phones/a.jsonl": b"\n".join(make.raws(range(3))),
                "phones/b.json.gz": gzip.compress(json.dumps([make.event(3), make.event(4)]).encode()),
                "phones/": b"",
                "__MACOSX/._a.jsonl": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ",
                ".DS_Store": b"\x00\x00\x00\x01Bud1\x00",
            },
            manifest=False,
        )
    )
    assert (report.accepted, report.problem) == (5, "")
    assert [json.loads(row)["mid"] for row in desk.rows()] == [f"LOG:{n:08d}" for n in range(5)]


def test_the_manifest_may_lie_in_a_folder_and_name_things_that_are_no_telemetry(desk, make):
    entries = make.entries(2)
    announced = json.loads(make.manifest(entries))
    announced["archive"]["items"].append({"file": "photo", "objectType": "profile", "eventsCount": 1})
    held = {f"archive/{name}": data for name, data in entries.items()}
    held |= {"archive/photo": b"\x89PNG", "archive/manifest.json": json.dumps(announced).encode()}
    held["archive/photo"] = b"a profile"
    assert desk.take(make.archive(held, manifest=False)).problem == ""


def test_an_entry_that_the_manifest_lists_and_that_is_missing_is_told(desk, make):
    entries = make.entries(3)
    manifest = make.manifest(entries)
    del entries["batch-1"]
    report = desk.take(make.archive(entries, manifest))
    assert report.accepted == 10
    assert report.problem == "1 of 3 entries with faults"
    assert report.faults == ["batch-1: missing, though the manifest lists it"]


def test_an_entry_with_fewer_events_than_the_manifest_promises_is_told(desk, make):
    entries = make.entries(2)
    report = desk.take(make.archive(entries, make.manifest(entries, count=6)))
    assert report.accepted == 10
    assert report.faults[0] == "batch-0: only 5 of the 6 events that the manifest promises"


@pytest.mark.parametrize(
    "manifest", [b'{"id":"sunbird.data.archive"', b'{"id":"sunbird.data.archive","archive":[]}']
)
def test_a_manifest_that_cannot_be_read_keeps_nothing_back(desk, make, manifest):
    report = desk.take(make.archive(make.entries(2), manifest))
    assert report.accepted == 10
    assert report.faults[0].startswith("manifest.json: the manifest cannot be read")


def test_an_archive_from_standard_input_is_read_too(desk, make, monkeypatch, tmp_path):
    gsa = make.gsa(tmp_path / "x.gsa", [(gzip.compress(make.batch("g", range(10, 13))), 3)]).read_bytes()
    for content, accepted in ((make.archive(make.entries(2)), 10), (gsa, 3)):
        slow = io.BufferedReader(Trickle(content))
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=slow))
        (report,) = reports_of(["-"])
        desk.importer().run(report)
        assert (report.accepted, report.problem, report.total) == (accepted, "", None)


class Trickle(io.RawIOBase):
    """Bytes that come three at a time at first, as through a pipe."""

    def __init__(self, content):
        self._rest = content
        self._pace = 3

    def readable(self):
        return True

    def readinto(self, into):
        count = min(self._pace, len(into), len(self._rest))
        into[:count], self._rest = self._rest[:count], self._rest[count:]
        self._pace *= 2
        return count


def test_an_unpacked_archive_is_a_folder_like_any_other(desk, make):
    for name, data in make.entries(3).items():
        desk.put(f"unpacked/deep/{name}", make.as_utf8(data))
    desk.put("unpacked/deep/manifest.json", make.manifest([]))
    desk.put("unpacked/.hidden/file", b"nothing")
    desk.put("unpacked/.hidden.zip", b"nothing")
    reports = reports_of([str(desk.folder / "unpacked")])
    for report in reports:
        desk.importer().run(report)
    assert [(report.accepted, report.problem) for report in reports] == [(5, "")] * 3 + [(0, "")]
    assert desk.rows() == make.raws(range(15))


def test_a_folder_tells_which_files_are_no_telemetry(desk, make):
    desk.put("inbox/fine.jsonl", b"half a line\n" + make.raws([1])[0])
    desk.put("inbox/notes.txt", b"call the school")
    desk.put("inbox/empty", b"")
    desk.put("inbox/package.json", b'{"name": "x", "dependencies": {"events": "^3.3.0"}}')
    reports = reports_of([str(desk.folder / "inbox")])
    for report in reports:
        desk.importer().run(report)
    told = {report.name.rpartition("/")[2]: report.problem.rpartition(": ")[2] for report in reports}
    assert told == {
        "empty": "empty",
        "fine.jsonl": "",
        "notes.txt": "not telemetry",
        "package.json": "not telemetry",
    }
    assert desk.rows() == [b"half a line", *make.raws([1])]


def test_a_folder_without_files_is_told(desk):
    (desk.folder / "nothing").mkdir()
    (report,) = reports_of([str(desk.folder / "nothing")])
    assert report.done
    assert report.problem == "there is no file in this folder"


@pytest.mark.parametrize(
    ("name", "accepted"), [("archive.raw-gzip.zip", 32), ("archive.utf8.zip", 32), ("transfer.gsa", 32)]
)
def test_the_sample_archives_are_read_to_the_last_event(desk, shared, name, accepted):
    report = desk.take(shared / "sunbird" / "samples" / "offline" / name)
    assert (report.accepted, dict(report.rejected), report.problem) == (accepted, {"missing_key": 3}, "")
    assert len(desk.rows()) == 35


def test_the_three_sample_archives_hold_the_same_events(desk, shared):
    folder = shared / "sunbird" / "samples" / "offline"
    for report in reports_of([str(folder)]):
        desk.importer().run(report)
    assert len(desk.rows()) == 35
