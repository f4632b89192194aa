"""Observers are called with what they ask for, and what they raise stops nobody."""

from __future__ import annotations

import logging
import threading

import pytest

from bridge import hookspecs
from bridge.hookspecs import hookimpl
from bridge.plugins import Plugins


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.seen = []

    @hookimpl
    def bridge_settled(self, report):
        self.seen.append(report)

    @hookimpl
    def bridge_started(self):
        self.seen.append("started")


class Faulty:
    """Fails in the way it is told to."""

    error: Exception = ValueError("no")

    @hookimpl
    def bridge_settled(self, report):
        raise self.error


@pytest.fixture
def manager():
    return Plugins(entry_points=list)


def test_every_observer_is_called_with_the_arguments_it_names(manager):
    first, second = Watcher(), Watcher()
    manager.register(first, "first")
    manager.register(second, "second")
    manager.notify("bridge_settled", report="r")
    manager.notify("bridge_started", info="i")
    assert first.seen == second.seen == ["r", "started"]


def test_with_no_observer_nothing_happens(manager, caplog):
    manager.notify("bridge_stopping", info="i")
    assert not caplog.records


def test_what_an_observer_raises_stops_neither_the_others_nor_the_caller(manager, caplog):
    before, after = Watcher(), Watcher()
    for observer, name in ((before, "before"), (Faulty(), "faulty"), (after, "after")):
        manager.register(observer, name)
    with caplog.at_level(logging.WARNING):
        manager.notify("bridge_settled", report="r")
    assert before.seen == after.seen == ["r"]
    assert caplog.messages == ["plugin faulty failed in bridge_settled and goes on being called"]


def test_the_same_failure_is_logged_once_and_another_one_again(manager, caplog):
    faulty = Faulty()
    manager.register(faulty, "faulty")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            manager.notify("bridge_settled", report="r")
        faulty.error = KeyError("other")
        for _ in range(3):
            manager.notify("bridge_settled", report="r")
    assert len(caplog.messages) == 2


def test_observers_are_called_from_many_threads_and_complain_once(manager, caplog):
    manager.register(Faulty(), "faulty")
    threads = [
        threading.Thread(target=lambda: [manager.notify("bridge_settled", report="r") for _ in range(50)])
        for _ in range(4)
    ]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caplog.messages) == 1


def test_every_observer_hook_that_is_specified_can_be_notified(manager):
    nouns = {"bridge_sinks", "bridge_journals"}
    observers = [name for name in hookspecs.__all__ if name.startswith("bridge_") and name not in nouns]
    assert len(observers) >= 4
    for name in observers:
        manager.notify(name)
