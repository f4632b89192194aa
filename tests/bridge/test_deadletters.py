"""Dead letters keep everything, collapse when written again, and can be found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.deadletters import (
    SELECT,
    AnnouncedDeadLetters,
    DeadLetter,
    Filter,
    SqliteDeadLetters,
    letter_id,
)
from bridge.state import State, StateFullError


def letter(n=1, sink="es", code="mapping", **kw):
    payload = b'{"n":%d}' % n
    base = DeadLetter(
        letter_id(sink, "log", n, payload), sink, "sunbird-bridge 1", "deliver", code, "", "no", 1, 1_000 + n,
        1_000 + n, "log", n, "LOG", f"m{n}", payload,
    )  # fmt: skip
    return replace(base, **kw)


@pytest.fixture
def state(tmp_path):
    with State(tmp_path / "s.db") as state:
        yield state


@pytest.fixture
def letters(state):
    return SqliteDeadLetters(state)


def test_a_letter_comes_back_as_it_was(letters):
    hostile = letter(payload=b'\xff\x00{"not": json', reason="quote ' and \n newline", mid=None, eid=None)
    letters.write([hostile])
    assert list(letters.find(Filter())) == [hostile]


def test_the_same_refusal_written_again_is_one_letter_with_more_attempts(letters):
    letters.write([letter()])
    letters.write([letter(attempts=4, last_ms=9_999, reason="still no")])
    (found,) = letters.find(Filter())
    assert (found.attempts, found.first_ms, found.last_ms, found.reason) == (4, 1_001, 9_999, "still no")


def test_ids_tell_sinks_places_and_payloads_apart():
    ids = {
        letter_id(*args)
        for args in [("a", "b", 1, b"x"), ("ab", "", 1, b"x"), ("a", "b", 2, b"x"), ("a", "b", 1, b"y")]
    }
    assert len(ids) == 4


def test_letters_are_found_by_sink_code_eid_and_time(letters):
    letters.write([letter(n, sink="es" if n % 2 else "hook", code="a" if n < 5 else "b") for n in range(10)])
    assert [found.position for found in letters.find(Filter(sink="es", code="a"))] == [1, 3]
    assert [found.position for found in letters.find(Filter(since=1_007, until=1_008))] == [7, 8]
    assert [found.position for found in letters.find(Filter(), limit=3)] == [0, 1, 2]
    assert list(letters.find(Filter(eid="START"))) == []
    assert letters.count(Filter()) == {("es", "a"): 2, ("es", "b"): 3, ("hook", "a"): 3, ("hook", "b"): 2}


def test_many_letters_are_read_in_pages(letters):
    letters.write([letter(n, first_ms=5) for n in range(1_001)])
    assert sorted(found.position for found in letters.find(Filter())) == list(range(1_001))
    assert len(list(letters.find(Filter(), limit=450))) == 450


def test_a_resolved_letter_is_kept_but_no_longer_open(letters):
    one, two = letter(1), letter(2)
    letters.write([one, two])
    letters.resolve([one.id], now_ms=77)
    assert list(letters.find(Filter())) == [two]
    assert list(letters.find(Filter(resolved=True))) == [replace(one, resolved_ms=77)]


def test_a_letter_is_shown_by_the_start_of_its_id_if_that_is_enough(letters):
    one = letter(1)
    letters.write([one, letter(2)])
    assert letters.get(one.id[:12]) == one
    assert letters.get("") is None
    assert letters.get("%") is None


def test_the_quota_makes_the_pipeline_wait_instead_of_dropping(state):
    letters = SqliteDeadLetters(state, max_bytes=20)
    letters.write([letter(1), letter(2), letter(3)])
    with pytest.raises(StateFullError, match=r"raise dead_letters\.max_bytes"):
        letters.write([letter(4)])
    assert SqliteDeadLetters(state, max_bytes=20).stored_bytes == 21


def test_old_letters_are_purged(letters):
    letters.write([letter(n) for n in range(10)])
    assert letters.purge(1_004) == 4
    assert letters.stored_bytes == 6 * len(b'{"n":1}')


@pytest.mark.parametrize("chosen", [Filter(), Filter(sink="x"), Filter(code="c"), Filter(sink="x", since=5)])
def test_a_page_of_many_letters_is_found_without_sorting_them_all(state, chosen):
    where, values = chosen.where()
    sql = f"EXPLAIN QUERY PLAN {SELECT} WHERE {where} AND (first_ms, id) > (?, ?) ORDER BY first_ms, id"
    rows = state.read(lambda connection: connection.execute(sql, (*values, 0, "")).fetchall())
    assert "USING INDEX" in rows[0][3]
    assert not [row for row in rows if "TEMP B-TREE" in row[3]]


def test_observers_hear_of_letters_once_they_are_durable_and_of_no_other(state):
    told = []

    def notify(hook, letter):
        kept = [one.id for one in SqliteDeadLetters(state).find(Filter())]
        told.append((hook, letter.id, letter.id in kept))

    announced = AnnouncedDeadLetters(SqliteDeadLetters(state, max_bytes=10), notify)
    announced.write([letter(1), letter(2)])
    with pytest.raises(StateFullError):
        announced.write([letter(3)])
    assert told == [("bridge_dead_lettered", letter(n).id, True) for n in (1, 2)]
