"""The cursor is a contiguous prefix, whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.engine.progress import Progress, Ticket


def issued(progress: Progress, stream: str, end: int, events: int) -> Ticket:
    ticket = progress.issue(stream, 0, end)
    progress.add(ticket, events)
    progress.seal(ticket)
    return ticket


def test_a_later_page_that_settles_first_does_not_move_the_cursor():
    progress = Progress()
    first, second = issued(progress, "s", 10, 2), issued(progress, "s", 20, 1)
    progress.settle(second, 1)
    assert progress.take() == {}
    progress.settle(first, 1)
    assert progress.take() == {}
    progress.settle(first, 1)
    assert progress.take() == {"s": 20}
    assert progress.take() == {}


def test_a_page_without_open_events_settles_when_it_is_sealed():
    progress = Progress()
    ticket = progress.issue("s", 0, 7)
    assert progress.take() == {}
    progress.seal(ticket)
    assert progress.take() == {"s": 7}


def test_streams_do_not_hold_each_other():
    progress = Progress()
    issued(progress, "a", 10, 1)
    progress.settle(issued(progress, "b", 5, 1), 1)
    assert progress.take() == {"b": 5}


def test_a_forgotten_stream_ignores_late_settlements_and_commits_nothing():
    progress = Progress()
    ticket = issued(progress, "a", 10, 3)
    progress.settle(ticket, 1)
    assert progress.forget("a") == (2, 0)
    assert progress.outstanding == 0
    progress.settle(ticket, 2)
    assert progress.take() == {}
    assert progress.outstanding == 0


def test_a_settled_cursor_of_a_lost_stream_is_not_taken_any_more():
    progress = Progress()
    progress.settle(issued(progress, "a", 10, 1), 1)
    progress.forget("a")
    assert progress.take() == {}


def test_settling_more_than_was_open_is_a_bug_that_shows():
    progress = Progress()
    ticket = issued(progress, "a", 10, 1)
    progress.settle(ticket, 1)
    again = issued(progress, "a", 20, 1)
    with pytest.raises(AssertionError, match="more events settled"):
        progress.settle(again, 2)


@dataclass
class Sent:
    """One page in the model: its events that are not settled, by state."""

    ticket: Ticket
    end: int
    open: list[str] = field(default_factory=list)  # "flying" | "waiting" | "refused" (not yet a dead letter)


class Delivery(RuleBasedStateMachine):
    """Deliver, acknowledge in any order, retry, reject, dead-letter (or fail to), crash, restart.

    The model is a list of records with the set of those that are safe: acknowledged by the
    destination or durable as dead letters. A cursor must never stand behind an unsafe record.
    """

    @initialize(records=st.integers(5, 40))
    def start(self, records):
        self.records = records
        self.safe: set[int] = set()
        self.committed = 0
        self.restart()

    def restart(self):
        self.progress = Progress()
        self.position = self.committed
        self.pages: list[Sent] = []
        self.where: dict[int, tuple[Sent, int]] = {}

    @precondition(lambda self: self.position < self.records)
    @rule(size=st.integers(1, 7))
    def deliver(self, size):
        end = min(self.position + size, self.records)
        ticket = issued(self.progress, "s", end, end - self.position)
        page = Sent(ticket, end, ["flying"] * (end - self.position))
        for index, record in enumerate(range(self.position, end)):
            self.where[record] = (page, index)
        self.pages.append(page)
        self.position = end

    def chosen(self, data, state):
        records = [r for r, (page, index) in self.where.items() if page.open[index] == state]
        return data.draw(st.sampled_from(records)) if records else None

    def become(self, record, state):
        page, index = self.where[record]
        page.open[index] = state

    @rule(data=st.data())
    def acknowledge(self, data):
        if (record := self.chosen(data, "flying")) is not None:
            self.become(record, "settled")
            self.safe.add(record)
            self.progress.settle(self.where[record][0].ticket, 1)

    @rule(data=st.data())
    def answer_is_lost(self, data):
        """The destination has it, but we do not know: it is sent again."""
        if (record := self.chosen(data, "flying")) is not None:
            self.safe.add(record)
            self.become(record, "waiting")

    @rule(data=st.data())
    def fail(self, data):
        if (record := self.chosen(data, "flying")) is not None:
            self.become(record, "waiting")

    @rule(data=st.data())
    def retry(self, data):
        if (record := self.chosen(data, "waiting")) is not None:
            self.become(record, "flying")

    @rule(data=st.data())
    def reject(self, data):
        if (record := self.chosen(data, "flying")) is not None:
            self.become(record, "refused")

    @rule(data=st.data())
    def dead_letter_is_durable(self, data):
        if (record := self.chosen(data, "refused")) is not None:
            self.become(record, "settled")
            self.safe.add(record)
            self.progress.settle(self.where[record][0].ticket, 1)

    @rule(data=st.data())
    def dead_letter_fails(self, data):
        """Nothing happens: the pipeline waits and tries again."""
        self.chosen(data, "refused")

    @rule()
    def commit(self):
        moved = self.progress.take().get("s")
        if moved is not None:
            assert moved > self.committed
            self.committed = moved

    @rule()
    def crash_and_restart(self):
        self.restart()

    @rule(data=st.data())
    def revoke_and_assign_again(self, data):
        tickets = [page.ticket for page in self.pages]
        dropped, _ = self.progress.forget("s")
        assert dropped == sum(state != "settled" for page in self.pages for state in page.open)
        for ticket in tickets:
            self.progress.settle(ticket, data.draw(st.integers(0, 3)))  # late answers change nothing
        assert self.progress.take() == {}
        self.restart()

    @invariant()
    def nothing_unsafe_is_behind_the_cursor(self):
        if hasattr(self, "safe"):
            assert set(range(self.committed)) <= self.safe

    @invariant()
    def outstanding_is_what_is_open(self):
        if hasattr(self, "pages"):
            open_events = sum(state != "settled" for page in self.pages for state in page.open)
            assert self.progress.outstanding == open_events

    def teardown(self):
        """Once everything is answered, everything is committed."""
        if not hasattr(self, "pages"):
            return
        for page in self.pages:
            unsettled = sum(state != "settled" for state in page.open)
            self.progress.settle(page.ticket, unsettled)
        last = self.pages[-1].end if self.pages else None
        moved = self.progress.take().get("s", self.committed)
        assert last is None or moved == last


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
