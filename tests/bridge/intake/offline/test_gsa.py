"""The older `.gsa` files: SQLite, opened so that nothing of it is changed, read row by row."""

from __future__ import annotations

import gzip
import sqlite3
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.intake import gsa


@pytest.fixture
def place(tmp_path):
    return tmp_path / "transfer.gsa"


def batches(make, numbers, size=5):
    return [(gzip.compress(make.batch(f"g{n}", range(n * size, (n + 1) * size))), size) for n in numbers]


def test_batches_and_single_events_are_read(desk, make, place):
    singles = [raw.decode() for raw in make.raws(range(50, 53))]
    report = desk.take(make.gsa(place, batches(make, range(3)), singles))
    assert (report.accepted, report.problem) == (18, "")
    assert desk.rows() == make.raws([*range(15), *range(50, 53)])
    assert (report.part, report.parts, report.position) == (6, 6, report.total)


@pytest.mark.parametrize(
    "form",
    [
        bytes,
        lambda data: data.decode("latin-1"),
        lambda data: data.decode("latin-1").encode(),
        gzip.decompress,
        lambda data: gzip.decompress(data).decode(),
    ],
)
def test_every_form_of_a_batch_is_read(desk, make, place, form):
    ((data, count),) = batches(make, [0])
    assert desk.take(make.gsa(place, [(form(data), count)])).problem == ""
    assert desk.rows() == make.raws(range(5))


def test_importing_it_twice_adds_nothing_and_changes_nothing(desk, make, place):
    singles = [raw.decode() for raw in make.raws(range(50, 53))]
    content = make.gsa(place, batches(make, range(3)), singles).read_bytes()
    desk.take(place)
    report = desk.take(place)
    assert (report.accepted, report.duplicate, report.problem) == (0, 18, "")
    assert place.read_bytes() == content
    assert [path.name for path in place.parent.iterdir() if "gsa" in path.name] == ["transfer.gsa"]


def test_a_database_in_wal_mode_is_read_without_its_log(desk, make, place):
    make.gsa(place, batches(make, range(2)))
    connection = sqlite3.connect(place)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    assert place.read_bytes()[18:20] == b"\2\2"
    assert desk.take(place).accepted == 10


def test_a_name_with_signs_of_an_address_is_a_name(desk, make, place):
    odd = place.with_name("tm 50% ?mode=rw#1.gsa")
    assert desk.take(make.gsa(odd, batches(make, range(1)))).accepted == 5


def test_a_bad_row_is_named_and_the_others_are_imported(desk, make, place):
    rows = batches(make, range(3))
    bad = [
        (rows[0][0][:-9], 5),
        (None, 5),
        (b"", 5),
        (7, 5),
        (b"no gzip", 5),
        (gzip.compress(b"PK\x03\x04"), 5),
    ]
    bad.append((gzip.compress(bytes(40 << 20)), 5))
    flawed = [None, "", '{"eid": "LOG"}']
    report = desk.take(make.gsa(place, [*bad, *rows], [*flawed, make.raws([77])[0].decode()]))
    assert (report.accepted, dict(report.rejected)) == (16, {"missing_key": 1})
    assert report.faults == [
        "processed_telemetry row 1: damaged or cut off (its end is missing)",
        "processed_telemetry row 2: empty",
        "processed_telemetry row 3: empty",
        "processed_telemetry row 4: empty",
        "processed_telemetry row 5: not telemetry",
        "processed_telemetry row 6: a zip archive; unpack it first",
        "processed_telemetry row 7: it expands more than 200 times, as zip bombs do",
        "telemetry row 1: empty",
        "telemetry row 2: empty",
    ]


def test_a_row_that_is_too_long_is_named_and_not_loaded(desk, make, place, monkeypatch):
    monkeypatch.setattr(gsa, "MOST_ROW", 20_000)
    report = desk.take(make.gsa(place, [(b"x" * 30_000, 5), *batches(make, range(1))]))
    assert report.accepted == 5
    assert report.faults == ["processed_telemetry row 1: cannot be read (string or blob too big)"]


