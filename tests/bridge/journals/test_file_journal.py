"""Files are read in place, from any offset, through rotation, truncation and damage."""

from __future__ import annotations

import contextlib
import gzip
import logging
import shutil

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.journals import sources
from bridge.journals.file import FileJournal, FileJournalConfig, find_files
from bridge.journals.sources import cut_lines
from bridge.native import compiled


@pytest.fixture
def journal_of(context):
    return lambda path, **kw: FileJournal(FileJournalConfig(path=str(path), **kw), context)


OPENED = []


def reader(journal, pipeline="a", start="earliest"):
    OPENED.append(journal.reader(pipeline, start, lambda: None))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _readers_are_closed(state):
    yield
    while OPENED:
        OPENED.pop().close()


def lines(first, count, width=20):
    return [b'{"n":%d,"x":"%s"}' % (n, b"y" * width) for n in range(first, first + count)]


def write(path, content):
    path.write_bytes(b"\n".join(content) + b"\n")
    return path


def test_a_file_is_read_to_its_end_and_not_again(tmp_path, journal_of, read_all):
    path = write(tmp_path / "a.jsonl", lines(0, 5_000))
    first = reader(journal_of(path))
    assert read_all(first) == lines(0, 5_000)
    assert first.at_end()
    assert first.lag().bytes == 0
    first.close()
    assert read_all(reader(journal_of(path))) == []


@pytest.mark.parametrize("suffix", [".jsonl", ".gz", ".zst"])
def test_a_reader_continues_at_any_line(tmp_path, journal_of, read_all, suffix):
    content = lines(0, 30_000, 60)
    path = tmp_path / f"a{suffix}"
    data = b"\n".join(content) + b"\n"
    half = len(data) // 2
    if suffix == ".gz":
        data = gzip.compress(data[:half]) + gzip.compress(data[half:])
    elif suffix == ".zst":
        data = zstandard.compress(data[:half]) + zstandard.compress(data[half:])
    path.write_bytes(data)
    first = reader(journal_of(path))
    first.read(0)
    page = first.read(0)
    done = sum(len(p) + 1 for p in content[:0])
    first.commit({page.stream: page.after(99)})
    first.close()
    index = content.index(page.payloads[99]) + 1
    assert read_all(reader(journal_of(path))) == content[index:]
    assert done == 0


def test_rewinding_reads_again_from_there(tmp_path, journal_of, read_all):
    for suffix, pack in [(".jsonl", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)]:
        path = tmp_path / f"r{suffix}"
        path.write_bytes(pack(b"\n".join(lines(0, 50)) + b"\n"))
        one = reader(journal_of(path), suffix)
        page = one.read(0)
        one.rewind({page.stream: page.after(9)})
        assert read_all(one) == lines(10, 40)
        one.close()


def test_pipelines_cut_the_same_pages_wherever_they_started(tmp_path, journal_of):
    path = write(tmp_path / "a.jsonl", lines(0, 60_000, 60))
    one, two = reader(journal_of(path), "a"), reader(journal_of(path), "b")
    first = one.read(0)
    two.rewind({first.stream: first.after(100)})
    assert two.read(0).end == first.end
    assert (two.read(0).start, two.read(0).end) != (first.start, first.end)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    content=st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b), max_size=40),
    ended=st.booleans(),
)
def test_any_lines_come_back_with_positions_that_continue_exactly(tmp_path, content, ended):
    data = b"\n".join(content) + (b"\n" if ended else b"")
    path = tmp_path / "h.jsonl"
    path.write_bytes(data)
    wanted = [line for line in data.split(b"\n") if line not in {b"", b"\r"}]
    source = sources.open_source(path, whole_lines=False)
    if source is None:
        assert not data
        return
    with contextlib.closing(source):
        check_positions(source, wanted)


def rest_of(source):
    found = []
    while (page := source.page(whole_lines=False)) is not None:
        found += [(page.before(i), payload, page.after(i)) for i, payload in enumerate(page.payloads)]
    return found


def check_positions(source, wanted):
    found = rest_of(source)
    assert [payload for _, payload, _ in found] == wanted
    for index, (before, _, after) in enumerate(found):
        source.seek(before)
        assert [payload for _, payload, _ in rest_of(source)] == wanted[index:]
        source.seek(after)
        assert [payload for _, payload, _ in rest_of(source)] == wanted[index + 1 :]


def test_a_line_longer_than_a_block_is_read_whole(tmp_path, journal_of, read_all):
    content = [b"a", b"x" * (3 * sources.BLOCK), b"b"]
    assert read_all(reader(journal_of(write(tmp_path / "a.jsonl", content)))) == content


