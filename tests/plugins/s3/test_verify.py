from __future__ import annotations

import pytest

from bridge_s3 import verify
from bridge_s3.planning import Plan
from bridge_s3.verify import Coverage


@pytest.fixture
def archive(owner, batch, journal):
    """Ranges 0-100, 100-250 and 250-300 of one stream; 0-50 of another."""
    sink = owner()
    for start, end in ((0, 100), (100, 250), (250, 300)):
        sink.send(batch(sink, journal[start:end], start))
    sink.send(batch(sink, journal[:50], 0, stream="telemetry[4]"))
    return sink.config


def data(folder, hour: int):
    return next(path for path in sorted(folder.rglob("*00003-*.jsonl.gz")) if f"hour={hour}" in str(path))


def test_a_complete_archive_is_proven_complete(archive):
    report = verify(archive)
    assert report.ok
    first, second = report.streams
    assert (first.stream, first.start, first.end, first.ranges, first.events) == (
        "telemetry[3]",
        0,
        300,
        3,
        300,
    )
    assert first.objects == 7
    assert second.events == 50
    assert report.lines()[0].startswith(
        "complete  telemetry[3]  0-300: 300 events in 7 objects of 3 ranges, "
    )


def test_one_stream_can_be_checked_alone(archive):
    assert [found.stream for found in verify(archive, "telemetry[4]").streams] == ["telemetry[4]"]


def test_nothing_archived_is_not_complete(owner):
    report = verify(owner().config)
    assert not report.ok
    assert report.lines() == [f"{report.url} holds no plans"]


def test_a_missing_object_is_found(archive, folder):
    victim = data(folder, 13)
    victim.unlink()
    for deep in (True, False):
        report = verify(archive, deep=deep)
        assert not report.ok
        assert report.lines()[-1] == f"telemetry[3]: {victim.relative_to(folder)} is missing"


def test_a_missing_plan_is_found_as_a_gap_and_its_objects_as_strays(archive, folder):
    (folder / "_chunks/telemetry/00003/00000000000000000100.json").unlink()
    report = verify(archive)
    assert "telemetry[3]: gap: no plan covers 100-250" in report.lines()
    assert sum("belongs to no plan" in line for line in report.lines()) == 4


def test_an_object_cut_short_is_found_by_its_size(archive, folder):
    victim = data(folder, 13)
    victim.write_bytes(victim.read_bytes()[:-1])
    assert "bytes instead of" in verify(archive, deep=False).lines()[-1]
    assert "cannot be unpacked" in verify(archive).lines()[-1]


def test_an_object_with_other_content_of_the_same_size_is_found_by_its_digest(archive, folder):
    victim = data(folder, 13)
    body = bytearray(victim.read_bytes())
    body[8] ^= 2  # a byte of the gzip header that unpacking does not look at
    victim.write_bytes(body)
    assert verify(archive, deep=False).ok
    assert verify(archive).lines()[-1].endswith("has another content than planned")


def test_a_plan_that_counts_wrong_is_found(owner, batch, journal, folder):
    sink = owner(partition_by="none")
    sink.send(batch(sink, journal[:10], 0))
    path = folder / "_chunks/telemetry/00003/00000000000000000000.json"
    path.write_bytes(path.read_bytes().replace(b'"events": 10', b'"events": 11'))
    assert verify(sink.config).lines()[-1].endswith("holds 10 events instead of 11")


def test_overlapping_plans_are_found(archive, folder):
    forged = Plan("telemetry[3]", 50, 120, 0, "g", ())
    (folder / "_chunks/telemetry/00003/00000000000000000050.json").write_bytes(forged.encode())
    assert "telemetry[3]: overlap: 50-100 is planned twice" in verify(archive).lines()


def test_what_is_no_plan_is_named_and_the_rest_is_checked(archive, folder):
    (folder / "_chunks/telemetry/00003/00000000000000000300.json").write_bytes(b"{}")
    moved = folder / "_chunks/telemetry/00004/00000000000000000050.json"
    moved.write_bytes((folder / "_chunks/telemetry/00003/00000000000000000000.json").read_bytes())
    (folder / "_chunks/conditions.json").write_bytes(b"{}")
    report = verify(archive)
    assert not report.ok
    assert len(report.problems) == 2
    assert [found.events for found in report.streams] == [300, 50]


def test_a_range_of_positions_must_be_covered(archive):
    assert verify(archive, "telemetry[3]", start=100, end=250).streams[0].ranges == 1
    assert verify(archive, "telemetry[3]", start=120, end=260).ok
    beyond = verify(archive, "telemetry[3]", start=250, end=400)
    assert beyond.lines()[-1] == "telemetry[3]: gap: no plan covers 300-400"


def test_problems_beyond_the_first_hundred_are_counted():
    coverage = Coverage("t", 0, 0)
    for n in range(150):
        coverage.note(f"problem {n}")
    assert (len(coverage.problems), coverage.more) == (100, 50)


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_every_compression_can_be_verified(owner, batch, journal, compression):
    sink = owner(compression=compression)
    sink.send(batch(sink, journal, 0))
    assert verify(sink.config).ok
