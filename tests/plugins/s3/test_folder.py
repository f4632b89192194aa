"""Archives in a folder: atomic, durable, never overwritten."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from bridge.errors import SetupError, TransientError
from bridge_s3.bucket import neighbours
from bridge_s3.folder import Folder
from bridge_s3.keys import plan_key
from bridge_s3.planning import Neighbours, Plan


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "a" / "b"))


def test_what_is_created_can_be_read(folder):
    assert folder.create("x/y.json", [b"1", b"2"])
    assert folder.read("x/y.json") == b"12"
    assert folder.size("x/y.json") == 2
    assert b"".join(folder.stream("x/y.json")) == b"12"


def test_what_exists_is_not_changed_by_create_but_by_replace(folder):
    folder.create("x", [b"first"])
    assert not folder.create("x", [b"second"])
    assert folder.read("x") == b"first"
    folder.replace("x", [b"third"])
    assert folder.read("x") == b"third"


def test_what_is_absent_is_none(folder):
    assert folder.read("x") is None
    assert folder.size("x") is None
    assert folder.stream("x") is None
    assert folder.fingerprint("x") is None
    assert list(folder.keys("x")) == []


def test_keys_are_listed_in_order_behind_a_place(folder):
    for key in ("b/2", "b/1", "b/10", "c/1", "a"):
        folder.create(key, [b""])
    assert list(folder.keys("b")) == ["b/1", "b/10", "b/2"]
    assert list(folder.keys("b", "b/10")) == ["b/2"]
    assert list(folder.keys("")) == ["a", "b/1", "b/10", "b/2", "c/1"]


def test_one_of_many_owners_creates_a_key(folder):
    won = []
    gate = threading.Barrier(8)

    def race(name: int) -> None:
        gate.wait()
        if folder.create("x/y", [b"%d" % name * 1_000]):
            won.append(name)

    threads = [threading.Thread(target=race, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert folder.read("x/y") == b"%d" % won[0] * 1_000


def test_nothing_is_left_behind(folder, tmp_path):
    folder.create("x", [b"1"])
    folder.create("x", [b"1"])
    folder.replace("x", [b"1"])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x"]


def test_an_object_is_on_disk_before_it_has_its_name_and_the_name_before_it_is_acknowledged(
    folder, monkeypatch
):
    steps = []
    sync, link = os.fsync, os.link

    def fsync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        steps.append(
            f"{kind} {Path(f'/proc/self/fd/{handle}').readlink().name}" if kind == "folder" else kind
        )
        sync(handle)

    folder.create("x/0", [b"makes the folders"])
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", lambda *names, **_: steps.append("link") or link(*names))
    folder.create("x/1", [b"1"])
    assert steps == ["file", "link", "folder x"]


def test_new_folders_are_made_durable_up_to_the_first_old_one(folder, tmp_path, monkeypatch):
    synced = []
    sync = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()) or sync(handle),
    )
    folder.create("x/y/z", [b"1"])
    assert {tmp_path, tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/x", tmp_path / "a/b/x/y"} <= set(
        synced
    )


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", ".", "a/\0"])
def test_no_key_leads_out_of_the_folder(folder, key):
    with pytest.raises(SetupError):
        folder.create(key, [b"1"])


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, TransientError),
        (errno.EDQUOT, TransientError),
        (errno.EIO, TransientError),
        (errno.EROFS, SetupError),
        (errno.EACCES, SetupError),
        (errno.ENAMETOOLONG, SetupError),
    ],
)
def test_a_disk_that_fails_says_what_happens_next(folder, monkeypatch, number, kind):
    def fail(_):
        raise OSError(number, os.strerror(number), "/secret/path")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        folder.create("x", [b"1"])
    assert "/secret/path" not in str(caught.value)


def test_a_file_in_the_way_is_a_set_up_problem(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    folder = Folder(str(tmp_path / "a" / "b"))
    with pytest.raises(SetupError):
        folder.create("x", [b"1"])
    with pytest.raises(SetupError, match="not a folder"):
        folder.probe()


def test_a_probe_says_whether_there_are_plans_and_makes_nothing(folder, tmp_path):
    assert not folder.probe()
    assert not (tmp_path / "a").exists()
    folder.create(plan_key("t[0]", 0), [b"{}"])
    assert folder.probe()


def plan(start: int, end: int) -> Plan:
    return Plan("t[0]", start, end, 0, "g", ())


@pytest.mark.parametrize("scale", [1, 1_000, 10**6, 10**12])
def test_the_neighbours_of_a_place_are_found_however_far_they_are(folder, scale):
    for start, end in ((10, 20), (20, 30), (90, 99)):
        one = plan(start * scale, end * scale)
        folder.create(plan_key("t[0]", one.start), [one.encode()])
    folder.create(plan_key("t[1]", 25 * scale), [plan(25 * scale, 26 * scale).encode()])

    def around(start: int) -> Neighbours:
        return neighbours(folder, "t[0]", start * scale)

    assert around(0) == Neighbours(None, 10 * scale)
    assert around(10) == Neighbours(None, 10 * scale)
    assert around(20) == Neighbours(plan(10 * scale, 20 * scale), 20 * scale)
    assert around(50) == Neighbours(plan(20 * scale, 30 * scale), 90 * scale)
    assert around(100) == Neighbours(plan(90 * scale, 99 * scale), None)


def test_without_plans_there_are_no_neighbours(folder):
    assert neighbours(folder, "t[0]", 10**15) == Neighbours(None, None)
