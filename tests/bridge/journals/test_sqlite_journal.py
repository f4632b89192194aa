"""The embedded journal: durable, readable from any position, bounded."""

from __future__ import annotations

import pytest

from bridge.journals.base import JournalFullError
from bridge.journals.sqlite import PAGE_BYTES, PAGE_EVENTS, SqliteJournal, SqliteJournalConfig
from bridge.state import StateFullError


@pytest.fixture
def journal(context):
    return SqliteJournal(SqliteJournalConfig(), context)


OPENED = []


def reader(journal, pipeline="a", start="earliest"):
    OPENED.append(journal.reader(pipeline, start, lambda: None))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _readers_are_closed(state):
    yield
    while OPENED:
        OPENED.pop().close()


def records(first, count):
    return [b'{"n":%d}' % n for n in range(first, first + count)]


def test_events_come_back_in_order_with_their_positions(journal, read_all):
    journal.append(records(0, 2_500), "test")
    one = reader(journal)
    page = one.read(0)
    assert (page.start, page.end, page.before(3), page.after(3)) == (1, PAGE_EVENTS, 4, 5)
    assert len(page.received) == len(page.payloads) == PAGE_EVENTS - 1
    assert page.payloads + read_all(one) == records(0, 2_500)
    assert one.at_end()


def test_a_reader_continues_at_its_cursor_and_others_are_not_affected(journal, read_all):
    journal.append(records(0, 10), "test")
    first = reader(journal)
    page = first.read(0)
    first.commit({page.stream: page.after(3)})
    first.close()
    assert read_all(reader(journal)) == records(4, 6)
    assert read_all(reader(journal, "b")) == records(0, 10)


def test_pipelines_that_stand_apart_cut_the_same_pages_again(journal):
    journal.append(records(0, 3_000), "test")
    one, two = reader(journal, "a"), reader(journal, "b")
    two.rewind({"log": PAGE_EVENTS - 23})
    ends = [[page.end for page in (r.read(0), r.read(0))] for r in (one, two)]
    assert ends[0] == [PAGE_EVENTS, 2 * PAGE_EVENTS]
    assert ends[0] == ends[1]


def test_a_page_is_bounded_in_bytes(journal):
    journal.append([b"x" * (PAGE_BYTES * 2 // 5)] * 5, "test")
    assert [len(reader(journal).read(0).payloads)] == [3]


def test_a_new_pipeline_can_start_at_the_latest(journal, read_all):
    journal.append(records(0, 5), "test")
    late = reader(journal, "b", "latest")
    journal.append(records(5, 2), "test")
    assert read_all(late) == records(5, 2)


def test_trimming_stays_behind_the_slowest_cursor(journal, read_all):
    journal.append(records(0, 20), "test")
    fast, slow = reader(journal, "a"), reader(journal, "b")
    read_all(fast)
    fast.close()
    assert journal.trim() == 0
    page = slow.read(0)
    slow.commit({page.stream: page.after(9)})
    slow.close()
    assert journal.trim() == 10
    assert read_all(reader(journal, "b")) == records(10, 10)


def test_trimming_waits_for_a_configured_pipeline_that_has_not_started(journal, read_all):
    journal.append(records(0, 3), "test")
    only = reader(journal, "a")
    read_all(only)
    only.close()
    assert journal.trim() == 0
    assert read_all(reader(journal, "b")) == records(0, 3)


def test_positions_are_never_used_again_after_everything_was_trimmed(journal, read_all):
    for n in range(3):
        both = [reader(journal, "a"), reader(journal, "b")]
        journal.append(records(n * 10, 10), "test")
        for one in both:
            assert read_all(one) == records(n * 10, 10)
            one.close()
        assert journal.trim() == 10


def test_a_reader_steps_over_what_was_trimmed(journal, read_all):
    journal.append(records(0, 2_300), "test")
    both = [reader(journal, "a"), reader(journal, "b")]
    for one in both:
        one.commit({"log": 2_200})
        one.close()
    journal.trim()
    behind = reader(journal, "a")
    behind.rewind({"log": 1})
    assert read_all(behind) == records(2_199, 101)


def test_the_quota_refuses_new_events_until_sinks_catch_up(context, read_all):
    journal = SqliteJournal(SqliteJournalConfig(max_bytes=1024 * 1024), context)
    both = [reader(journal, "a"), reader(journal, "b")]
    journal.append([b"x" * 600_000], "test")
    with pytest.raises(JournalFullError, match=r"journal\.max_bytes"):
        journal.append([b"x" * 600_000], "test")
    for one in both:
        read_all(one)
        one.close()
    journal.trim()
    journal.append([b"x" * 600_000], "test")
    assert SqliteJournal(SqliteJournalConfig(), context).check().startswith("1 events, 600000 bytes")


def test_retention_keeps_settled_events_for_a_new_sink(context, read_all):
    journal = SqliteJournal(SqliteJournalConfig(retention_hours=1), context)
    both = [reader(journal, "a"), reader(journal, "b")]
    journal.append(records(0, 5), "test")
    for one in both:
        read_all(one)
        one.close()
    assert journal.trim() == 0
    assert read_all(reader(journal, "c")) == records(0, 5)


def test_lag_counts_what_is_not_read_yet(journal):
    one = reader(journal)
    assert one.lag().records == 0
    journal.append(records(0, 7), "test")
    lag = one.lag()
    assert lag.records == 7
    assert lag.seconds is not None
    assert not one.at_end()


def test_every_commit_is_synced_before_it_is_told_and_none_checkpoints_much(journal, state):
    def pragma(name):
        return state.read(lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0])

    assert pragma("wal_autocheckpoint") == 1_000
    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2  # FULL: in WAL mode, a sync with every commit


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 99, 100, 149, 1_001])
def test_any_number_of_events_is_appended_in_order(journal, read_all, count):
    journal.append(records(0, count), "test")
    journal.append([b"last"], "another")
    assert read_all(reader(journal)) == [*records(0, count), b"last"]
    sources = journal.context.state.read(
        lambda connection: connection.execute("SELECT source, count(*) FROM log GROUP BY 1").fetchall()
    )
    assert dict(sources) == {"another": 1, **({"test": count} if count else {})}


def test_an_append_that_fails_leaves_nothing_of_itself(journal, state, read_all):
    pages = state.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    state.read(lambda connection: connection.execute(f"PRAGMA max_page_count={pages + 50}").fetchone())
    with pytest.raises(StateFullError):
        journal.append([b"x" * 3_000] * 120, "test")
    journal.append(records(0, 3), "test")
    assert read_all(reader(journal)) == records(0, 3)


def test_an_append_wakes_every_reader(journal):
    woken = []
    journal.reader("a", "earliest", lambda: woken.append("a"))
    journal.reader("b", "earliest", lambda: woken.append("b"))
    journal.append([b"x"], "test")
    assert woken == ["a", "b"]
