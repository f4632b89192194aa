"""A member of the storm that writes down what it was given, what it lost and what it committed.

    python storm_member.py LEDGER BROKERS TOPIC GROUP_PROTOCOL OUT FAULTS [OPTION=VALUE …]

A line of LEDGER is JSON: `{"at", "pid", "what": "assign" | "gone" | "commit", "offsets"}`. `at` is a
monotonic clock, the same for all processes of a machine; for a commit that the broker acknowledged it is
when the request was made.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

from confluent_kafka import Consumer

from bridge.journals import kafka_client

MEMBER = Path(__file__).parents[1] / "bridge" / "journals" / "kafka" / "member.py"


class Recording(Consumer):
    """A consumer with a ledger."""

    ledger = -1

    def __init__(self, settings, **options):
        self._asked = 0.0
        if "on_commit" in settings:
            settings = {**settings, "on_commit": self._acknowledged(settings["on_commit"])}
        super().__init__(settings, **options)

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        super().subscribe(
            topics,
            on_assign=self._noted("assign", on_assign),
            on_revoke=self._noted("gone", on_revoke, late=True),
            on_lost=self._noted("gone", on_lost, late=True),
        )

    def commit(self, *arguments, **options):
        self._asked = time.monotonic()
        return super().commit(*arguments, **options)

    def _noted(self, what, do, *, late=False):
        def wrapped(consumer, partitions):
            offsets = dict.fromkeys([tp.partition for tp in partitions], 0)
            if not late:
                note(what, offsets)
            do(consumer, partitions)
            if late:
                note(what, offsets)

        return wrapped

    def _acknowledged(self, do):
        def wrapped(error, partitions):
            good = {tp.partition: tp.offset for tp in partitions if tp.error is None and tp.offset >= 0}
            if error is None and good:
                note("commit", good, self._asked)
            do(error, partitions)

        return wrapped


def note(what, offsets, at=None):
    line = {"at": at or time.monotonic(), "pid": os.getpid(), "what": what, "offsets": offsets}
    os.write(Recording.ledger, json.dumps(line).encode() + b"\n")


def main(ledger, *words):
    Recording.ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    kafka_client.Consumer = Recording
    spec = importlib.util.spec_from_file_location("storm_member", MEMBER)
    member = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(member)
    member.main(*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
