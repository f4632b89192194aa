"""The memory of what was imported: small, exact, and never a reason to lose an event."""

from __future__ import annotations

import json

from bridge.intake import ledger
from bridge.intake.ledger import DAY_MS, KEEP_DAYS, MARK, Ledger, units
from bridge.validation import Decoder

NOW = 1_800_000_000_000


def test_marks_are_added_to_those_that_are_there(desk):
    book = Ledger(desk.state)
    marks = [bytes([n]) * MARK for n in range(256)]
    book.note({b"a": marks[:3], b"b": marks[5:6]}).result()
    book.note({b"a": marks[3:4]}).result()
    assert book.known([b"a", b"b", b"c"]) == {b"a": set(marks[:4]), b"b": {marks[5]}}


def test_a_batch_that_grows_without_end_forgets_its_oldest_marks(desk, monkeypatch):
    monkeypatch.setattr(ledger, "MOST_MARKS", 4 * MARK)
    book = Ledger(desk.state)
    for n in range(6):
        book.note({b"a": [bytes([n]) * MARK]}).result()
    assert book.known([b"a"])[b"a"] == {bytes([n]) * MARK for n in range(2, 6)}


def test_what_is_older_than_it_needs_to_be_is_forgotten_at_the_next_start(desk):
    Ledger(desk.state, NOW).note({b"old": [b"1" * MARK]}, NOW).result()
    Ledger(desk.state, NOW).note({b"new": [b"2" * MARK]}, NOW + DAY_MS).result()
    later = Ledger(desk.state, NOW + KEEP_DAYS * DAY_MS + 1)
    assert set(later.known([b"old", b"new"])) == {b"new"}


def test_batches_stand_alone_and_the_rest_is_cut_into_pages(make):
    loose = make.raws(range(2_100))
    named = make.batch("m", range(3))
    records = [*loose[:5], named, *loose[5:]]
    found = list(units(records))
    assert [len(unit.records) for unit in found] == [5, 1, 1_000, 1_000, 95]
    assert [record for unit in found for record in unit.records] == records
    assert len({unit.key for unit in found}) == 5
    assert [unit.key for unit in units(iter(records))] == [unit.key for unit in found]


def test_pages_are_cut_by_size_too():
    assert [len(unit.records) for unit in units([b"x" * 1_500_000] * 3)] == [1, 1, 1]


def test_only_a_batch_has_a_msgid(make):
    event = make.event(1, edata={"msgid": "m"}, params={"msgid": "m"})
    others = [
        json.dumps(event).encode(),
        b'{"params": {"msgid": ["m"]}, "events": []}',
        b'{"params": "msgid", "events": []}',
        b'[{"params": {"msgid": "m"}}]',
        b'{"params": {"msgid": "m"',
    ]
    page, batch = units([*others, make.batch("m", [1])])
    assert len(page.records) == 5
    assert batch.key == next(units([make.batch("m", [2])])).key


def test_marks_tell_identities_and_not_bytes(make):
    decoder = Decoder()
    event = make.event(1)
    spaced = json.dumps(event, indent=None, separators=(" ,", " : ")).encode()
    other = json.dumps(make.event(2)).encode()
    decoded = decoder.batch(
        [
            json.dumps(event).encode(),
            spaced,
            other,
            b'{"eid":"X","mid":"1"}',
            b'{"mid":"1", "eid":"X"}',
            b"{}",
        ]
    )
    first, second, third = ledger.marks_of(decoded.events)
    assert first == second != third
    refused = [ledger.mark_of(invalid) for invalid in decoded.invalid]
    assert refused[0] == refused[1] != refused[2]
    assert {len(mark) for mark in [first, third, *refused]} == {MARK}
