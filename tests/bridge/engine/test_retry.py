"""When to try again, and when refusals mean a broken set-up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.retry import Backoff, RejectLimiter


def test_the_ceiling_doubles_up_to_the_longest():
    backoff = Backoff(0.1, 60.0)
    assert [round(backoff.ceiling(n), 3) for n in (1, 2, 3, 4, 11)] == [0.1, 0.2, 0.4, 0.8, 60.0]
    assert backoff.ceiling(100_000) == 60.0


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_jitter_is_a_share_of_the_ceiling(attempt, chance):
    backoff = Backoff(0.1, 60.0)
    assert 0 <= backoff.jittered(attempt, chance) <= backoff.ceiling(attempt) <= 60.0


def test_a_few_poison_events_are_accepted():
    limiter = RejectLimiter()
    for _ in range(1_000):
        assert limiter.accepts(1, 20)


def test_one_hundred_refusals_in_a_row_are_accepted_and_one_more_is_not():
    limiter = RejectLimiter()
    assert all(limiter.accepts(1, 0) for _ in range(100))
    assert not limiter.accepts(1, 0)


def test_a_delivery_in_between_starts_the_row_anew():
    limiter = RejectLimiter(max_ratio=1)
    for _ in range(5):
        assert all(limiter.accepts(1, 0) for _ in range(100))
        assert limiter.accepts(0, 1)


def test_a_tenth_of_the_last_thousand_is_too_much():
    limiter = RejectLimiter()
    assert limiter.accepts(90, 910)
    assert limiter.accepts(100, 900)
    assert not limiter.accepts(101, 899)


def test_the_ratio_needs_a_full_window():
    assert RejectLimiter().accepts(50, 50)


def test_old_answers_leave_the_window():
    limiter = RejectLimiter()
    limiter.accepts(99, 901)
    assert limiter.accepts(0, 1_000)
    assert limiter.accepts(99, 901)


def test_on_probation_every_refusal_is_held_until_something_is_delivered():
    limiter = RejectLimiter()
    for _ in range(101):
        limiter.accepts(1, 0)
    assert not limiter.accepts(1, 0)
    assert not limiter.accepts(500, 500)
    assert limiter.accepts(0, 10)
    assert limiter.accepts(1, 0)


def test_both_halves_can_be_switched_off():
    limiter = RejectLimiter(max_consecutive=0, max_ratio=1)
    assert all(limiter.accepts(1_000, 0) for _ in range(50))
