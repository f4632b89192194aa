"""What is held is counted as what it costs, and let go when it is done with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
import weakref
from queue import SimpleQueue

import pytest

from bridge.engine.batching import EVENT_BYTES, Batcher
from bridge.engine.heap import keep_small
from bridge.engine.loads import Load, Segment
from bridge.engine.mapping import Mapped
from bridge.engine.outbox import Outbox
from bridge.engine.packing import IDENTITY_BYTES, Packer
from bridge.engine.progress import Progress, Ticket
from bridge.engine.retry import Backoff
from bridge.engine.senders import Senders
from bridge.journals.base import Page
from bridge.sinks import DELIVERED, BatchLimits
from bridge.testing import encode, make_event, samples
from bridge.validation import Decoder


class Payload:
    """Something whose end can be seen."""


class Taker:
    """Delivers everything."""

    def send(self, batch):
        return batch.all(DELIVERED)


class Folder:
    """Packs nothing away."""

    pack_bytes = 1_000_000

    def pack(self, events, lines):
        return []


@pytest.fixture
def page():
    raws = [json.dumps(event).encode() for event in samples().values()]
    return Page("s", 0, len(raws), raws, sum(map(len, raws)), range(1, len(raws) + 1))


@pytest.fixture
def events(page):
    return Decoder().batch(page.payloads).events


MANY = BatchLimits(max_events=100_000)


def batch_of(page, events, payloads, limits=MANY):
    batcher, progress = Batcher(limits), Progress()
    ticket = progress.issue(page.stream, page.start, page.end)
    return batcher, batcher.add(ticket, page, Mapped.of(events, range(len(events)), payloads), 0.0)


def test_events_count_for_what_they_hold_beside_their_payload(page, events):
    batcher, _ = batch_of(page, events, [b"x" * 10] * len(events))
    assert batcher.size == page.size + len(events) * (10 + EVENT_BYTES)


def test_a_payload_that_is_the_event_itself_counts_once(page, events):
    batcher, _ = batch_of(page, events, [event.raw for event in events])
    (load,) = batcher.flush()
    assert (load.size, load.held) == (page.size, page.size + len(events) * EVENT_BYTES)


def test_the_limit_of_a_batch_is_about_payload_alone(page, events):
    _, closed = batch_of(page, events, [b"x" * 10] * len(events), BatchLimits(max_bytes=20))
    assert [load.size for load in closed] == [20] * (len(events) // 2)


def held_by_each(payloads):
    decoder = Decoder()
    decoder.batch(payloads)
    tracemalloc.start()
    events = decoder.batch(payloads).events
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / len(events)


def test_what_an_event_is_said_to_cost_is_about_what_it_costs(page):
    strangers = [
        encode(
            make_event(
                "INTERACT", {"actor.id": one, "context.did": one, "context.sid": one, "object.id": one}
            )
        )
        for one in (f"{number:036d}" for number in range(2_000))
    ]
    in_runs, alone = held_by_each(page.payloads * 50), held_by_each(strangers)
    assert in_runs < EVENT_BYTES < alone < 3 * EVENT_BYTES


def test_an_outbox_counts_a_load_for_all_that_it_holds():
    outbox = Outbox(2, Backoff())
    outbox.offer(Load([], [], [], 10, 1, beside=90))
    assert outbox.size == 100
    outbox.landed(outbox.take(0.0))
    assert outbox.size == 0


def test_a_part_of_a_load_holds_its_share():
    ticket, place = Ticket("s", 0, 4), Page("s", 0, 4, [b""] * 4, 0, range(1, 5))
    load = Load([1, 2, 3, 4], [b"x"] * 4, [Segment(ticket, place, range(4))], 40, 4, beside=80)
    assert [half.held for half in load.halves()] == [60, 60]


def test_an_open_object_counts_its_loose_events_and_the_identities_it_remembers(page, events):
    progress = Progress()
    packer = Packer(Folder(), BatchLimits(), progress, window=1_000)
    packer.add(page, Mapped.of(events, range(len(events)), page.payloads), 0.0)
    assert packer.size == page.size + len(events) * (EVENT_BYTES + IDENTITY_BYTES)


def test_a_sender_that_waits_keeps_no_load_alive():
    landed = SimpleQueue()
    senders = Senders(Taker(), "x", 4, landed.put)
    seen = []
    for _ in range(8):
        payload = Payload()
        seen.append(weakref.ref(payload))
        senders.send(Load([], [payload], [], 1, 1))
        del payload
    for _ in seen:
        landed.get(timeout=5)
    ends = time.monotonic() + 5
    while any(ref() for ref in seen) and time.monotonic() < ends:
        time.sleep(0.01)  # a thread lets go just after it has handed over
    kept = [ref() for ref in seen]
    assert senders.close(5)
    assert kept == [None] * len(seen)


def test_the_heap_is_told_once_and_the_environment_keeps_its_word():
    code = "from bridge.engine.heap import keep_small; print(keep_small() is keep_small(), keep_small())"
    told = {**os.environ, "MALLOC_ARENA_MAX": "3", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "True"
    assert keep_small() is keep_small()
