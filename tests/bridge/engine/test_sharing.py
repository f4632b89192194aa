"""Pages decoded once for pipelines that stand together; who falls behind is left alone."""

from __future__ import annotations

import threading

import pytest

from bridge.engine import seats, sharing
from bridge.engine.idling import Idling
from bridge.engine.sharing import SharedDecoder
from bridge.validation import Decoder, Level


class Counting(Decoder):
    """Counts batches, and waits for `gate` where there is one."""

    def __init__(self):
        super().__init__(Level.ENVELOPE)
        self.batches = 0
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def batch(self, payloads):
        self.batches += 1
        self.entered.set()
        assert self.gate.wait(10)
        return super().batch(payloads)


@pytest.fixture
def decoder():
    return Counting()


def in_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


def test_a_page_is_decoded_once_for_all(decoder, make_page):
    shared = SharedDecoder(decoder)
    page = make_page(0, 5)
    assert shared.decode(page) is shared.decode(page)
    assert decoder.batches == 1


def test_another_stream_or_range_is_another_page(decoder, make_page):
    shared = SharedDecoder(decoder)
    for page in (make_page(0, 5), make_page(0, 6), make_page(50, 5), make_page(0, 5, stream="t")):
        shared.decode(page)
    assert decoder.batches == 4


def test_only_the_last_bytes_are_remembered_but_always_one_page(decoder, make_page):
    first, second = make_page(0, 5), make_page(100, 5)
    shared = SharedDecoder(decoder, max_bytes=1)
    shared.decode(first)
    shared.decode(first)
    assert decoder.batches == 1
    shared.decode(second)
    shared.decode(first)
    assert decoder.batches == 3


def test_who_comes_while_a_neighbour_decodes_gets_what_he_finds(decoder, make_page):
    decoder.gate.clear()
    shared = SharedDecoder(decoder)
    page = make_page(0, 5)
    first, found = in_thread(lambda: shared.decode(page))
    assert decoder.entered.wait(10)
    second, too = in_thread(lambda: shared.decode(page))
    decoder.gate.set()
    first.join()
    second.join()
    assert found[0] is too[0] or decoder.batches == 2  # who has waited long enough decodes by himself
    assert [event.mid for event in found[0].events] == [event.mid for event in too[0].events]


def test_a_slow_neighbour_holds_nobody_up(decoder, make_page):
    decoder.gate.clear()
    shared = SharedDecoder(decoder)
    page = make_page(0, 5)
    first, _ = in_thread(lambda: shared.decode(page))
    assert decoder.entered.wait(10)
    decoder.entered.clear()
    second, _ = in_thread(lambda: shared.decode(page))
    assert decoder.entered.wait(10), "the second waits for the first for ever"
    decoder.gate.set()
    first.join()
    second.join()
    assert decoder.batches == 2


