"""Several blocking calls at once."""

from __future__ import annotations

import threading

import pytest

from bridge.together import at_once


def test_tasks_run_at_once():
    barrier = threading.Barrier(3, timeout=5)
    assert sorted(at_once([barrier.wait] * 3)) == [0, 1, 2]


def test_results_come_in_the_order_of_the_tasks():
    assert at_once([lambda n=n: n * n for n in range(100)]) == [n * n for n in range(100)]
    assert at_once([]) == []


def test_no_more_threads_than_wanted_are_busy():
    lock, busy, most = threading.Lock(), 0, 0

    def task():
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        threading.Event().wait(0.002)
        with lock:
            busy -= 1

    at_once([task] * 20, most=3)
    assert 1 < most <= 3


def test_one_thread_is_the_caller_s_own():
    assert at_once([threading.get_ident] * 3, most=1) == [threading.get_ident()] * 3


def test_a_fault_reaches_the_caller_once_everything_else_is_done():
    done = []
    tasks = [lambda: 1 // 0, *[lambda n=n: done.append(n) for n in range(5)], lambda: {}[1]]
    with pytest.raises(ZeroDivisionError):
        at_once(tasks)
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert not [thread for thread in threading.enumerate() if thread.name == "at-once"]
