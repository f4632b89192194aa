"""Pages decoded once for pipelines that stand together, and nobody waits for a slower one."""

from __future__ import annotations

import threading
import time

import pytest

from bridge.engine import sharing
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
    found = shared.summary(page)
    assert (found.count, found.passed, found.invalid) == (5, 5, [])
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


def test_who_adds_nothing_leaves_the_work_to_a_neighbour_who_is_coming(decoder, make_page):
    shared = SharedDecoder(decoder)
    pages = [make_page(start, 5) for start in (0, 50, 100)]
    shared.decode(pages[0])
    patient, found = in_thread(lambda: shared.summary(pages[1]))
    shared.decode(pages[1])
    patient.join()
    assert found[0].passed == 5
    assert decoder.batches <= 3


def test_who_is_patient_decodes_alone_where_nobody_comes(decoder, make_page):
    shared = SharedDecoder(decoder)
    began = time.monotonic()
    assert shared.summary(make_page(0, 5)).passed == 5
    shared.decode(make_page(50, 5))
    assert shared.summary(make_page(0, 6)).passed == 6  # the neighbour has passed it
    assert time.monotonic() - began < 10
    assert decoder.batches == 3


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


def test_who_is_patient_does_not_wait_for_himself(decoder, make_page, monkeypatch):
    shared = SharedDecoder(decoder)
    shared.summary(make_page(0, 5))
    monkeypatch.setattr(shared._change, "wait", lambda _: pytest.fail("it waits, and nobody comes"))
    assert shared.summary(make_page(50, 5)).passed == 5


def test_who_wants_a_summary_decodes_nothing_however_far_behind(decoder, make_page):
    shared = SharedDecoder(decoder, max_bytes=1)
    pages = [make_page(start, 5) for start in range(0, 5_000, 50)]
    pages[7].payloads[2] = b"{broken"
    for page in pages:
        shared.decode(page)
    found = [shared.summary(page) for page in pages]
    assert decoder.batches == len(pages)
    assert sum(summary.passed for summary in found) == 5 * len(pages) - 1
    (bad,) = found[7].invalid
    assert (bad.index, bad.raw, found[7].count) == (2, b"{broken", 5)


def test_summaries_are_bounded_and_keep_few_bytes(decoder, make_page, monkeypatch):
    monkeypatch.setattr(sharing, "SUMMARIES", 3)
    shared = SharedDecoder(decoder, max_bytes=1)
    pages = [make_page(start, 20) for start in range(0, 2_000, 200)]
    pages[-1].payloads = [b"{broken"] * 20
    for page in pages:
        shared.decode(page)
    assert list(shared._summaries) == [(page.stream, page.start, page.end) for page in pages[-4:-1]]
    assert len(shared.summary(pages[-1]).invalid) == 20
    assert shared.summary(pages[0]).passed == 20
    assert decoder.batches == len(pages) + 1  # the last page was still there as a whole
