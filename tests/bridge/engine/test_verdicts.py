"""What each answer means."""

from __future__ import annotations

import pytest

from bridge.engine.batching import Batcher
from bridge.engine.loads import Load
from bridge.engine.mapping import Mapped
from bridge.engine.progress import Progress
from bridge.engine.verdicts import MAX_FAULTS, judge
from bridge.errors import (
    RecutError,
    RejectedError,
    SetupError,
    ThrottledError,
    TransientError,
)
from bridge.sinks import DELIVERED, DUPLICATE, BatchLimits, Pack, Reject, Retry


@pytest.fixture
def load(make_page, make_event):
    page = make_page(0, 4)
    progress = Progress()
    ticket = progress.issue("s", 0, page.end)
    progress.add(ticket, 4)
    batcher = Batcher(BatchLimits())
    batcher.add(ticket, page, Mapped.of([make_event(i) for i in range(4)], range(4), page.payloads), 0.0)
    progress.seal(ticket)
    (load,) = batcher.flush()
    load.attempt = 1
    return load


@pytest.fixture
def an_object():
    ticket = Progress().issue("s", 0, 10)
    return Load([], [Pack("g", 3, b"abc"), Pack("h", 2, b"de")], [], 5, 5, attempt=1, ticket=ticket)


def test_all_delivered(load):
    assert judge(load, [DELIVERED] * 4).delivered == 4


def test_duplicates_count_apart_and_are_settled(load):
    judgement = judge(load, [DUPLICATE, DELIVERED, DUPLICATE, DELIVERED])
    assert (judgement.delivered, judgement.duplicates, judgement.remaining) == (2, 2, [])
    assert judge(load, [DUPLICATE] * 4).duplicates == 4


def test_items_are_judged_one_by_one(load):
    judgement = judge(load, [DELIVERED, Retry("busy", 3.0), Reject("bad", "no"), Retry("busy", 7.0)])
    assert judgement.delivered == 1
    assert judgement.remaining == [1, 3]
    assert judgement.wait == 7.0
    assert judgement.rejected == [(2, Reject("bad", "no"))]


@pytest.mark.parametrize("answer", [[], [DELIVERED] * 3, [DELIVERED] * 5, None, 7, [DELIVERED] * 3 + ["ok"]])
def test_a_wrong_number_or_kind_of_outcomes_is_the_plugins_fault_and_settles_nothing(load, answer):
    judgement = judge(load, answer)
    assert judgement.remaining == [0, 1, 2, 3]
    assert judgement.fault
    assert "send must return" in judgement.reason


def test_transient_and_throttled_errors_send_everything_again(load):
    assert judge(load, TransientError("reset")).remaining == [0, 1, 2, 3]
    assert judge(load, ThrottledError("429", 12.0)).wait == 12.0


def test_a_broken_setup_holds(load):
    assert judge(load, SetupError("401")).hold == "401"


def test_a_refused_batch_is_halved_and_a_refused_event_is_rejected(load):
    refusal = RejectedError("bad", "no")
    assert judge(load, refusal).halve
    assert judge(load.part([2]), refusal).rejected == [(0, Reject("bad", "no"))]


def test_an_unexpected_exception_is_transient_three_times_and_then_a_refusal(load):
    for faults in range(MAX_FAULTS):
        load.faults = faults
        assert judge(load, KeyError("x")).fault
    load.faults = MAX_FAULTS
    assert judge(load, KeyError("secret payload")).halve
    single = load.part([0])
    ((_, reject),) = judge(single, KeyError("secret payload")).rejected
    assert reject.code == "plugin_error"
    assert "secret" not in reject.reason


def test_an_object_is_taken_or_refused_whole(an_object):
    assert judge(an_object, [DELIVERED, DELIVERED]).delivered == 5
    assert judge(an_object, [DELIVERED, Retry("slow")]).remaining
    assert "refuses" in (judge(an_object, [DELIVERED, Reject("x", "y")]).hold or "")
    assert "refuses" in (judge(an_object, RejectedError("x", "y")).hold or "")
    assert judge(an_object, RecutError(7)).recut == 7


def test_an_empty_object_is_delivered_too():
    empty = Load([], [], [], 0, 0, attempt=1, ticket=Progress().issue("s", 0, 10))
    judgement = judge(empty, [])
    assert (judgement.delivered, judgement.remaining, judgement.hold) == (0, [], None)
    assert judge(empty, TransientError("x")).remaining
