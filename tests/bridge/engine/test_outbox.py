"""Slots, retries that wait, and the hold of a broken set-up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.loads import Load
from bridge.engine.outbox import Outbox
from bridge.engine.progress import Progress
from bridge.engine.retry import Backoff

PROBE = Backoff(30.0, 300.0)


def a_load(size=10):
    ticket = Progress().issue("s", 0, 1)
    return Load([], [b"x"], [], size, 1, ticket=ticket)


@pytest.fixture
def outbox():
    return Outbox(2, PROBE)


def fill(outbox, count):
    loads = [a_load() for _ in range(count)]
    for load in loads:
        outbox.offer(load)
    return loads


def test_loads_fly_in_order_while_there_are_slots(outbox):
    first, second, third = fill(outbox, 3)
    assert [outbox.take(0), outbox.take(0), outbox.take(0)] == [first, second, None]
    outbox.landed(first)
    assert outbox.take(0) is third
    assert first.attempt == second.attempt == 1


def test_a_load_that_waits_keeps_its_slot(outbox):
    first, second, _ = fill(outbox, 3)
    outbox.take(0)
    outbox.take(0)
    outbox.landed(first)
    outbox.retry(first, due=5.0)
    assert outbox.take(4.9) is None
    assert outbox.wakes_at() == 5.0
    assert outbox.take(5.0) is first
    assert first.attempt == 2
    assert second.attempt == 1


def test_halves_of_a_refused_load_go_first_and_in_order(outbox):
    whole, following = fill(outbox, 2)
    outbox.take(0)
    outbox.landed(whole)
    left, right = a_load(5), a_load(5)
    outbox.front(left, right)
    assert [outbox.take(0), outbox.take(0)] == [left, right]
    assert outbox.size == 20
    outbox.landed(left)
    assert outbox.take(0) is following


def test_while_held_one_probe_flies_after_the_wait(outbox):
    first, second, third = fill(outbox, 3)
    outbox.take(0)
    outbox.landed(first)
    outbox.front(first)
    outbox.hold("401", now=100.0)
    assert outbox.take(129.9) is None
    assert outbox.wakes_at() == 130.0
    assert outbox.take(130.0) is first
    assert outbox.take(130.0) is None
    outbox.landed(first)
    outbox.front(first)
    outbox.hold("401", now=131.0)
    assert outbox.take(190.9) is None
    assert outbox.take(191.0) is first
    outbox.landed(first)
    outbox.release()
    assert [outbox.take(191.0), outbox.take(191.0)] == [second, third]


def test_the_probe_is_the_oldest_load_even_if_it_waits(outbox):
    first, _ = fill(outbox, 2)
    outbox.take(0)
    outbox.landed(first)
    outbox.retry(first, due=1_000.0)
    outbox.hold("tls", now=0.0)
    assert outbox.take(30.0) is first


def test_dead_loads_are_let_go(outbox):
    first, second = fill(outbox, 2)
    outbox.take(0)
    second.ticket.alive = False
    outbox.drop_dead()
    assert (len(outbox), outbox.size) == (1, 10)
    outbox.landed(first)
    assert (len(outbox), outbox.size) == (0, 0)


def test_a_destination_that_asks_for_patience_gets_fewer_at_a_time():
    outbox = Outbox(8, PROBE)
    fill(outbox, 20)

    def flown():
        flying = []
        while (load := outbox.take(0)) is not None:
            flying.append(load)
        for load in flying:
            outbox.landed(load)
            outbox.front(load)
        return len(flying)

    assert flown() == 8
    outbox.slower()
    assert flown() == 4
    for _ in range(10):
        outbox.slower()
    assert flown() == 1
    outbox.faster()
    assert flown() == 2
    for _ in range(100):
        outbox.faster()
    assert flown() == 8


@given(steps=st.lists(st.tuples(st.sampled_from("otldrhR"), st.integers(0, 50)), max_size=80))
def test_size_and_slots_always_add_up(steps):
    outbox = Outbox(3, PROBE)
    flying: list[Load] = []
    alive = 0
    now = 0.0
    for step, number in steps:
        now += number
        if step == "o":
            outbox.offer(a_load(number))
            alive += number
        elif step == "t":
            load = outbox.take(now)
            if load is not None:
                flying.append(load)
        elif flying and step in "ldrh":
            load = flying.pop(number % len(flying))
            outbox.landed(load)
            if step == "l":
                alive -= load.size
            elif step == "d":
                left, right = a_load(load.size // 2), a_load(load.size - load.size // 2)
                outbox.front(left, right)
            elif step == "r":
                outbox.retry(load, now + number)
            else:
                outbox.front(load)
                outbox.hold("x", now)
        elif step == "R":
            outbox.release()
        assert outbox.size == alive
        assert outbox.flying == len(flying) <= 3