def test_a_failure_leaves_the_page_to_the_next_one(decoder, make_page, monkeypatch):
    shared = SharedDecoder(decoder)
    page = make_page(0, 5)
    monkeypatch.setattr(decoder, "batch", lambda payloads: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shared.decode(page)
    monkeypatch.undo()
    assert len(shared.decode(page).events) == 5


def test_events_are_told_when_the_journal_took_them_in(decoder, make_page):
    page = make_page(0, 3)
    page.received = [7, 8, 9]
    assert [event.received for event in SharedDecoder(decoder).decode(page).events] == [7, 8, 9]


def together(decoder, count, max_pages=2, *, works=True):
    """A decoder that remembers so many pages, its seats, and the seconds that were waited in it.

    The processor `works` all the time, or never.
    """
    waited = []

    def clock():
        return sum(waited)

    idling = Idling(clock, clock if works else lambda: 0.0)
    shared = SharedDecoder(decoder, clock=clock, idling=idling, effort=lambda: 0.0)
    shared._change.wait = waited.append  # nobody moves while we wait, unless a test says so
    shared.max_pages = max_pages
    return shared, [shared.seat() for _ in range(count)], waited


@pytest.fixture
def pages(make_page):
    return [make_page(start, 5) for start in range(0, 1_000, 50)]


def take(shared, seat, *pages):
    if hasattr(shared, "max_pages"):
        shared._max_bytes = shared.max_pages * max(page.size for page in pages)
    for page in pages:
        shared.decode(page, seat)


def test_a_leader_lets_its_neighbours_take_what_would_be_forgotten(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    take(shared, leader, *pages[:2])
    assert waited == []

    def come(seconds):
        waited.append(0.001)
        take(shared, other, pages[len(waited) - 1])

    shared._change.wait = come
    take(shared, leader, *pages[2:6])
    assert len(waited) == 4
    assert decoder.batches == 6


def test_who_stays_away_is_waited_for_once(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    take(shared, other, *pages[:6])
    take(shared, leader, *pages[:6])
    waited.clear()
    take(shared, leader, *pages[6:])
    assert sum(waited) == pytest.approx(sharing.PATIENCE)
    assert other.gone


def test_who_has_not_begun_is_given_more_time(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    take(shared, leader, *pages)
    assert sum(waited) == pytest.approx(sharing.WELCOME)
    assert other.gone


def test_who_was_left_behind_decodes_alone_and_is_back_once_he_has_caught_up(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    take(shared, other, pages[0])
    take(shared, leader, *pages[:10])
    assert sum(waited) == pytest.approx(sharing.PATIENCE)
    assert (other.gone, other.away) == (True, {"s"})
    batches = decoder.batches
    take(shared, other, *pages[3:10])
    assert decoder.batches == batches + 7
    assert sum(waited) == pytest.approx(sharing.PATIENCE), "whoever is behind waits for nobody"
    assert not other.away
    take(shared, leader, *pages[10:12])
    take(shared, other, *pages[10:12])
    assert decoder.batches == batches + 9


def test_who_is_far_behind_is_waited_for_until_its_credit_is_used_up(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    take(shared, leader, *pages[:6])
    waited.clear()

    def come(_):
        waited.append(1.0)
        take(shared, other, pages[0])

    shared._change.wait = come
    other.gone = False
    take(shared, leader, *pages[6:])
    assert seats.CREDIT <= sum(waited) * seats.COURTESY < seats.CREDIT + 0.5
    assert other.away == {"s"}


def test_who_is_too_far_behind_is_not_waited_for_at_all(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    other.at = {"s": -seats.REACH * 50}
    take(shared, leader, *pages[1:])
    assert waited == []


def test_what_one_behind_decodes_pushes_nothing_out(decoder, pages):
    shared, (leader, other), _ = together(decoder, 2)
    take(shared, leader, *pages[:10])
    before = list(shared._pages)
    take(shared, other, *pages[2:5])
    assert list(shared._pages) == before


def test_what_everybody_has_taken_is_let_go_of(decoder, pages):
    shared, seats, _ = together(decoder, 3)
    for seat in seats:
        take(shared, seat, pages[0])
    assert shared._pages == {}
    assert shared._size == 0
    assert decoder.batches == 1


def test_who_reads_other_streams_is_not_waited_for(decoder, pages, make_page):
    shared, (leader, other), waited = together(decoder, 2)
    elsewhere = [make_page(start, 5, stream="elsewhere") for start in range(0, 1_000, 50)]
    take(shared, other, *elsewhere[: seats.FIRST])
    waited.clear()
    take(shared, leader, *pages)
    assert waited == []
    take(shared, other, pages[0])
    assert other.may_come(pages[1])
    shared.forget(other, "s")
    assert not other.may_come(pages[1])


def test_where_the_journal_knows_who_is_to_come_nobody_else_is_waited_for(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    leader.reader, other.reader = "leader", "other"
    for page in pages:
        page.expected = {"leader"}
    take(shared, leader, *pages[:10])
    assert (waited, shared._pages) == ([], {})
    for page in pages:
        page.expected = {"leader", "other"}
    take(shared, leader, *pages[10:12])
    assert len(shared._pages) == 2
    assert pages[10].expected == {"other"}
    take(shared, leader, pages[12])
    assert sum(waited) == pytest.approx(sharing.WELCOME)
    waited.clear()
    other.gone = False
    for page in pages[:13]:
        page.expected.discard("other")  # it reads elsewhere now
    take(shared, leader, pages[13])
    assert waited == []


def test_who_was_late_for_a_page_where_it_was_expected_is_back_when_it_comes(decoder, pages):
    shared, (leader, other), _ = together(decoder, 2)
    leader.reader, other.reader = "leader", "other"
    for page in pages:
        page.expected = {"leader", "other"}
    take(shared, leader, *pages[:3])
    assert (other.away, other.gone) == ({"s"}, True)
    take(shared, other, pages[1])
    assert (other.away, other.gone) == (set(), False)


def test_who_is_ahead_is_not_waited_for(decoder, pages):
    shared, (leader, other), waited = together(decoder, 2)
    other.at = {"s": 10_000}
    take(shared, leader, *pages)
    assert waited == []


def test_who_works_long_on_each_page_is_not_waited_for(decoder, pages):
    spent = [0.0]
    shared, (leader, heavy), waited = together(decoder, 2)
    shared._effort = lambda: spent[0]
    shared._decoding = 0.001
    for page in pages[:2]:
        take(shared, leader, page)
        take(shared, heavy, page)
        spent[0] += 0.001 * seats.HEAVY * 2
    take(shared, leader, *pages[2:4])
    assert not heavy.heavy, "one page says little"
    for page in pages[2:12]:
        shared.decode(page, heavy)
        spent[0] += 0.001 * seats.HEAVY * 2
    assert heavy.heavy
    waited.clear()
    take(shared, leader, *pages[12:])
    assert waited == []


def keep_up(shared, leader, slow, pages, waited, seconds):
    """Let the slow one come for each page that would be forgotten, after it rested for so many seconds."""
    rest = iter(pages)

    def come(_):
        shared.rest(slow)
        waited.append(seconds)
        take(shared, slow, next(rest))

    shared._change.wait = come
    for page in pages:
        take(shared, leader, page)


def test_who_waits_for_its_destination_while_the_processor_idles_is_soon_waited_for_no_more(decoder, pages):
    shared, (leader, slow), waited = together(decoder, 2, works=False)
    keep_up(shared, leader, slow, pages, waited, 0.2)
    assert seats.CREDIT <= sum(waited) < seats.CREDIT + 0.4
    assert slow.debt >= seats.CREDIT


def test_who_waits_for_its_destination_while_the_processor_works_is_waited_for(decoder, pages):
    shared, (leader, slow), waited = together(decoder, 2)
    keep_up(shared, leader, slow, pages, waited, 0.2)
    assert len(waited) == len(pages) - 2
    assert slow.debt == pytest.approx(0)
    assert decoder.batches == len(pages)


def test_who_works_itself_is_waited_for_although_the_processor_idles(decoder, pages):
    shared, (leader, slow), waited = together(decoder, 2, works=False)
    shared.rest = lambda _: None
    keep_up(shared, leader, slow, pages, waited, 0.2)
    assert len(waited) == len(pages) - 2


def test_what_was_idled_away_is_forgiven_in_time(decoder, pages):
    shared, (leader, slow), waited = together(decoder, 2, works=False)
    keep_up(shared, leader, slow, pages[:10], waited, 0.2)
    debt = slow.debt
    waited.append(10.0)
    take(shared, slow, pages[9])
    assert slow.debt == pytest.approx(debt - 10 * seats.FORGIVEN, abs=0.01)
    assert slow.may_come(pages[10])


def test_a_patient_one_leaves_the_decoding_to_who_comes(decoder, pages):
    shared, (worker,), waited = together(decoder, 1)
    patient = shared.seat(patient=True)

    def come(seconds):
        waited.append(0.001)
        take(shared, worker, pages[len(waited) - 1])

    shared._change.wait = come
    take(shared, patient, *pages[:5])
    assert len(waited) == 5
    shared._change.wait = waited.append
    waited.clear()
    take(shared, patient, *pages[5:])
    assert sum(waited) == pytest.approx(sharing.PATIENCE)
    assert worker.gone


def test_patient_ones_do_not_wait_for_those_who_have_passed(decoder, pages):
    shared, (worker,), waited = together(decoder, 1)
    patient = shared.seat(patient=True)
    take(shared, patient, pages[0])
    worker.come("s", 10_000, 0)
    waited.clear()
    take(shared, patient, *pages[1:])
    assert waited == []


def test_who_has_no_seat_never_waits(decoder, pages):
    shared, _, waited = together(decoder, 2)
    take(shared, None, *pages)
    assert waited == []


@pytest.mark.parametrize("count", [2, 5])
def test_pipelines_that_run_together_decode_each_page_once(decoder, make_page, count):
    pages = [make_page(start, 5) for start in range(0, 5_000, 50)]
    shared = SharedDecoder(decoder, max_bytes=3 * pages[0].size)
    readers = [shared.seat() for _ in range(count)]
    found = [[] for _ in readers]

    def run(seat, mids):
        for page in pages:
            mids += [event.mid for event in shared.decode(page, seat).events]

    threads = [
        threading.Thread(target=run, args=pair, daemon=True) for pair in zip(readers, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found[0]) == 500
    assert all(mids == found[0] for mids in found)
    assert decoder.batches < 1.5 * len(pages)  # a processor that is busy elsewhere may part them