def test_a_batch_with_fewer_events_than_its_row_says_is_told(desk, make, place):
    ((data, _),) = batches(make, [0])
    report = desk.take(make.gsa(place, [(data, 9)]))
    assert report.accepted == 5
    assert report.faults == ["processed_telemetry row 1: only 5 of the 9 events that it should hold"]


def test_tables_without_a_count_will_do(desk, make, place):
    connection = sqlite3.connect(place)
    connection.execute("CREATE TABLE processed_telemetry (data BLOB)")
    connection.execute("INSERT INTO processed_telemetry VALUES (?)", (batches(make, [0])[0][0],))
    connection.commit()
    connection.close()
    assert desk.take(place).accepted == 5


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["CREATE TABLE notes (x)", "CREATE TABLE photos (y)"], "(its tables: notes, photos)"),
        (["CREATE TABLE telemetry (something)"], "(its tables: telemetry)"),
        (["CREATE TABLE n (event)", "CREATE VIEW telemetry AS SELECT event FROM n"], "(its tables: n)"),
        (["CREATE VIRTUAL TABLE telemetry USING fts5(event)"], "an SQLite file without telemetry"),
        (["CREATE TABLE telemetry (event)"], "a .gsa file without telemetry: its tables are empty"),
    ],
)
def test_an_sqlite_file_of_something_else_is_told(desk, place, statements, told):
    connection = sqlite3.connect(place)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    report = desk.take(place)
    assert told in report.problem
    assert desk.rows() == []


def test_a_file_that_only_begins_like_sqlite_is_told(desk):
    report = desk.take(b"SQLite format 3\x00" + bytes(3_000))
    assert report.problem.startswith("an SQLite file that is damaged or cut off")


def test_a_file_that_is_cut_off_is_refused_whole(desk, make, place):
    content = make.gsa(place, batches(make, range(60))).read_bytes()
    place.write_bytes(content[: len(content) // 3])
    report = desk.take(place)
    assert report.problem == "an SQLite file that is damaged or cut off (database disk image is malformed)"
    assert desk.rows() == []


def test_a_file_with_a_page_destroyed_gives_what_is_left_and_says_so(desk, make, place):
    content = bytearray(make.gsa(place, batches(make, range(200))).read_bytes())
    lost = len(content) // 4096 // 2 * 4096
    content[lost : lost + 4096] = bytes(4096)
    place.write_bytes(content)
    report = desk.take(place)
    assert report.failure.startswith("damaged, so that events may be missing")
    assert 0 < report.accepted < 1_000
    assert set(desk.rows()) <= set(make.raws(range(1_000)))


def test_pages_that_lead_to_each_other_do_not_keep_it_busy_for_ever(desk, make, place):
    make.gsa(place, [], [raw.decode() for raw in make.raws(range(1_000))])
    connection = sqlite3.connect(place)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'telemetry'").fetchone()
    connection.close()
    content = bytearray(place.read_bytes())
    page = memoryview(content)[(root - 1) * 4096 : root * 4096]
    assert page[0] == 5  # it leads to others
    (count,) = struct.unpack(">H", page[3:5])
    cells = struct.unpack(f">{count}H", page[12 : 12 + 2 * count])
    for cell in cells[1:]:
        page[cell : cell + 4] = page[cells[0] : cells[0] + 4]
    place.write_bytes(content)
    report = desk.take(place)
    assert "the rest of telemetry cannot be read (rows out of order)" in report.failure
    assert 0 < report.accepted < 1_000
    assert desk.rows() == make.raws(range(report.accepted))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.floats(0, 0.9999), bit=st.integers(0, 7))
def test_whichever_bit_is_flipped_no_batch_is_changed_or_missed_without_a_word(make, new_desk, at, bit):
    desk = new_desk()
    with desk.state:
        place = make.gsa(desk.folder / "x.gsa", batches(make, range(12), 3))
        content = bytearray(place.read_bytes())
        content[int(at * len(content))] ^= 1 << bit
        place.write_bytes(content)
        report = desk.take(place, found=True)
        expected = make.raws(range(36))
        assert set(desk.rows()) <= set(expected)
        assert sorted(desk.rows()) == expected or report.problem
