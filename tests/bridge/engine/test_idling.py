"""Waiting is idle where the process does less than it gets when it works, not less than the clock says."""

from __future__ import annotations

import pytest

from bridge.engine.idling import Idling


class Machine:
    """A clock, and a process that gets a share of it."""

    def __init__(self):
        self.clock = self.worked = 0.0
        self.idling = Idling(lambda: self.clock, lambda: self.worked)

    def work(self, seconds, share=1.0):
        since = self.idling.now()
        self.clock += seconds
        self.worked += seconds * share
        self.idling.learn(since)

    def wait(self, seconds, share):
        since = self.idling.now()
        self.clock += seconds
        self.worked += seconds * share
        return self.idling.idle(since)


@pytest.fixture
def machine():
    return Machine()


@pytest.mark.parametrize(("share", "idle"), [(1.0, 0.0), (0.5, 1.0), (0.0, 2.0), (1.5, -1.0)])
def test_on_a_free_machine_idle_is_what_was_not_worked(machine, share, idle):
    machine.work(1.0)
    assert machine.wait(2.0, share) == pytest.approx(idle, abs=0.01)


@pytest.mark.parametrize(("share", "idle"), [(0.4, 0.0), (0.2, 1.0), (0.0, 2.0), (0.8, -2.0)])
def test_what_others_take_of_the_processor_is_not_idle(machine, share, idle):
    machine.work(1.0, share=0.4)
    assert machine.wait(2.0, share) == pytest.approx(idle, abs=0.02)


def test_several_processors_do_not_make_one_that_is_busy_look_idle(machine):
    machine.work(1.0, share=1.7)
    assert machine.wait(1.0, 1.0) == pytest.approx(0.0, abs=0.01)


def test_what_was_long_ago_is_forgotten(machine):
    for _ in range(1_000):
        machine.work(0.001, share=1.0)
    for _ in range(1_000):
        machine.work(0.001, share=0.5)
    assert machine.wait(1.0, 0.5) == pytest.approx(0.0, abs=0.01)


def test_before_anything_was_learnt_every_second_counts(machine):
    assert machine.wait(1.0, 0.25) == pytest.approx(0.75)
