"""Archives with faults: what can be read is imported, what cannot is named, nothing goes unnoticed."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.intake import archive, archive_content

END = b"PK\x05\x06"


def cut(make, n):
    return gzip.compress(make.batch(f"bad-{n}", [n]))[:-9]


def false_checksum(make, n):
    whole = bytearray(gzip.compress(make.batch(f"bad-{n}", [n])))
    whole[-6] ^= 1
    return bytes(whole)


def read_as_text(make, n):
    return gzip.compress(make.batch(f"bad-{n}", [n])).decode("utf-8", "replace").encode()


def half_read_as_text(make, n):
    return make.as_utf8(gzip.compress(make.batch(f"bad-{n}", [n])))[:-10]


def other_text(make, n):
    return make.as_utf8(gzip.compress(make.batch(f"bad-{n}", [n])))[:40] + "नमस्ते".encode()


def zip_inside(make, n):
    return make.archive({"x": make.batch(f"bad-{n}", [n])})


def zip_inside_gzip(make, n):
    return gzip.compress(zip_inside(make, n))


def gzip_inside_gzip(make, n):
    return gzip.compress(gzip.compress(make.batch(f"bad-{n}", [n])))


def sqlite_inside(make, n):
    return b"SQLite format 3\x00" + bytes(100)


def tar_inside(make, n):
    return bytes(257) + b"ustar" + bytes(250)


FAULTS = {
    cut: "damaged or cut off (its end is missing)",
    false_checksum: "damaged or cut off (Error -3 while decompressing data: incorrect data check)",
    read_as_text: "damaged or cut off (it was read as text on its way and is beyond repair;",
    half_read_as_text: "damaged or cut off",
    other_text: "damaged or cut off",
    zip_inside: "a zip archive; unpack it first",
    zip_inside_gzip: "a zip archive; unpack it first",
    gzip_inside_gzip: "a gzip file; unpack it first",
    sqlite_inside: "an SQLite file; unpack it first",
    tar_inside: "a tar archive; unpack it first",
    lambda make, n: b"": "empty",
    lambda make, n: gzip.compress(b""): "empty",
    lambda make, n: b"%PDF-1.7 ...": "not telemetry but a PDF",
    lambda make, n: '{"eid": "LOG"}'.encode("utf-16"): "not telemetry but UTF-16 text; save it as UTF-8",
    lambda make, n: b"\x00\x01\x02": "not telemetry but binary data",
    lambda make, n: b"Dear admin, ...": "not telemetry",
}


@pytest.mark.parametrize(("bad", "told"), FAULTS.items())
def test_a_bad_entry_is_named_and_the_others_are_imported(desk, make, bad, told):
    entries = make.entries(2)
    report = desk.take(
        make.archive({"batch-0": entries["batch-0"], "bad": bad(make, 90), "batch-1": entries["batch-1"]})
    )
    assert (report.accepted, report.rejected.total()) == (10, 0)
    assert desk.rows() == make.raws(range(10))
    assert report.problem == "1 of 4 entries with faults"
    assert report.faults[0].startswith(f"bad: {told}")


def corrupt(archive_bytes, name):
    """Change one byte of an entry's content."""
    data = bytearray(archive_bytes)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        entry = file.getinfo(name)
        at = entry.header_offset + 30 + len(name) + entry.compress_size // 2
    data[at] ^= 0x10
    return bytes(data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda make, held: corrupt(held, "batch-1"), "batch-1: damaged or cut off"),
        (lambda make, held: make.patched(held, "batch-1", flag=1), "batch-1: encrypted; have it packed without a password"),  # noqa: E501 - a table
        (lambda make, held: make.patched(held, "batch-1", method=14), "batch-1: packed by a method that is not read here"),  # noqa: E501 - a table
        (lambda make, held: make.patched(held, "batch-1", rename="../etc1"), "../etc1: a name that leads out of the archive"),  # noqa: E501 - a table
        (lambda make, held: make.patched(held, "batch-1", rename="/batch1"), "/batch1: a name that leads out of the archive"),  # noqa: E501 - a table
        (lambda make, held: make.patched(held, "batch-1", rename="C:batch"), "C:batch: a name that leads out of the archive"),  # noqa: E501 - a table
        (lambda make, held: make.patched(held, "batch-1", rename="a\\..\\b1"), "a/../b1: a name that leads out of the archive"),  # noqa: E501 - a table
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_entry_that_the_zip_file_says_is_unfit_is_named(desk, make, change, told, method):
    report = desk.take(change(make, make.archive(make.entries(3), False, method)))  # noqa: FBT003 - the column says what it is
    assert report.accepted == 10
    assert len(report.faults) == 1
    assert report.faults[0].replace("\\", "/").startswith(told)
    assert desk.rows() == make.raws([*range(5), *range(10, 15)])


