"""What a pipeline brings to an end before streams go to another process, and what it leaves alone."""

from __future__ import annotations

from queue import SimpleQueue

import pytest

from bridge.engine.handover import hand_over
from bridge.engine.loads import Load, Segment
from bridge.engine.outbox import Outbox
from bridge.engine.progress import Progress
from bridge.engine.retry import Backoff
from bridge.errors import TransientError
from bridge.sinks import DELIVERED, DUPLICATE, Reject


class Desk:
    """An outbox of two slots with loads of one event each; `answers` come as soon as a load is sent."""

    def __init__(self, make_page, answers):
        self.outbox, self.progress = Outbox(2, Backoff(30.0, 300.0)), Progress()
        self.landed = SimpleQueue()
        self.answers = iter(answers)
        self.page = make_page(0, 4)
        self.ticket = self.progress.issue("s", 0, self.page.end)
        self.progress.add(self.ticket, 4)
        self.progress.seal(self.ticket)
        self.settled = 0

    def offer(self, count):
        for index in range(count):
            self.outbox.offer(Load([None], [b"x"], [Segment(self.ticket, self.page, [index])], 1, 1))

    def dispatch(self, now):
        while (load := self.outbox.take(now)) is not None:
            if (answer := next(self.answers, None)) is not None:
                self.landed.put((load, answer, 0.0))

    def settle(self, landed):
        self.outbox.landed(landed[0])
        landed[0].settle(self.progress)
        self.settled += 1

    def hand_over(self, seconds):
        hand_over(self.outbox, self.landed, self.settle, self.dispatch, seconds)


@pytest.fixture
def make_desk(make_page):
    return lambda *answers: Desk(make_page, answers)


def test_a_page_that_was_begun_is_sent_to_its_end_and_moves_the_cursor(make_desk):
    desk = make_desk([DELIVERED], [DUPLICATE], [DELIVERED], [DELIVERED])
    desk.offer(4)
    desk.dispatch(0.0)
    desk.hand_over(30.0)
    assert (desk.settled, desk.outbox.flying, len(desk.outbox)) == (4, 0, 0)
    assert desk.progress.take() == {"s": desk.page.end}


def test_answers_that_need_more_than_settling_stay_for_later(make_desk):
    desk = make_desk([Reject("odd", "it is odd")], TransientError("not now"))
    desk.offer(2)
    desk.landed.put(None)
    desk.hand_over(30.0)
    assert desk.settled == 0
    assert desk.outbox.flying == 2
    assert [desk.landed.get_nowait() is None for _ in range(3)].count(True) == 1


def test_nobody_waits_longer_than_told_for_a_destination_that_is_silent(make_desk):
    desk = make_desk([DELIVERED])
    desk.offer(3)
    desk.hand_over(0.05)
    assert (desk.settled, desk.outbox.flying) == (1, 2)
    desk.hand_over(0.0)
    assert desk.settled == 1


def test_a_destination_on_hold_is_sent_nothing(make_desk):
    desk = make_desk([DELIVERED])
    desk.offer(2)
    desk.outbox.hold("401", 0.0)
    desk.hand_over(30.0)
    assert (desk.settled, len(desk.outbox)) == (0, 2)
