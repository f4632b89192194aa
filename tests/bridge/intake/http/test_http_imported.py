"""What came from a file before is not taken a second time by HTTP, and nothing else is left out for that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.intake.files import FileImport, FileReport
from bridge.intake.http_imported import Imported
from bridge.intake.ledger import Ledger, batch_key, mark_of, marks_of
from bridge.testing import encode, make_event
from bridge.validation import Decoder


@pytest.fixture
def import_file(tmp_path):
    """Import some bytes as a file into the journal of a running intake."""

    def take(running, content):
        path = tmp_path / "shared"
        path.write_bytes(content)
        report = FileReport(str(path))
        FileImport(
            running.journal, Decoder(), 1 << 20, lambda error: False, ledger=Ledger(running.state)
        ).run(report)
        assert report.problem == ""
        return report

    return take


def test_a_batch_that_was_shared_as_a_file_is_answered_and_not_kept_again(
    serve, batch, numbered, import_file
):
    running = serve(imported=True)
    body = batch(*numbered(5), params={"msgid": "one"})
    assert import_file(running, body).accepted == 5
    assert running.send(body).status == 200
    assert len(running.rows()) == 5
    tally = running.intake.tally
    assert (tally.batches, tally.events, tally.duplicate) == (1, 0, 5)


def test_what_the_file_did_not_hold_is_kept(serve, batch, numbered, import_file):
    running = serve(imported=True)
    import_file(running, batch(*numbered(3), params={"msgid": "one"}))
    assert running.send(batch(*numbered(5), params={"msgid": "one"})).status == 200
    assert running.mids() == ["m-0", "m-1", "m-2", "m-3", "m-4"]


def test_the_same_id_with_other_events_is_kept(serve, batch, numbered, import_file):
    running = serve(imported=True)
    import_file(running, batch(*numbered(2), params={"msgid": "one"}))
    changed = numbered(2, context={**make_event()["context"], "did": "another phone"})
    assert running.send(batch(*changed, params={"msgid": "one"})).status == 200
    assert len(running.rows()) == 4


def test_the_same_events_under_another_id_are_kept(serve, batch, numbered, import_file):
    running = serve(imported=True)
    import_file(running, batch(*numbered(2), params={"msgid": "one"}))
    for envelope in ({"params": {"msgid": "two"}}, {}):
        assert running.send(batch(*numbered(2), **envelope)).status == 200
    assert len(running.rows()) == 6


def test_events_that_are_not_valid_are_known_too(serve, batch, import_file):
    running = serve(imported=True)
    invalid = {"eid": "LOG", "mid": "m-bad"}
    body = batch(invalid, make_event(mid="m-good"), params={"msgid": "one"})
    assert import_file(running, body).rejected.total() == 1
    assert running.send(body).status == 200
    assert len(running.rows()) == 2


def test_a_file_that_holds_what_came_by_http_is_kept_and_has_the_same_identities(
    serve, batch, numbered, import_file
):
    running = serve(imported=True)
    body = batch(*numbered(2), params={"msgid": "one"})
    assert running.send(body).status == 200
    assert import_file(running, body).accepted == 2
    identities = [event.identity for event in Decoder().batch(running.rows()).events]
    assert identities[:2] == identities[2:]


def test_where_batches_are_not_remembered_files_are_not_asked_for_either(serve, batch, numbered, import_file):
    running = serve(imported=True, idempotency_window=0)
    body = batch(*numbered(2), params={"msgid": "one"})
    import_file(running, body)
    assert running.send(body).status == 200
    assert len(running.rows()) == 4


def test_a_batch_that_comes_again_counts_its_events_as_duplicates(serve, batch, numbered):
    running = serve()
    body = batch(*numbered(3), params={"msgid": "one"})
    for _ in range(3):
        assert running.send(body).status == 200
    status = running.intake.status()
    assert status.events == {"accepted": 3, "duplicate": 6, "dead_lettered": 0}
    assert status.batches == {"accepted": 1, "duplicate": 2}


class Known:
    """A ledger that knows some marks of one batch."""

    def __init__(self, marks):
        self.marks = frozenset(marks)

    def known(self, keys):
        return {batch_key("one"): self.marks} if batch_key("one") in keys else {}


ITEMS = st.sampled_from(
    [encode(make_event(mid=f"m-{number}")) for number in range(5)]
    + [b"[]", b"7", b"nonsense", b'{"eid":"LOG","mid":"x"}']
    + [b"[%b,%b]" % (encode(make_event(mid="m-1")), encode(make_event(mid="m-9")))]
)


@given(st.lists(ITEMS, max_size=12), st.lists(ITEMS, max_size=12))
def test_exactly_what_is_known_in_full_is_left_out_and_the_rest_keeps_its_order(before, posted):
    def marks(items):
        decoded = Decoder().batch(items)
        return {*marks_of(decoded.events), *map(mark_of, decoded.invalid)}

    known = marks(before)
    imported = Imported(Known(known), Decoder())
    (named, other) = imported.fresh([("one", posted), ("two", posted)])
    assert other == posted
    assert named == [one for one in posted if not marks([one]) or not marks([one]) <= known]


def test_the_ledger_is_not_asked_about_batches_without_an_id():
    class Deaf:
        def known(self, keys):
            raise AssertionError(keys)

    events = [json.dumps(make_event()).encode()]
    assert Imported(Deaf(), Decoder()).fresh([("", events)]) == [events]