def test_a_name_is_never_a_place_on_this_machine(desk, make):
    held = make.archive({"../../outside": make.batch("m", range(2))}, manifest=False)
    before = sorted(path for path in desk.folder.parent.iterdir())
    report = desk.take(held)
    assert report.accepted == 0
    assert sorted(path for path in desk.folder.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04archive", "a zip archive that is damaged or cut off (its end is missing)"),
        (END + bytes(18), "a zip archive with nothing in it"),
        (b"\x1f\xef\xbf\xbd\x08\x00", "beyond repair"),
        (gzip.compress(b"PK\x03\x04archive"), "a zip archive; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7-Zip archive; unpack it first"),
        (b"\x00\x01", "not telemetry but binary data"),
        (
            b'{"id":"sunbird.data.archive","ver":"1.0"}',
            "the manifest of an archive, in which there are no events",
        ),
    ],
)
def test_a_file_that_is_no_use_at_all_says_what_it_is(desk, content, told):
    report = desk.take(content)
    assert report.accepted == 0
    assert told in report.problem
    assert desk.rows() == []


def test_a_zip_file_of_something_else_is_told_in_one_line(desk, make):
    report = desk.take(
        make.archive({"word/document.xml": b"<w/>", "word/styles.xml": b"<w/>"}, manifest=False)
    )
    assert report.problem == "a zip archive without telemetry (its first entry is word/document.xml)"
    assert report.faults == []


