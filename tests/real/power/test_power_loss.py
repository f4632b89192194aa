"""200 means durable: wherever the power fails, what was answered with 200 is in the journal afterwards."""

from __future__ import annotations

import json
import random
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from bridge.state import State
from bridge.testing import make_event

pytestmark = pytest.mark.real

BATCHES, EVENTS = 240, 20
CUTS = 100
ANSWER = re.compile(rb"HTTP/1\.1 200 .*X-Request-Id: (batch-\d+)\r\n", re.DOTALL)
SYNCS = {"fdatasync", "fsync"}


def events_of(number):
    """The events of one batch, long enough that the journal is checkpointed now and then."""
    return [
        make_event("LOG", {"edata.message": "x" * 900}, mid=f"{number:05d}-{place}")
        for place in range(EVENTS)
    ]


def answered(call):
    """The batch that a call answers with 200, if it does."""
    found = ANSWER.match(call.strings[0]) if call.name == "sendto" and call.begun and call.strings else None
    return found[1].decode() if found else None


def recovered(place):
    """The mids in the journal when a bridge opens the state file that was left by a power cut."""
    with State(place / "bridge.db") as state:
        assert state.read(lambda db: db.execute("PRAGMA quick_check").fetchone()) == ("ok",)
        rows = state.read(lambda db: db.execute("SELECT body FROM log").fetchall())
    return {json.loads(body)["mid"] for (body,) in rows}


def promised(batches):
    return {f"{batch.partition('-')[2]}-{place}" for batch in batches for place in range(EVENTS)}


def lost_at(calls, cuts, disk, folder, chance, *, worst=False):
    """For each place at which the power fails: the events that were acknowledged and are gone."""
    acknowledged, lost = [], []
    for place, call in enumerate(calls):
        if batch := answered(call):
            acknowledged.append(batch)
        if place in cuts:
            found = folder / f"cut-{place}"
            disk.after_power_cut(found, chance, worst=worst)
            lost.append(promised(acknowledged) - recovered(found))
            shutil.rmtree(found)
        disk.apply(call)
    return lost


@pytest.fixture
def calls(traced):
    """What a bridge did while it took batches from several clients."""
    with ThreadPoolExecutor(4) as clients:
        statuses = clients.map(lambda n: traced.post(f"batch-{n:05d}", events_of(n)), range(BATCHES))
        assert set(statuses) == {200}
    return traced.end()


def test_no_cut_of_the_power_takes_an_event_that_was_acknowledged(calls, traced, new_disk, tmp_path):
    answers = [place for place, call in enumerate(calls) if answered(call)]
    assert len(answers) == BATCHES
    chance = random.Random(20261121)
    cuts = {*answers[:: BATCHES // 40], *chance.sample(range(answers[-1]), CUTS)}
    for name, worst in (("some", False), ("worst", True)):
        folder = tmp_path / name
        folder.mkdir()
        disk = new_disk(traced.folder / "data")
        assert not any(lost_at(calls, cuts, disk, folder, random.Random(7), worst=worst))
        assert disk.writes["bridge.db"] > 1_000  # the log was checkpointed meanwhile


def test_the_disk_of_this_test_would_show_a_missing_sync(calls, traced, new_disk, tmp_path):
    last = max(place for place, call in enumerate(calls) if answered(call))
    first = min(place for place, call in enumerate(calls) if answered(call))
    unsynced = [call for place, call in enumerate(calls) if place < first or call.name not in SYNCS]
    (tmp_path / "cuts").mkdir()
    cut = {len(unsynced) - 1}
    disk = new_disk(traced.folder / "data")
    (lost,) = lost_at(unsynced, cut, disk, tmp_path / "cuts", random.Random(7), worst=True)
    assert last > first
    assert len(lost) > BATCHES * EVENTS / 2