def test_a_folder_is_read_in_the_order_of_names_and_a_glob_too(tmp_path, journal_of, read_all):
    for name, first in [("b.jsonl", 10), ("a.jsonl", 0), ("c.txt", 99)]:
        write(tmp_path / name, lines(first, 10))
    (tmp_path / "d.gz").write_bytes(gzip.compress(b"\n".join(lines(20, 10)) + b"\n"))
    assert read_all(reader(journal_of(tmp_path))) == lines(0, 30)
    assert [path.name for path in find_files(f"{tmp_path}/*.jsonl")] == ["a.jsonl", "b.jsonl"]


def test_the_last_line_needs_no_newline_unless_it_may_still_grow(tmp_path, journal_of, read_all):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":')
    following = reader(journal_of(path, follow=True))
    assert read_all(following) == [b'{"n":1}']
    with path.open("ab") as file:
        file.write(b"2}\n")
    assert read_all(following) == [b'{"n":2}']
    following.close()
    path.write_bytes(b'{"n":1}\n{"n":2}')
    assert read_all(reader(journal_of(path), "b")) == [b'{"n":1}', b'{"n":2}']


def follow(journal):
    one = reader(journal)
    one._scanned = -10.0
    return one


def rescan(one):
    one._scanned = -10.0


def test_a_rotated_file_is_finished_and_the_new_one_begun(tmp_path, journal_of, read_all):
    path = write(tmp_path / "t.jsonl", lines(0, 5))
    one = follow(journal_of(f"{tmp_path}/t.jsonl*", follow=True))
    assert read_all(one) == lines(0, 5)
    with path.open("ab") as file:
        file.write(b"\n".join(lines(5, 2)) + b"\n")
    path.rename(tmp_path / "t.jsonl.1")
    write(path, lines(7, 3))
    rescan(one)
    assert sorted(read_all(one)) == sorted(lines(5, 5))
    one.close()
    assert read_all(follow(journal_of(f"{tmp_path}/t.jsonl*", follow=True))) == []


@pytest.mark.parametrize("same_head", [True, False])
def test_a_truncated_file_is_read_from_its_start(tmp_path, journal_of, read_all, caplog, same_head):
    caplog.set_level(logging.ERROR)
    path = write(tmp_path / "t.jsonl", lines(0, 50))
    one = follow(journal_of(path, follow=True))
    assert read_all(one) == lines(0, 50)
    fresh = lines(0 if same_head else 100, 3)
    write(path, fresh)
    assert read_all(one) == []
    rescan(one)
    assert read_all(one) == fresh
    one.close()
    assert read_all(follow(journal_of(path, follow=True))) == []


def test_a_copy_with_the_same_first_line_is_another_file(tmp_path, journal_of, read_all):
    write(tmp_path / "a.jsonl", lines(0, 5))
    shutil.copy(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert read_all(reader(journal_of(tmp_path))) == lines(0, 5) * 2


def test_a_damaged_archive_is_read_as_far_as_it_goes_and_said(tmp_path, journal_of, read_all, caplog):
    whole = gzip.compress(b"\n".join(lines(0, 100_000)) + b"\n")
    (tmp_path / "a.gz").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "b.jsonl", lines(0, 3))
    one = reader(journal_of(tmp_path))
    found = read_all(one)
    assert found[-3:] == lines(0, 3)
    assert found[:-3] == lines(0, len(found) - 3)
    assert "a.gz: damaged" in caplog.text
    assert one.at_end()
    one.close()
    (tmp_path / "a.gz").write_bytes(whole)


def test_a_path_without_files_is_said_in_a_sentence(tmp_path, journal_of):
    with pytest.raises(BridgeError, match=r"journal\.path: no file at"):
        reader(journal_of(tmp_path / "none.jsonl"))
    with pytest.raises(BridgeError, match="takes no new events"):
        journal_of(tmp_path).append([b"x"], "test")


def test_a_pipeline_that_starts_at_the_latest_sees_only_what_is_new(tmp_path, journal_of, read_all):
    path = write(tmp_path / "t.jsonl", lines(0, 5))
    one = reader(journal_of(path, follow=True), start="latest")
    assert read_all(one) == []
    with path.open("ab") as file:
        file.write(b"\n".join(lines(5, 2)) + b"\n")
    assert read_all(one) == lines(5, 2)
    one.close()


@given(st.binary() | st.lists(st.sampled_from([b"\n", b"\r\n", b"{}", b"", b"x" * 300])).map(b"".join))
def test_a_text_is_cut_into_lines(text):
    for module in {None, compiled()}:
        lines, tail = cut_lines(text, module)
        assert [*lines, tail] == text.split(b"\n")