def test_an_archive_that_is_cut_off_is_refused_whole(desk, make):
    whole = make.archive(make.entries(3))
    for length in (len(whole) - 5, len(whole) // 2, 50):
        report = desk.take(whole[:length])
        assert "damaged or cut off" in report.problem
    assert desk.rows() == []


def test_only_the_first_faults_are_listed(desk, make):
    report = desk.take(make.archive({f"bad-{n}": b"" for n in range(50)} | make.entries(1), manifest=False))
    assert report.problem == "50 of 51 entries with faults"
    assert len(report.details()) == 21
    assert report.details()[-1] == "and 30 more"


def test_a_batch_that_is_cut_in_its_text_keeps_the_events_that_are_whole(desk, make):
    text = make.batch("m", range(4))
    report = desk.take(make.archive({"m": gzip.compress(text[:-60])}))
    assert report.accepted == 3
    assert dict(report.rejected) == {"invalid_json": 1}
    assert report.faults == ["m: only 4 of the 5 events that the manifest promises"]
    assert desk.rows()[:3] == make.raws(range(3))


def test_a_better_copy_adds_what_was_missing(desk, make):
    entries = make.entries(3)
    desk.take(make.archive(entries | {"batch-1": entries["batch-1"][:-9]}))
    report = desk.take(make.archive(entries))
    assert (report.accepted, report.duplicate, report.problem) == (5, 10, "")


def test_a_bomb_is_refused_by_its_ratio(desk, make):
    zeros = gzip.compress(bytes(40 << 20))
    for bomb in (zeros, bytes(40 << 20), b'{"events":[' + b" " * (40 << 20)):
        report = desk.take(make.archive({"bomb": bomb} | make.entries(1)))
        assert report.accepted in {5, 0}
        assert report.faults[0].startswith(
            ("bomb: it expands more than 200 times", "bomb: not telemetry but binary")
        )
    assert desk.rows() == make.raws(range(5))


def test_a_bomb_is_refused_by_its_size(desk, make, monkeypatch):
    monkeypatch.setattr(archive_content, "MOST_ENTRY", 20_000)
    big = b"\n".join(make.raws(range(100)))
    report = desk.take(make.archive({"big": big} | make.entries(1)))
    assert report.faults[0] == "big: longer than 20000 bytes; unpack it and import the folder"
    assert report.accepted == 5


def test_an_archive_may_expand_only_so_far_in_all(desk, make, monkeypatch):
    monkeypatch.setattr(archive_content.Budget.__init__, "__defaults__", (5_000,))
    report = desk.take(make.archive(make.entries(10), False))  # noqa: FBT003 - the column says what it is
    assert 0 < report.accepted < 50
    assert "the archive is too large; unpack it and import the folder" in report.faults[0]


def test_an_archive_of_too_many_entries_is_refused_before_they_are_listed(desk):
    entry = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        + b"x"
    )
    table = entry * (archive.MOST_CONTENTS // len(entry) + 1)
    end = struct.pack("<4s4H2LH", END, 0, 0, 65_535, 65_535, len(table), 4, 0)
    report = desk.take(b"PK\x03\x04" + table + end)
    assert report.problem == "too many entries; unpack it and import the folder"


def test_entries_that_share_their_bytes_are_refused(desk, make):
    held = bytearray(make.archive({"a": random.Random(1).randbytes(5_000)}, manifest=False))
    table = held.index(b"PK\x01\x02")
    end = held.index(END)
    doubled = bytes(held[:end]) + bytes(held[table:end])
    closing = struct.pack("<4s4H2LH", END, 0, 0, 2, 2, 2 * (end - table), table, 0)
    report = desk.take(doubled + closing)
    assert report.problem == "its entries overlap, as those of zip bombs do"


def test_entries_that_have_gone_from_the_table_of_contents_are_told(desk, make):
    held = bytearray(make.archive(make.entries(3), manifest=False))
    first = held.index(b"PK\x01\x02")
    length = held.index(b"PK\x01\x02", first + 1) - first
    struct.pack_into("<H", held, first + 32, length)  # the first one's comment swallows the second
    report = desk.take(bytes(held))
    assert report.problem == "damaged: its table of contents has 2 of 3 entries"
    assert desk.rows() == make.raws([*range(5), *range(10, 15)])


def good(make, n):
    return gzip.compress(make.batch(f"good-{n}", range(n * 3, n * 3 + 3)))


KINDS = [good, lambda make, n: make.as_utf8(good(make, n)), lambda make, n: gzip.decompress(good(make, n))]
BAD = list(FAULTS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=1, max_size=12))
def test_any_mixture_gives_exactly_the_good_entries(make, new_desk, mixture):
    entries = {}
    for n, (fine, which) in enumerate(mixture):
        name = f"{'good' if fine else 'bad'}-{n}"
        entries[name] = (KINDS if fine else BAD)[which % len(KINDS if fine else BAD)](make, n)
    desk = new_desk()
    with desk.state:
        held = make.archive(entries, make.manifest(entries, count=3))
        report = desk.take(held)
        numbers = [n * 3 + i for n, (fine, _) in enumerate(mixture) if fine for i in range(3)]
        assert desk.rows() == make.raws(numbers)
        bad = [name for name in entries if name.startswith("bad")]
        assert sorted(fault.partition(":")[0] for fault in report.faults) == sorted(bad)
        assert bool(report.problem) == bool(bad)
        again = desk.take(held)
        assert (again.accepted, again.duplicate, again.faulty) == (0, len(numbers), len(bad))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.floats(0, 0.9999), bit=st.integers(0, 7), stored=st.booleans(), manifest=st.booleans())
def test_whichever_bit_is_flipped_no_event_is_changed_or_missed_without_a_word(
    make, new_desk, place, bit, stored, manifest
):
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    whole = bytearray(
        make.archive(
            make.entries(3, size=2), make.manifest(make.entries(3), 2) if manifest else False, method
        )
    )
    whole[int(place * len(whole))] ^= 1 << bit
    desk = new_desk()
    with desk.state:
        report = desk.take(bytes(whole), found=True)
        expected = make.raws(range(6))
        assert set(desk.rows()) <= set(expected)
        assert desk.rows() == expected or report.problem


def test_adler_and_raw_deflate_are_not_mistaken_for_telemetry(desk, make):
    held = make.archive({"zlib": zlib.compress(make.batch("m", [1]))} | make.entries(1))
    report = desk.take(held)
    assert report.accepted == 5
    assert report.faults[0].startswith("zlib: not telemetry")
