"""The SDK in Node.js: every event it was told to be taken is in the archive, once, as it was sent."""

from __future__ import annotations

import json
from collections import Counter

import pytest

pytestmark = pytest.mark.real

EIDS = {
    "START", "IMPRESSION", "INTERACT", "ASSESS", "RESPONSE", "FEEDBACK",
    "SHARE", "AUDIT", "ERROR", "LOG", "SEARCH", "END",
}  # fmt: skip
STAMPS = {"syncts", "@timestamp"}


def bare(event):
    """An event without what was added on arrival, as text."""
    return json.dumps({name: value for name, value in event.items() if name not in STAMPS}, sort_keys=True)


@pytest.mark.parametrize(("line", "path"), [("2", "/data/v3/telemetry"), ("1", "/v1/telemetry")])
def test_every_acknowledged_event_is_archived_once(bridge, node, line, path):
    told = node(line, bridge.url, path, 10)
    assert told["sent"] == len(told["acknowledged"]) == 120
    assert set(told["answers"]) == {200}
    bridge.stop()
    archived = bridge.archived()
    assert Counter(map(bare, archived)) == Counter(map(bare, told["acknowledged"]))
    assert {event["eid"] for event in archived} == EIDS
    assert all(set(event) >= STAMPS for event in archived)


def test_a_backend_goes_on_when_the_bridge_was_down(bridge, node, until):
    bridge.stop()
    process = node("2", bridge.url, "/v1/telemetry", 1, wait=False)  # it waits twice as long for every batch
    bridge.start()
    told = json.loads(process.communicate(timeout=120)[0])
    assert len(told["acknowledged"]) >= told["sent"] == 12
    bridge.stop()
    assert Counter(map(bare, bridge.archived())) == Counter(
        {bare(event): 1 for event in told["acknowledged"]}
    )
